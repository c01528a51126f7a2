"""What fails beside a prediction, and harms none."""

from gangplank.harmless_logger import HarmlessLogger

# What prometheus_client raises where the files of its multiprocess mode are gone, or closed. Others
# may be those of a signal's handler, which are not to be lost.
METRIC_ERRORS = OSError, ValueError, TypeError

_logger = HarmlessLogger("gangplank.inference")


class OneWarning:
    """A warning of an exception that harms no prediction.

    Arguments:
        message: what it says.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        self._is_logged = False

    def log(self) -> None:
        """Logs it with the exception that is handled, the first time."""
        if not self._is_logged:
            self._is_logged = True
            _logger.warning(self._message, exc_info=True)
