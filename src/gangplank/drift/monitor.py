"""A detector of drift: it gathers a window of samples and compares it with a reference."""

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from gangplank.checked_values import as_float, is_integer
from gangplank.drift.drift import Drift, FeatureDrift
from gangplank.drift.reference import DriftReference
from gangplank.drift.rows import Rows, is_stream, named_arrays, rows_of
from gangplank.drift.window import Window
from gangplank.extras import how_to_install
from gangplank.forks import call_where_forked

if TYPE_CHECKING:
    from gangplank.drift.families import Family


class DriftMonitor:
    """Compares what a served model sees and answers with a reference, window by window.

    Call it with each batch: `PrometheusModel(model, get_drift_metrics_func=monitor)` does, and so
    may a loop of one's own. Each feature of the inputs and each column of the predictions is
    compared by Kolmogorov-Smirnov's test, and the predicted classes by chi-square's, rare ones by
    the binomial test too. There is drift where the least p-value, corrected for the number of
    tests, is at most `level`. So without drift one of ``1 / level`` windows, or fewer, is an alarm,
    on average over references; with a small one it may be more.

    Windows follow one another and share no sample. One ends with the call that fills it. Several
    threads may call. A copy, by pickle too, has the same reference and arguments, and its first
    window begins; so does that of a forked process.

    Arguments:
        reference: a `DriftReference`, or the path of a file of one.
        window: how many samples a window has at least.
        level: the greatest share of windows without drift that may be called drift.

    Attributes:
        reference: the `DriftReference`.
        window: the same.
        level: the same.
        last: the result of the last window that was full, `Drift()` before.

    Raises:
        ValueError: an argument is not as above, or the file holds no reference.
        ModuleNotFoundError: SciPy is not installed.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        reference: DriftReference | str | os.PathLike[str],
        *,
        window: int = 500,
        level: float = 0.05,
    ) -> None:
        self._tests = _tests()
        if isinstance(reference, str | os.PathLike):
            reference = DriftReference.load(reference)
        if not isinstance(reference, DriftReference):
            raise ValueError(
                "reference must be what gangplank.drift_reference() makes, or the path of a file "
                f"that its save() wrote. Received {reference!r:.200}."
            )
        if not is_integer(window) or window < 1:
            raise ValueError(f"window must be an integer of at least 1. Received {window!r}.")
        share = as_float(level)
        if share is None or not 0 < share < 1:
            raise ValueError(f"level must be a number between 0 and 1. Received {level!r}.")
        self.reference, self.window, self.level = reference, int(window), share
        self.last = Drift()
        self._families: list[Family] = []
        self._begin_first()
        call_where_forked(self._begin_first)

    def __repr__(self) -> str:
        return f"DriftMonitor({self.reference!r}, window={self.window}, level={self.level})"

    def __getstate__(self) -> dict[str, Any]:
        return {"reference": self.reference, "window": self.window, "level": self.level}

    def __setstate__(self, state: dict[str, Any]) -> None:
        DriftMonitor.__init__(self, **state)

    def __call__(self, X: Any, Y: Any) -> Drift:  # noqa: N803 # as the proxy calls them
        """Adds samples and what the model answered to them.

        Arguments:
            X: what was passed to `predict`. A generator or a dataset, which to count would use up,
                and None are left out: then the predictions alone are compared.
            Y: what it returned. An empty batch changes nothing.

        Returns:
            The result, at the call that fills a window; else `Drift()`.

        Raises:
            ValueError: the samples are not like those of the reference. Nothing is counted.
        """
        reference = self.reference
        outputs = rows_of(named_arrays(Y, "Predictions"), reference.outputs.leaves, "predictions")
        inputs = None
        if reference.inputs is not None and X is not None and not is_stream(X):
            inputs = rows_of(named_arrays(X, "Samples"), reference.inputs.leaves, "samples")
        if inputs is not None and len(inputs) != len(outputs):
            raise ValueError(
                f"There must be a prediction for each sample. Received {len(inputs)} samples and "
                f"{len(outputs)} predictions."
            )
        with self._lock:
            self._add(inputs, outputs)
            if self._count < self.window:
                return Drift()
            self._families = self._taken()
            self.last = self._compared()
            return self.last

    def report(self) -> list[FeatureDrift]:
        """What was tested of the last full window, the least p-value first.

        A `FeatureDrift` for each feature of the inputs, each column of the predictions and the
        classes of each classifier, whether they have drifted or not: the test, its statistic, the
        corrected p-value, the population stability index and the number of NaN. Empty before the
        first window.
        """
        families = self._families  # no lock, which a signal's handler would wait for
        compared = [
            each for family in families for each in family.compared(len(families) * family.size)
        ]
        return sorted(compared, key=lambda each: (each.p_value, -each.statistic))

    def _begin_first(self) -> None:
        self._lock = threading.Lock()
        inputs, outputs = self.reference.inputs, self.reference.outputs
        self._inputs = None if inputs is None else Window(inputs, self.window)
        self._outputs = Window(outputs, self.window)
        self._begin()

    def _begin(self) -> None:
        self._count = self._input_count = 0
        self._classes = [np.zeros_like(each.counts) for each in self.reference.classes]

    def _add(self, inputs: Rows | None, outputs: Rows) -> None:
        self._count += len(outputs)
        self._outputs.add(outputs)
        for classes, counts in zip(self.reference.classes, self._classes, strict=True):
            counts += classes.count(outputs)
        if self._inputs is not None and inputs is not None:
            self._input_count += len(inputs)
            self._inputs.add(inputs)

    def _taken(self) -> "list[Family]":
        """The tests of the window that ends here."""
        tests, reference = self._tests, self.reference
        families = [tests.FeaturesFamily(reference.outputs, self._outputs.taken(), "output")]
        if self._inputs is not None and self._input_count:
            counts = self._inputs.taken()
            families.insert(0, tests.FeaturesFamily(reference.inputs, counts, "input"))
        if reference.classes:
            families.append(tests.ClassesFamily(reference.classes, self._classes, self._count))
        self._begin()
        return families

    def _compared(self) -> Drift:
        families = self._families
        least = []
        for family in families:
            statistic, p_value = family.least()
            least.append((min(p_value * (len(families) * family.size), 1.0), statistic))
        p_value, statistic = min(least, key=lambda test: test[0])
        return Drift(p_value <= self.level, p_value, statistic)


def _tests() -> Any:
    try:
        from gangplank.drift import families
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Watching for drift needs SciPy ({error}). Install it with: {how_to_install('drift')}",
            name=error.name,
        ) from error
    return families
