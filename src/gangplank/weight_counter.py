"""The histogram of a model's weights, for a run that goes on whatever becomes of it."""

import warnings
from collections.abc import Iterable
from typing import Any

from gangplank.weights import (
    WeightsHistogram,
    checked_weights,
    finite_bounds,
    weights_count,
    weights_histogram,
)


class WeightCounter:
    """Counts weights into the same buckets time and again; warns, once each, of what is amiss.

    Arguments:
        buckets: upper bounds, or None for no histogram.
        weights: "trainable" or "all".

    Raises:
        ValueError: one of the two is not as `gangplank.weights_histogram` takes it.
    """

    def __init__(self, buckets: Iterable[float] | None, weights: Any) -> None:
        self.bounds = None if buckets is None else finite_bounds(buckets, "histogram_buckets")
        self._weights = checked_weights(weights)
        self._told: set[str] = set()

    def histogram(self, model: Any) -> WeightsHistogram | None:
        """The histogram of a model's weights, if there are buckets, a model, and it can be read."""
        if self.bounds is None:
            return None
        try:
            if model is None:
                raise ValueError("there is no model. Call set_model() before the run begins.")
            histogram = weights_histogram(model, self.bounds, weights=self._weights)
        except Exception as error:
            self._warn("failure", f"There is no histogram of the weights: {error}")
            return None
        counted = histogram.count + histogram.nan_count
        if self._weights == "trainable" and counted < (there_are := weights_count(model)) / 2:
            self._warn(
                "trainable",
                f"The histogram has {counted:,} of the {there_are:,} weights of the model, since "
                "those of frozen and of quantized layers are not trainable. Pass weights='all' to "
                "count them too.",
            )
        return histogram

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, stacklevel=3)
