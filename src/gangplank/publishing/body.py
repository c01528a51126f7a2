"""Metrics as the body of a push."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gangplank.metrics import Collected, as_protobuf, is_native


class Body(NamedTuple):
    """What a push sends, and of which content type that is."""

    data: bytes
    content_type: str

    @property
    def is_text(self) -> bool:
        return self.content_type == CONTENT_TYPE_PLAIN_0_0_4


def body_of(families: Iterable[Metric]) -> Body:
    """Metrics as text, or in the protobuf format where one of them is of native histograms.

    Raises:
        Exception: they cannot be written so.
    """
    collected = Collected(families)
    if any(map(is_native, collected.collect())):
        return Body(*as_protobuf(collected.collect()))
    return Body(generate_latest(collected), CONTENT_TYPE_PLAIN_0_0_4)
