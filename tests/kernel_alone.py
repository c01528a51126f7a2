"""Counting by the kernel for CUDA, where nothing may be left to others but what is said to be."""

from gangplank._native.arrays import dtype_name, framework
from gangplank._native.cuda import driver, kernel, ops
from gangplank._native.cuda.table import table_of
from gangplank._native.measured import counted


def only_what_is_left(operations_of, shared_memory):
    """`operations_of` with the `count` of a framework that fails where the kernel should count.

    Arguments:
        operations_of: as `ops.measure` takes it.
        shared_memory: tells how much a block of the device may have.
    """

    def of(owner):
        def count(arrays, bounds, moments=None):
            for array in arrays:
                name = dtype_name(array)
                assert (
                    (moments is not None and name not in kernel.KINDS)
                    or (framework(array) == "tensorflow" and name.startswith("float8"))
                    # TensorFlow keeps int32 in host memory, since it mostly holds shapes.
                    or (framework(array) == "tensorflow" and name == "int32")
                    or table_of(bounds, name, shared_memory()) is None
                ), f"an array of {name} was not counted by the kernel"
            return operations_of(owner)(arrays, bounds, moments)

        return count

    return of


def count_on_gpu(arrays, bounds, moments=None):
    """A `CountArrays` for arrays of a framework on the first GPU."""
    allowed = only_what_is_left(ops.operations_of, lambda: driver.device(0).shared_memory)
    return counted(ops.measure, arrays, bounds, moments, operations_of=allowed)
