"""What a gateway or a registry shows, as one dict."""

from conftest import fetched
from prometheus_client.parser import text_string_to_metric_families


def samples_in(text):
    """Each sample's value by its name and labels; bounds as numbers, since Go prints 0 for 0.0."""
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                labels["le"] = float(labels["le"])
            key = sample.name, tuple(sorted(labels.items(), key=str))
            assert key not in values, key
            values[key] = sample.value
    return values


def metrics_of(address, job, **grouping_key):
    """The metrics of one group: values by names, histogram buckets by name and bound."""
    group = {"instance": "", "job": job, **grouping_key}
    metrics = {}
    for (name, items), value in samples_in(fetched(f"http://{address}/metrics")).items():
        labels = dict(items)
        bound = labels.pop("le", None)
        if labels == group:
            metrics[name if bound is None else (name, bound)] = value
    return metrics


def status_of(address, job, phase="train", **grouping_key):
    """The one status of a group that a gateway shows as true, or None."""
    name = f"gangplank_{phase}_status"
    group = {"instance": "", "job": job, **grouping_key}
    true = [
        status
        for (sample, items), value in samples_in(fetched(f"http://{address}/metrics")).items()
        if sample == name and value == 1
        if (status := (labels := dict(items)).pop("status")) and labels == group
    ]
    assert len(true) <= 1
    return true[0] if true else None


def shown(address):
    """Everything pushed, less what the real gateway says of itself and when pushes came."""
    return {
        key: value
        for key, value in samples_in(fetched(f"http://{address}/metrics")).items()
        if not key[0].startswith(("go_", "process_", "pushgateway_", "promhttp_", "push_"))
    }


def sample(name, value, **labels):
    return {(name, tuple(sorted({"instance": "", **labels}.items(), key=str))): value}
