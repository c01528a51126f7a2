"""Metric families in Prometheus's protobuf format."""

import pytest

from gangplank.metrics import accepts_protobuf
from gangplank.metrics.protobuf import CONTENT_TYPE, MetricFamily, decoded, encoded


def full_family():
    family = MetricFamily(name="a", help="ä" * 100, type="HISTOGRAM")
    histogram = family.metric.add(label=[{"name": "l", "value": "v"}]).histogram
    histogram.sample_count = 2**63
    histogram.bucket.add(cumulative_count=2, upper_bound=float("inf"))
    histogram.schema = -4
    histogram.positive_span.add(offset=-1, length=2)
    histogram.positive_delta.extend([1, -1])
    return family


def test_a_family_byte_by_byte():
    assert encoded([MetricFamily(name="foo", type="COUNTER")]) == b"\x07\x0a\x03foo\x18\x00"
    family = MetricFamily(name="g", type="GAUGE")
    family.metric.add(label=[{"name": "l", "value": "v"}]).gauge.value = 3
    metric = b"\x0a\x06\x0a\x01l\x12\x01v\x12\x09\x09" + bytes(6) + b"\x08\x40"
    message = b"\x0a\x01g\x18\x01\x22" + bytes([len(metric)]) + metric
    assert encoded([family]) == bytes([len(message)]) + message


def test_what_is_encoded_is_decoded():
    families = [full_family(), MetricFamily(name="b", type="GAUGE"), full_family()]
    assert list(decoded(encoded(families))) == families
    assert list(decoded(b"")) == []


def test_fields_that_are_not_known_are_skipped():
    (family,) = decoded(b"\x0a\x0a\x03foo\x18\x01\xa2\x06\x00")
    assert (family.name, family.type) == ("foo", 1)


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"\x05a", b"\x05\x0a\x03a", b"\x01\x0a", b"\xff" * 5 + b"\x01", b"\x02\x0a\x05"],
)
def test_what_is_no_family_is_refused(body):
    with pytest.raises(ValueError, match="message"):
        list(decoded(body))


@pytest.mark.parametrize(
    ("accept", "is_taken"),
    [
        (CONTENT_TYPE, True),
        (f"text/plain;q=0.5, {CONTENT_TYPE.upper()};q=0.7", True),
        ("application/vnd.google.protobuf", True),
        ("application/vnd.google.protobuf;proto=x;encoding=text", False),
        (f"{CONTENT_TYPE};q=0.0", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_who_takes_the_format(accept, is_taken):
    assert accepts_protobuf(accept) == is_taken
