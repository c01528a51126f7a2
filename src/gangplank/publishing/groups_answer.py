"""What a Pushgateway answers of its groups, at ``/api/v1/metrics``."""

import json
import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric


def families_of(labels: Mapping[str, str | None], text: str) -> list[Metric]:
    """The families of the group of these labels, without samples, by the names that it has there.

    Raises:
        ValueError, KeyError: the answer is none of a Pushgateway.
    """
    return [
        Metric(name, family.get("help", ""), family["type"].lower().replace("_", ""))
        for group in _groups(text)
        if _labels_of(group, labels) == labels
        for name, family in group.items()
        # A label may be called metrics.
        if name != "labels" and isinstance(family, dict) and family.get("metrics")
    ]


def _labels_of(group: dict[str, Any], expected: Container[str]) -> dict[str, str]:
    labels: dict[str, Any] = group["labels"]
    if not isinstance(labels.get("metrics"), list):
        return labels
    # A metric called labels stands there instead. Those of another one may have an instance more.
    labels = group["push_time_seconds"]["metrics"][0]["labels"]
    return {name: labels[name] for name in labels if labels[name] or name in expected}


def _groups(text: str) -> Iterator[dict[str, Any]]:
    """The groups in the answer.

    One at a time: while Python parses JSON no other thread runs, and a gateway may have very many.
    """
    begin = re.match(r'\s*\{"status":"success","data":\[', text)
    if begin is None:
        raise ValueError(f"it answered {text[:100]!r}, and not its groups")
    place, decoder = begin.end(), json.JSONDecoder()
    while text[place] != "]":
        group, place = decoder.raw_decode(text, place + (text[place] == ","))
        yield group
