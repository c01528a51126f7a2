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
    except (AttributeError, TypeError, ValueError):  # TensorFlow's, of an unknown rank
        return None


@lru_cache(maxsize=256)
def is_symbolic(kind: Any) -> bool:
    """Whether arrays of this type have no values, since they are of a graph or a tracer's."""

    def is_one_of(module: str, name: str) -> bool:
        return issubclass(kind, getattr(sys.modules.get(module), name, ()))

    return any(is_one_of(*place) for place in _SYMBOLIC.items()) and not is_one_of(*_EAGER)
