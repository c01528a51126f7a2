"""The runs of one exporter, published one after another."""

import contextlib
import threading
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from gangplank.harmless_logger import HarmlessLogger
from gangplank.metrics import RunMetrics, Runs
from gangplank.publishing.delivery import Delivery
from gangplank.publishing.left_behind import LeftBehind
from gangplank.publishing.publisher import Publisher
from gangplank.publishing.push_error import PushError
from gangplank.publishing.pushgateway import Pushgateway
from gangplank.publishing.run_collector import RunCollector

_logger = HarmlessLogger(__name__)

_BETWEEN_LOOKS = 1.0  # seconds


class RunsPublisher:
    """Pushes one run after another, those that are nested together, each by a thread of its own.

    Arguments:
        registry: what holds the metrics.
        phases: all of the exporter's.
        raises: whether what fails is raised, or logged.
        deletes: whether the end of a run that is completed deletes its group.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        phases: Iterable[RunMetrics],
        *,
        raises: bool,
        deletes: bool,
    ) -> None:
        self._registry = registry
        self._phases = list(phases)
        self._told: set[str] = set()
        self._raises = raises
        self._deletes = deletes
        self._publisher: Publisher | None = None
        self._last: Publisher | None = None
        self._delivery: Delivery | None = None
        self._runs = Runs()
        self._watcher: threading.Thread | None = None

    def begin(self, gateway: Pushgateway | None, phase: RunMetrics, runs: Runs) -> None:
        """`runs` begin with one of `phase`. Where `gateway` is None, nothing is pushed."""
        # Runs that an exception has left are still to say that they failed, and those that ended,
        # for whose last push another thread may wait, how.
        if self._publisher is not None and not self._runs.are_left():
            self._publisher.stop()
        self._publisher, self._runs = None, runs
        if gateway is None:
            self._watch()
            return
        left = LeftBehind(gateway, self._delivery.left if self._delivery else None)
        pushed = RunCollector(self._registry, self._phases, self._told)
        self._delivery = Delivery(gateway, pushed, left)
        self._delivery.begin(phase)
        try:
            self._publisher = self._last = Publisher(
                gateway,
                self._delivery,
                is_over=runs.are_left,
                on_failure=runs.fail,
                after=self._last,
                is_watched=self._raises,
            )
        except RuntimeError as error:  # no thread can be started
            failure = gateway.no_thread(error)
            if self._raises:
                raise failure from None
            _logger.error("%s", failure)

    def begin_inside(self, phase: RunMetrics) -> None:
        """A run of `phase` begins inside of those that go on, pushed or not."""
        if self._publisher is None:
            self._watch()
        elif self._delivery is not None:
            self._delivery.begin(phase)

    def push(self) -> None:
        """Has the newest state pushed soon. Raises PushError where that is in vain, if it is to."""
        self.publish()
        self.raise_failure()

    def publish(self) -> None:
        """Has the newest state pushed soon."""
        if (publisher := self._publisher) is not None:
            publisher.publish()

    def raise_failure(self) -> None:
        """Raises PushError where the gateway is to be counted as lost, if it is to."""
        publisher = self._publisher  # which another thread may end
        if publisher is not None and self._raises and (failure := publisher.error):
            publisher.fail(is_told=True)
            raise failure

    def end(self) -> Publisher | None:
        """All runs have ended. What is still to push the last state, if anything, by `finish`."""
        publisher, self._publisher = self._publisher, None
        return publisher

    def finish(
        self,
        publisher: Publisher,
        *,
        is_completed: bool,
        unwinding: type[BaseException] | None = None,
    ) -> None:
        """Waits for the last push, or for the deletion of the group.

        Where that fails, it raises PushError if it is to, and no exception is on its way; where
        that is one, nothing more is told.
        """
        failure = publisher.finish(delete=self._deletes and is_completed)
        if failure is None:
            return
        if self._raises and unwinding is None:
            raise failure
        if not (self._raises and unwinding and issubclass(unwinding, PushError)):
            _logger.error("%s", failure)

    def _watch(self) -> None:
        """Looks whether runs that push nowhere have ended, and lets go of what failed ones had."""
        watcher = self._watcher  # which it takes away as it ends
        if watcher is not None and watcher.is_alive():
            return

        def look() -> None:
            while any(run.status.is_of_keras for run in self._runs.going_on()):
                time.sleep(_BETWEEN_LOOKS)
            # A run may have begun since the last look, and found this thread alive.
            self._watcher = None
            if any(run.status.is_of_keras for run in self._runs.going_on()):
                self._watch()

        self._watcher = threading.Thread(target=look, name="gangplank-watch", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be started
            self._watcher.start()
