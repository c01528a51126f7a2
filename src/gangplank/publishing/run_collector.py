"""What of a registry a run pushes."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gangplank.harmless_logger import HarmlessLogger
from gangplank.metrics import PushMetrics, RunMetrics, exposed_name

_logger = HarmlessLogger(__name__)


class RunCollector(Collector):
    """What a registry holds, less the phases of an exporter of which no run has begun here.

    What the registry knows of another phase is older than what may stand on the gateway by now,
    pushed by another process.

    Arguments:
        registry: what holds the metrics.
        phases: all of the exporter's, whose metrics are part of `registry`. No run of any has
            begun yet.
        told: names of which it was told that two metrics have them; others are added.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        phases: Iterable[RunMetrics],
        told: set[str],
    ) -> None:
        self._registry = registry
        self._phases = list(phases)
        self._absent = {phase.prefix for phase in self._phases}
        self._told = told

    def begin(self, phase: RunMetrics) -> None:
        """A run of `phase` has begun."""
        phase.pushes.begin()
        self._absent.discard(phase.prefix)

    def pushes(self) -> list[PushMetrics]:
        """How pushing fares, of each phase of which a run has begun."""
        return [phase.pushes for phase in self._phases if phase.prefix not in self._absent]

    def collect(self) -> Iterable[Metric]:
        """The metrics, and how pushing fares when they have arrived."""
        # Whoever reads this knows that this push has succeeded.
        now = time.time()
        current = {each.name: each for pushes in self.pushes() for each in pushes.families(now)}
        absent = tuple(self._absent.copy())  # which another thread may change
        others: dict[str, Metric] = {}
        twice: set[str] = set()
        for family in self._registry.collect():
            if family.name not in current and not family.name.startswith(absent):
                name = exposed_name(family)
                if others.setdefault(name, family) is not family:
                    twice.add(name)
        if twice:
            self._tell_of(twice)
            own = (family for phase in self._phases for family in phase.collect())
            others |= {name: each for each in own if (name := exposed_name(each)) in twice}
        return [*others.values(), *current.values()]

    def _tell_of(self, twice: set[str]) -> None:
        for name in sorted(twice - self._told):
            self._told.add(name)
            _logger.warning(
                "The registry has two metrics of the name %r. Pushed is the exporter's own, or "
                "else the first one: give the other another name.",
                name,
            )
