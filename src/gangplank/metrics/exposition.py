"""Metrics in the protobuf format, for a Prometheus that asks for it: it has native histograms."""

from collections.abc import Iterable

from prometheus_client.core import Metric


def accepts_protobuf(accept: str) -> bool:
    """Whether who sent this header ``Accept`` takes the format."""
    return "application/vnd.google.protobuf" in accept


def as_protobuf(families: Iterable[Metric]) -> tuple[bytes, str]:
    """The metrics, and the content type that they have."""
    # Only here, since protobuf takes a while to import.
    from gangplank.metrics.messages import messages
    from gangplank.metrics.protobuf import CONTENT_TYPE, encoded

    return encoded(messages(families)), CONTENT_TYPE
