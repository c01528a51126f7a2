"""What the kernels of explicit vectors share: plain LLVM, no processor's own instructions."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# Four vectors of AVX-512 or eight of AVX2, which leaves registers for the edges.
BLOCK_BYTES = 256

# Else counting waits for memory and memory for counting, most of all on Intel's processors
# (benchmarks/README.md). So many bytes ahead, into the first cache and into the second: in LLVM's
# words localities 3 and 2. Multiples of 512, since `table_kernel` fetches the first half of each
# 512 bytes where values have 8; the processor itself fetches what follows, but not what is before.
AHEAD_BYTES = {3: 1024, 2: 2560}
CACHE_LINE_BYTES = 64

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)

FETCH = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])


@intrinsic  # type: ignore[untyped-decorator]
def fetch_block(typing: Any, bits: Any, start: Any) -> Any:
    """Has the processor bring later blocks than that at `start` into its caches.

    Beyond the array's end, too: no address is at fault there, for nothing is read from it.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(bits)(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])  # not `inbounds`, beyond the end
        block = builder.bitcast(address, I8.as_pointer())
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [block.type], FETCH)
        for locality, ahead in AHEAD_BYTES.items():
            for line in range(ahead, ahead + BLOCK_BYTES, CACHE_LINE_BYTES):
                # To read it, as data: 0 and 1.
                place = builder.gep(block, [I64(line)])
                builder.call(fetch, [place, I32(0), I32(locality), I32(1)])
        return context.get_dummy_value()

    return types.void(bits, start), emit


def loaded(builder: Any, address: Any, array: Any) -> Any:
    """The vector at `address` in an array of that type.

    Of one that is read-only nobody changes a value meanwhile: LLVM may load it once for all edges.
    """
    vector = builder.load(address, align=array.dtype.bitwidth // 8)
    if not array.mutable:
        vector.set_metadata("invariant.load", builder.module.add_metadata([]))
    return vector


def constant(vector: Any, value: int) -> Any:
    """A vector that has `value` in each lane."""
    return ir.Constant(vector, [value] * vector.count)


def splat(builder: Any, value: Any, vector: Any) -> Any:
    """The same, of a value that is known only when the code runs."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
    return builder.shuffle_vector(first, first, constant(ir.VectorType(I32, vector.count), 0))
