"""Names: which of Keras's metrics are exported, what Prometheus calls each, and labels."""

import re
import reprlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from prometheus_client.core import Metric

from gangplank._native import dtype_name, is_array, is_countable

# As many as ImageNet has. Each is a series.
_MOST_CLASSES = 1_000

Value = float | tuple[float, ...]
"""Of a metric: one number, or one a class."""


def checked_metrics(metrics: Any) -> tuple[str, ...] | None:
    """`metrics` as given to a constructor. Raises ValueError if they are neither names nor None."""
    if metrics is None:
        return None
    expected = "metrics must be a list of Keras's names, such as ['loss', 'accuracy'], or None"
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise ValueError(f"{expected} for all of them. Received {metrics!r}.")
    names = tuple(metrics)
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{expected} for all of them, but element {i} is {name!r}. "
                f"Received {list(names)!r}."
            )
    return names


class MetricNames:
    """Gives each metric that Keras logs a name; warns, once, of each that cannot have one.

    Arguments:
        reserved: the names of gangplank's own metrics.
        metrics: Keras's names of the metrics to export, each of which stands for its ``val_``
            twin as well; None for all.
    """

    def __init__(self, reserved: Iterable[str], metrics: tuple[str, ...] | None) -> None:
        self._metrics = metrics
        self._reserved = frozenset(reserved)
        self._names: dict[str, str] = {}
        self._logged: set[str] = set()
        self._told: set[str] = set()

    def named(
        self, logs: Mapping[str, Any], owners: dict[str, str]
    ) -> Iterator[tuple[str, str, Value]]:
        """Of each metric in `logs` that is exported: its name, Keras's name, its value.

        Arguments:
            logs: what Keras logged.
            owners: which of Keras's names has which name in this run; others are added.
        """
        for key, value in logs.items():
            key = str(key)
            if self._metrics is not None and {key, _twin(key)}.isdisjoint(self._metrics):
                continue
            self._logged |= {key, _twin(key)}
            as_float = number(value)
            exported = _numbers(value) if as_float is None else as_float
            name = self._name(key, owners)
            if exported is None:
                self._tell(
                    key,
                    "it is not one number but "
                    f"{reprlib.repr(value)}, and no array of one number for each of at most "
                    f"{_MOST_CLASSES:,} classes",
                )
            elif name is not None:
                yield name, key, exported

    def warn_of_missing(self, logs: Mapping[str, Any], *, validation: bool) -> None:
        """Warns, once each, of metrics to export that Keras has not logged until now.

        Arguments:
            logs: what it logs instead, for the message.
            validation: whether to look for metrics of the validation, or for the others.
        """
        missing = [
            name
            for name in self._metrics or ()
            if name not in self._logged | self._told and name.startswith("val_") == validation
        ]
        if missing:
            self._told.update(missing)
            warnings.warn(
                f"metrics names {_listed(missing)}, which Keras does not log. It logs "
                f"{_listed(logs)}. Correct the name, compile the model with that metric, or put "
                "the exporter behind the callback that logs it.",
                stacklevel=2,
            )

    def _name(self, key: str, owners: dict[str, str]) -> str | None:
        if key not in self._names:
            self._names[key] = _prometheus_name(key)
        name = self._names[key]
        if name in self._reserved:
            taken = "a metric of gangplank's own"
        elif (owner := owners.setdefault(name, key)) != key:
            taken = f"the metric {owner!r}"
        else:
            return name
        self._tell(key, f"in Prometheus {name!r} is already {taken}. Give it another name")
        return None

    def _tell(self, key: str, reason: str) -> None:
        if key not in self._told:
            self._told.add(key)
            warnings.warn(f"Keras's metric {key!r} is not exported: {reason}.", stacklevel=2)


def number(value: Any) -> float | None:
    """`value` as a float, or None where it is not one number."""
    if isinstance(value, float):  # as Keras's own are, of which there may be many
        return value
    try:
        is_complex = isinstance(value, np.generic | np.ndarray) and np.iscomplexobj(value)
        return float(value) if np.ndim(value) == 0 and not is_complex else None
    # Other callbacks log what they like.
    except Exception:
        return None


def _numbers(value: Any) -> Value | None:
    """`value` as one number a class, or None where it is no array of one dimension."""
    try:
        if not is_array(value) or len(value.shape) != 1 or not is_countable(dtype_name(value)):
            return None
        if value.shape[0] > _MOST_CLASSES:
            return None
        numbers = tuple(float(each) for each in value)
    # The device of a tensor may be gone.
    except Exception:
        return None
    # Keras makes a number of an array of one, unless NumPy has ceased to.
    return numbers[0] if len(numbers) == 1 else numbers or None


def _prometheus_name(key: str) -> str:
    """Underscores for what no name may hold; beyond ASCII with the code point in between."""
    # As Prometheus's escaping "values", https://prometheus.io/docs/instrumenting/escaping_schemes/,
    # since gateways such as Debian's take ASCII only. Of names in other scripts underscores alone
    # would leave nothing.
    in_ascii = re.sub(r"[^\x00-\x7f]", lambda match: f"_{ord(match[0]):X}_", key)
    return re.sub(r"[^a-zA-Z0-9_]", "_", in_ascii)


def _twin(key: str) -> str:
    """Keras's name of the metric that `key` is, or is of the validation."""
    return key.removeprefix("val_")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def exposed_name(family: Metric) -> str:
    """The name that a family has on a Pushgateway."""
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


OWN_LABELS = ("job", "le", "status", "class", "layer", "variable")
"""Labels that gangplank's metrics have, or Prometheus sets: a grouping key has none of them."""


def is_label_name(name: str) -> bool:
    """Whether a label that is not Prometheus's own may have this name."""
    return re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name) is not None
