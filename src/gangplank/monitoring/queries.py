"""PromQL over the metrics of an exporter."""

from collections.abc import Iterable, Iterator

from gangplank.metrics import LEARNING_RATE, RESERVED
from gangplank.weights import NativeBuckets

LOSSES = "(.+_)?loss"
"""Keras's losses, by the rest of their names: a model may have several, each with its ``val_``."""

STATUSES = {"running": 1, "completed": 2, "failed": 3}
"""The number that stands for each status."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

# Powers of 2 are bounds of native buckets of every schema from 0 on, so that no count between them
# has to be estimated.
_MAGNITUDES = [2.0**exponent for exponent in range(-8, 2)]
HEAT_MAP_BOUNDS = (*(-each for each in reversed(_MAGNITUDES)), 0.0, *_MAGNITUDES)
"""The bounds by which a heat map shows native histograms."""


def losses(phase: str, labels: str) -> str:
    """Keras's losses of `phase`, "train" or "test", where `labels` match."""
    return f'{{__name__=~"gangplank_{phase}_{LOSSES}", {labels}}}'


def keras_metrics(phase: str, labels: str, but: Iterable[str] = ()) -> str:
    """Whatever Keras logged, less the names that match one of `but`."""
    others = "|".join([*but, LEARNING_RATE, *RESERVED])
    return (
        f'{{__name__=~"gangplank_{phase}_.+", __name__!~"gangplank_{phase}_({others})", {labels}}}'
    )


def status(phase: str, labels: str) -> str:
    """The number of the status of each run."""
    return " + ignoring (status) ".join(
        f'{number} * gangplank_{phase}_status{{status="{name}", {labels}}}'
        for name, number in STATUSES.items()
    )


def zero_share(labels: str = "") -> str:
    """The share of zeros among the finite weights of each layer (or variable, or of the model).

    How many there are follows from their moments: norm² = count * (mean² + standard deviation²).
    """
    zeros, norm, mean, deviation = (
        f"gangplank_train_weights_{name}{_in_braces(labels)}"
        for name in ("zeros", "norm", "mean", "standard_deviation")
    )
    # Where all are zero, the first part is NaN, which no comparison lets pass.
    return f"{zeros} * ({mean} ^ 2 + {deviation} ^ 2) / {norm} ^ 2 >= 0 or 1 + ({norm} == 0)"


def quantile(share: float, name: str, labels: str) -> str:
    """The quantile of each native histogram, or of the classic one where there is none.

    Weights are a snapshot, so that there is nothing to take a rate of.
    """
    return (
        f"histogram_quantile({share}, {name}{{{labels}}})"
        f" or histogram_quantile({share}, {name}_bucket{{{labels}}})"
    )


def heat_map(name: str, labels: str) -> str:
    """The share of weights up to each bound, by the label `le`, of all these histograms together.

    Of native histograms that are `HEAT_MAP_BOUNDS`, of classic ones their own. Grafana's heat maps
    do not show negative buckets of native histograms: github.com/grafana/grafana/issues/89263
    """
    return f"{' or '.join(_native_rows(name, labels))} or {_classic_rows(name, labels)}"


def _native_rows(name: str, labels: str) -> Iterator[str]:
    for bound in (*HEAT_MAP_BOUNDS, None):
        le = "+Inf" if bound is None else f"{bound:g}"
        # The row that ends at 0 has the whole bucket of zeros.
        end = le if bound is None else repr(bound or NativeBuckets().zero_threshold)
        share = f"histogram_fraction(-Inf, {end}, sum({name}{{{labels}}}))"
        yield f'label_replace({share}, "le", "{le}", "", "")'


def _classic_rows(name: str, labels: str) -> str:
    return (
        f"sum by (le) ({name}_bucket{{{labels}}})"
        f" / on () group_left () sum({name}_count{{{labels}}})"
        f" unless on () sum({name}{{{labels}}})"
    )


def calls(labels: str = "", per: str = "5m") -> str:
    """How many calls a second each method of each served model has answered.

    Of batches there are classic buckets only, so that this does not hang on which a Prometheus has.
    """
    return f"rate(gangplank_predict_batch_samples_count{_in_braces(labels)}[{per}])"


def unanswered(kind: str, labels: str = "", per: str = "5m") -> str:
    """How many calls a second of each method were "failed" or "rejected"."""
    name = f"gangplank_predict_{kind}_total"
    return f"sum without (type) (rate({name}{_in_braces(labels)}[{per}]))"


def share_of_calls(kind: str) -> str:
    """The share of calls that were "failed" or "rejected" among these and those answered."""
    these = unanswered(kind)
    return f"{these}\n/ ({these} + ({calls()} or 0 * {these}))"


def share_unseen() -> str:
    """The share of answered calls that were not looked at for drift."""
    answered = f"sum without (method) ({calls()})"
    failed = "sum without (type) (rate(gangplank_predict_drift_failed_total[5m]))"
    dropped = "rate(gangplank_predict_drift_dropped_total[5m])"
    return f"({failed} + {dropped} or {failed} or {dropped})\n/ {answered}"


def latency(share: float, labels: str = "", per: str = "5m") -> str:
    """The quantile of each method's latencies, by native buckets or classic ones."""
    native, classic = _latency_rate("", labels, per), _latency_rate("_bucket", labels, per)
    return f"histogram_quantile({share}, {native}) or histogram_quantile({share}, {classic})"


def mean_latency(labels: str, per: str) -> str:
    """The mean of each method's latencies."""
    native, total, count = (_latency_rate(part, labels, per) for part in ("", "_sum", "_count"))
    return f"histogram_sum({native}) / histogram_count({native}) or {total} / {count}"


def mean_samples(labels: str, per: str) -> str:
    """How many samples the calls of each method have on average."""
    total = f"rate(gangplank_predict_batch_samples_sum{_in_braces(labels)}[{per}])"
    return f"{total} / {calls(labels, per)}"


def _latency_rate(part: str, labels: str, per: str) -> str:
    return f"rate(gangplank_predict_latency_seconds{part}{_in_braces(labels)}[{per}])"


def _in_braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""
