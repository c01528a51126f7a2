"""Several sources of the same metrics in one registry, told apart by labels."""

import threading
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gangplank.forks import call_where_forked


class _Described(Protocol):
    def collect(self) -> Iterable[Metric]: ...

    def describe(self) -> Iterable[Metric]: ...


def checked_registry(registry: Any) -> CollectorRegistry:
    """`registry` as given under that name. Raises ValueError if it is none."""
    if not isinstance(registry, CollectorRegistry):
        raise ValueError(
            f"registry must be a prometheus_client.CollectorRegistry. Received {registry!r}."
        )
    return registry


class SharedRegistry:
    """Where sources of one kind, which have metrics of the same names, are registered.

    Arguments:
        advice: what to do where a registry has metrics of these names already.
    """

    def __init__(self, advice: str) -> None:
        self._advice = advice
        self._sources_of: WeakKeyDictionary[CollectorRegistry, _Sources] = WeakKeyDictionary()
        self._begin_in_process()
        call_where_forked(self._begin_in_process)

    def register(
        self,
        parts: Iterable[_Described],
        registry: CollectorRegistry,
        labels: Mapping[str, str],
    ) -> None:
        """Has `registry` show the metrics of a source, each series with these labels.

        Raises:
            ValueError: it has such metrics with the same labels already, or it is no registry.
        """
        checked_registry(registry)
        with self._lock:
            sources = self._shown(registry) or _Sources()
            try:
                sources.add(list(parts), labels)
                # A signal's handler may have taken the last of them away, or added others before
                # them, beside which these are refused.
                if self._shown(registry) is not sources:
                    registry.register(sources)
            except ValueError as error:
                raise ValueError(
                    f"registry has metrics of these names already ({error}). {self._advice}"
                ) from error
            self._sources_of[registry] = sources

    def unregister(
        self,
        parts: Iterable[_Described],
        registry: CollectorRegistry,
        labels: Mapping[str, str],
    ) -> None:
        """Has `registry` no longer show the source of these parts and labels, if it does."""
        with self._lock:
            shown = self._shown(registry)
            if shown is None:
                self._sources_of.pop(registry, None)
            elif shown.remove(list(parts), labels):
                registry.unregister(self._sources_of.pop(registry))

    def _begin_in_process(self) -> None:
        # A signal's handler, or a finalizer, may close a model while another one is registered; not
        # while prometheus_client itself holds the lock of that registry.
        self._lock = threading.RLock()

    def _shown(self, registry: CollectorRegistry) -> "_Sources | None":
        """The sources of a registry, less those that somebody else took out of it, as tests do."""
        sources = self._sources_of.get(registry)
        # No public name tells, and to register them again would wait for who scrapes.
        return sources if sources in registry._collector_to_names else None


class _Sources(Collector):
    """All sources of a registry as one collector, since a family may be shown only once."""

    def __init__(self) -> None:
        self._parts: dict[frozenset[tuple[str, str]], list[_Described]] = {}

    def add(self, parts: list[_Described], labels: Mapping[str, str]) -> None:
        key = frozenset(labels.items())
        if key in self._parts:
            which = f"the same labels, {dict(labels)}" if labels else "no labels either"
            raise ValueError(f"those of another one, which has {which}")
        self._parts[key] = parts

    def remove(self, parts: list[_Described], labels: Mapping[str, str]) -> bool:
        """Whether that leaves none."""
        key = frozenset(labels.items())
        if self._parts.get(key) == parts:
            del self._parts[key]
        return not self._parts

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        # A copy of the dict, not a list of its items: those are new objects, for which Python may
        # collect garbage, and meanwhile another thread adds a source.
        for labels, parts in self._parts.copy().items():
            for family in chain.from_iterable(part.collect() for part in parts):
                empty = Metric(family.name, family.documentation, family.type)
                samples = merged.setdefault(family.name, empty).samples
                samples += [_labelled(sample, labels) for sample in family.samples]
        return merged.values()

    def describe(self) -> Iterable[Metric]:
        parts = next(iter(self._parts.values()))  # all have the same names
        return [family for part in parts for family in part.describe()]


def _labelled(sample: Sample, labels: frozenset[tuple[str, str]]) -> Sample:
    return sample._replace(labels={**sample.labels, **dict(labels)}) if labels else sample


EXPORTERS = SharedRegistry(
    "Go on with the exporter that put them there, which serves one run after another; or give each "
    "a registry of its own or, where nothing is pushed, a grouping_key of its own."
)
SERVED_MODELS = SharedRegistry(
    "Go on with the model that was wrapped, or close() it; or give each name= or version= of its "
    "own, or a registry of its own."
)
