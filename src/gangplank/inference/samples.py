"""How many samples are in what a model is given and answers: arrays, dicts and lists of such."""

import sys
from functools import lru_cache
from typing import Any

_NESTS = dict, list, tuple

# What stands for values while a graph is built or a function traced. Of frameworks that are loaded.
_SYMBOLIC = {
    "keras": "KerasTensor",
    "tensorflow.python.framework.tensor": "Tensor",
    "jax.core": "Tracer",
    "torch._subclasses.fake_tensor": "FakeTensor",
}
_EAGER = "tensorflow.python.framework.ops", "EagerTensor"

# What is raised where a shape is not told: by TensorFlow's arrays of an unknown rank, by PyTorch's
# that are nested, by what is no array. Others may be those of a signal's handler, not to be lost.
_UNTOLD = AttributeError, TypeError, ValueError, RuntimeError

# Types of arrays that have values, which were met. With caches that an operation of TensorFlow has
# just emptied, to look into them takes as long as all the rest.
_met: set[type] = set()


def samples_answered(given: Any, answer: Any) -> int | None:
    """How many samples `answer` has, by `given` where that tells; None where it has no values.

    It has none while a graph is built or a function traced.
    """
    if given.__class__ in _met and answer.__class__ in _met:
        try:
            if (known := given.shape[0]) is not None:  # type: ignore[attr-defined]
                return known  # type: ignore[no-any-return]
        except (IndexError, *_UNTOLD):
            pass  # what follows is for all arrays
    array = first_array(answer)
    if is_symbolic(array.__class__):
        return None
    for each in (given, answer):
        if sample_count(each) is not None and not is_symbolic(each.__class__):
            _met.add(each.__class__)
    count = sample_count(first_array(given))
    return (sample_count(array) or 0) if count is None else count


def first_array(value: Any) -> Any:
    """The first of the arrays in `value`; `value` itself where it is one, or has none."""
    while isinstance(value, _NESTS) and value:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value


def sample_count(array: Any) -> int | None:
    """How many samples an array has; None where it does not tell, or is none."""
    try:
        return array.shape[0]  # type: ignore[no-any-return]
    except IndexError:  # a scalar
        return 1
    except _UNTOLD:
        return None


@lru_cache(maxsize=256)
def is_symbolic(kind: Any) -> bool:
    """Whether arrays of this type have no values, since they are of a graph or a tracer's."""

    def is_one_of(module: str, name: str) -> bool:
        return issubclass(kind, getattr(sys.modules.get(module), name, ()))

    return any(is_one_of(*place) for place in _SYMBOLIC.items()) and not is_one_of(*_EAGER)
