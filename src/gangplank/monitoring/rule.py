"""Rules of Prometheus, as its files have them."""

from typing import Any, Literal

_RUN = ("run", "instance", "process")
_PART = ("layer", "variable")


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
    is_of_layers: bool = False,
) -> dict[str, Any]:
    """A rule that alerts of each series that a query answers.

    Arguments:
        name: the alert's.
        query: what answers nothing while all is well.
        severity: the label by which Alertmanager may tell whom to wake.
        summary: what is wrong, behind the job and its run, and the layer.
        description: more of it.
        lasts: for how long the query must have answered; at once by default.
        is_of_layers: whether the series may be of a layer or a variable.
    """
    whose = "{{ $labels.job }}" + "".join(
        f"{{{{ with $labels.{label} }}}}, {label} {{{{ . }}}}{{{{ end }}}}"
        for label in (*_RUN, *(_PART if is_of_layers else ()))
    )
    return {
        "alert": name,
        "expr": query,
        **({} if lasts is None else {"for": lasts}),
        "labels": {"severity": severity},
        "annotations": {"summary": f"{whose}: {summary}", "description": description},
    }
