"""Prometheus's recording and alerting rules."""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from gangplank.monitoring import queries
from gangplank.monitoring.progress import progress_rules
from gangplank.monitoring.rule import LAYER, alert, number, record
from gangplank.monitoring.serving_rules import serving_rules

_HEADER = "# Written by `gangplank rules`. Change its options rather than this file.\n"
_DEAD = "layer:gangplank_train_weights_zeros:share"


def rules_yaml(
    *,
    silent_after: float = 300.0,
    patience: int = 10,
    dead_share: float = 0.9,
    slow_after: float = 1.0,
    failed_share: float = 0.05,
) -> str:
    """The rules as YAML, as `rule_files` of a Prometheus names them.

    Arguments:
        silent_after: seconds without a push after which a run that goes on is silent; runs push
            once a minute at least.
        patience: epochs without a better loss after which a run makes no progress, and without a
            better loss of the validation after which it overfits.
        dead_share: the share of zeros among the weights of a layer from which on it is dead.
        slow_after: seconds; a served model is slow where one of 20 calls takes longer.
        failed_share: the share of a served model's calls that fail, or are rejected, from which on
            that is told of.

    Raises:
        ValueError: an argument is not above 0 or not finite, or a share is above 1.
    """
    numbers = {"silent_after": silent_after, "patience": patience, "slow_after": slow_after}
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0 and finite. Received {value!r}.")
    for name, share in (("dead_share", dead_share), ("failed_share", failed_share)):
        if not 0 < share <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1. Received {share!r}.")
    groups = [
        {"name": "gangplank_runs", "rules": [*_runs(silent_after)]},
        {"name": "gangplank_progress", "rules": [*progress_rules(patience)]},
        {"name": "gangplank_weights", "rules": [*_weights(dead_share)]},
        {"name": "gangplank_serving", "rules": [*serving_rules(slow_after, failed_share)]},
    ]
    return _HEADER + yaml.dump({"groups": groups}, Dumper=_Dumper, sort_keys=False, width=1000)


def _runs(silent_after: float) -> Iterator[dict[str, Any]]:
    for phase, name in (("train", "Training"), ("test", "Testing")):
        metric = f"gangplank_{phase}"
        yield alert(
            f"{name}Failed",
            f'{metric}_status{{status="failed"}} == 1',
            severity="critical",
            summary=f"{name} has failed.",
            description="An exception, Ctrl-C, SIGTERM or a loss that is NaN has ended the run.",
        )
        yield alert(
            f"{name}Silent",
            f'{metric}_status{{status="running"}} == 1\n'
            "and ignoring (status)\n"
            f"time() - {metric}_last_push_success_timestamp_seconds > {number(silent_after)}",
            severity="critical",
            summary=f"{name} is silent.",
            description=f"Nothing was pushed for {number(silent_after)} seconds although the run "
            "has not ended: it hangs, was killed, or cannot reach the gateway.",
        )
        yield alert(
            f"{name}PushesFail",
            f"increase({metric}_push_failures_total[10m]) > 5",
            severity="warning",
            summary=f"{name} fails to push.",
            description='{{ printf "%.0f" $value }} pushes failed within 10 minutes. The log of '
            "the run tells why.",
        )
    yield alert(
        "TrainingLossNotFinite",
        # Multiplied by 0, what is NaN or infinite becomes NaN, which equals nothing. Each loss has
        # a label of its own, since the names are lost.
        f'label_replace({{__name__=~"gangplank_train_{queries.LOSSES}"}}, '
        '"metric", "$1", "__name__", "gangplank_train_(.*)") * 0 != 0',
        severity="critical",
        summary="Training has a loss that is NaN or infinite.",
        description="{{ $labels.metric }} is no finite number. Keras's callback TerminateOnNaN "
        "ends such a run.",
    )


def _weights(dead_share: float) -> Iterator[dict[str, Any]]:
    yield record(_DEAD, queries.zero_share())
    yield alert(
        "TrainingWeightsNotFinite",
        "gangplank_train_weights_nan + gangplank_train_weights_infinite > 0\n"
        "or (gangplank_train_model_nan_weights > 0\n"
        "  unless ignoring (layer, variable) gangplank_train_weights_nan > 0)",
        severity="critical",
        summary="Training has weights that are NaN or infinite.",
        of=LAYER,
        description="{{ $value }} weights are not finite.",
    )
    yield alert(
        "TrainingLayerDead",
        f"{_DEAD} >= {number(dead_share)}",
        severity="warning",
        lasts="5m",  # some layers begin as zeros
        summary="Training has a dead layer.",
        of=LAYER,
        description="{{ $value | humanizePercentage }} of the finite weights are zero.",
    )
    yield alert(
        "TrainingLayerStill",
        "gangplank_train_weights_update_ratio == 0",
        severity="warning",
        lasts="5m",  # a learning rate that warms up may begin at 0
        summary="Training leaves a layer as it was.",
        of=LAYER,
        description="The weights have not moved since they were last looked at. Those of frozen "
        "layers, which weights='all' shows, do not move by intention.",
    )


class _Dumper(yaml.SafeDumper):
    """Writes what has several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
