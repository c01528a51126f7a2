"""Rules that follow served models."""

from collections.abc import Iterator
from typing import Any

from gangplank.monitoring import queries
from gangplank.monitoring.rule import SERVED_MODEL, alert, number

_DRIFT = "gangplank_predict_drift_detected_total"


def serving_rules(slow_after: float, failed_share: float) -> Iterator[dict[str, Any]]:
    """Rules that alert of calls that fail, are rejected or take long, and of drift."""
    yield alert(
        "ServingFails",
        f"{queries.share_of_calls('failed')} >= {number(failed_share)}",
        severity="critical",
        summary="Serving fails.",
        of=SERVED_MODEL,
        description="{{ $value | humanizePercentage }} of the calls raise an exception.",
    )
    yield alert(
        "ServingRejects",
        f"{queries.share_of_calls('rejected')} >= {number(failed_share)}",
        severity="warning",
        summary="Serving rejects what it is given.",
        of=SERVED_MODEL,
        description="{{ $value | humanizePercentage }} of the calls have input that the model does "
        "not take.",
    )
    yield alert(
        "ServingSlow",
        f"({queries.latency(0.95)}) > {number(slow_after)}",
        severity="warning",
        lasts="5m",  # those that a server begins with are slow
        summary="Serving is slow.",
        of=SERVED_MODEL,
        description="One of 20 calls of {{ $labels.method }} takes longer than "
        "{{ $value | humanizeDuration }}.",
    )
    yield alert(
        "ServingDrifts",
        # One that there was none of before has not increased.
        f"increase({_DRIFT}[10m]) > 0\nor {_DRIFT} > 0 unless {_DRIFT} offset 10m",
        severity="warning",
        summary="Serving sees data that drift.",
        of=SERVED_MODEL,
        description="Within 10 minutes, what the model sees or answers was unlike its reference.",
    )
    yield alert(
        "ServingDriftUnseen",
        f"{queries.share_unseen()} > 0.5",
        severity="warning",
        lasts="5m",
        summary="Serving does not see whether data drift.",
        of=SERVED_MODEL,
        description="{{ $value | humanizePercentage }} of the calls are not looked at for drift: "
        "the function for that fails, of which the log tells, or is too slow.",
    )
