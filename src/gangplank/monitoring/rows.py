"""What the dashboard shows, row by row."""

from collections.abc import Iterator
from typing import Any

from gangplank.monitoring import queries
from gangplank.monitoring.panels import curves, heat_map, numbers, states

_PHASES = ("train", "test")


class Rows:
    """The panels of the rows; `$job`, `$run` and `$layer` are the dashboard's variables.

    Arguments:
        run_label: the label that tells the runs of a job from one another.
    """

    def __init__(self, run_label: str) -> None:
        self._labels = f'job=~"$job", {run_label}=~"$run"'
        self._of_layer = f'{self._labels}, layer=~"$layer"'
        # Legends, in which a label that a series does not have leaves nothing.
        self._run = f"{{{{job}}}} {{{{{run_label}}}}} {{{{instance}}}} {{{{process}}}}"
        self._metric = f"{{{{__name__}}}} {{{{class}}}} {self._run}"
        self._layer = f"{{{{layer}}}}{{{{variable}}}} {self._run}"

    def runs(self) -> Iterator[Any]:
        """Which runs there are, how far they are, and whether they reach the gateway."""
        yield states(
            "Status",
            "Whether each run goes on, is completed, or has failed.",
            {f"{phase} {self._run}": queries.status(phase, self._labels) for phase in _PHASES},
            width=12,
        )
        yield numbers("Epochs", "Completed ones.", self._of_runs("epochs_count"), width=4)
        yield numbers(
            "Parameters",
            "Of the model, trainable and non-trainable.",
            self._of_runs("model_parameters_count"),
            width=4,
        )
        yield numbers(
            "Elapsed time",
            "How long each run takes, or took.",
            self._of_both("elapsed_time_seconds"),
            unit="s",
            width=4,
        )
        yield curves(
            "Since the last push",
            "More than a minute or so while a run goes on: it hangs, was killed, or cannot reach "
            "the gateway.",
            {
                legend: f"time() - {query}"
                for legend, query in self._of_both("last_push_success_timestamp_seconds").items()
            },
            unit="s",
            width=12,
        )
        yield curves(
            "Failed pushes",
            "Since the exporter was made.",
            self._of_both("push_failures_total"),
            width=12,
        )

    def training(self) -> Iterator[Any]:
        """What Keras logs of `fit`, and how fast it is."""
        yield curves(
            "Losses",
            "Of the validation dashed. One that rises while the other falls: overfitting.",
            {self._metric: queries.losses("train", self._labels)},
            width=12,
        )
        yield curves(
            "Metrics",
            "Whatever else Keras logs, of the validation dashed.",
            {self._metric: queries.keras_metrics("train", self._labels, [queries.LOSSES])},
            width=12,
        )
        yield curves(
            "Learning rate",
            "At each epoch's end.",
            self._of_runs("learning_rate"),
            linear_below=1e-6,
        )
        yield curves(
            "Throughput",
            "Samples a second, without the validation.",
            self._of_runs("samples_per_second"),
        )
        yield curves(
            "Time of an epoch",
            "With its validation.",
            self._of_runs("epoch_time_seconds"),
            unit="s",
        )

    def test(self) -> Iterator[Any]:
        """What Keras logs of `evaluate`."""
        yield numbers(
            "Losses and metrics of the test",
            "The last ones of evaluate().",
            {self._metric: queries.keras_metrics("test", self._labels)},
            width=24,
        )

    def weights(self) -> Iterator[Any]:
        """Statistics of all layers, and the weights of the model."""
        yield curves(
            "Zeros",
            "Their share among the finite weights, with statistics=. A layer of nothing else is "
            "dead.",
            {self._layer: queries.zero_share(self._of_layer)},
            unit="percentunit",
        )
        yield curves(
            "NaN and infinite weights",
            "How many there are, with statistics=; NaN of the model with histogram_buckets=, too.",
            {
                f"nan {self._layer}": f"gangplank_train_weights_nan{{{self._of_layer}}}",
                f"infinite {self._layer}": f"gangplank_train_weights_infinite{{{self._of_layer}}}",
                f"nan of the model {self._run}": self._gauge("model_nan_weights"),
            },
        )
        yield curves(
            "Update ratio",
            "How far weights have moved since they were last looked at, ‖w − w before‖ / ‖w‖, with "
            "update_ratio=. A layer at 0 stands still.",
            {self._layer: f"gangplank_train_weights_update_ratio{{{self._of_layer}}}"},
            linear_below=1e-6,
        )
        yield from self._distribution("the model", "gangplank_train_model_weights", self._labels)

    def layer(self) -> Iterator[Any]:
        """The weights of one layer."""
        yield from self._distribution("$layer", "gangplank_train_layer_weights", self._of_layer)

    def _distribution(self, whose: str, name: str, labels: str) -> Iterator[Any]:
        yield heat_map(
            f"Weights of {whose}",
            "The share of weights in each bucket, native or classic; of several runs together.",
            queries.heat_map(name, labels),
            width=12,
        )
        yield curves(
            f"Quantiles of {whose}",
            "As well as the buckets, native or classic, tell.",
            {
                f"{share:.0%} {self._run}": queries.quantile(share, name, labels)
                for share in queries.QUANTILES
            },
            width=12,
        )

    def _gauge(self, name: str, phase: str = "train") -> str:
        return f"gangplank_{phase}_{name}{{{self._labels}}}"

    def _of_runs(self, name: str) -> dict[str, str]:
        return {self._run: self._gauge(name)}

    def _of_both(self, name: str) -> dict[str, str]:
        return {f"{phase} {self._run}": self._gauge(name, phase) for phase in _PHASES}
