"""Sources of the same metrics in one registry, whatever comes in between."""

import gc
import itertools

from prometheus_client import CollectorRegistry, generate_latest

from gangplank.metrics.shared_registry import SharedRegistry


def test_sources_are_added_while_python_collects_garbage_in_a_scrape():
    registry, shared = CollectorRegistry(), SharedRegistry("")
    numbers = itertools.count()

    def add(phase="start", info=None):
        if phase == "start":
            shared.register([], registry, {"version": str(next(numbers))})

    for _ in range(3000):  # more than the free pairs that Python keeps, which need no collection
        add()
    gc.callbacks.append(add)
    try:
        for _ in range(10):
            generate_latest(registry)
    finally:
        gc.callbacks.remove(add)
