"""Sources of the same metrics in one registry, whatever comes in between."""

import gc
import itertools

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from gangplank.metrics.shared_registry import SharedRegistry, _Sources

NAME = {"name": "a"}


class Source:
    def collect(self):
        return [GaugeMetricFamily("served", "What is served.", 1)]

    describe = collect


def test_sources_are_added_while_python_collects_garbage_in_a_scrape():
    registry, shared = CollectorRegistry(), SharedRegistry("")
    versions = itertools.count()

    def add():
        shared.register([Source()], registry, {"version": str(next(versions))})

    for _ in range(3000):  # more than the free pairs that Python keeps, which need no collection
        add()
    added = []

    def add_some(phase, info):
        if phase == "start" and len(added) < 500:
            added.append(add())

    thresholds = gc.get_threshold()
    gc.callbacks.append(add_some)
    gc.set_threshold(1)
    try:
        shown = generate_latest(registry).decode()
    finally:
        gc.callbacks.remove(add_some)
        gc.set_threshold(*thresholds)
    assert added
    assert 3000 <= shown.count("\nserved{") <= 3500


def test_a_registry_that_others_have_emptied():
    """As tests do, of which each is to begin with nothing."""
    registry, shared = CollectorRegistry(), SharedRegistry("")
    first, second = [Source()], [Source()]
    shared.register(first, registry, NAME)
    for collector in list(registry._collector_to_names):
        registry.unregister(collector)
    shared.unregister(first, registry, NAME)
    shared.register(second, registry, NAME)
    assert registry.get_sample_value("served", NAME) == 1
    shared.unregister(first, registry, NAME)
    assert registry.get_sample_value("served", NAME) == 1
    shared.unregister(second, registry, NAME)
    assert generate_latest(registry) == b""


@pytest.mark.parametrize(("at", "which"), [("add", 0), ("add", 1), ("describe", 1)])
def test_one_may_go_while_another_one_comes(monkeypatch, at, which):
    """As where a signal's handler, or a finalizer, closes a model meanwhile."""
    shared, registries = SharedRegistry(""), (CollectorRegistry(), CollectorRegistry())
    old, new, real = [Source()], [Source()], getattr(_Sources, at)
    shared.register(old, registries[0], NAME)
    gone = []

    def meanwhile(self, *arguments):
        monkeypatch.undo()
        gone.append(shared.unregister(old, registries[0], NAME))
        return real(self, *arguments)

    monkeypatch.setattr(_Sources, at, meanwhile)
    shared.register(new, registries[which], {"name": "b"})
    assert gone == [None]
    assert b'served{name="b"} 1.0' in generate_latest(registries[which])
    shared.unregister(new, registries[which], {"name": "b"})
    assert [generate_latest(each) for each in registries] == [b"", b""]
