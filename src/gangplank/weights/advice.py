"""What to pass instead of something that is no model, variable or array.

Classes are known by their names, so that no framework has to be loaded for it.
"""

from typing import Any

# By the first part of a class's module, and its name: of the class itself or of one above it.
_INSTEAD = {
    ("torch", "ParameterList"): "",  # which yields them
    ("torch", "Module"): "Pass its state_dict(), or its parameters().",
    ("tensorflow", "Module"): "Pass its variables, or its trainable_variables.",
    ("tensorflow", "SparseTensor"): "Pass its values.",
    ("tensorflow", "RaggedTensor"): "Pass its flat_values.",
    ("tensorflow", "IndexedSlices"): "Pass its values.",
    ("jax", "JAXSparse"): "Pass its data.",
    ("scipy", "_spbase"): "Pass its data.",
    ("keras", "KerasTensor"): "It is symbolic and has no values: pass the model.",
}


def what_to_pass_for(value: Any) -> str:
    """A sentence on what to pass instead of `value`."""
    if isinstance(value, list | tuple):
        return "Pass all arrays in one flat list, such as jax.tree.leaves makes of nested ones."
    return _instead(value) or "Pass for instance model.trainable_variables, or [array]."


def is_refused(value: Any) -> bool:
    """Whether it is known what to pass instead of `value`, also if that is an iterable."""
    return bool(_instead(value))


def _instead(value: Any) -> str:
    for kind in type(value).__mro__:
        advice = _INSTEAD.get((kind.__module__.partition(".")[0], kind.__name__))
        if advice is not None:
            return advice
    return ""
