"""The push that is under way."""

import contextlib
import time
from collections.abc import Iterator


class Attempt:
    """A push of a thread, which the thread and the run count as failed: who takes it first.

    Attributes:
        last: when the last one began, or reached for the gateway, by time.monotonic().
        is_collecting: whether it still collects what it is to push. The time that the collectors
            of a registry take is none of the gateway's.
    """

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.is_collecting = False
        self._under_way: list[float] = []  # when it began; no lock is needed to take it

    def begin(self) -> None:
        """One begins."""
        self.last = time.monotonic()
        self._under_way[:] = [self.last]

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """For what comes before the gateway is reached; the attempt begins at its end."""
        self.is_collecting = True
        try:
            yield
        finally:
            self.begin()
            self.is_collecting = False

    def seconds(self) -> float:
        """How long ago that began which nobody has taken."""
        return max((time.monotonic() - began for began in self._under_way), default=0.0)

    def taken(self) -> float | None:
        """When what is under way began, for the first one that asks."""
        try:
            return self._under_way.pop()
        except IndexError:
            return None
