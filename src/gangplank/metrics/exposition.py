"""Metrics in the protobuf format, for a Prometheus that asks for it: it has native histograms."""

import re
from collections.abc import Iterable

from prometheus_client.core import Metric


def accepts_protobuf(accept: str) -> bool:
    """Whether who sent this header ``Accept`` takes the format."""
    for kind in accept.lower().split(","):
        name, *parameters = (part.strip() for part in kind.split(";"))
        values = dict(part.partition("=")[::2] for part in parameters)
        is_refused = re.fullmatch(r"0(\.0*)?", values.get("q", "1")) is not None
        is_delimited = values.get("encoding", "delimited") == "delimited"
        if name == "application/vnd.google.protobuf" and is_delimited and not is_refused:
            return True
    return False


def as_protobuf(families: Iterable[Metric]) -> tuple[bytes, str]:
    """The metrics, and the content type that they have."""
    # Only here, since protobuf takes a while to import.
    from gangplank.metrics.messages import messages
    from gangplank.metrics.protobuf import CONTENT_TYPE, encoded

    return encoded(messages(families)), CONTENT_TYPE
