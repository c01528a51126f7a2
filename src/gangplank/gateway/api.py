"""What a Pushgateway answers to ``GET /api/v1/metrics``: its groups, as JSON."""

import json
from datetime import UTC, datetime
from typing import Any

from prometheus_client.core import Metric

from gangplank.gateway.bodies import go_float
from gangplank.gateway.groups import Group, Groups


def groups_as_json(groups: Groups) -> bytes:
    """All groups with their families; numbers are texts, as the real gateway has them."""
    data = [_group(group) for group in groups.snapshot()]
    return json.dumps({"status": "success", "data": data}, separators=(",", ":")).encode()


def _group(group: Group) -> dict[str, Any]:
    families = {
        name: _family(family, group.changed[name]) for name, family in group.families.items()
    }
    described = {**families, "labels": group.labels, "last_push_successful": group.is_well()}
    return dict(sorted(described.items()))


def _family(family: Metric, changed: float) -> dict[str, Any]:
    described: dict[str, Any] = {
        "time_stamp": datetime.fromtimestamp(changed, UTC).isoformat().replace("+00:00", "Z"),
        "type": "UNTYPED" if family.type == "unknown" else family.type.upper(),
    }
    if family.documentation:
        described["help"] = family.documentation
    parts = {"histogram": ("le", "buckets"), "summary": ("quantile", "quantiles")}
    if family.type in parts:
        described["metrics"] = _metrics_of_parts(family, *parts[family.type])
    else:
        described["metrics"] = [
            {"labels": dict(sorted(sample.labels.items())), "value": go_float(sample.value)}
            for sample in family.samples
        ]
    return described


def _metrics_of_parts(family: Metric, label: str, parts: str) -> list[dict[str, Any]]:
    """Histograms or summaries, whose buckets or quantiles `label` tells apart."""
    metrics: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}
    for sample in family.samples:
        labels = dict(sorted(sample.labels.items()))
        part = labels.pop(label, None)
        empty = {parts: {}, "count": "0", "labels": labels, "sum": "0"}
        metric = metrics.setdefault(frozenset(labels.items()), empty)
        if sample.name == f"{family.name}_count":
            metric["count"] = _count(sample.value)
        elif sample.name == f"{family.name}_sum":
            metric["sum"] = go_float(sample.value)
        elif label == "le" and part is not None:
            metric[parts][part] = _count(sample.value)
        elif part is not None:
            metric[parts][part] = go_float(sample.value)
    return list(metrics.values())


def _count(value: float) -> str:
    return str(int(value)) if value.is_integer() else go_float(value)
