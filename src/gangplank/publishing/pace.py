"""When the next push is due."""

import random
import time

from gangplank.publishing.push_error import PushError

# Seconds.
_BETWEEN_PUSHES = 1.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0
_LONGEST_PAUSE_AT_THE_END = 1.0


class Pace:
    """Has a run push once a second at most, and try again, what failed, ever less often.

    Attributes:
        due: when the next push may begin, by time.monotonic().
    """

    def __init__(self) -> None:
        self.due = 0.0
        self._pause = _FIRST_PAUSE
        self._longest = _LONGEST_PAUSE
        self._asked_to_wait_until = 0.0

    def succeeded(self) -> None:
        """The next push is due in a second."""
        self.due = time.monotonic() + _BETWEEN_PUSHES
        self._pause = _FIRST_PAUSE

    def failed(self, error: PushError) -> None:
        """The next push is due after a pause, of a random length so that many runs do not come
        back at once, that doubles each time; or when the gateway wants it.
        """
        now = time.monotonic()
        self._asked_to_wait_until = now + error.retry_after
        pause = self._pause if error.may_pass else max(self._pause, 2 * _BETWEEN_PUSHES)
        self.due = max(now + pause * random.uniform(0.5, 1), self._asked_to_wait_until)
        self._pause = min(2 * self._pause, self._longest)

    def end(self) -> None:
        """The last push is due now, or when the gateway wants it, and is worth more attempts."""
        self.due = self._asked_to_wait_until
        self._pause = _FIRST_PAUSE
        self._longest = _LONGEST_PAUSE_AT_THE_END
