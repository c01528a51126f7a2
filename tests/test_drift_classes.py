"""Which class is predicted, and which predictions are of classes."""

import numpy as np
import pytest

from gangplank.drift.classes import classes_of

PROBABILITIES = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5], [0.25, 0.75]], np.float32)
LEAVES = (("", (2,)),)


def test_probabilities_are_of_classes():
    (found,) = classes_of(PROBABILITIES, LEAVES, None)
    np.testing.assert_array_equal(found.counts, [2, 2], strict=True)
    assert (found.name, found.start) == ("", 0)


def test_those_with_nan_are_of_none():
    rows = np.append(PROBABILITIES, [[np.nan, 1]], axis=0).astype(np.float32)
    (found,) = classes_of(rows, LEAVES, None)
    assert found.counts.sum() == 4


@pytest.mark.parametrize(
    ("rows", "classifier"),
    [
        (PROBABILITIES * 3, None),
        (PROBABILITIES - 0.25, None),
        (np.full((3, 2), np.nan, np.float32), None),
        (PROBABILITIES, False),
        (PROBABILITIES[:, :1], None),
        (np.array([[np.inf, -np.inf], [3e38, 3e38]], np.float32), None),
    ],
)
def test_what_is_no_classifier_has_none(rows, classifier):
    with np.errstate(all="raise"):
        assert classes_of(rows, (("", rows.shape[1:]),), classifier) == ()


def test_scores_are_of_classes_where_one_says_so():
    (found,) = classes_of(PROBABILITIES * 3 - 7, LEAVES, True)
    np.testing.assert_array_equal(found.counts, [2, 2])
    message = r"needs predictions of a score a class.*Received samples of the shapes \[\(1,\)\]"
    with pytest.raises(ValueError, match=message):
        classes_of(PROBABILITIES[:, :1], (("", (1,)),), True)


def test_outputs_among_others():
    rows = np.concatenate([np.full((4, 3), 7, np.float32), PROBABILITIES], axis=1)
    (found,) = classes_of(rows, (("a", (3, 1)), ("b", (2,))), None)
    assert (found.name, found.start, found.counts.tolist()) == ("b", 3, [2, 2])
    np.testing.assert_array_equal(found.count(rows[:2]), [1, 1])
