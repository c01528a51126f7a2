"""What is kept of a run in `benchmarks/results/`, and what several files measure with."""

import os
import platform
from importlib.metadata import version

import numba
import pytest
from weights import normal

# The threads of one contestant must not spin while the next one is timed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PACKAGES = (
    *("gangplank", "keras", "tensorflow", "torch", "numpy", "numba", "llvmlite"),
    *("prometheus_client", "boost-histogram", "fast-histogram", "tensorboard"),
)


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Keeps what the README's table and chart are made of, and no name of this machine."""
    processor = output_json["machine_info"]["cpu"]
    results = [
        {
            "group": result["group"],
            "name": result["name"],
            "params": result["params"],
            "median_s": result["stats"]["median"],
            "min_s": result["stats"]["min"],
            "rounds": result["stats"]["rounds"],
            **result["extra_info"],
        }
        for result in output_json["benchmarks"]
    ]
    output_json.clear()
    output_json.update(
        processor=processor.get("brand_raw", platform.processor()),
        has_avx512="avx512f" in processor.get("flags", ()),
        cores=numba.config.NUMBA_NUM_THREADS,
        python=platform.python_version(),
        versions={package: version(package) for package in PACKAGES},
        results=results,
    )


@pytest.fixture
def promise(benchmark, capsys):
    """Keeps what was measured, prints it, and holds it against what is promised."""

    def keep(what, measured, least, aim, unit=""):
        is_at_most = least > aim
        benchmark.group = "promises"
        benchmark.extra_info.update(
            promise=what, measured=measured, least=least, aim=aim, unit=unit
        )
        benchmark.pedantic(lambda: None)
        with capsys.disabled():
            print(f"\n{what}: {measured:.3g}{unit}, promised {least:g}{unit}, aim {aim:g}{unit}")
        assert measured <= least if is_at_most else measured >= least

    return keep


@pytest.fixture(scope="session")
def weights():
    return normal(10**8)
