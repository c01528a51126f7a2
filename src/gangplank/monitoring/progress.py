"""Rules that follow the best loss of each run."""

from collections.abc import Iterator
from typing import Any

from gangplank.monitoring.rule import alert, record

_EPOCHS = "gangplank_train_epochs_count"
_LOSS = "gangplank_train_loss"
_VALIDATION = "gangplank_train_val_loss"
_IS_RUNNING = 'ignoring (status) gangplank_train_status{status="running"} == 1'
# Within minutes of another run's begin, so that no scrape interval misses it.
_IS_NEW = "resets(gangplank_train_elapsed_time_seconds[5m]) > 0"


def progress_rules(patience: int) -> Iterator[dict[str, Any]]:
    """Rules that count epochs, however long they take, since each run was at its best.

    PromQL cannot look back by epochs, but a rule can read what it has recorded the last time:
    the rules of a group are evaluated in their order, and what they record of a run is left out
    as soon as it has ended, and begins anew with the next one.
    """
    yield from _followed(_LOSS, {"best_epoch": _EPOCHS})
    yield from _followed(_VALIDATION, {"best_epoch": _EPOCHS, "train_loss_at_best": _LOSS})
    yield alert(
        "TrainingNoProgress",
        f"{_EPOCHS} - {_recorded(_LOSS, 'best_epoch')} >= {patience}",
        severity="warning",
        summary="Training makes no progress.",
        description="The loss was at its best {{ $value }} epochs ago.",
    )
    yield alert(
        "TrainingOverfits",
        f"{_EPOCHS} - {_recorded(_VALIDATION, 'best_epoch')} >= {patience}\n"
        f"and {_VALIDATION} > {_recorded(_VALIDATION, 'best')}\n"
        f"and {_LOSS} < {_recorded(_VALIDATION, 'train_loss_at_best')}",
        severity="warning",
        summary="Training overfits.",
        description="The loss of the validation was at its best {{ $value }} epochs ago and has "
        "risen since, while that of the training has fallen.",
    )


def _followed(loss: str, remembered: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Rules that record the best value of `loss`, and what the others were then."""
    finite, best = _recorded(loss, "finite"), _recorded(loss, "best")
    yield record(finite, f"{loss} < Inf\nand {_IS_RUNNING}")
    # The best one is recorded last, so that until then it is that of the time before.
    for name, value in {**remembered, "best": finite}.items():
        before = _recorded(loss, name)
        yield record(
            before,
            f"{value} and ({finite} and {_IS_NEW} or {finite} < {best})\n"
            f"or {before} and {finite}\n"
            f"or {value} and {finite}",
        )


def _recorded(loss: str, what: str) -> str:
    return f"run:{loss}:{what}"
