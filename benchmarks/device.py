"""Counting on an accelerator, beside reading its memory once, and beside copying to the host.

    python benchmarks/device.py

Takes each of TensorFlow, JAX and PyTorch that is installed and has an accelerator, each in a
process of its own, by the kernel for CUDA where there is one and by the framework's operations,
asserts that both count the same, and that the CPU core does too into 13 bounds, and writes
`results/device.md`, one framework after the other. JAX shards the weights over all its devices.
`--on-cpu` tries it on the CPU devices, and JAX on eight virtual ones as well, and says how many
bytes of memory the programs move that XLA has made for the CPU.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import ml_dtypes  # noqa: F401  # by which NumPy knows bfloat16
import numpy as np

RESULTS = Path(__file__).parent / "results"

# So many values are in the arrays of which programs are looked at.
PROBED = 1 << 24

ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
EIGHT_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


class TensorFlow:
    def __init__(self):
        import tensorflow as tf

        from gangplank._native import tensorflow_ops

        self.tf, self.operations = tf, tensorflow_ops.count
        self.devices = [
            tf.config.experimental.get_device_details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices("GPU")
        ]

    def normal(self, size, dtype):
        return self.tf.cast(self.tf.random.normal([size], stddev=0.1), dtype)

    def read(self, values):
        return self.tf.reduce_max(values).numpy()

    def not_on_host(self, values):
        # A tensor keeps what it has copied to the host.
        return self.tf.identity(values)

    def moved(self, edges, has_moments):
        from gangplank._native import tensorflow_ops

        program = tensorflow_ops.traced(self.tf.float32, edges, has_moments, True)
        compiled = program.experimental_get_compiler_ir(
            self.tf.zeros([PROBED]), self.tf.range(edges, dtype="int64")
        )
        return bytes_accessed(compiled(stage="optimized_hlo")) / PROBED


class Jax:
    def __init__(self):
        import jax

        from gangplank._native import jax_ops

        self.jax, self.operations = jax, jax_ops.count
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

    def moved(self, edges, has_moments):
        from gangplank._native import jax_ops

        mesh = jax_ops.mesh_of(self.jax.numpy.ones(1))
        program = jax_ops.compiled_for(mesh, (self.jax.sharding.PartitionSpec(),), has_moments)
        patterns = {"float32": np.arange(edges, dtype=np.uint32)}
        values = self.jax.ShapeDtypeStruct((PROBED,), "float32")
        with self.jax.enable_x64(has_moments):
            compiled = program.lower([values], patterns).compile()
        return compiled.cost_analysis()["bytes accessed"] / PROBED


class PyTorch:
    def __init__(self):
        import torch

        from gangplank._native import torch_ops

        self.torch, self.operations = torch, torch_ops.count
        self.devices = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []

    def normal(self, size, dtype):
        where = "cuda" if self.devices else "cpu"
        return self.torch.randn(size, device=where).mul_(0.1).to(getattr(self.torch, dtype))

    def read(self, values):
        return float(values.max())

    def not_on_host(self, values):
        return values

    def moved(self, edges, has_moments):
        return None  # which XLA makes no program of


FRAMEWORKS = {"tensorflow": TensorFlow, "jax": Jax, "torch": PyTorch}


def median(function, rounds, argument):
    """The median time of `function` in seconds, after a call that compiles what it needs."""
    function(argument)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function(argument)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def bytes_accessed(program):
    """What the instructions of a program of XLA read and write, of what has `PROBED` values."""
    entry = program.split("ENTRY ")[1]
    made = re.compile(rf"^  (?:ROOT )?(%\S+) = [a-z]+(\d+)\[{PROBED}\]", re.MULTILINE)
    sizes = {name: int(bits) // 8 * PROBED for name, bits in made.findall(entry)}
    moved = 0
    for line in entry.splitlines()[1:]:
        name, _, operation = line.strip().removeprefix("ROOT ").partition(" = ")
        if not re.search(r"\b(parameter|bitcast|get-tuple-element|tuple)\(", operation):
            read = {each for each in re.findall(r"%[\w.-]+", operation) if each in sizes}
            moved += sizes.get(name, 0) + sum(sizes[each] for each in read)
    return moved


def buckets():
    """What values are counted into, with what it is called, and whether they are summed as well."""
    from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, HISTOGRAM_WEIGHT_BUCKETS_1_0, NativeBuckets
    from gangplank._native.edges import Bounds
    from gangplank.weights.native_buckets import native_bounds

    irregular = np.sort(np.random.default_rng(1).normal(0, 0.2, 1024))
    yield "13 bounds", Bounds.of(HISTOGRAM_WEIGHT_BUCKETS_0_3), False
    yield "13 bounds and statistics", Bounds.of(HISTOGRAM_WEIGHT_BUCKETS_0_3), True
    yield "21 bounds", Bounds.of(HISTOGRAM_WEIGHT_BUCKETS_1_0), False
    yield "1,024 bounds", Bounds.of(irregular), False
    yield "native, schema 3", native_bounds(NativeBuckets()), True


def rows(framework, size, rounds):
    from gangplank._native import devices
    from gangplank._native.cuda import driver, ops
    from gangplank._native.measured import Measured, measure_by

    by_kernel = partial(ops.measure, operations_of=refused)

    float32 = framework.normal(size, "float32")
    size = float32.shape[0]
    bandwidth = 4 * size / median(framework.read, rounds, float32) / 1e9
    thousand = [framework.normal(size // 1000, "float32") for _ in range(1000)]
    groups_of = {
        "float32": [[float32]],
        "bfloat16": [[framework.normal(size, "bfloat16")]],
        "float32, in 1,000 arrays": [thousand],
        "1,000 arrays of float32, a histogram each": [[array] for array in thousand],
    }
    # Operations take seconds in all.
    ways = {"operations": (partial(measure_by, framework.operations), max(rounds // 5, 1))}
    if devices.placed(float32)[0] == "cuda.ops" and driver.compilers():
        ways = {"the kernel": (by_kernel, rounds)} | ways
    for what, groups in groups_of.items():
        values = [array for group in groups for array in group]
        gigabytes = sum(each.shape[0] * np.dtype(dtype_of(each)).itemsize for each in values) / 1e9
        for number, (into, bounds, has_moments) in enumerate(buckets()):
            # What is counted otherwise is no slower there, and counted by each way.
            is_first = number == 0 and len(groups) == 1
            expected, host = on_host(framework, values, bounds) if is_first else (None, "")
            for way, (measure, its_rounds) in ways.items():

                def found_in(groups, bounds=bounds, has_moments=has_moments, measure=measure):
                    pieces = [(n, array) for n, group in enumerate(groups) for array in group]
                    found = [Measured() for _ in groups]
                    measure(pieces, bounds, found, has_moments=has_moments)
                    return found

                counts = [as_lists(each.totals()) for each in found_in(groups)]
                expected = expected or counts
                assert counts == expected, "the counts differ"
                here = median(found_in, its_rounds, groups)
                yield (
                    f"| {what} | {into} | {way} | {milliseconds(here)} | {gigabytes / here:,.1f} | "
                    f"{bandwidth:,.1f} | {gigabytes / here / bandwidth:.1%} | {host} |"
                )


def refused(name):
    raise AssertionError(f"the kernel leaves something to the operations of {name}")


def on_host(framework, values, bounds):
    """What the CPU core counts, and how long that and the copy to the host take."""
    from gangplank._native import cpu
    from gangplank._native.host_memory import host_view
    from gangplank._native.measured import Measured

    def found_in(values):
        found = Measured()
        cpu.measure(((0, host_view(each)) for each in values), bounds, [found])
        return [as_lists(found.totals())]

    found_in([framework.not_on_host(values[0])])  # which compiles what it needs
    there = [framework.not_on_host(each) for each in values]
    start = time.perf_counter()
    result = found_in(there)
    return result, milliseconds(time.perf_counter() - start)


def as_lists(totals):
    return [each.tolist() for each in totals]


def programs(framework):
    """How many bytes XLA's programs for few and for many bounds move for a float32."""
    for into, bounds, has_moments in buckets():
        from gangplank._native.edges import edges_of

        edges = edges_of(bounds, np.dtype(np.float32)).patterns.size
        moved = framework.moved(edges, has_moments)
        if moved is not None:
            yield f"| {into} | {moved:.1f} |"


def dtype_of(array):
    from gangplank._native.arrays import dtype_name

    return dtype_name(array)


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
    is_of_many = os.environ.get("XLA_FLAGS") == EIGHT_DEVICES["XLA_FLAGS"]
    if is_of_many:
        devices = f"{len(framework.jax.devices())} virtual CPU devices"
    yield f"{name} {version(name)} on {devices}, {int(arguments.values):,} values:"
    yield ""
    yield (
        "| dtype | into | by | counting | GB/s | its maximum of float32, GB/s | share | on the "
        "host, copied there |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    yield from rows(framework, int(arguments.values), arguments.rounds)
    if arguments.on_cpu and not is_of_many:
        moved = list(programs(framework))
        if moved:
            yield from ("", "| into | bytes that XLA's program for the CPU moves for a float32 |")
            yield from ("| --- | --- |", *moved)


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
        return False
    runs = [(name, ON_CPU if arguments.on_cpu else {}) for name in filter(find_spec, FRAMEWORKS)]
    if arguments.on_cpu and find_spec("jax"):
        runs.append(("jax", ON_CPU | EIGHT_DEVICES))
    result = RESULTS / ("device-on-cpu.md" if arguments.on_cpu else "device.md")
    tables, failed = [], False
    for name, environment in runs:
        command = [sys.executable, __file__, name, *sys.argv[1:]]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | environment
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
        table = run.stdout.decode()
        if run.returncode:
            table += f"\nFailed here, with exit status {run.returncode}.\n"
            failed = True
        print(table, flush=True)
        tables.append(table)
        result.write_text("\n".join(tables))
    return failed


if __name__ == "__main__":
    sys.exit(main())
