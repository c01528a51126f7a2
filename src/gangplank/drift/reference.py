"""What a model saw and answered when all was well, to compare later samples with."""

import os
from dataclasses import dataclass
from typing import Any

from gangplank.checked_values import is_integer
from gangplank.drift import reference_file
from gangplank.drift.classes import Classes, classes_of
from gangplank.drift.features import Features, features_of
from gangplank.drift.rows import leaves_of, named_arrays, rows_of

FEWEST_BUCKETS, MOST_BUCKETS = 8, 4096


@dataclass(frozen=True, eq=False)
class DriftReference:
    """Histograms of what a model saw and answered. An immutable value that files keep exactly.

    `drift_reference` makes one.

    Attributes:
        inputs: the histograms of the features of the inputs, None where these are not watched.
        outputs: those of the columns of the predictions.
        classes: of each output of a classifier, how often each class was predicted.
    """

    inputs: Features | None
    outputs: Features
    classes: tuple[Classes, ...]

    @property
    def sample_count(self) -> int:
        """Of how many samples it is."""
        return self.outputs.sample_count

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the reference to a file: arrays of NumPy in a zip (.npz), and nothing that runs.

        Raises:
            OSError: it cannot be written.
        """
        reference_file.write(path, self.inputs, self.outputs, self.classes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DriftReference":
        """The reference that `save` has written, with the same counts to the last one.

        Raises:
            ValueError: the file holds no reference, or one of a version that is not known.
            OSError: it cannot be read.
        """
        return cls(*reference_file.read(path))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DriftReference):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        inputs = "None" if self.inputs is None else f"{len(self.inputs.ends):,} features"
        return (
            f"DriftReference(sample_count={self.sample_count}, inputs={inputs}, "
            f"outputs={len(self.outputs.ends):,} columns, "
            f"classes={[each.counts.size for each in self.classes]})"
        )

    def _key(self) -> tuple[Any, ...]:
        return tuple(
            (name, array.shape, array.tobytes()) if hasattr(array, "tobytes") else (name, array)
            for name, array in reference_file.entries(self.inputs, self.outputs, self.classes)
        )


def drift_reference(
    x: Any, predictions: Any, *, classifier: bool | None = None, buckets: int = 128
) -> DriftReference:
    """Counts samples that later ones are to be compared with, and what the model predicts on them.

    Take samples that the model was not trained on, such as those of validation: on those of
    training it may be surer than it will ever be again, which looks like drift. Take at least four
    times as many as a window has, since what is odd about few of them is odd in every window.

    Arguments:
        x: the samples, as `predict` takes them: an array or tensor of any backend, or a list, tuple
            or dict of them; None to watch the predictions alone. Numbers are rounded to float32,
            truth values are 0 and 1, NaN is counted apart.
        predictions: what the model answers to them.
        classifier: whether predictions of shape (samples, classes) are scores of classes, the
            greatest of which is the predicted one. By default they are where they are
            probabilities: at least 0, and 1 together.
        buckets: how many buckets a feature's histogram has at most, that of NaN apart; from 8 to
            4,096.

    Returns:
        The reference, whose size is that of its buckets whatever the number of samples.

    Raises:
        ValueError: these are no samples, none, or not as many as predictions, or of a dtype that
            is no number's; or another argument is not as above.
    """
    if not is_integer(buckets) or not FEWEST_BUCKETS <= buckets <= MOST_BUCKETS:
        raise ValueError(
            f"buckets must be an integer from {FEWEST_BUCKETS} to {MOST_BUCKETS}. "
            f"Received {buckets!r}."
        )
    if classifier is not None and not isinstance(classifier, bool):
        raise ValueError(f"classifier must be True, False or None. Received {classifier!r}.")
    inputs, (outputs, rows) = _counted(x, "x", buckets), _needed(predictions, buckets)
    if inputs is not None and inputs[0].sample_count != outputs.sample_count:
        raise ValueError(
            f"There must be a prediction for each sample. Received {inputs[0].sample_count} "
            f"samples and {outputs.sample_count} predictions."
        )
    classes = classes_of(rows, outputs.leaves, classifier)
    return DriftReference(None if inputs is None else inputs[0], outputs, classes)


def _needed(predictions: Any, buckets: int) -> Any:
    counted = _counted(predictions, "predictions", buckets)
    if counted is None:
        raise ValueError("predictions must be what the model answers to x. Received None.")
    return counted


def _counted(values: Any, argument: str, buckets: int) -> Any:
    """The histograms of samples and the samples as rows, or None."""
    if values is None:
        return None
    arrays = named_arrays(values, argument)
    if not arrays:
        raise ValueError(f"{argument} must hold samples. Received {values!r:.200}.")
    leaves = leaves_of(arrays, argument)
    rows = rows_of(arrays, leaves, argument)
    if not rows.size:
        raise ValueError(f"{argument} must hold samples. Received the shape {rows.shape}.")
    return features_of(rows, leaves, int(buckets)), rows
