"""What of a registry a run pushes."""

import logging
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gangplank.metrics import PushMetrics

_logger = logging.getLogger(__name__)


class RunRegistry(Collector):
    """What a registry holds, less the phases of an exporter of which no run has begun here.

    What the registry knows of another phase is older than what may stand on the gateway by now,
    pushed by another process.

    Arguments:
        registry: what holds the metrics.
        pushes: how pushing fares; part of `registry`.
        absent: the prefixes of the phases of which no run has begun.

    Attributes:
        pushes: as above.
    """

    def __init__(
        self, registry: CollectorRegistry, pushes: PushMetrics, absent: Iterable[str] = ()
    ) -> None:
        self.pushes = pushes
        self._registry = registry
        self._absent = set(absent)
        self._told: set[str] = set()

    def begin(self, prefix: str) -> None:
        """A run of the phase of this prefix has begun."""
        self._absent.discard(prefix)

    def collect(self) -> Iterable[Metric]:
        """The metrics, and how pushing fares when they have arrived."""
        # Whoever reads this knows that this push has succeeded.
        current = {family.name: family for family in self.pushes.families(time.time())}
        absent = tuple(self._absent.copy())  # which another thread may change
        others: dict[str, Metric] = {}
        for family in self._registry.collect():
            if family.name in current or family.name.startswith(absent):
                continue
            if family.name in others:
                self._tell_of(family.name)
            else:
                others[family.name] = family
        return [*others.values(), *current.values()]

    def _tell_of(self, name: str) -> None:
        if name not in self._told:
            self._told.add(name)
            _logger.warning(
                "The registry has two metrics of the name %r, of which the first is pushed. "
                "Give the other one another name.",
                name,
            )
