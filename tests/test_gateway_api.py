"""The groups as JSON, and pushes in protobuf: the embedded gateway beside the real one."""

import json
import random
import re
import time
from collections import Counter
from datetime import datetime

import pytest
from conftest import awaited, fetched, pushgateway_process, request
from samples import sample, shown

from gangplank.gateway import Gateway
from gangplank.gateway.bodies import from_protobuf
from gangplank.metrics.protobuf import CONTENT_TYPE, MetricFamily, encoded


def groups(address):
    """The answer of /api/v1/metrics: the families of groups, by the groups' labels."""
    answer = json.loads(fetched(f"http://{address}/api/v1/metrics"))
    assert answer.keys() == {"status", "data"}
    assert answer["status"] == "success"
    return {tuple(sorted(group.pop("labels").items())): group for group in answer["data"]}


def push(address, *families, path="/metrics/job/a", method="POST", **headers):
    headers = headers or {"Content-Type": CONTENT_TYPE}
    return request(address, method, path, encoded(families), **headers)


def family(name, kind, *, text="", **value):
    """One of one metric, or of none."""
    message = MetricFamily(name=name, type=kind, help=text)
    if value:
        message.metric.add(**value)
    return message


TEXT = """\
# HELP c_total Of "them" <>&\\n\\\\.
# TYPE c_total counter
c_total{a="1"} 999999.5
c_total{a="ä"} 1000000
# TYPE g gauge
g NaN
# TYPE u untyped
u -Inf
# TYPE h histogram
h_bucket{le="-0.50"} 1
h_bucket{le="0.00001"} 2
h_bucket{le="12345678.25"} 2
h_bucket{le="+Inf"} 123456789
h_count 123456789
h_sum 1e21
# TYPE s summary
s{quantile="0.50"} 3.5
s_sum 4
s_count 5
# TYPE a_count summary
a_count{quantile="0.50"} 3.5
a_count_sum 4
a_count_count 5
# TYPE a_sum summary
a_sum{quantile="0.50"} 3.5
a_sum_sum 4
a_sum_count 5
"""


def test_all_types_as_json(gateway):
    request(gateway, "PUT", "/metrics/job/a/run/1%202", TEXT.encode())
    request(gateway, "POST", "/metrics/job/b", b"other 1\n")
    both = groups(gateway)
    assert both.keys() == {(("job", "a"), ("run", "1 2")), (("job", "b"),)}
    described = both[("job", "a"), ("run", "1 2")]
    labels = {"instance": "", "job": "a", "run": "1 2"}

    def told(name):
        told = described.pop(name)
        stamp = told.pop("time_stamp")
        assert stamp.endswith("Z")
        age = (
            time.time() - datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", stamp)).timestamp()
        )
        assert -1 < age < 60
        return told

    assert told("c_total") == {
        "type": "COUNTER",
        "help": 'Of "them" <>&\n\\.',
        "metrics": [
            {"labels": {"a": "1", **labels}, "value": "999999.5"},
            {"labels": {"a": "ä", **labels}, "value": "1e+06"},
        ],
    }
    assert told("g") == {"type": "GAUGE", "metrics": [{"labels": labels, "value": "NaN"}]}
    assert told("u") == {"type": "UNTYPED", "metrics": [{"labels": labels, "value": "-Inf"}]}
    assert told("h") == {
        "type": "HISTOGRAM",
        "metrics": [
            {
                "labels": labels,
                "buckets": {"-0.5": "1", "1e-05": "2", "1.234567825e+07": "2", "+Inf": "123456789"},
                "count": "123456789",
                "sum": "1e+21",
            }
        ],
    }
    for name in ("s", "a_count", "a_sum"):
        assert told(name) == {
            "type": "SUMMARY",
            "metrics": [{"labels": labels, "quantiles": {"0.5": "3.5"}, "count": "5", "sum": "4"}],
        }
    pushed = told("push_time_seconds")
    (metric,) = pushed.pop("metrics")
    assert float(metric["value"]) == pytest.approx(time.time(), abs=60)
    assert metric["labels"] == labels
    assert pushed.keys() == {"type", "help"}
    failed = told("push_failure_time_seconds")
    assert failed["metrics"] == [{"labels": labels, "value": "0"}]
    assert described == {"last_push_successful": True}


def test_the_last_push_was_refused(gateway):
    request(gateway, "POST", "/metrics/job/a", b"x 1\n")
    request(gateway, "POST", "/metrics/job/b", b"# TYPE x gauge\nx 1\n")
    refused = groups(gateway)[("job", "b"),]
    assert refused["last_push_successful"] is False
    assert refused["push_time_seconds"]["metrics"][0]["value"] == "0"
    assert float(refused["push_failure_time_seconds"]["metrics"][0]["value"]) > 1.7e9
    assert refused.keys() == {
        "last_push_successful",
        "push_time_seconds",
        "push_failure_time_seconds",
    }


def test_no_groups(gateway):
    assert groups(gateway) == {}


def test_a_family_without_metrics_takes_one_out_of_a_group(gateway):
    body = b'# TYPE x gauge\nx 1\ny 2\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_count 1\n'
    for path in ("/metrics/job/a", "/metrics/job/a/run/1"):
        request(gateway, "POST", path, body)
    others = {key: value for key, value in shown(gateway).items() if ("run", "1") in key[1]}
    assert push(gateway, family("x", "GAUGE"), family("h", "HISTOGRAM")) == (200, "")
    assert shown(gateway) == sample("y", 2, job="a") | others
    for name in ("x", "h"):
        assert groups(gateway)[("job", "a"),][name]["metrics"] == []
    request(gateway, "DELETE", "/metrics/job/a/run/1")
    # The real one answers before it has deleted.
    awaited(lambda: "TYPE x " not in fetched(f"http://{gateway}/metrics"))
    assert request(gateway, "POST", "/metrics/job/a", b"# TYPE x gauge\nx 3\n") == (200, "")
    assert shown(gateway) == sample("x", 3, job="a") | sample("y", 2, job="a")
    push(gateway, family("x", "GAUGE"))
    assert (
        request(gateway, "POST", "/metrics/job/a", b"# TYPE x_total counter\nx_total 1\n")[0] == 200
    )
    assert request(gateway, "POST", "/metrics/job/a", b"x 4\n") == (200, "")
    assert shown(gateway)[next(iter(sample("x", 4, job="a")))] == 4


def test_a_metric_that_was_taken_out_stays_out_after_a_restart(tmp_path):
    kept_in = tmp_path / "metrics"
    with pushgateway_process(kept_in=kept_in) as (address, _):
        request(address, "POST", "/metrics/job/a", b"# TYPE x gauge\nx 1\ny 2\n")
        push(address, family("x", "GAUGE"))
    with pushgateway_process(kept_in=kept_in) as (address, _):
        assert shown(address) == sample("y", 2, job="a")


def test_a_metric_of_another_type_is_not_taken_out():
    # The real gateway takes that, and cannot be scraped any more.
    with Gateway() as gateway:
        request(gateway.address, "POST", "/metrics/job/a", b"# TYPE x gauge\nx 1\n")
        status, message = push(gateway.address, family("x", "UNTYPED"), path="/metrics/job/b")
        assert status == 400
        assert "inconsistent with existing metrics" in message
        assert shown(gateway.address) == sample("x", 1, job="a")


LABEL = [{"name": "l", "value": "ä"}]
BUCKETS = [
    {"cumulative_count": 1, "upper_bound": -0.5},
    {"cumulative_count": 3, "upper_bound": float("inf")},
]


def test_all_types_in_protobuf(gateway):
    assert push(
        gateway,
        family("c_total", "COUNTER", text="Of them.", label=LABEL, counter={"value": 1}),
        family("g", "GAUGE", gauge={"value": 2}),
        family("u", "UNTYPED", untyped={"value": 3}),
        family(
            "s",
            "SUMMARY",
            summary={
                "sample_count": 4,
                "sample_sum": 5,
                "quantile": [{"quantile": 0.5, "value": 6}],
            },
        ),
        family(
            "h",
            "HISTOGRAM",
            label=LABEL,
            histogram={"sample_count": 3, "sample_sum": -7, "bucket": BUCKETS},
        ),
        family(
            "n",
            "HISTOGRAM",
            histogram={
                "sample_count": 8,
                "schema": 3,
                "zero_count": 1,
                "positive_span": [{"offset": -5, "length": 1}],
                "positive_delta": [7],
            },
        ),
        path="/metrics/job@base64/YQ",
    ) == (200, "")
    infinity = float("inf")
    assert shown(gateway) == (
        sample("c_total", 1, job="a", l="ä")
        | sample("g", 2, job="a")
        | sample("u", 3, job="a")
        | sample("s", 6, job="a", quantile="0.5")
        | sample("s_sum", 5, job="a")
        | sample("s_count", 4, job="a")
        | sample("h_bucket", 1, job="a", l="ä", le=-0.5)
        | sample("h_bucket", 3, job="a", l="ä", le=infinity)
        | sample("h_sum", -7, job="a", l="ä")
        | sample("h_count", 3, job="a", l="ä")
        | sample("n_bucket", 8, job="a", le=infinity)
        | sample("n_sum", 0, job="a")
        | sample("n_count", 8, job="a")
    )
    assert "# HELP c_total Of them." in fetched(f"http://{gateway}/metrics")
    assert push(gateway, family("g", "GAUGE", gauge={"value": 9}), method="PUT") == (200, "")
    assert shown(gateway) == sample("g", 9, job="a")


GAUGE = {"gauge": {"value": 1}}
REFUSED = {
    "a value of another type": family("x", "GAUGE", counter={"value": 1}),
    "a timestamp": family("x", "GAUGE", timestamp_ms=1, **GAUGE),
    "a label twice": family("x", "GAUGE", label=LABEL * 2, **GAUGE),
    "a bad label": family("x", "GAUGE", label=[{"name": "a-b", "value": ""}], **GAUGE),
    "another type": family("kept", "GAUGE", **GAUGE),
}


@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_in_protobuf(gateway, bad):
    request(gateway, "POST", "/metrics/job/kept", b"kept 1\n")
    status, message = push(gateway, family("new", "GAUGE", **GAUGE), bad)
    assert status == 400
    assert message.strip()
    assert shown(gateway) == sample("kept", 1, job="kept")


@pytest.mark.parametrize(
    "bad",
    [
        family("a b", "GAUGE"),
        family("", "GAUGE"),
        family("hits", "COUNTER"),
        family("x", "GAUGE_HISTOGRAM"),
        MetricFamily.FromString(b"\x0a\x01\xff\x18\x01"),
        family("h", "HISTOGRAM", histogram={"sample_count_float": 3}),
        family("h", "HISTOGRAM", histogram={"sample_count_float": 3, "schema": 3}),
    ],
    ids=[
        *("a bad name", "no name", "a counter not of _total", "no type of the text", "not UTF-8"),
        *("counts that are no integers", "native ones"),
    ],
)
def test_what_the_embedded_gateway_alone_refuses(bad):
    with Gateway() as gateway:
        assert push(gateway.address, bad)[0] == 400
        assert push(gateway.address, path="/metrics/job/b")[0] == 200
        assert groups(gateway.address).keys() == {(("job", "b"),)}


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (
            "application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily",
            200,
        ),
        (
            CONTENT_TYPE.upper()
            .replace("IO.PROMETHEUS.CLIENT.METRICFAMILY", "io.prometheus.client.MetricFamily")
            .replace("DELIMITED", "delimited"),
            200,
        ),
        (CONTENT_TYPE.replace("delimited", "text"), 400),
        ("application/vnd.google.protobuf", 400),
        ("application/x-protobuf", 400),
        ("text/plain", 400),
    ],
)
def test_which_content_type_is_protobuf(gateway, content_type, status):
    gauge = family("x", "GAUGE", **GAUGE)
    assert push(gateway, gauge, **{"Content-Type": content_type})[0] == status


def test_protobuf_with_bytes_changed_is_taken_whole_or_refused():
    rng = random.Random(0)
    good = encoded([family("h", "HISTOGRAM", label=LABEL, histogram={"bucket": BUCKETS})])
    statuses = Counter()
    with Gateway() as gateway:
        stands_there = set()
        for _ in range(1000):
            body = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                body[rng.randrange(len(body))] = rng.randrange(256)
            headers = {"Content-Type": CONTENT_TYPE}
            status, _ = request(gateway.address, "PUT", "/metrics/job/a", bytes(body), **headers)
            statuses[status] += 1
            if status == 200:
                stands_there = from_protobuf(body).keys()
            group = groups(gateway.address).get((("job", "a"),), {})
            assert {name for name in group if "push_" not in name} == stands_there
        gateway.metrics().encode()
    assert statuses.keys() == {200, 400}
