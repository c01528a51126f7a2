"""Metric families in Prometheus's protobuf format, which a Pushgateway takes beside its text.

It alone carries native histograms, and families that have a name and no metrics.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "io.prometheus.client"
CONTENT_TYPE = f"application/vnd.google.protobuf; proto={PACKAGE}.MetricFamily; encoding=delimited"

# As in metrics.proto of prometheus/client_model, less exemplars and the times of creation: what
# reads a message skips the fields that it does not know.
_ENUM = ("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM")
_MESSAGES = """
message LabelPair {
  optional string name = 1;
  optional string value = 2;
}
message Gauge {
  optional double value = 1;
}
message Counter {
  optional double value = 1;
}
message Untyped {
  optional double value = 1;
}
message Quantile {
  optional double quantile = 1;
  optional double value = 2;
}
message Summary {
  optional uint64 sample_count = 1;
  optional double sample_sum = 2;
  repeated Quantile quantile = 3;
}
message Bucket {
  optional uint64 cumulative_count = 1;
  optional double upper_bound = 2;
}
message BucketSpan {
  optional sint32 offset = 1;
  optional uint32 length = 2;
}
message Histogram {
  optional uint64 sample_count = 1;
  optional double sample_count_float = 4;
  optional double sample_sum = 2;
  repeated Bucket bucket = 3;
  optional sint32 schema = 5;
  optional double zero_threshold = 6;
  optional uint64 zero_count = 7;
  repeated BucketSpan negative_span = 9;
  repeated sint64 negative_delta = 10;
  repeated BucketSpan positive_span = 12;
  repeated sint64 positive_delta = 13;
}
message Metric {
  repeated LabelPair label = 1;
  optional Gauge gauge = 2;
  optional Counter counter = 3;
  optional Summary summary = 4;
  optional Untyped untyped = 5;
  optional Histogram histogram = 7;
  optional int64 timestamp_ms = 6;
}
message MetricFamily {
  optional string name = 1;
  optional string help = 2;
  optional MetricType type = 3;
  repeated Metric metric = 4;
}
"""


def _metric_family() -> type[Any]:
    file = FileDescriptorProto(name="metrics.proto", package=PACKAGE)
    types = file.enum_type.add(name="MetricType")
    for number, name in enumerate(_ENUM):
        types.value.add(name=name, number=number)
    for message, body in re.findall(r"message (\w+) {(.*?)}", _MESSAGES, re.S):
        fields = file.message_type.add(name=message).field
        for label, kind, name, number in re.findall(r"(\w+) (\w+) (\w+) = (\d+);", body):
            field = fields.add(name=name, number=int(number))
            field.label = FieldDescriptorProto.Label.Value(f"LABEL_{label.upper()}")
            if kind[0].isupper():
                field.type_name = f".{PACKAGE}.{kind}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    # Of its own, since another library may have registered these messages in the common one.
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    family: type[Any] = GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.MetricFamily"))
    return family


MetricFamily: type[Any] = _metric_family()
"""The message of one family: ``MetricFamily(name="a", type="GAUGE", metric=[…])``."""


def encoded(families: Iterable[Any]) -> bytes:
    """The body of a push with the header ``Content-Type: CONTENT_TYPE``."""
    messages = [family.SerializeToString() for family in families]
    return b"".join(_varint(len(message)) + message for message in messages)


def decoded(body: bytes) -> Iterator[Any]:
    """The families of such a body. Raises ValueError where it is none."""
    start = 0
    varint = re.compile(b"[\x80-\xff]{0,4}[\x00-\x7f]")
    while start < len(body):
        length = varint.match(body, start)
        if length is None:
            raise ValueError("the length of a message is none")
        size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(length[0]))
        start = length.end() + size
        if start > len(body):
            raise ValueError("unexpected end of a message")
        try:
            yield MetricFamily.FromString(body[length.end() : start])
        except DecodeError as error:
            raise ValueError(str(error)) from error


def _varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(high) if high else bytes([low])
