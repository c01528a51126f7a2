"""The embedded gateway beside the real one: the same requests, the same answers."""

import json
import subprocess
import sys
import textwrap

import pytest
from conftest import awaited, fetched, request
from prometheus_client import CollectorRegistry, Gauge, push_to_gateway
from prometheus_client.parser import text_string_to_metric_families
from samples import sample, samples_in, shown

from gangplank.gateway import Gateway
from gangplank.gateway.groups import Groups

HISTOGRAM = (
    "# HELP h How many.\n# TYPE h histogram\n"
    'h_bucket{le="-0.5"} 1\nh_bucket{le="0.0"} 2\nh_bucket{le="+Inf"} 3\n'
)


def types(address):
    families = text_string_to_metric_families(fetched(f"http://{address}/metrics"))
    return {family.name: family.type for family in families}


def test_put_replaces_a_group_and_post_what_has_the_same_name(gateway):
    assert request(gateway, "PUT", "/metrics/job/a", b"x 1\ny 2\n") == (200, "")
    assert request(gateway, "POST", "/metrics/job/a", b"y 3\nz 4\n") == (200, "")
    assert shown(gateway) == (
        sample("x", 1, job="a") | sample("y", 3, job="a") | sample("z", 4, job="a")
    )
    assert request(gateway, "PUT", "/metrics/job/a", b"z 5\n") == (200, "")
    assert shown(gateway) == sample("z", 5, job="a")


def test_of_what_put_replaces_nothing_is_kept():
    groups = Groups()
    for i in range(3):
        (family,) = text_string_to_metric_families(f"x{i} 1\n")
        groups.push((("job", "a"),), {family.name: family}, replace=True)
    (group,) = groups.snapshot()
    assert group.changed.keys() == group.families.keys()
    assert len(group.families) == 3  # with the times of the last pushes


def test_closed_in_a_child():
    script = """
        import os
        from gangplank.gateway import Gateway

        with Gateway() as gateway:
            child = os.fork()
            if not child:
                gateway.close()
                os._exit(3)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.stdout == "3\n", answer.stderr


def test_delete_removes_one_group(gateway):
    for path in ("/metrics/job/a", "/metrics/job/a/run/1"):
        request(gateway, "PUT", path, b"x 1\n")
    assert request(gateway, "DELETE", "/metrics/job/a")[0] == 202
    # The real one answers before it deletes.
    awaited(lambda: shown(gateway) == sample("x", 1, job="a", run="1"))
    assert request(gateway, "DELETE", "/metrics/job/nothing")[0] == 202


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("/metrics/job/a", {"job": "a"}),
        ("/metrics/job/%C3%A4", {"job": "ä"}),
        ("/metrics/job/a+b", {"job": "a+b"}),
        ("/metrics/job@base64/YS9i", {"job": "a/b"}),
        ("/metrics/job@base64/YS9iYw==", {"job": "a/bc"}),
        ("/metrics/job@base64/YS9iYw", {"job": "a/bc"}),
        ("/metrics/job@base64/w7_DvQ", {"job": "ÿý"}),
        ("/metrics/job/a/instance/i/run@base64/=", {"job": "a", "instance": "i", "run": ""}),
        ("/metrics/job/a/run/1/run/2", {"job": "a", "run": "2"}),
        ("/metrics/job/a/job/b", {"job": "a"}),
        ("/metrics/job/a/", {"job": "a"}),
    ],
)
def test_paths_are_grouping_keys(gateway, path, labels):
    assert request(gateway, "POST", path, b"x 1\n") == (200, "")
    assert shown(gateway) == sample("x", 1, **labels)
    stamps = samples_in(fetched(f"http://{gateway}/metrics"))
    (stamp,) = [value for (name, _), value in stamps.items() if name == "push_time_seconds"]
    assert stamp > 1.7e9


@pytest.mark.parametrize("path", ["/metrics/job/%FF", "/metrics/job/a/run/x%C3"])
def test_labels_that_are_not_utf_8_are_refused(gateway, path):
    assert request(gateway, "POST", path, b"x 1\n")[0] == 400


def test_bodies_that_are_compressed(gateway):
    registry = CollectorRegistry()
    Gauge("x", "", registry=registry).set(1)
    push_to_gateway(gateway, "a", registry, compression="gzip")
    assert shown(gateway) == sample("x", 1, job="a")


@pytest.mark.parametrize("port", [-1, 1 << 16, "80", 80.0, True])
def test_what_is_no_port(port):
    with pytest.raises(ValueError, match=r"port must be an integer from 0 to 65535\. Received "):
        Gateway(port)


def test_the_grouping_key_overrides_labels_of_samples(gateway):
    body = b'x{job="other",instance="i",l="\\"q\\"\\n"} 1\n'
    assert request(gateway, "POST", "/metrics/job/a", body)[0] == 200
    assert shown(gateway) == sample("x", 1, job="a", instance="i", l='"q"\n')


def test_a_histogram_without_its_totals_gets_them(gateway):
    assert request(gateway, "POST", "/metrics/job/a", HISTOGRAM.encode())[0] == 200
    buckets = {}
    for bound, value in ((-0.5, 1), (0.0, 2), (float("inf"), 3)):
        buckets |= sample("h_bucket", value, job="a", le=bound)
    assert shown(gateway) == buckets | sample("h_sum", 0, job="a") | sample("h_count", 0, job="a")
    assert types(gateway)["h"] == "histogram"


@pytest.mark.parametrize("body", [HISTOGRAM, '# TYPE s summary\ns{quantile="0.5"} 5\n'])
def test_what_has_no_totals_is_told_as_json(gateway, body):
    assert request(gateway, "POST", "/metrics/job/a", body.encode())[0] == 200
    (group,) = json.loads(fetched(f"http://{gateway}/api/v1/metrics"))["data"]
    ((metric,),) = (group[name]["metrics"] for name in ("h", "s") if name in group)
    assert (metric["count"], metric["sum"]) == ("0", "0")


def test_a_histogram_and_a_summary_without_anything_else_get_it(gateway):
    body = '# TYPE h histogram\nh_count 3\nh_sum 4\n# TYPE s summary\ns{quantile="0.5"} 5\n'
    assert request(gateway, "POST", "/metrics/job/a", body.encode())[0] == 200
    infinity = float("inf")
    assert shown(gateway) == (
        sample("h_bucket", 3, job="a", le=infinity)
        | sample("h_sum", 4, job="a")
        | sample("h_count", 3, job="a")
        | sample("s", 5, job="a", quantile="0.5")
        | sample("s_sum", 0, job="a")
        | sample("s_count", 0, job="a")
    )


def test_a_counter_of_another_name_is_refused_not_renamed():
    # The real gateway takes it; prometheus_client never pushes one.
    with Gateway() as gateway:
        body = b"# TYPE hits counter\nhits 1\n"
        status, message = request(gateway.address, "POST", "/metrics/job/a", body)
        assert (status, shown(gateway.address)) == (400, {})
        assert "'hits' does not end in _total" in message


def test_every_type_is_kept(gateway):
    body = (
        "# TYPE c_total counter\nc_total 1\n# TYPE g gauge\ng NaN\n"
        '# TYPE s summary\ns{quantile="0.5"} 3\ns_sum 4\ns_count 5\nu{a="1"} +Inf\nu{a="2"} 6\n'
    )
    assert request(gateway, "POST", "/metrics/job/a", body.encode())[0] == 200
    kept = types(gateway)
    assert {name: kept[name] for name in "cgsu"} == {
        "c": "counter",
        "g": "gauge",
        "s": "summary",
        "u": "unknown",
    }
    values = {name: value for (name, _), value in shown(gateway).items()}
    assert values.pop("g") != values.get("g")
    assert values == {"c_total": 1, "s": 3, "s_sum": 4, "s_count": 5, "u": 6}


BAD_BODIES = {
    "no value": b"x\n",
    "not a number": b"x y\n",
    "no last newline": b"x 1",
    "not UTF-8": b'x{a="\xff"} 1\n',
    "a bad label": b"x{a=1} 1\n",
    "an open label": b'x{a="1 1\n',
    "an unknown type": b"# TYPE x weird\nx 1\n",
    "a type twice": b"# TYPE x gauge\nx 1\n# TYPE y gauge\ny 1\n# TYPE x gauge\nx 2\n",
    "a type twice in a row": b"# TYPE x gauge\n#\tTYPE x gauge\nx 1\n",
    "a type after samples": b"x 1\n# TYPE x gauge\n",
    "a help twice": b"# HELP x a\n# HELP x a\nx 1\n",
    "a type of OpenMetrics": b"# TYPE x info\nx_info 1\n",
    "a gauge histogram": b'# TYPE x gaugehistogram\nx_bucket{le="+Inf"} 1\n',
    "a label with a colon": b'x{a:b="1"} 1\n',
    "a timestamp": b"x 1 1700000000000\n",
    "a sample twice": b"x 1\nx 2\n",
    "a bound that is no number": b'# TYPE h histogram\nh_bucket{le="x"} 1\n',
    "a quantile that is no number": b'# TYPE s summary\ns{quantile="x"} 1\n',
    "a name in quotes": b'{"a.b"} 1\n',
    "a label in quotes": b'x{"a.b"="1"} 1\n',
    "a value beyond every float": b"x 1" + b"0" * 400 + b"\n",
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_what_does_not_parse_is_refused_whole(gateway, body):
    request(gateway, "POST", "/metrics/job/a", b"kept 1\n")
    status, message = request(gateway, "POST", "/metrics/job/a", b"new 1\n" + body)
    assert status == 400
    assert message.strip()
    assert shown(gateway) == sample("kept", 1, job="a")


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "1e20"])
@pytest.mark.parametrize("name", ["h_count", 'h_bucket{le="+Inf"}', "s_count"])
def test_what_counts_nothing_is_refused(name, value):
    body = f"# TYPE {name[0]} {'summary' if name[0] == 's' else 'histogram'}\n{name} {value}\n"
    with Gateway() as gateway:
        status, message = request(gateway.address, "POST", "/metrics/job/a", body.encode())
        assert (status, "expected a count as value of" in message) == (400, True)
        assert shown(gateway.address) == {}


@pytest.mark.parametrize(
    "body",
    [b"# TYPE h gauge\nh 1\n", b"# TYPE h_count gauge\nh_count 1\n", b"h_sum 1\n"],
    ids=["another type", "a name of its series", "an untyped name of its series"],
)
def test_a_change_of_type_is_refused(gateway, body):
    request(gateway, "POST", "/metrics/job/a", HISTOGRAM.encode())
    before = shown(gateway)
    status, message = request(gateway, "POST", "/metrics/job/b", body)
    assert status == 400
    assert "inconsistent with existing metrics" in message
    assert shown(gateway) == before


def test_samples_of_several_metrics_by_turns(gateway):
    body = b'# TYPE x gauge\nx{a="1"} 1\ny 1\nx{a="2"} 2\n'
    assert request(gateway, "POST", "/metrics/job/a", body)[0] == 200
    gauges = sample("x", 1, job="a", a="1") | sample("x", 2, job="a", a="2")
    assert shown(gateway) == gauges | sample("y", 1, job="a")
    assert types(gateway)["x"] == "gauge"


def test_a_group_may_change_the_type_of_its_own_metric(gateway):
    request(gateway, "POST", "/metrics/job/a", HISTOGRAM.encode())
    assert request(gateway, "POST", "/metrics/job/a", b"# TYPE h gauge\nh 1\n")[0] == 200
    assert shown(gateway) == sample("h", 1, job="a")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/metrics/job/a/run", 400),
        ("POST", "/metrics/job@base64/=", 400),
        ("POST", "/metrics/job@base64/a", 400),
        ("POST", "/metrics/job/a/b-c/d", 400),
        ("POST", "/metrics/job/a/__b/c", 400),
        ("POST", "/metrics/job/a/b@base32/c", 400),
        ("POST", "/metrics/job/a%2Fb", 400),
        ("POST", "/metrics/job/%zz", 400),
        ("PATCH", "/metrics/job/a", 405),
        ("POST", "/metrics/run/a", 404),
        ("POST", "/metrics", 405),
        ("POST", "/elsewhere", 404),
        ("GET", "/metrics/job/a", 405),
        ("GET", "/elsewhere", 404),
        ("GET", "/", 200),
        ("POST", "/", 405),
        ("GET", "/api/v1/metrics", 200),
        ("POST", "/api/v1/metrics", 405),
        ("GET", "/-/ready", 200),
        ("GET", "/-/healthy", 200),
    ],
)
def test_other_requests(gateway, method, path, status):
    # The real gateway may reset the connection of a URL that is none before it takes a body.
    body = b"x 1\n" if method == "POST" and "%zz" not in path else b""
    assert request(gateway, method, path, body)[0] == status
    assert shown(gateway) == {}


def test_metrics_are_the_same_with_and_without_http():
    with Gateway() as gateway:
        request(gateway.address, "POST", "/metrics/job/a", b"x 1\n")
        assert gateway.metrics() == fetched(f"http://{gateway.address}/metrics")
        assert gateway.address.startswith("127.0.0.1:")


def test_closing_frees_the_port(port):
    with Gateway(port):
        pass
    with Gateway(port) as again:
        assert again.address == f"127.0.0.1:{port}"
        message = (
            rf"port must be a free port of 127\.0\.0\.1, but {port} is not \(Address already in use"
        )
        with pytest.raises(OSError, match=message):
            Gateway(port)


def test_what_is_not_there_tells_what_is():
    with Gateway() as gateway:
        status, told = request(gateway.address, "GET", "/nowhere")
    assert status == 404
    for path in ("/", "/metrics", "/api/v1/metrics", "/api/v1/history", "/-/ready, /-/healthy"):
        assert f"\nGET {path} " in told
    assert "/metrics/job/<job>" in told


def test_a_gateway_says_where_it_is():
    with Gateway() as gateway:
        assert repr(gateway) == f"<Gateway at {gateway.address}>"
    assert repr(gateway) == f"<Gateway at {gateway.address}, closed>"
