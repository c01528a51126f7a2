"""The kinds of panels that the dashboard has."""

from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders.common import (
    LineStyle,
    ScaleDistributionConfig,
    VizLegendOptions,
)
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions, YAxisConfig
from grafana_foundation_sdk.builders.heatmap import Panel as HeatMap
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models.common import LegendDisplayMode, ScaleDistribution
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from gangplank.monitoring import queries

DATA_SOURCE = DataSourceRef("prometheus", "${datasource}")
"""The Prometheus that the variable `datasource` names."""

_Panel = TypeVar("_Panel", TimeSeries, Stat, StateTimeline, HeatMap)

_HEIGHT = 8
_COLORS = {"running": "blue", "completed": "green", "failed": "red"}


def curves(
    title: str,
    text: str,
    targets: dict[str, str],
    *,
    unit: str = "short",
    width: int = 8,
    linear_below: float | None = None,
) -> TimeSeries:
    """Curves over time; those of the validation are dashed.

    Arguments:
        title: the panel's title.
        text: what it tells, and what that is good for.
        targets: queries by the legends of what they answer.
        unit: Grafana's name of the unit.
        width: in columns, of which there are 24.
        linear_below: makes the scale logarithmic, but below this.
    """
    panel = TimeSeries().unit(unit).fill_opacity(0).legend(_legend())
    panel.override_by_regexp(
        "/_val_/",
        [DynamicConfigValue("custom.lineStyle", LineStyle().fill("dash").dash([10, 10]).build())],
    )
    if linear_below is not None:
        scale = ScaleDistributionConfig().type(ScaleDistribution.SYMLOG).log(10)
        panel.scale_distribution(scale.linear_threshold(linear_below))
    return _described(panel, title, text, targets, width)


def numbers(
    title: str, text: str, targets: dict[str, str], *, unit: str = "short", width: int
) -> Stat:
    """The last value of each series."""
    return _described(Stat().unit(unit), title, text, targets, width)


def states(title: str, text: str, targets: dict[str, str], *, width: int) -> StateTimeline:
    """Since when each run has had which status."""
    words = {
        str(number): ValueMappingResult(text=name, color=_COLORS[name])
        for name, number in queries.STATUSES.items()
    }
    panel = StateTimeline().mappings([ValueMap(words)]).legend(_legend())
    return _described(panel, title, text, targets, width)


def heat_map(title: str, text: str, query: str, *, width: int) -> HeatMap:
    """The share of weights in each bucket over time."""
    panel = (
        HeatMap()
        .calculate(False)
        .color(HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
        .y_axis(YAxisConfig().unit("short"))
        .show_legend()
    )
    return _described(panel, title, text, {"{{le}}": query}, width, PromQueryFormat.HEATMAP)


def _described(
    panel: _Panel,
    title: str,
    text: str,
    targets: dict[str, str],
    width: int,
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> _Panel:
    panel.title(title).description(text).datasource(DATA_SOURCE).height(_HEIGHT).span(width)
    for letter, (legend, query) in zip(ascii_uppercase, targets.items(), strict=False):
        target = Dataquery().expr(query).legend_format(legend).ref_id(letter).format(form).range()
        panel.with_target(target.datasource(DATA_SOURCE))
    return panel


def _legend() -> VizLegendOptions:
    return VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
