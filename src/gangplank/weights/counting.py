"""What a model's weights look like: `weights_histogram`, and `weights_histograms` of its parts."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, NamedTuple, overload

from gangplank import _native
from gangplank.weights.buckets import finite_bounds
from gangplank.weights.histogram import WeightsHistogram, unchecked_histogram
from gangplank.weights.native_buckets import NativeBuckets, native_bounds
from gangplank.weights.native_histogram import NativeWeightsHistogram, native_histogram
from gangplank.weights.parts import Parts, checked_per
from gangplank.weights.variables import weight_arrays


@overload
def weights_histogram(
    model: Any, buckets: NativeBuckets, *, weights: Literal["trainable", "all"] = ...
) -> NativeWeightsHistogram: ...


@overload
def weights_histogram(
    model: Any, buckets: Iterable[float], *, weights: Literal["trainable", "all"] = ...
) -> WeightsHistogram: ...


def weights_histogram(
    model: Any,
    buckets: Iterable[float] | NativeBuckets,
    *,
    weights: Literal["trainable", "all"] = "trainable",
) -> WeightsHistogram | NativeWeightsHistogram:
    """Counts a model's weights into buckets, exactly and where they lie.

    Weights on an accelerator are counted there, by their own framework. Those that several
    devices hold whole count once. Those that are sharded over several devices, with
    `keras.distribution` on JAX, are counted by each, and never gathered; where the devices belong
    to several processes, each has to call this with the same weights, and gets the whole histogram.

    A weight is compared in its exact value with the float64 bound, whatever its dtype. NaN is
    in no bucket, -inf in the first one and +inf in the last.

    Arguments:
        model: a Keras model or layer that is built; an iterable of variables or arrays (Keras,
            NumPy, TensorFlow, JAX, PyTorch, h5py) of any shape, with a floating-point or integer
            dtype, each counted as often as it is given; or a mapping of names to arrays, such as a
            state_dict, what safetensors loads, or an open h5py file. Mappings may be nested. Layers
            may stand among the arrays too; variables that they share count once.
        buckets: upper bounds, strictly increasing; a final +inf changes nothing. Or
            `NativeBuckets()`, whose bounds nobody has to choose.
        weights: "trainable" for the `trainable_variables` of a model or layer, "all" for its
            `weights`. Plays no part for variables and arrays.

    Returns:
        The histogram of all weights together, for `NativeBuckets` a `NativeWeightsHistogram`. What
        is no weight is never counted: the state of a random seed generator, and the scales and
        histories that `quantize("float8")` adds to a layer (variables with
        `overwrite_with_gradient`); nor is what a NumPy array masks. Weights quantized to 4 bits are
        counted as Keras stores them, two to an int8.

    Raises:
        ValueError: `buckets` are no buckets, `weights` is neither of the two, or the model
            is not built.
        TypeError: `model` is none of the above, or a weight has a dtype that cannot be
            counted, such as bool, complex64 or string.
        RuntimeError: a weight cannot be read: a step of JAX has deleted it, a function that
            TensorFlow or JAX traces has no values yet, this process holds no share of it, or its
            device is gone.
    """
    bounds, has_moments, histogram = counting(buckets)
    arrays = (array for _, array in weight_arrays(model, weights))
    (measured,) = _native.measure([arrays], bounds, has_moments=has_moments)
    return histogram(measured)  # type: ignore[no-any-return]


@overload
def weights_histograms(
    model: Any,
    buckets: NativeBuckets,
    *,
    per: Literal["layer", "variable"] = ...,
    weights: Literal["trainable", "all"] = ...,
) -> dict[str, NativeWeightsHistogram]: ...


@overload
def weights_histograms(
    model: Any,
    buckets: Iterable[float],
    *,
    per: Literal["layer", "variable"] = ...,
    weights: Literal["trainable", "all"] = ...,
) -> dict[str, WeightsHistogram]: ...


def weights_histograms(
    model: Any,
    buckets: Iterable[float] | NativeBuckets,
    *,
    per: Literal["layer", "variable"] = "layer",
    weights: Literal["trainable", "all"] = "trainable",
) -> dict[str, Any]:
    """A histogram of each layer's weights, or of each variable's; they add up to the model's.

    Arguments:
        model: as `weights_histogram` takes it.
        buckets: as `weights_histogram` takes them.
        per: "layer" or "variable".
        weights: "trainable" or "all", as `weights_histogram` has it.

    Returns:
        A dict from the path that Keras gives the layer, such as "encoder/dense", or the variable,
        "encoder/dense/kernel", in Keras's order. What is shared counts once, under its first path.
        Of several with the same path the second one is called "encoder/dense_2", and so on. In a
        mapping of names to arrays these are the paths; a layer is what comes before the last slash
        or dot.

    Raises:
        ValueError: `per` is neither of the two, and as `weights_histogram` does.
        TypeError, RuntimeError: as `weights_histogram` does.
    """
    bounds, has_moments, histogram = counting(buckets)
    per = checked_per(per, ("layer", "variable"))
    parts = Parts(model, weights, per, bounds, has_moments=has_moments)
    return {name: histogram(measured) for name, measured in parts.by(per).items()}


class Counting(NamedTuple):
    """How values are counted into buckets: what is measured, and the histogram of that."""

    bounds: _native.Bounds
    has_moments: bool
    histogram: Callable[[_native.Measured], Any]


def counting(buckets: Iterable[float] | NativeBuckets, argument: str = "buckets") -> Counting:
    """How to count into `buckets`, which the user passed as `argument`.

    Raises:
        ValueError: they are none.
    """
    if isinstance(buckets, NativeBuckets):
        native = native_bounds(buckets)
        return Counting(native, True, partial(native_histogram, buckets, native))
    bounds = finite_bounds(buckets, argument)
    packed = _native.Bounds.of(bounds)
    return Counting(
        packed, False, lambda values: unchecked_histogram(bounds, *values.counts(packed))
    )
