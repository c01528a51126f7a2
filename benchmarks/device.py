"""Counting on an accelerator, beside reading its memory once, and beside copying to the host.

    python benchmarks/device.py

Takes each of TensorFlow, JAX and PyTorch that is installed and has an accelerator, each in a
process of its own, asserts that what it counts there is what the CPU core counts, and writes
`results/device.md`. JAX shards the weights over all its devices. `--on-cpu` tries it on the CPU
devices, and JAX on eight virtual ones as well.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import ml_dtypes  # noqa: F401  # by which NumPy knows bfloat16
import numpy as np

RESULTS = Path(__file__).parent / "results"

ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
EIGHT_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


class TensorFlow:
    def __init__(self):
        import tensorflow as tf

        from gangplank._native import tensorflow_ops

        self.tf, self.count = tf, tensorflow_ops.count
        self.devices = [
            tf.config.experimental.get_device_details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices("GPU")
        ]

    def normal(self, size, dtype):
        return self.tf.cast(self.tf.random.normal([size], stddev=0.1), dtype)

    def read(self, values):
        return self.tf.reduce_max(values).numpy()

    def not_on_host(self, values):
        return values


class Jax:
    def __init__(self):
        import jax

        from gangplank._native import jax_ops

        self.jax, self.count = jax, jax_ops.count
        self.devices = [each.device_kind for each in jax.devices() if each.platform != "cpu"]
        mesh = jax.sharding.Mesh(np.array(jax.devices()), "x")
        self.sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
        self.greatest = jax.jit(jax.numpy.max)

    def normal(self, size, dtype):
        shared = size // self.sharding.num_devices * self.sharding.num_devices
        values = 0.1 * self.jax.random.normal(self.jax.random.key(0), (shared,), dtype)
        return self.jax.device_put(values, self.sharding)

    def read(self, values):
        return float(self.greatest(values))

    def not_on_host(self, values):
        # JAX keeps what it has copied to the host.
        return values.copy().block_until_ready()


class PyTorch:
    def __init__(self):
        import torch

        from gangplank._native import torch_ops

        self.torch, self.count = torch, torch_ops.count
        self.devices = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []

    def normal(self, size, dtype):
        where = "cuda" if self.devices else "cpu"
        return self.torch.randn(size, device=where).mul_(0.1).to(getattr(self.torch, dtype))

    def read(self, values):
        return float(values.max())

    def not_on_host(self, values):
        return values


FRAMEWORKS = {"tensorflow": TensorFlow, "jax": Jax, "torch": PyTorch}


def median(function, rounds, argument):
    """The median time of `function` in seconds, after a call that compiles what it needs."""
    function(argument())
    times = []
    for _ in range(rounds):
        value = argument()
        start = time.perf_counter()
        function(value)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def rows(framework, size, rounds):
    import gangplank
    from gangplank._native import cpu
    from gangplank._native.edges import Bounds
    from gangplank._native.host_memory import host_view

    float32 = framework.normal(size, "float32")
    size = float32.shape[0]
    bandwidth = 4 * size / median(framework.read, rounds, lambda: float32) / 1e9
    for dtype in ("float32", "bfloat16"):
        values = framework.normal(size, dtype)
        gigabytes = size * np.dtype(dtype).itemsize / 1e9
        for upper_bounds in (
            gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3,
            gangplank.HISTOGRAM_WEIGHT_BUCKETS_1_0,
            np.sort(np.random.default_rng(1).normal(0, 0.2, 1024)),
        ):
            bounds = Bounds.of(upper_bounds)

            def on_device(values, bounds=bounds):
                return framework.count([values], bounds)

            def on_host(values, bounds=bounds):
                return cpu.count([host_view(values)], bounds)

            (counts, nan_count), (expected, expected_nan_count) = on_device(values), on_host(values)
            assert counts.tolist() == expected.tolist(), "the counts differ"
            assert nan_count == expected_nan_count, "the numbers of NaN differ"
            here = median(on_device, rounds, lambda v=values: v)
            host = median(on_host, 3, lambda v=values: framework.not_on_host(v))
            reached = gigabytes / here
            yield (
                f"| {dtype} | {bounds.values.size:,} | {milliseconds(here)} | {reached:,.1f} | "
                f"{bandwidth:,.1f} | {reached / bandwidth:.1%} | {milliseconds(host)} |"
            )


def milliseconds(seconds):
    return f"{1e3 * seconds:.2f} ms" if seconds < 0.01 else f"{1e3 * seconds:,.0f} ms"


def measured(name, arguments):
    """The lines of one framework's table."""
    os.environ["KERAS_BACKEND"] = name
    framework = FRAMEWORKS[name]()
    if not framework.devices and not arguments.on_cpu:
        yield f"{name} {version(name)} has no accelerator here."
        return
    devices = ", ".join(framework.devices) or "the CPU device"
    if "XLA_FLAGS" in os.environ:
        devices = f"{len(framework.jax.devices())} virtual CPU devices"
    yield f"{name} {version(name)} on {devices}, {int(arguments.values):,} values:"
    yield ""
    yield (
        "| dtype | bounds | counting | GB/s | its maximum of float32, GB/s | share | on the host, "
        "copied there |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    yield from rows(framework, int(arguments.values), arguments.rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("framework", nargs="?", choices=FRAMEWORKS, help="only this one")
    parser.add_argument("--values", type=float, default=1e9)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--on-cpu", action="store_true", help="where there is no accelerator")
    arguments = parser.parse_args()
    if arguments.framework:
        for line in measured(arguments.framework, arguments):
            print(line, flush=True)
        return
    runs = [(name, ON_CPU if arguments.on_cpu else {}) for name in filter(find_spec, FRAMEWORKS)]
    if arguments.on_cpu and find_spec("jax"):
        runs.append(("jax", ON_CPU | EIGHT_DEVICES))
    tables = []
    for name, environment in runs:
        command = [sys.executable, __file__, name, *sys.argv[1:]]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | environment
        table = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        tables.append(table.stdout.decode())
        print(tables[-1], flush=True)
    result = RESULTS / ("device-on-cpu.md" if arguments.on_cpu else "device.md")
    result.write_text("\n".join(tables))


if __name__ == "__main__":
    main()
