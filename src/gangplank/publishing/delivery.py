"""What one push does."""

import time

from prometheus_client.core import Metric

from gangplank.metrics import RunMetrics
from gangplank.publishing.attempt import Attempt
from gangplank.publishing.body import Body, body_of
from gangplank.publishing.last_push import LastPush
from gangplank.publishing.left_behind import LeftBehind
from gangplank.publishing.push_error import PushError
from gangplank.publishing.pushgateway import Pushgateway
from gangplank.publishing.run_collector import RunCollector


class Delivery:
    """Collects what a run shows, takes away what earlier ones have left, and pushes.

    Arguments:
        gateway: where to push to.
        pushed: what to push.
        left: what takes away what earlier runs have left there.

    Attributes:
        attempt: the push that is under way.
        left: as above.
    """

    def __init__(self, gateway: Pushgateway, pushed: RunCollector, left: LeftBehind) -> None:
        self.attempt = Attempt()
        self.left = left
        self._gateway = gateway
        self._pushed = pushed

    def begin(self, phase: RunMetrics) -> None:
        """A run of `phase` begins, whose metrics are pushed from now on."""
        self._pushed.begin(phase)
        self.left.begin(phase)

    def push(self, ending: LastPush | None) -> None:
        """Pushes what the registry holds, or deletes its group, in the time that there is.

        Raises:
            PushError: that failed.
        """
        if ending is not None and ending.deletes:
            self._gateway.delete(self._seconds_left(ending))
            self.left.forget()
            return
        families, body = self._collected(ending)
        timeout = self._seconds_left(ending)
        # Whatever it raises: else the thread would end without a word.
        self._gateway.attempt(lambda: self._push_within(families, body, timeout), timeout)

    def failed(self) -> None:
        """A push has failed."""
        for pushes in self._pushed.pushes():
            pushes.note_failure()

    def succeeded(self, *, is_last: bool) -> None:
        """A push has succeeded, perhaps the last one."""
        self.left.pushed(is_last=is_last)
        now = time.time()
        for pushes in self._pushed.pushes():
            pushes.succeeded = now

    def slow(self) -> PushError:
        """The error of collectors that hang, or take all the time that there is."""
        return self._gateway.not_collected(
            RuntimeError("collecting what the registry holds takes too long")
        )

    def _seconds_left(self, ending: LastPush | None) -> float:
        timeout = self._gateway.timeout
        if ending is None:
            return timeout
        return min(timeout, max(0.001, ending.ends - time.monotonic()))

    def _collected(self, ending: LastPush | None) -> tuple[list[Metric], Body]:
        began = time.monotonic()
        try:
            with self.attempt.collecting():
                families = list(self._pushed.collect())
                body = body_of(families)
        except Exception as error:
            raise self._gateway.not_collected(error) from error
        now = time.monotonic()
        if ending is not None and now > ending.ends:
            is_slow = 2 * (now - began) > self._gateway.timeout
            raise self.slow() if is_slow else self._gateway.late()
        return families, body

    def _push_within(self, families: list[Metric], body: Body, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self.left.remove(families, timeout)
        self._gateway.send(body, max(0.001, deadline - time.monotonic()))
