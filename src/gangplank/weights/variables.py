"""Which variables of a model are its weights, and as which arrays."""

import math
import re
import reprlib
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple
from weakref import WeakValueDictionary

from gangplank import _native
from gangplank.weights.advice import is_refused, what_to_pass_for

# The name that keras.random.SeedGenerator gives its one variable.
SEED_STATE = "seed_generator_state"

# What Keras's files have of one; the latter two of LossScaleOptimizer and of MultiOptimizer.
_OF_OPTIMIZERS = {"vars", "inner_optimizer", "optimizers"}


class Owner(NamedTuple):
    """A layer that has a variable."""

    path: str
    number: int
    """Tells it from all others, of which some may have the same path."""


Place = tuple[str, Owner | None]
"""Where in a model an array stands: by its path, and in which layer, where that is known.

The path of a variable or array in mappings are their keys, with slashes between them. Else that of
a variable, as of those of a layer, is what Keras calls it; that of an array its place in an
iterable.
"""

_Found = tuple[tuple[str | None, Owner | None], str, Any]
"""Such a place, without a path where neither a mapping nor an iterable tells it; what a message
calls the variable or array there; and that itself.
"""


def weight_arrays(model: Any, weights: str) -> Iterator[tuple[Place, Any]]:
    """The weights of `model` as arrays of their framework, where they lie, with their places.

    Arguments:
        model: a Keras layer or model, a variable or array, a mapping of names to these, or an
            iterable of all of them.
        weights: "trainable" or "all"; of a layer or model, which of its variables.

    Raises:
        ValueError: `weights` is neither of the two, or a layer is not built.
        TypeError: something is no variable or array, or has a dtype that cannot be counted.
        RuntimeError: an array cannot be read, or not by this process.
    """
    keras_variable = _of_keras("Variable")
    for (path, owner), name, variable in _variables(model, weights):
        array = variable
        if isinstance(variable, keras_variable):
            if not _is_weight(variable):
                continue
            path = variable.path if path is None else path
            name = f"the variable {variable.path!r}"
            array = _value(variable, name)
        if not _native.is_array(array):
            raise _no_array(array, name)
        if not _native.is_countable(_native.dtype_name(array)):
            if owner is not None and variable.dtype == "bool":
                continue  # a mask of a layer
            raise TypeError(
                f"Only floating-point and integer weights can be counted, but {name} has the "
                f"dtype {_native.dtype_name(array)}. Leave it out: pass an iterable of the "
                "variables to count."
            )
        if reason := _native.unreadable(array):
            raise RuntimeError(f"{name} cannot be counted: {reason}")
        yield ("0" if path is None else path, owner), array


def checked_weights(weights: Any) -> Literal["trainable", "all"]:
    """`weights` as given to a function. Raises ValueError if it is neither of the two words."""
    if weights not in ("trainable", "all"):
        raise ValueError(f"weights must be 'trainable' or 'all'. Received {weights!r}.")
    return weights  # type: ignore[no-any-return]


def weights_count(variables: Iterable[Any]) -> int:
    """How many weights these variables of Keras have, by their shapes; no masks."""
    return sum(
        math.prod(variable.shape)
        for variable in variables
        if _is_weight(variable) and variable.dtype != "bool"
    )


def _variables(model: Any, weights: str) -> Iterator[_Found]:
    """The variables and arrays in `model`."""
    checked_weights(weights)
    layer, keras_variable = _of_keras("Layer"), _of_keras("Variable")
    # Those of layers, which may share some, while Keras counts each once.
    met: dict[int, Any] = {}
    # Those of mappings, of which one may load each tensor anew, into the memory of one before it.
    tied: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()

    def is_tied(value: Any) -> bool:
        memory = _native.memory_of(value)
        if memory is None:
            return False
        is_known = memory in tied
        tied[memory] = value
        return is_known

    def inside(part: Any, path: str | None, name: str) -> Iterator[_Found]:
        if isinstance(part, layer):
            owners = _owners(part)
            for variable in _variables_of_layer(part, weights):
                if id(variable) not in met:
                    met[id(variable)] = variable
                    yield (None, owners.get(id(variable))), name, variable
        elif isinstance(part, Mapping):
            for key, value in part.items():
                below = str(key) if path is None else f"{path}/{key}"
                is_seed = re.split("[/.]", below)[-1] == SEED_STATE
                if not is_seed and not is_optimizer(below, value) and not is_tied(value):
                    yield from inside(value, below, f"{name}[{key!r}]")
        else:
            yield (path, None), name, part

    if isinstance(model, (layer, Mapping, keras_variable)) or _native.is_array(model):
        yield from inside(model, None, "model")
    elif isinstance(model, Iterable) and not is_refused(model):
        for i, part in enumerate(model):
            if isinstance(part, keras_variable):  # as most are, and without more ado
                yield (None, None), "", part
            else:
                yield from inside(part, str(i), f"element {i}")
    else:
        raise _no_array(model, "model")


def _variables_of_layer(layer: Any, weights: str) -> list[Any]:
    # A model with a train_step but no call() has weights, and is never built.
    if not layer.built and not layer.weights:
        raise ValueError(
            f"{layer.name!r} is not built, so it has no weights yet. "
            "Call its build(input_shape), or fit it, first."
        )
    return layer.trainable_variables if weights == "trainable" else layer.weights  # type: ignore[no-any-return]


def _owners(layer: Any) -> dict[int, Owner]:
    """By the id of each variable of `layer` the layer inside of it that has it.

    Of several that is the one that made it, as its path tells, else the first.
    """
    # Keras has no public way to ask.
    owners: dict[int, Owner] = {}
    for part in layer._flatten_layers():
        here = Owner(part.path or part.name, id(part))
        for variable in (*part._trainable_variables, *part._non_trainable_variables):
            owner = owners.setdefault(id(variable), here)
            if owner is not here and not _made(owner, variable) and _made(here, variable):
                owners[id(variable)] = here
    return owners


def _made(owner: Owner, variable: Any) -> bool:
    # What a constructor makes has the layer's name in its path, and not yet what is around it.
    made_in = variable.path.rpartition("/")[0]
    return f"/{owner.path}".endswith(f"/{made_in}")


def is_optimizer(path: str, value: Any) -> bool:
    """Whether what Keras saves under `path` is the state of an optimizer.

    Its variables begin with the number of its steps, and with its learning rate unless that follows
    a schedule. It may be any attribute of a model, not only ``optimizer``, but no entry of
    ``layers``, and nothing with layers inside.
    """
    variables = value.get("vars") if isinstance(value, Mapping) else None
    if not isinstance(variables, Mapping):
        return False
    has_rate = _is_number(variables.get("1"), "float")
    is_layer = path.split("/")[-2:-1] == ["layers"] or not value.keys() <= _OF_OPTIMIZERS
    has_steps = _is_number(variables.get("0"), "int")
    return not is_layer and has_steps and (has_rate or path.endswith("optimizer"))


def _is_number(value: Any, kind: str) -> bool:
    is_scalar = _native.is_array(value) and value.shape == ()
    return is_scalar and _native.dtype_name(value).startswith(kind)


def _is_weight(variable: Any) -> bool:
    # Training writes to the latter what stands in the place of their gradients, as to the scales
    # and histories of quantize("float8").
    return variable.name != SEED_STATE and not variable.overwrite_with_gradient


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


def _no_array(value: Any, name: str) -> TypeError:
    shortened = " ".join(reprlib.repr(value).split())
    received = f". Received {shortened}," if name == "model" else f", but {name} is"
    return TypeError(
        "model must be a Keras model or layer, an iterable of variables or arrays, or a mapping of "
        f"names to arrays{received} of type {type(value).__name__}. {what_to_pass_for(value)}"
    )


def _of_keras(name: str) -> Any:
    """A class of Keras's; where Keras is not loaded there is nothing of it, and no class."""
    return getattr(sys.modules.get("keras"), name, ())
