"""The calls of one method of a model, measured."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from gangplank.inference.predictions import Answer, Predictions
from gangplank.inference.samples import first_array, is_symbolic, sample_count

_NO_INPUTS = "training", "mask"  # arguments of a model beside its inputs

# With caches that an operation of TensorFlow has just emptied, prometheus_client's metrics take
# 15 us a call, and noting it for later 2; so many calls at once, 3 us each.
_TOGETHER = 64


class Calls:
    """Calls a method, and shows how that went.

    While a graph is built or a function traced, a model is called without values, and nothing is
    shown.

    Arguments:
        predictions: where that is shown.
        method: the value of the label of the method.
        counter: the name of the counter of its samples.
        on_answer: called with what the method was given and answered, if that is wanted.
        counts_given: whether samples are counted in what it was given, where that tells, since that
            takes less time: a tensor of TensorFlow makes its shape when it is first asked.
        is_shown_at_once: whether nobody will ask for `update`.
    """

    def __init__(
        self,
        predictions: Predictions,
        method: str,
        counter: str,
        on_answer: Callable[[Any, Any], None] | None,
        *,
        counts_given: bool,
        is_shown_at_once: bool,
    ) -> None:
        self._predictions, self._method, self._counter = predictions, method, counter
        self._on_answer = on_answer
        self._counts_given = counts_given
        self._is_shown_at_once = is_shown_at_once
        self._keys = itertools.count()
        self._under_way: dict[int, Any] = {}  # what each call was given
        self._answered: deque[Answer] = deque()
        self._updating = threading.Lock()

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]
    ) -> Any:
        """What `function` answers, or raises."""
        given = arguments[0] if arguments else _first_input(keywords)
        key = next(self._keys)
        self._under_way[key] = given
        if self._is_shown_at_once:
            self.update()
        began = time.perf_counter()
        try:
            answer = function(*arguments, **keywords)
        except BaseException as error:
            self._fail(key, given, error)
            raise
        ended = time.perf_counter()
        del self._under_way[key]
        array = first_array(answer)
        if is_symbolic(array.__class__):
            return answer
        samples = sample_count(first_array(given)) if self._counts_given else None
        if samples is None:
            samples = sample_count(array) or 0
        self._answered.append((samples, began, ended))
        if len(self._answered) >= _TOGETHER or self._is_shown_at_once:
            self.update()
        if self._on_answer is not None:
            self._on_answer(given, answer)
        return answer

    def update(self) -> None:
        """Shows what was noted so far."""
        with self._updating:
            in_flight = sum(map(_samples_in_flight, list(self._under_way.values())))
            answers = [self._answered.popleft() for _ in range(len(self._answered))]
            self._predictions.show(self._method, self._counter, answers, in_flight)

    def _fail(self, key: int, given: Any, error: BaseException) -> None:
        del self._under_way[key]
        if not is_symbolic(first_array(given).__class__):
            self._predictions.show_exception(self._method, error)
        if self._is_shown_at_once:
            self.update()


def _first_input(keywords: Mapping[str, Any]) -> Any:
    return next((value for name, value in keywords.items() if name not in _NO_INPUTS), None)


def _samples_in_flight(given: Any) -> int:
    array = first_array(given)
    if is_symbolic(array.__class__):
        return 0
    count = sample_count(array)
    return 1 if count is None else count
