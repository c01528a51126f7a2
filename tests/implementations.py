"""Every way of counting, under a name: what is tested here is what is timed in benchmarks/."""

from functools import partial

import cuda_on_cpu
import keras
from kernel_alone import only_what_is_left

from gangplank._native import cpu, reference
from gangplank._native.kernels.lane_kernel import lane_kernel
from gangplank._native.kernels.numpy_kernel import numpy_kernel
from gangplank._native.kernels.table_kernel import table_kernel

IMPLEMENTATIONS = {
    "reference": reference.count,
    "cpu": cpu.count,
    "cpu-lane": partial(cpu.count, kernel=partial(lane_kernel, for_both_signs=False)),
    "cpu-lane-both-signs": partial(cpu.count, kernel=partial(lane_kernel, for_both_signs=True)),
    "cpu-table": partial(cpu.count, kernel=table_kernel),
    "cpu-numpy": partial(cpu.count, kernel=numpy_kernel),
    "cpu-three-threads": partial(cpu.count, kernel=cpu.fastest_compiled, threads=3),
}

if cuda_on_cpu.COMPILER:
    IMPLEMENTATIONS["cuda-on-cpu"] = partial(
        cuda_on_cpu.count,
        operations_of=only_what_is_left(
            cuda_on_cpu.ON_PROCESSOR["operations_of"], lambda: cuda_on_cpu.processor.shared_memory
        ),
    )

# What counts on devices, here on the one where the framework that Keras uses puts arrays.
if keras.backend.backend() == "tensorflow":
    import on_tensorflow

    IMPLEMENTATIONS |= {
        "tensorflow": on_tensorflow.operations,
        "tensorflow-eager": on_tensorflow.eager,
        "tensorflow-xla": on_tensorflow.xla,
    }
    if on_tensorflow.IS_ON_CUDA:
        IMPLEMENTATIONS["tensorflow-cuda"] = on_tensorflow.cuda
elif keras.backend.backend() == "jax":
    import on_jax

    IMPLEMENTATIONS |= {
        "jax": on_jax.compiled,
        "jax-eager": on_jax.eager,
        "jax-sharded": on_jax.sharded,
    }
    if on_jax.IS_ON_CUDA:
        IMPLEMENTATIONS["jax-cuda"] = on_jax.cuda
else:
    import on_torch

    IMPLEMENTATIONS |= {"torch": on_torch.operations, "torch-compiled": on_torch.compiled}
    if on_torch.DEVICE == "cuda":
        IMPLEMENTATIONS["torch-cuda"] = on_torch.cuda
