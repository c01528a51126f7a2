"""Getting the newest state of a run to its gateway, in the background."""

import os
import time
from collections.abc import Callable

from gangplank.harmless_logger import HarmlessLogger
from gangplank.publishing import process_end
from gangplank.publishing.auto_reset_event import AutoResetEvent
from gangplank.publishing.delivery import Delivery
from gangplank.publishing.last_push import LastPush
from gangplank.publishing.outage import Outage
from gangplank.publishing.pace import Pace
from gangplank.publishing.push_error import PushError
from gangplank.publishing.pushgateway import Pushgateway
from gangplank.publishing.work_thread import WorkThread

_logger = HarmlessLogger(__name__)

_GRACE = 1.0  # seconds, that a push may take longer than its timeout before the run counts it
_BETWEEN_LOOKS = 0.2  # seconds, at whether the run is over
_LONGEST_SILENCE = 60.0  # seconds, after which a run that shows nothing new is pushed all the same


class Publisher:
    """Pushes the newest state of one run from a thread of its own, which ends with the run.

    Metrics are state: what was overtaken by something newer is not pushed. What fails and may
    pass is tried again after pauses that grow. An outage is logged when it begins and ends. A run
    that shows nothing new for a minute is pushed again, so that it does not seem dead.

    Arguments:
        gateway: where to push to. Its timeout bounds each push, and the end of the run.
        delivery: what each push does.
        is_over: whether the run has ended. If it has without `finish`, it has failed.
        on_failure: called then, before the last push.
        after: the publisher of the run before, which may still be pushing.
        is_watched: whether somebody raises `error`, so that it need not be logged too.
    """

    # No lock, so that the handler of a signal can neither wait for the code that it interrupts nor
    # make it wait. The thread writes what is settled and how pushing fares; how many states there
    # were and the ending are the run's, until it is over and the thread goes on alone. But the run
    # counts a push as late, too: between two of its looks at an outage the thread may end that.

    def __init__(
        self,
        gateway: Pushgateway,
        delivery: Delivery,
        is_over: Callable[[], bool],
        on_failure: Callable[[], None],
        *,
        after: "Publisher | None" = None,
        is_watched: bool = False,
    ) -> None:
        self._gateway = gateway
        self._delivery = delivery
        self._attempt = delivery.attempt
        self._is_over = is_over
        self._on_failure = on_failure
        self._after = after
        self._is_watched = is_watched
        self._process = os.getpid()
        self._woken = AutoResetEvent()

        self._states = 0  # of the registry that were to be pushed, the ending's apart
        self._failed_at: float | None = None
        self._is_stopped = False
        self._is_failure_told = False
        self._ending: LastPush | None = None

        self._settled = 0  # of the states; delivered, overtaken, or given up
        self._has_one_attempt = False
        self._outage: Outage | None = None
        self._follows_a_hang = False
        self._delivered: float | None = None
        self._pace = Pace()

        self._thread = WorkThread(self._work, "gangplank-push")
        process_end.expect(self)

    @property
    def error(self) -> PushError | None:
        """Why the gateway is to be counted as lost, if it is.

        That is at once where a push cannot pass, or none of this run ever did; `timeout` seconds
        into an outage elsewhere.
        """
        outage = self._outage
        if outage is None:
            return None
        is_lost = self._is_lost(outage.error) or outage.seconds() > self._gateway.timeout
        return outage.error.again() if is_lost else None

    def publish(self) -> None:
        """Has what the registry holds pushed soon. Never waits for the gateway.

        It is collected by the thread that pushes, and all anew for another attempt.
        """
        if self._is_forked():
            return
        if self._ending is None:  # else another thread ends the run, with all that was shown
            self._states += 1
        self._woken.set()
        self._note_lateness(self._gateway.timeout + _GRACE)

    def finish(self, *, delete: bool = False) -> PushError | None:
        """Has what the registry holds pushed, or its group deleted, within `timeout` seconds.

        Returns:
            Why that was not done, if it was not.
        """
        if self._is_forked():
            return None
        self._end(delete=delete)
        self.wait()
        process_end.forget(self)
        if self._thread.is_alive():
            self._note_lateness(0.0)
        return self._loss()

    def stop(self) -> None:
        """Ends without another push."""
        self._is_stopped = True
        self._woken.set()
        process_end.forget(self)

    def fail(self, *, is_told: bool = False) -> None:
        """The run has failed: begins its last push. `is_told` where nobody need log a loss."""
        self._is_failure_told |= is_told
        self._failed_at = self._failed_at or time.monotonic()
        self._woken.set()

    def wait(self) -> None:
        """Waits for the last push, at most `timeout` seconds since `finish` or `fail`."""
        began = self._ending.began if self._ending else self._failed_at or time.monotonic()
        self._thread.join(began + self._gateway.timeout - time.monotonic())

    def _is_forked(self) -> bool:
        # A child has no part in the run of its parent, and the thread is not in it.
        return os.getpid() != self._process

    def _newest(self) -> int:
        return self._states + (self._ending is not None)  # of which the last is the ending's

    def _end(self, *, delete: bool = False) -> None:
        self._ending = LastPush(time.monotonic(), self._gateway.timeout, delete)
        self._woken.set()

    def _work(self) -> None:
        if self._after is not None and not self._after._is_forked():
            # What is newer must not arrive before what is older.
            self._after._thread.join(self._gateway.timeout)
            self._follows_a_hang = self._after._is_hung()
        while state := self._next():
            self._after = None
            self._attempt.begin()
            try:
                self._push()
            except PushError as error:
                if (began := self._attempt.taken()) is not None:
                    self._note_failure(error, began)
                self._pace.failed(error)
                if self._has_one_attempt or not error.may_pass:
                    self._give_up(state)
            else:
                self._attempt.taken()
                self._settled = state
                self._pace.succeeded()
                self._note_success()
        process_end.forget(self)
        if self._failed_at is not None and not self._is_failure_told and (loss := self._loss()):
            _logger.error("%s", loss)
        # They hold the frame of the run, and with it its data.
        del self._is_over, self._on_failure

    def _next(self) -> int:
        """Waits until a state is to be pushed, and returns it; 0 if none will be."""
        while True:
            if self._is_stopped:
                return 0
            if self._ending is None and (self._failed_at is not None or self._is_over()):
                self._failed_at = self._failed_at or time.monotonic()
                self._on_failure()
                self._end()
                # A gateway that is down already is tried once more only.
                self._has_one_attempt = self._outage is not None
            ending = self._ending
            if ending is not None and not ending.was_seen:
                ending.was_seen = True
                self._pace.end()
            now = time.monotonic()
            newest = self._newest()
            is_pending = newest > self._settled or (
                ending is None and newest > 0 and self._is_silent(now)
            )
            if ending is not None and not (is_pending and ending.allows(max(now, self._pace.due))):
                return 0
            if is_pending and now >= self._pace.due:
                return newest
            pause = self._pace.due - now if is_pending else _BETWEEN_LOOKS
            self._woken.wait(min(pause, _BETWEEN_LOOKS))

    def _is_silent(self, now: float) -> bool:
        """Whether nothing new was shown for long, or a push that said so may yet pass."""
        is_long = now - self._attempt.last >= _LONGEST_SILENCE
        return is_long or (self._outage is not None and self._outage.error.may_pass)

    def _push(self) -> None:
        self._delivery.push(self._ending)
        if self._follows_a_hang or self._is_hung():
            # It reads only now what it was sent before, and of 60 gateways that were stopped and
            # continued, 55 showed that in the end. After a second push, none did.
            self._delivery.left.look_again()
            self._delivery.push(self._ending)
        self._follows_a_hang = False

    def _is_hung(self) -> bool:
        outage = self._outage
        return outage is not None and outage.hung

    def _give_up(self, state: int) -> None:
        if self._ending is not None and state == self._newest():
            self._ending.is_given_up = True
        else:
            self._settled = state

    def _note_lateness(self, seconds: float) -> None:
        """Counts as failed an attempt that takes longer than `seconds`, or whose collectors hang.

        That is one that neither the handler nor the search for a name bounds.
        """
        is_collecting = self._attempt.is_collecting
        if self._attempt.seconds() <= (_LONGEST_SILENCE if is_collecting else seconds):
            return
        if (began := self._attempt.taken()) is not None:
            self._note_failure(self._late(is_collecting), began)

    def _late(self, is_collecting: bool) -> PushError:
        """The error of a push that takes too long, by whoever takes the time."""
        return self._delivery.slow() if is_collecting else self._gateway.late()

    def _note_failure(self, error: PushError, began: float) -> None:
        self._delivery.failed()
        outage = self._outage
        if outage is None:
            # What fails at the end of a run is told of there, and what is raised by who raises it.
            is_raised = self._is_watched and self._is_lost(error)
            outage = Outage(error, began, is_logged=self._ending is None and not is_raised)
            if outage.is_logged:
                _logger.warning("%s Nothing more is logged until a push succeeds.", error)
            # Not before, as a push that succeeds meanwhile would log the end before the beginning.
            outage = self._outage = self._outage or outage
        outage.add(error, at_the_end=self._ending is not None)

    def _is_lost(self, error: PushError) -> bool:
        """Whether the gateway is to be counted as lost as soon as a push fails like that."""
        return self._delivered is None or not error.may_pass

    def _note_success(self) -> None:
        is_last = self._ending is not None and self._settled == self._newest()
        self._delivery.succeeded(is_last=is_last)
        outage, self._outage = self._outage, None
        self._delivered = time.monotonic()
        if outage is not None and outage.is_logged:
            _logger.warning(
                "The Pushgateway at %s takes the metrics of job %r again, after %.1f s and %d "
                "pushes that failed.",
                self._gateway.address,
                self._gateway.job,
                outage.seconds(),
                outage.failures,
            )

    def _loss(self) -> PushError | None:
        """Why the run's last push was not done, if it was not."""
        if self._newest() == self._settled or self._is_stopped:
            return None
        outage, after = self._outage, self._after
        if outage is not None:
            error = outage.error
        elif after is not None:  # whose push took the time
            error = after._late(after._attempt.is_collecting)
        elif self._thread.is_alive():
            error = self._late(self._attempt.is_collecting)
        else:
            error = self._gateway.not_pushed(RuntimeError("the thread that pushes has ended"))
        if self._delivered is None:
            lost = "It has nothing of this run."
        else:
            ago = time.monotonic() - self._delivered
            lost = f"What is newer than its last push, {ago:.1f} s ago, is lost."
        return error.with_more(lost)
