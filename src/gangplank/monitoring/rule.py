"""Rules of Prometheus, as its files have them."""

from collections.abc import Iterable
from typing import Any, Literal

LAYER = ("layer", "variable")
SERVED_MODEL = ("model", "version")
_RUN = ("run", "instance", "process")


def number(value: float) -> str:
    """A number as a query has it, to the last digit: 0.1, 300."""
    return repr(float(value)).removesuffix(".0")


def record(name: str, query: str) -> dict[str, Any]:
    """A rule that records what a query answers as the series of `name`."""
    return {"record": name, "expr": query}


def alert(
    name: str,
    query: str,
    *,
    severity: Literal["critical", "warning"],
    summary: str,
    description: str,
    lasts: str | None = None,
    of: Iterable[str] = (),
) -> dict[str, Any]:
    """A rule that alerts of each series that a query answers.

    Arguments:
        name: the alert's.
        query: what answers nothing while all is well.
        severity: the label by which Alertmanager may tell whom to wake.
        summary: what is wrong, behind the job, its run, and what else it is of.
        description: more of it.
        lasts: for how long the query must have answered; at once by default.
        of: further labels that series may have, such as `LAYER` or `SERVED_MODEL`.
    """
    whose = "{{ $labels.job }}" + "".join(
        f"{{{{ with $labels.{label} }}}}, {label} {{{{ . }}}}{{{{ end }}}}"
        for label in (*_RUN, *of)
    )
    return {
        "alert": name,
        "expr": query,
        **({} if lasts is None else {"for": lasts}),
        "labels": {"severity": severity},
        "annotations": {"summary": f"{whose}: {summary}", "description": description},
    }
