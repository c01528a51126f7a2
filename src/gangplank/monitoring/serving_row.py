"""What the dashboard shows of served models."""

from collections.abc import Iterator
from typing import Any

from gangplank.monitoring import queries
from gangplank.monitoring.panels import curves

_LABELS = 'job=~"$job", model=~"$model"'
_PER = "$__rate_interval"  # Grafana's, which spans some scrapes however they come
_MODEL = "{{model}} {{version}} {{job}} {{instance}}"
_METHOD = f"{{{{method}}}} {_MODEL}"
_METHODS = {"predict": "gangplank_predict", "call": "gangplank_predict_call"}


def serving_panels() -> Iterator[Any]:
    """How much is predicted, how fast and how well, and whether the data drift."""
    yield curves(
        "Predicted samples",
        "A second: by predict and predict_on_batch, and by calls of the model.",
        {
            f"{how} {_MODEL}": f"rate({name}_total{{{_LABELS}}}[{_PER}])"
            for how, name in _METHODS.items()
        },
    )
    yield curves(
        "Latency",
        "The mean of calls, and what half of them and 95% of them do not exceed.",
        {
            f"mean {_METHOD}": queries.mean_latency(_LABELS, _PER),
            **{
                f"{share:.0%} {_METHOD}": queries.latency(share, _LABELS, _PER)
                for share in (0.5, 0.95)
            },
        },
        unit="s",
    )
    yield curves(
        "Calls",
        "A second: answered, failed and rejected ones.",
        {
            f"answered {_METHOD}": queries.calls(_LABELS, _PER),
            **{
                f"{kind} {_METHOD}": queries.unanswered(kind, _LABELS, _PER)
                for kind in ("failed", "rejected")
            },
        },
    )
    yield curves(
        "Samples of a call",
        "Their mean.",
        {_METHOD: queries.mean_samples(_LABELS, _PER)},
    )
    yield curves(
        "Samples in flight",
        "In calls that are under way. They pile up where calls take longer than they come apart.",
        {_METHOD: f"gangplank_predict_in_flight_samples{{{_LABELS}}}"},
    )
    yield curves(
        "Time to the first answer",
        "Since the model was wrapped.",
        {_MODEL: f"gangplank_predict_first_answer_seconds{{{_LABELS}}}"},
        unit="s",
    )
    yield curves(
        "Drift",
        "The p-value of the last test: how likely so much of a difference is without drift.",
        {_MODEL: f"gangplank_predict_drift_p_value{{{_LABELS}}}"},
        linear_below=1e-6,
        width=12,
    )
    yield curves(
        "Drift found",
        "The sum of drift_detected; and the calls that were not looked at, since the function for "
        "drift was too slow or failed.",
        {f"{what} {_MODEL}": _drift(what) for what in ("detected", "dropped", "failed")},
        width=12,
    )


def _drift(what: str) -> str:
    return f"sum without (type) (gangplank_predict_drift_{what}_total{{{_LABELS}}})"
