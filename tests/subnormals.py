"""A thread whose processor takes subnormal floats for zero, as PyTorch can ask for."""

import contextlib
import platform
import sys
from functools import cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 1 << 15, 1 << 6


@contextlib.contextmanager
def flushed():
    """Flushes subnormals, in this thread and those that it starts meanwhile."""
    flush = _flush_by_torch() if "torch" in sys.modules else _flush_by_register()
    flush(True)
    try:
        assert np.float32(1e-40) * np.float32(1) == 0
        yield
    finally:
        flush(False)
        assert np.float32(1e-40) * np.float32(1) > 0


def _flush_by_torch():
    return sys.modules["torch"].set_flush_denormal


@cache
def _flush_by_register():
    assert platform.machine() in ("x86_64", "AMD64"), "write here how this processor is told"

    @intrinsic
    def add_to_control(typing, bits):
        def emit(context, builder, signature, arguments):
            place = builder.alloca(ir.IntType(32))
            pointer = ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [pointer])
            for name in ("stmxcsr", "ldmxcsr"):
                function = builder.module.declare_intrinsic(f"llvm.x86.sse.{name}", fnty=kind)
                builder.call(function, [builder.bitcast(place, pointer)])
                changed = builder.xor(
                    builder.load(place), builder.trunc(arguments[0], ir.IntType(32))
                )
                builder.store(changed, place)
            return arguments[0]

        return types.int64(types.int64), emit

    @njit
    def switch():
        return add_to_control(FLUSH_TO_ZERO | DENORMALS_ARE_ZERO)

    switch.compile(())
    return lambda _: switch()
