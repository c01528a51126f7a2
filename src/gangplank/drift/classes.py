"""Which class a classifier predicts: what it answers as a probability for each."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gangplank.drift.rows import Leaf, Rows, size_of

# So far the probabilities of a sample may be from 1 together: float16's are.
ROUNDED = 1e-2


@dataclass(frozen=True, eq=False)
class Classes:
    """How often each class was predicted by one output. An immutable value.

    Attributes:
        name: of the output, "" where there is one alone.
        start: the first of the output's columns among those of all outputs.
        counts: int64, shape (C,): how many samples were predicted to be of each class.
    """

    name: str
    start: int
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.counts.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Classes, (self.name, self.start, self.counts)  # which makes them read-only again

    def count(self, rows: Rows) -> NDArray[np.int64]:
        """Counts the classes of further predictions, the first of the most likely each.

        Those that have NaN are of no class.
        """
        columns = rows[:, self.start : self.start + self.counts.size]
        columns = columns[~np.isnan(columns).any(axis=1)]
        return np.bincount(columns.argmax(axis=1), minlength=self.counts.size)


def classes_of(
    rows: Rows, leaves: tuple[Leaf, ...], is_classifier: bool | None
) -> tuple[Classes, ...]:
    """The predicted classes of each output that has some.

    Arguments:
        rows: the predictions.
        leaves: the outputs.
        is_classifier: whether outputs of two columns and more are scores of classes; None to
            find out: they are where the columns are probabilities.

    Raises:
        ValueError: `is_classifier` is true and there is no such output.
    """
    found = []
    starts = accumulate(map(size_of, leaves), initial=0)
    for (name, shape), start in zip(leaves, starts, strict=False):
        columns = rows[:, start : start + shape[-1]]
        if len(shape) == 1 and shape[0] > 1 and is_classifier is not False:
            empty = Classes(name, start, np.zeros(shape[0], np.int64))
            if is_classifier or _are_probabilities(columns):
                found.append(Classes(name, start, empty.count(rows)))
    if is_classifier and not found:
        shapes = [shape for _, shape in leaves]
        raise ValueError(
            "classifier=True needs predictions of a score a class, shape (samples, classes). "
            f"Received samples of the shapes {shapes}."
        )
    return tuple(found)


def _are_probabilities(columns: Rows) -> bool:
    columns = columns[~np.isnan(columns).any(axis=1)]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        is_near = np.abs(columns.sum(axis=1) - 1) <= ROUNDED
    return bool(len(columns) and is_near.all() and (columns >= 0).all())
