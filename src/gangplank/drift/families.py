"""Families of tests of a window: that of the inputs, of the outputs, and of the predicted classes.

The level is shared by the families alike, and within a family by its tests (Bonferroni), so that
the one test of the predicted class is not drowned by those of a thousand features.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from gangplank.drift import comparison
from gangplank.drift.classes import Classes
from gangplank.drift.comparison import Counts, Floats
from gangplank.drift.drift import FeatureDrift
from gangplank.drift.features import Features
from gangplank.drift.rows import feature_names


class Family(Protocol):
    """Tests of one kind."""

    @property
    def size(self) -> int:
        """How many tests."""

    def least(self) -> tuple[float, float]:
        """The statistic and the p-value, not corrected, of the test whose p-value is the least."""

    def compared(self, factor: int) -> Iterator[FeatureDrift]:
        """All tests, with p-values times `factor`."""


class FeaturesFamily:
    """Kolmogorov-Smirnov's test of each feature."""

    def __init__(self, features: Features, counts: Counts, prefix: str) -> None:
        self._features, self._counts, self._prefix = features, counts, prefix
        self._statistics = comparison.ks_statistics(features.counts, counts)
        self.size = len(counts)

    def least(self) -> tuple[float, float]:
        # The greatest statistic is enough: each p-value takes 0.1 ms.
        greatest = self._statistics.max(keepdims=True)
        return float(greatest[0]), float(self._p_values(greatest)[0])

    def compared(self, factor: int) -> Iterator[FeatureDrift]:
        distinct, places = np.unique(self._statistics, return_inverse=True)
        p_values = np.minimum(self._p_values(distinct) * factor, 1)[places]
        names = feature_names(self._features.leaves, self._prefix)
        for i, name in enumerate(names):
            expected, counts = self._features.counts[i], self._counts[i]
            begins = comparison.psi_groups(expected)
            psi = comparison.stability_index(
                np.add.reduceat(expected, begins), np.add.reduceat(counts, begins)
            )
            statistic, p_value = float(self._statistics[i]), float(p_values[i])
            yield FeatureDrift(name, "ks", statistic, p_value, psi, int(counts[-1]))

    def _p_values(self, statistics: Floats) -> Floats:
        sizes = self._features.sample_count, int(self._counts[0].sum())
        return comparison.ks_p_values(statistics, *sizes)


class ClassesFamily:
    """The test of the predicted classes of each output."""

    def __init__(
        self, classes: Sequence[Classes], counts: Sequence[Counts], sample_count: int
    ) -> None:
        self._classes, self._counts, self._sample_count = classes, counts, sample_count
        self._tests = [
            comparison.classes_test(each.counts, found)
            for each, found in zip(classes, counts, strict=True)
        ]
        self.size = len(classes)

    def least(self) -> tuple[float, float]:
        _, statistic, p_value = min(self._tests, key=lambda test: test[2])
        return statistic, p_value

    def compared(self, factor: int) -> Iterator[FeatureDrift]:
        for each, found, test in zip(self._classes, self._counts, self._tests, strict=True):
            name, statistic, p_value = test
            yield FeatureDrift(
                f"class/{each.name}" if each.name else "class",
                name,
                statistic,
                min(p_value * factor, 1.0),
                comparison.stability_index(each.counts, found),
                self._sample_count - int(found.sum()),
            )
