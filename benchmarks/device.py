"""Counting on an accelerator, beside reading its memory once, and beside copying to the host.

    python benchmarks/device.py

Takes each of TensorFlow, JAX and PyTorch that is installed and has an accelerator, and asserts
that what it counts there is what the CPU core counts. JAX takes all its devices, and shards the
weights over them. `--on-cpu` tries it on the CPU devices.
"""

import argparse
import os
import statistics
import time
from importlib.util import find_spec

os.environ.setdefault("KERAS_BACKEND", next(filter(find_spec, ("tensorflow", "jax", "torch"))))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import ml_dtypes  # noqa: F401  # by which NumPy knows bfloat16
import numpy as np

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, HISTOGRAM_WEIGHT_BUCKETS_1_0
from gangplank._native import cpu
from gangplank._native.arrays import host_view

BOUNDS = (
    np.array(HISTOGRAM_WEIGHT_BUCKETS_0_3),
    np.array(HISTOGRAM_WEIGHT_BUCKETS_1_0),
    np.sort(np.random.default_rng(1).normal(0, 0.2, 1024)),
)


class TensorFlow:
    def __init__(self):
        import tensorflow as tf

        from gangplank._native import tensorflow_ops

        self.tf, self.count = tf, tensorflow_ops.count
        self.accelerators = tf.config.list_logical_devices("GPU")

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
        self.accelerators = [device for device in jax.devices() if device.platform != "cpu"]
        mesh = jax.sharding.Mesh(np.array(jax.devices()), "x")
        self.sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
        self.greatest = jax.jit(jax.numpy.max)

    def normal(self, size, dtype):
        values = 0.1 * self.jax.random.normal(self.jax.random.key(0), (size,), dtype)
        return self.jax.device_put(values, self.sharding)

    def read(self, values):
        return float(self.greatest(values))

    def not_on_host(self, values):
        # JAX keeps what it has copied to the host.
        return values.copy().block_until_ready()


class Torch:
    def __init__(self):
        import torch

        from gangplank._native import torch_ops

        self.torch, self.count = torch, torch_ops.count
        self.accelerators = [torch.device("cuda")] if torch.cuda.is_available() else []

    def normal(self, size, dtype):
        where = self.accelerators[0] if self.accelerators else "cpu"
        return self.torch.randn(size, device=where).mul_(0.1).to(getattr(self.torch, dtype))

    def read(self, values):
        return float(values.max())

    def not_on_host(self, values):
        return values


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


def rows(name, framework, size, rounds):
    for dtype in ("float32", "bfloat16"):
        values = framework.normal(size, dtype)
        nbytes = size * np.dtype(dtype).itemsize
        reading = median(framework.read, rounds, lambda v=values: v)
        for bounds in BOUNDS:

            def on_device(values, bounds=bounds):
                return framework.count([values], bounds)

            def on_host(values, bounds=bounds):
                return cpu.count([host_view(values)], bounds)

            (counts, nan_count), (expected, expected_nan_count) = on_device(values), on_host(values)
            assert counts.tolist() == expected.tolist(), "the counts differ"
            assert nan_count == expected_nan_count, "the numbers of NaN differ"
            here = median(on_device, rounds, lambda v=values: v)
            host = median(on_host, 3, lambda v=values: framework.not_on_host(v))
            yield (
                f"| {name} | {dtype} | {bounds.size:,} | {1e3 * here:.2f} ms | "
                f"{nbytes / here / 1e9:,.1f} GB/s | {nbytes / reading / 1e9:,.1f} GB/s | "
                f"{100 * reading / here:.1f} % | {1e3 * host:,.0f} ms |"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    by_name = {"tensorflow": TensorFlow, "jax": Jax, "torch": Torch}
    parser.add_argument("frameworks", nargs="*", default=filter(find_spec, by_name))
    parser.add_argument("--values", type=float, default=1e9)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--on-cpu", action="store_true", help="where there is no accelerator")
    arguments = parser.parse_args()
    size = int(arguments.values)
    heading = (
        f"{size:,} values\n\n| framework | dtype | bounds | counting | that is | reading once | "
        "share | on the host, copied there |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for name in arguments.frameworks:
        framework = by_name[name]()
        if not framework.accelerators and not arguments.on_cpu:
            print(f"{name} has no accelerator here.")
            continue
        print(f"{name} on {framework.accelerators or 'the CPU device'}, {heading}", flush=True)
        for row in rows(name, framework, size, arguments.rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
