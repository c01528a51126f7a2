"""The buckets of a weights' histogram: two ready-made sets of bounds, and their validation."""

import math
import numbers
import reprlib
import struct
from collections.abc import Callable, Iterable
from typing import Any

from gangplank.weights.native_buckets import NativeBuckets

HISTOGRAM_WEIGHT_BUCKETS_1_0: tuple[float, ...] = tuple(i / 10 for i in range(-10, 11))
"""-1.0 to 1.0 by 0.1: 21 bounds."""

HISTOGRAM_WEIGHT_BUCKETS_0_3: tuple[float, ...] = tuple(i / 20 for i in range(-6, 7))
"""-0.30 to 0.30 by 0.05: 13 bounds."""


def finite_bounds(buckets: Iterable[float], argument: str) -> tuple[float, ...]:
    """The finite upper bounds that `buckets` give, as float64 numbers.

    Arguments:
        buckets: real numbers, strictly increasing, at least one of them finite; the last
            one may be +inf, which every histogram has anyway, and is left out.
        argument: the name under which the user passed them, for the messages.

    Raises:
        ValueError: `buckets` are anything else.
    """

    def invalid(problem: str, advice: str = "") -> ValueError:
        return ValueError(
            f"{argument} must {problem} Received {_shortened(buckets)}. {advice}".rstrip()
        )

    problem = "be a sequence of numbers, such as [-0.1, 0.0, 0.1]."
    if isinstance(buckets, bytes | bytearray):
        raise invalid(problem)
    try:
        elements = list(buckets)
    except TypeError:
        advice = "Pass NativeBuckets(), with parentheses." if isinstance(buckets, type) else ""
        raise invalid(problem, advice) from None
    bounds = [_number(element, i, invalid) for i, element in enumerate(elements)]
    if bounds and bounds[-1] == math.inf:
        bounds.pop()
    if not bounds:
        raise invalid(
            "hold at least one finite upper bound.",
            "Pass for instance gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3, or "
            "gangplank.NativeBuckets().",
        )
    for i, bound in enumerate(bounds):
        if not math.isfinite(bound):
            advice = "Leave it out."
            if bound == -math.inf:
                advice = "Leave it out: the first bucket has all values up to its bound."
            raise invalid(f"be finite (a final +inf apart), but element {i} is {bound}.", advice)
        if i and not _order(bounds[i - 1]) < _order(bound):
            raise invalid(
                f"be strictly increasing, but element {i} ({bound}) does not exceed element "
                f"{i - 1} ({bounds[i - 1]}).",
                "Sort them, each once.",
            )
    return tuple(bounds)


def _number(element: Any, i: int, invalid: Callable[[str, str], ValueError]) -> float:
    is_float = isinstance(element, float)  # which is asked faster
    if is_float or (isinstance(element, numbers.Real) and not isinstance(element, bool)):
        try:
            bound = float(element)
        except OverflowError:
            raise invalid(
                f"be float64 numbers, but element {i} exceeds them all.", "Leave it out."
            ) from None
        # No bucket tells -0.0 from 0.0.
        return bound if _order(bound) else 0.0
    advice = "Pass for instance [-0.1, 0.0, 0.1]."
    if isinstance(element, NativeBuckets):
        advice = (
            "Pass NativeBuckets() by itself, or to the callback as (NativeBuckets(), bounds), to "
            "have both kinds."
        )
    raise invalid(
        f"be a flat sequence of numbers, but element {i} is {_shortened(element)}, of type "
        f"{type(element).__name__}.",
        advice,
    )


def _order(bound: float) -> int:
    """An integer in the order of floats, for threads that take subnormal floats for zero."""
    (pattern,) = struct.unpack("q", struct.pack("d", bound))
    return pattern if pattern >= 0 else -(pattern & (1 << 63) - 1)  # type: ignore[no-any-return]


def _shortened(value: Any) -> str:
    shortener = reprlib.Repr()
    shortener.maxlist = shortener.maxtuple = 24
    return shortener.repr(value)
