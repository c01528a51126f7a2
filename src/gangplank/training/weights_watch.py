"""What the exporter looks at in a model's weights, in a run that goes on whatever becomes of it."""

import contextlib
import warnings
from typing import Any

import keras

from gangplank.checked_values import checked_flag
from gangplank.metrics import STATISTICS, WeightsReport
from gangplank.training.updates import Updates
from gangplank.weights import (
    PER,
    Counting,
    NativeBuckets,
    Parts,
    Per,
    checked_per,
    checked_weights,
    counting,
    finite_bounds,
    weights_count,
)

# Those of a whole host's metrics are a thousand or so.
_MANY_SERIES = 10_000


class WeightsWatch:
    """Looks at weights time and again; warns, once each, of what is amiss.

    Arguments:
        buckets: upper bounds, `NativeBuckets`, both, or None for no histograms.
        weights: "trainable" or "all".
        histogram_per: "model", "layer" or "variable".
        statistics: the same, or None for no statistics.
        update_ratio: whether to tell how far the weights moved.

    Attributes:
        buckets: the same, checked.
        is_wanted: whether there is anything to look at.

    Raises:
        ValueError: an argument is not as above.
    """

    def __init__(
        self,
        buckets: Any,
        weights: Any,
        histogram_per: Any,
        statistics: Any,
        update_ratio: Any,
    ) -> None:
        self.buckets, self._countings = _checked(buckets)
        self._weights = checked_weights(weights)
        self._per: Per = checked_per(histogram_per, PER, "histogram_per")
        if self._per != "model" and buckets is None:
            raise ValueError(
                f"histogram_per={histogram_per!r} needs histogram_buckets. Pass for instance "
                "histogram_buckets=gangplank.NativeBuckets()."
            )
        if statistics is not None:
            checked_per(statistics, PER, "statistics")
        self._statistics: Per | None = statistics
        # Where there are no statistics, those of layers.
        self._updates_per: Per = statistics or "layer"
        self._has_updates = checked_flag("update_ratio", update_ratio)
        self.is_wanted = bool(self._countings) or statistics is not None or update_ratio
        self._told: set[str] = set()

    def updates(self, model: Any) -> Updates | None:
        """What tells how far the weights of `model` move from now on, if that is wanted."""
        if not self._has_updates:
            return None
        updates = Updates(self._weights, self._updates_per)
        # A model that is built later has no weights yet; what else fails, the report tells.
        with contextlib.suppress(Exception):
            updates.begin(model)
        return updates

    def report(
        self, model: Any, updates: Updates | None, *, have_moved: bool
    ) -> WeightsReport | None:
        """What the weights of `model` are like; None where there is none, or it cannot be read.

        Arguments:
            model: the model, or None.
            updates: of the run.
            have_moved: whether the weights were trained since the last report of the run.
        """
        try:
            if model is None:
                raise ValueError("there is no model. Call set_model() before the run begins.")
            report = self._looked_at(model, updates, have_moved)
        except Exception as error:
            what = "is no histogram" if self._countings else "are no statistics"
            self._warn("failure", f"There {what} of the weights: {error}")
            return None
        self._warn_of_few(model)
        self._warn_of_many(report)
        return report

    def _looked_at(self, model: Any, updates: Updates | None, have_moved: bool) -> WeightsReport:
        is_summed = self._statistics is not None or updates is not None
        smallest = max(self._per, self._updates_per if is_summed else "model", key=PER.index)
        parts = Parts(model, self._weights, smallest, self._countings, has_moments=is_summed)
        statistics = parts.statistics(self._updates_per) if is_summed else {}
        if updates is not None and have_moved:
            try:
                updates.look(model, {name: each.norm for name, each in statistics.items()})
            except Exception as error:
                self._warn("updates", f"There is no update ratio of the weights: {error}")
        shown: tuple[Per, ...] = ("model", self._per) if self._countings else ()
        return WeightsReport(
            {per: parts.histograms(per) for per in dict.fromkeys(shown)},
            statistics if self._statistics is not None else {},
            updates.ratios if updates is not None else {},
            self._updates_per,
        )

    def _warn_of_few(self, model: Any) -> None:
        if self._weights == "all" or not isinstance(model, keras.Layer):
            return
        looked_at, there_are = map(weights_count, (model.trainable_variables, model.weights))
        if looked_at < there_are / 2:
            what = "histogram has" if self._countings else "statistics have"
            if not self._countings and self._statistics is None:
                what = "update ratio is of"
            self._warn(
                "trainable",
                f"The {what} {looked_at:,} of the {there_are:,} weights of the model, since "
                "those of frozen and of quantized layers are not trainable. Pass weights='all' to "
                "count them too.",
            )

    def _warn_of_many(self, report: WeightsReport) -> None:
        per_histogram = sum(each.series for each in self._countings)
        histograms = sum(len(parts) for parts in report.histograms.values())
        gauges = len(STATISTICS) * len(report.statistics) + len(report.update_ratios)
        if (series := per_histogram * histograms + gauges) > _MANY_SERIES:
            self._warn(
                "series",
                f"The weights of the model make {series:,} time series: {per_histogram} for each "
                f"of {histograms:,} histograms, and {gauges:,} gauges. Prometheus keeps each in "
                "memory. Pass gangplank.NativeBuckets(), of which a histogram is one series, or "
                "look at layers rather than variables, or at the model.",
            )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, stacklevel=3)


def _checked(buckets: Any) -> tuple[Any, list[Counting]]:
    """The same buckets as a value that does not change, and how to count into them."""
    if buckets is None:
        return None, []
    if isinstance(buckets, NativeBuckets):
        return buckets, [counting(buckets)]
    if isinstance(buckets, tuple | list) and len(buckets) == 2:
        natives = [each for each in buckets if isinstance(each, NativeBuckets)]
        if len(natives) == 1:
            (bounds,) = (each for each in buckets if each is not natives[0])
            bounds = finite_bounds(bounds, "the bounds in histogram_buckets")
            return (natives[0], bounds), [counting(natives[0]), counting(bounds)]
    bounds = finite_bounds(buckets, "histogram_buckets")
    return bounds, [counting(bounds)]
