"""Several exporters in one registry."""

import threading
from collections.abc import Iterable, Mapping
from itertools import chain
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gangplank.metrics.run_metrics import RunMetrics


def register(
    phases: Iterable[RunMetrics], registry: CollectorRegistry, labels: Mapping[str, str]
) -> None:
    """Has `registry` show the metrics of `phases`, each series with these labels.

    Raises:
        ValueError: it has such metrics with the same labels already, or it is no registry.
    """
    if not isinstance(registry, CollectorRegistry):
        raise ValueError(
            f"registry must be a prometheus_client.CollectorRegistry. Received {registry!r}."
        )
    with _lock:
        exporters = _exporters_of.get(registry) or _Exporters()
        try:
            exporters.add(list(phases), labels)
            if registry not in _exporters_of:
                registry.register(exporters)
        except ValueError as error:
            raise ValueError(
                f"registry has metrics of these names already ({error}). Go on with the exporter "
                "that put them there, which serves one run after another; or give each a registry "
                "of its own or, where nothing is pushed, a grouping_key of its own."
            ) from error
        _exporters_of[registry] = exporters


class _Exporters(Collector):
    """All exporters of a registry as one collector, since a family may be shown only once."""

    def __init__(self) -> None:
        self._phases: dict[frozenset[tuple[str, str]], list[RunMetrics]] = {}

    def add(self, phases: list[RunMetrics], labels: Mapping[str, str]) -> None:
        key = frozenset(labels.items())
        if key in self._phases:
            raise ValueError(f"those of another exporter, with the labels {dict(labels)}")
        self._phases[key] = phases

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for labels, phases in list(self._phases.items()):
            for family in chain.from_iterable(phase.collect() for phase in phases):
                empty = Metric(family.name, family.documentation, family.type)
                samples = merged.setdefault(family.name, empty).samples
                samples += [_labelled(sample, labels) for sample in family.samples]
        return merged.values()

    def describe(self) -> Iterable[Metric]:
        phases = next(iter(self._phases.values()))  # all have the same names
        return [family for phase in phases for family in phase.describe()]


def _labelled(sample: Sample, labels: frozenset[tuple[str, str]]) -> Sample:
    return sample._replace(labels={**sample.labels, **dict(labels)}) if labels else sample


_exporters_of: WeakKeyDictionary[CollectorRegistry, _Exporters] = WeakKeyDictionary()
_lock = threading.Lock()
