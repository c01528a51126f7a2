"""What a model's weights look like: histograms and statistics of all, and of its parts."""

from collections.abc import Iterable
from typing import Any, Literal, overload

from gangplank import _native
from gangplank.weights.counting import counting
from gangplank.weights.histogram import WeightsHistogram
from gangplank.weights.histograms import WeightsHistograms
from gangplank.weights.native_buckets import NativeBuckets
from gangplank.weights.native_histogram import NativeWeightsHistogram
from gangplank.weights.parts import PER, Parts, Per, checked_per
from gangplank.weights.statistics import WeightsStatistics
from gangplank.weights.variables import weight_arrays


@overload
def weights_histogram(
    model: Any, buckets: NativeBuckets, *, weights: Literal["trainable", "all"] = ...
) -> NativeWeightsHistogram: ...


@overload
def weights_histogram(
    model: Any, buckets: Iterable[float], *, weights: Literal["trainable", "all"] = ...
) -> WeightsHistogram: ...


@_native.keeping_subnormals
def weights_histogram(
    model: Any,
    buckets: Iterable[float] | NativeBuckets,
    *,
    weights: Literal["trainable", "all"] = "trainable",
) -> WeightsHistogram | NativeWeightsHistogram:
    """Counts a model's weights into buckets, exactly and where they lie.

    Weights on an accelerator are counted there: on NVIDIA's GPUs by a kernel of gangplank's where
    it can, else by their own framework. Those that several devices hold whole count once. Those
    that are sharded over several devices, with `keras.distribution` on JAX, are counted by each,
    and never gathered; where the devices belong to several processes, each has to call this with
    the same weights, and gets the whole histogram.

    A weight is compared in its exact value with the float64 bound, whatever its dtype. NaN is
    in no bucket, -inf in the first one and +inf in the last.

    Arguments:
        model: a Keras model or layer that is built; an iterable of variables or arrays (Keras,
            NumPy, TensorFlow, JAX, PyTorch, h5py) of any shape, with a floating-point or integer
            dtype, each counted as often as it is given, with the values that it has until this
            returns; or a mapping of names to arrays, such as a state_dict, what safetensors loads,
            or an open h5py file. Mappings may be nested. Layers may stand among the arrays too;
            variables that they share count once, and so does a tensor of PyTorch that mappings
            have under several names, as a state_dict has tied weights.
        buckets: upper bounds, strictly increasing; a final +inf changes nothing. Or
            `NativeBuckets()`, whose bounds nobody has to choose.
        weights: "trainable" for the `trainable_variables` of a model or layer, "all" for its
            `weights`. Plays no part for variables and arrays.

    Returns:
        The histogram of all weights together, for `NativeBuckets` a `NativeWeightsHistogram`. What
        is no weight is never counted: the state of a random seed generator, and the scales and
        histories that `quantize("float8")` adds to a layer (variables with
        `overwrite_with_gradient`); nor is what a NumPy array masks, nor, in mappings of Keras's
        files, the state of an optimizer: ``vars`` that begin with the number of its steps and its
        learning rate, but for the entries of ``layers``. Weights quantized to 4 bits are counted
        as Keras stores them, two to an int8.

    Raises:
        ValueError: `buckets` are no buckets, `weights` is neither of the two, or the model
            is not built.
        TypeError: `model` is none of the above, or a weight has a dtype that cannot be
            counted, such as bool, complex64 or string.
        RuntimeError: a weight cannot be read: a step of JAX has deleted it, a function that
            TensorFlow or JAX traces has no values yet, this process holds no share of it, or its
            device is gone.
    """
    chosen = counting(buckets)
    arrays = (array for _, array in weight_arrays(model, weights))
    (measured,) = _native.measure([arrays], chosen.bounds, has_moments=chosen.has_moments)
    return chosen.histogram(measured)  # type: ignore[no-any-return]


@overload
def weights_histograms(
    model: Any,
    buckets: NativeBuckets,
    *,
    per: Literal["layer", "variable"] = ...,
    weights: Literal["trainable", "all"] = ...,
) -> WeightsHistograms[NativeWeightsHistogram]: ...


@overload
def weights_histograms(
    model: Any,
    buckets: Iterable[float],
    *,
    per: Literal["layer", "variable"] = ...,
    weights: Literal["trainable", "all"] = ...,
) -> WeightsHistograms[WeightsHistogram]: ...


def weights_histograms(
    model: Any,
    buckets: Iterable[float] | NativeBuckets,
    *,
    per: Literal["layer", "variable"] = "layer",
    weights: Literal["trainable", "all"] = "trainable",
) -> WeightsHistograms[Any]:
    """A histogram of each layer's weights, or of each variable's; they add up to the model's.

    Arguments:
        model: as `weights_histogram` takes it.
        buckets: as `weights_histogram` takes them.
        per: "layer" or "variable".
        weights: "trainable" or "all", as `weights_histogram` has it.

    Returns:
        A dict from the path that Keras gives the layer, such as "encoder/dense", or the variable,
        "encoder/dense/kernel", in Keras's order. A variable that layers of a model share counts
        once, as of the layer that made it, or else of the first. A layer that Keras gives no path
        goes by its name. Of several with the same path the second one is called
        "encoder/dense_2", and so on. Of arrays and variables in mappings the names, with slashes
        between them, are the paths; a layer is what comes before the last slash or dot. It is a
        `WeightsHistograms`, which notebooks show as a table and which can be plotted.

    Raises:
        ValueError: `per` is neither of the two, and as `weights_histogram` does.
        TypeError, RuntimeError: as `weights_histogram` does.
    """
    chosen = counting(buckets)
    checked_per(per, ("layer", "variable"))
    parts = Parts(model, weights, per, [chosen])
    found = parts.histograms(per).items()
    return WeightsHistograms({name: histogram for name, (histogram,) in found})


@overload
def weights_statistics(
    model: Any,
    *,
    per: Literal["model"] = ...,
    weights: Literal["trainable", "all"] = ...,
) -> WeightsStatistics: ...


@overload
def weights_statistics(
    model: Any,
    *,
    per: Literal["layer", "variable"],
    weights: Literal["trainable", "all"] = ...,
) -> dict[str, WeightsStatistics]: ...


def weights_statistics(
    model: Any, *, per: Per = "model", weights: Literal["trainable", "all"] = "trainable"
) -> WeightsStatistics | dict[str, WeightsStatistics]:
    """The statistics of a model's weights, computed in float64 and where the weights lie.

    Of weights in host memory they have the same bits whatever the number of threads. Of float32
    weights the error of the mean is less than 1e-12 of their mean magnitude. A sum, or a sum of
    squares, that exceeds the greatest float64 number, be it on the way, is infinite, or makes NaN;
    squares below the least are 0. On a device, whose framework may take them for 0, only
    `zero_count` tells subnormal float64 weights from zero.

    Arguments:
        model: as `weights_histogram` takes it.
        per: "model" for all weights together, "layer" or "variable" for each one's.
        weights: "trainable" or "all", as `weights_histogram` has it.

    Returns:
        The statistics; by layer or variable a dict from its path, in Keras's order.

    Raises:
        ValueError: `per` or `weights` is none of these words, or the model is not built.
        TypeError, RuntimeError: as `weights_histogram` does.
    """
    statistics = Parts(model, weights, checked_per(per, PER), has_moments=True).statistics(per)
    return statistics[""] if per == "model" else statistics
