"""Which variables of a model are its weights, and as which arrays."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from gangplank import _native


def weight_arrays(model: Any, weights: str) -> Iterator[Any]:
    """The weights of `model` as arrays of their framework, where they lie.

    Arguments:
        model: a Keras layer or model, a variable or array, or an iterable of these.
        weights: "trainable" or "all"; of a layer or model, which of its variables.

    Raises:
        ValueError: `weights` is neither of the two, or a layer is not built.
        TypeError: something is no variable or array, or has a dtype that cannot be counted.
        RuntimeError: this process cannot read an array.
    """
    for i, variable in enumerate(_variables(model, weights)):
        is_variable = isinstance(variable, _of_keras("Variable"))
        if is_variable and _is_seed_state(variable):
            continue
        name = f"the variable {variable.path!r}" if is_variable else f"element {i}"
        array = _value(variable, name) if is_variable else variable
        if not _native.is_array(array) or not _native.is_countable(_native.dtype_name(array)):
            raise _uncountable(array, name)
        if reason := _native.unreadable(array):
            raise RuntimeError(f"{name} cannot be counted: {reason}")
        yield array


def _value(variable: Any, name: str) -> Any:
    try:
        return variable.value
    # While steps of JAX go on, Keras has the values elsewhere, and calls None.
    except TypeError as error:
        if sys.modules["keras"].backend.backend() != "jax":
            raise
        raise RuntimeError(
            f"{name} cannot be counted: it has no value. {_native.WHEN_JAX_TRAINS}"
        ) from error


def _uncountable(array: Any, name: str) -> TypeError:
    if not _native.is_array(array):
        return TypeError(
            f"model must be a Keras model or layer, or an iterable of variables or arrays, "
            f"but {name} is of type {type(array).__name__}."
        )
    return TypeError(
        f"Only floating-point and integer weights can be counted, but {name} has the "
        f"dtype {_native.dtype_name(array)}. Leave it out: pass an iterable of the variables to "
        "count."
    )


def _variables(model: Any, weights: str) -> Iterable[Any]:
    if weights not in ("trainable", "all"):
        raise ValueError(f"weights must be 'trainable' or 'all'. Received {weights!r}.")
    if isinstance(model, _of_keras("Layer")):
        # A model with a train_step but no call() has weights, and is never built.
        if not model.built and not model.weights:
            raise ValueError(
                f"{model.name!r} is not built, so it has no weights yet. "
                "Call its build(input_shape), or fit it, first."
            )
        return model.trainable_variables if weights == "trainable" else model.weights  # type: ignore[no-any-return]
    if isinstance(model, _of_keras("Variable")) or _native.is_array(model):
        return [model]
    if isinstance(model, Iterable):
        return model
    raise TypeError(
        "model must be a Keras model or layer, or an iterable of variables or arrays. "
        f"Received {model!r}, of type {type(model).__name__}."
    )


def _is_seed_state(variable: Any) -> bool:
    # The name that keras.random.SeedGenerator gives its one variable.
    return bool(variable.name == "seed_generator_state")


def _of_keras(name: str) -> Any:
    """A class of Keras's; where Keras is not loaded there is nothing of it, and no class."""
    return getattr(sys.modules.get("keras"), name, ())
