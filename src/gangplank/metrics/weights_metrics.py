"""What a model's weights look like, as metrics."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from gangplank.metrics.histogram_family import histogram_family
from gangplank.weights import NativeWeightsHistogram, Per, WeightsHistogram, WeightsStatistics

Histograms = tuple[WeightsHistogram | NativeWeightsHistogram, ...]
"""One histogram; or a native one and a classic one of the same weights."""

_HISTOGRAMS: dict[Per, str] = {
    "model": "The model's weights by their value.",
    "layer": "The weights of each layer by their value.",
    "variable": "The weights of each variable by their value.",
}
# Of native ones too, whose sum is known: a gateway complains at each scrape where two texts differ.
_NO_SUM = (
    " Where their sum is not known, a Pushgateway shows _sum as 0, and _sum / _count is no mean."
)
STATISTICS = {
    "zeros": ("zero_count", "Weights that are zero."),
    "infinite": ("infinite_count", "Weights that are infinite."),
    "nan": ("nan_count", "Weights that are NaN."),
    "minimum": ("minimum", "The least finite weight."),
    "maximum": ("maximum", "The greatest finite weight."),
    "mean": ("mean", "The mean of the finite weights."),
    "standard_deviation": ("standard_deviation", "The standard deviation of the finite weights."),
    "norm": ("norm", "The L2 norm of the finite weights."),
}
_NAN = "model_nan_weights"
_NAN_TEXT = "Weights that are NaN, which the histogram does not count."
_UPDATE_RATIO = "weights_update_ratio"
_UPDATE_RATIO_TEXT = "The L2 norm of the change of the weights since the last one, over their own."

WEIGHTS_METRICS = (
    *(f"{per}_weights" for per in _HISTOGRAMS),
    *(
        f"{per}_weights_{series}"
        for per in _HISTOGRAMS
        for series in ("bucket", "count", "sum", "created")
    ),
    _NAN,
    *(f"weights_{name}" for name in STATISTICS),
    _UPDATE_RATIO,
)
"""Names, after ``gangplank_train_``, of the metrics of weights."""


@dataclass(frozen=True)
class WeightsReport:
    """What was found of a model's weights.

    Attributes:
        histograms: by "model", "layer" or "variable", of each layer or variable by its name; that
            of the model has the name "".
        statistics: by the name of a model, layer or variable.
        update_ratios: the same.
        statistics_per: "model", "layer" or "variable".
        created: when they were found, in seconds of the Unix epoch.
    """

    histograms: Mapping[Per, Mapping[str, Histograms]] = field(default_factory=dict)
    statistics: Mapping[str, WeightsStatistics] = field(default_factory=dict)
    update_ratios: Mapping[str, float] = field(default_factory=dict)
    statistics_per: Per = "model"
    created: float = field(default_factory=time.time)


class WeightsMetrics:
    """A report as metrics.

    Arguments:
        prefix: begins their names.
        report: what they show.
    """

    def __init__(self, prefix: str, report: WeightsReport) -> None:
        self._prefix = prefix
        self._report = report
        self._families: list[Metric] | None = None

    @property
    def families(self) -> list[Metric]:
        """Those that the report has values for, made when they are asked for."""
        # Not a cached_property: that of Python 3.11 takes a lock, which a fork may leave held.
        if self._families is None:
            self._families = [family for family in self.all_families() if family.samples]
        return self._families

    def all_families(self) -> Iterator[Metric]:
        """All that there may be, by which a registry refuses such names."""
        report = self._report
        for per, text in _HISTOGRAMS.items():
            parts = report.histograms.get(per, {})
            series = [(_labels(per, name), histograms) for name, histograms in parts.items()]
            name = f"{self._prefix}{per}_weights"
            yield histogram_family(name, text + _NO_SUM, series, report.created)
        of_model = report.histograms.get("model", {})
        nan_counts = {name: each[0].nan_count for name, each in of_model.items()}
        yield self._gauge(_NAN, _NAN_TEXT, nan_counts, "model")
        for name, (attribute, text) in STATISTICS.items():
            values = {part: getattr(each, attribute) for part, each in report.statistics.items()}
            yield self._gauge(f"weights_{name}", text, values, report.statistics_per)
        ratios = report.update_ratios
        yield self._gauge(_UPDATE_RATIO, _UPDATE_RATIO_TEXT, ratios, report.statistics_per)

    def _gauge(self, name: str, text: str, values: Mapping[str, float], per: Per) -> Metric:
        family = Metric(self._prefix + name, text, "gauge")
        for part, value in values.items():
            family.add_sample(family.name, _labels(per, part), value)
        return family


def _labels(per: Per, name: str) -> dict[str, str]:
    return {} if per == "model" else {per: name}
