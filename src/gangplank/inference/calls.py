"""The calls of one method of a model, measured."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from gangplank.inference.predictions import Answer
from gangplank.inference.samples import first_array, is_symbolic, sample_count, samples_answered

# With caches that an operation of TensorFlow has just emptied, prometheus_client's metrics took
# 18 us a call; to note it for later, and to show so many at once, took half of that.
TOGETHER = 64

_NO_INPUTS = "training", "mask"  # arguments of a model beside its inputs


class Calls:
    """Calls a method, and notes how that went until somebody shows it.

    While a graph is built or a function traced, a model is called without values, and nothing is
    noted.

    Arguments:
        counts_given: whether samples are counted in what is given, where that tells, even if the
            answer does. It takes less time, since a tensor of TensorFlow makes its shape when it
            is first asked.
        notes: how many answered calls are noted until `show` is called.
        show: shows what is noted. Is called as each call begins, too, if each is to be shown.
        on_error: called with what a call raises.
        on_answer: called with what a call was given and answered, if that is wanted.
    """

    def __init__(
        self,
        *,
        counts_given: bool,
        notes: int,
        show: Callable[[], None],
        on_error: Callable[[BaseException], None],
        on_answer: Callable[[Any, Any], None] | None,
    ) -> None:
        self._counts_given, self._notes = counts_given, notes
        self._show, self._on_error, self._on_answer = show, on_error, on_answer
        self._keys = itertools.count()
        self._under_way: dict[int, Any] = {}  # what each call was given
        self._answers: deque[Answer] = deque()

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]
    ) -> Any:
        """What `function` answers, or raises."""
        given = arguments[0] if arguments else _first_input(keywords)
        key = next(self._keys)
        try:
            self._under_way[key] = given
            if self._notes == 1:
                self._show()
            began = time.perf_counter()
            answer = function(*arguments, **keywords)
            ended = time.perf_counter()
        except BaseException as error:
            self._under_way.pop(key, None)
            if not is_symbolic(first_array(given).__class__):
                self._on_error(error)
            raise
        finally:
            self._under_way.pop(key, None)  # also where a signal's handler raises
        is_given_counted = self._counts_given or sample_count(first_array(answer)) is None
        samples = samples_answered(given if is_given_counted else answer, answer)
        if samples is None:
            return answer
        self._answers.append((samples, began, ended))
        if self._on_answer is not None:
            self._on_answer(given, answer)
        if len(self._answers) >= self._notes:
            self._show()
        return answer

    def take_answers(self) -> list[Answer]:
        """The answered calls that were noted since the last time. Only one thread may call it."""
        taken = []
        while self._answers:
            taken.append(self._answers.popleft())
        return taken

    def samples_in_flight(self) -> int:
        """How many samples are in calls under way."""
        return sum(map(_samples_in_flight, list(self._under_way.values())))

    def forget(self) -> None:
        """Forgets what another process does, of which this one is a copy."""
        self._under_way.clear()
        self._answers.clear()


def _first_input(keywords: Mapping[str, Any]) -> Any:
    """That of `predict`, by its name; or the first one of a model of any signature."""
    if "x" in keywords:
        return keywords["x"]
    inputs = [value for name, value in keywords.items() if name not in _NO_INPUTS]
    arrays = (each for each in inputs if sample_count(first_array(each)) is not None)
    return next(arrays, inputs[0] if inputs else None)


def _samples_in_flight(given: Any) -> int:
    array = first_array(given)
    if is_symbolic(array.__class__):
        return 0
    count = sample_count(array)
    return 1 if count is None else count
