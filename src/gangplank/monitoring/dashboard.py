"""The Grafana dashboard."""

import json
from itertools import count

from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from gangplank.metrics import OWN_LABELS, is_label_name
from gangplank.monitoring.panels import DATA_SOURCE
from gangplank.monitoring.rows import Rows
from gangplank.monitoring.serving_row import serving_panels

_RUNS = '__name__=~"gangplank_(train|test)_status"'
_SERVED = '__name__="gangplank_predict_total"'
_JOBS = '__name__=~"gangplank_((train|test)_status|predict_total)"'
_LAYERS = '__name__=~"gangplank_train_(layer_weights(_count)?|weights_norm|weights_update_ratio)"'
_LABEL_VALUES = 1  # the kind of such a query of a variable, as Grafana saves it


def dashboard_json(run_label: str = "run") -> str:
    """The dashboard as JSON, for Grafana 11.6 or later.

    Arguments:
        run_label: the label that tells the runs of a job from one another, of a `grouping_key`.

    Raises:
        ValueError: `run_label` is no name that a label of a `grouping_key` can have.
    """
    if not is_label_name(run_label) or run_label in OWN_LABELS:
        raise ValueError(
            "run_label must be the name of a label of a grouping_key, such as 'run'. Received "
            f"{run_label!r}."
        )
    builder = (
        Dashboard("gangplank")
        .uid("gangplank")
        .description("How Keras trains, tests and serves, and what becomes of the weights.")
        .tags(["gangplank", "keras"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("10s")
        .with_variable(DatasourceVariable("datasource").label("data source").type("prometheus"))
        .with_variable(_variable("job", _JOBS, "job"))
        .with_variable(_variable("run", f'{_RUNS}, job=~"$job"', run_label))
        .with_variable(_variable("layer", f'{_LAYERS}, job=~"$job", {run_label}=~"$run"', "layer"))
        .with_variable(_variable("model", f'{_SERVED}, job=~"$job"', "model"))
    )
    rows = Rows(run_label)
    ids = count(1)
    for row, panels in (
        (Row("Runs"), rows.runs()),
        (Row("Training"), rows.training()),
        (Row("Test"), rows.test()),
        (Row("Weights"), rows.weights()),
        # Of who serves nothing, Grafana shows a title, and asks nothing for it.
        (Row("Serving").collapsed(True), serving_panels()),
        (Row("$layer").repeat("layer"), rows.layer()),
    ):
        row.id(next(ids))
        numbered = [panel.id(next(ids)) for panel in panels]
        if row.build().collapsed:
            for panel in numbered:
                row.with_panel(panel)
            builder.with_row(row)
        else:
            builder.with_row(row)
            for panel in numbered:
                builder.with_panel(panel)
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2) + "\n"


def _variable(name: str, matchers: str, label: str) -> QueryVariable:
    """A variable of the values that `label` has where `matchers` match; all of them at first."""
    return (
        QueryVariable(name)
        .query(
            {
                "qryType": _LABEL_VALUES,
                "query": f"label_values({{{matchers}}}, {label})",
                "refId": "PrometheusVariableQueryEditor-VariableQuery",
            }
        )
        .datasource(DATA_SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value("(?s).*")  # also what has no such label, or one of several lines
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
