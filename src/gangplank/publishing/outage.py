"""The time in which pushes fail."""

import time
from dataclasses import dataclass

from gangplank.publishing.push_error import PushError


@dataclass
class Outage:
    """The time since pushes began to fail.

    Attributes:
        error: of the last push.
        began: when the first push that failed began, by time.monotonic().
        is_logged: whether the log has a line of it.
        failures: how many pushes have failed.
        hung: whether the gateway let one of them wait.
    """

    error: PushError
    began: float
    is_logged: bool
    failures: int = 0
    hung: bool = False

    def add(self, error: PushError, *, at_the_end: bool) -> None:
        """Another push failed; at the end of a run, perhaps as there was no time left for it."""
        is_timeout = isinstance(error.reason, TimeoutError)
        if not (is_timeout and at_the_end):
            self.error = error
        self.failures += 1
        self.hung = self.hung or is_timeout

    def seconds(self) -> float:
        """How long it lasts."""
        return time.monotonic() - self.began
