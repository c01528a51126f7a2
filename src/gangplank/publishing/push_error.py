"""Why a gateway did not take a push: in its own words, and whether to try again."""

import contextlib
import pickle
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError

from gangplank.publishing.proxy import without_credentials

_LONGEST_WORDS = 500  # bytes of an answer that are quoted
_LONGEST_WAIT = 3600.0  # seconds, whatever Retry-After says


class PushError(OSError):
    """A gateway did not take a push. The message says which, whose, why, and what to check.

    Attributes:
        may_pass: whether the same push may succeed later: the gateway was not reached, did not
            answer in time, or answered 408, 425, 429 or 5xx.
        retry_after: seconds that the gateway asked to wait before the next push, or 0.
        reason: the exception that it comes from, also its ``__cause__``. A copy by `pickle` or
            `copy.deepcopy` has None where it cannot be copied, as an answer cannot.
    """

    may_pass: bool = False
    retry_after: float = 0.0
    reason: BaseException | None = None

    # Keras raises what a hook raised anew, from None, and so would take the cause off.
    @property
    def __cause__(self) -> BaseException | None:
        return self.reason

    @__cause__.setter
    def __cause__(self, cause: BaseException | None) -> None:
        self.reason = cause

    def __reduce__(self) -> tuple[Any, ...]:
        # Of an answer only the way back fails, in which a pool of processes would end.
        try:
            pickle.loads(pickle.dumps(self.reason))
            reason = self.reason
        except Exception:
            reason = None
        return type(self), self.args, {**vars(self), "reason": reason}

    def with_more(self, words: str) -> "PushError":
        """The same error with more words at the end of its message."""
        return self._of(f"{self} {words}")

    def again(self) -> "PushError":
        """The same error to raise, where this one is kept: it would hold whose frames it passed."""
        return self._of(str(self))

    def _of(self, message: str) -> "PushError":
        error = PushError(message)
        error.may_pass, error.retry_after = self.may_pass, self.retry_after
        error.reason = self.reason
        return error


def push_error(
    error: Exception,
    what: str,
    address: str,
    timeout: float,
    *,
    of: float,
    proxy: str | None,
    is_proxy_taken: bool,
) -> PushError:
    """The PushError that `error` is the cause of.

    Arguments:
        error: what the handler raised.
        what: what was not done, such as "The metrics of job 'a' were not pushed to".
        address: of the Pushgateway.
        timeout: seconds that there were.
        of: the timeout that the user knows, of which these were left.
        proxy: the URL of the proxy through which the gateway was to be reached, if any.
        is_proxy_taken: whether it is known that this is how; of a user's handler it is not.
    """
    words = ""
    if isinstance(error, HTTPError):
        words = _words(error, time.monotonic() + timeout)
    elif isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    within = f"{round(timeout, 2):g} s"
    if round(timeout, 2) < round(of, 2):
        within += f", which were left of the timeout of {of:g} s"
    is_by_proxy = proxy is not None and is_proxy_taken
    reason = _reason(error, words, address, within, "the proxy's" if is_by_proxy else "its")
    through = ""
    if proxy is not None:
        words = f"through the proxy {without_credentials(proxy)}"
        if is_by_proxy:
            through = f" {words}"
        else:
            reason += f" A handler that heeds the environment, as urllib does, went {words}."
        reason += " To do without the proxy, name the gateway in the variable no_proxy."
    failure = PushError(f"{what} the Pushgateway at {address}{through}: {reason}")
    failure.may_pass = _may_pass(error)
    failure.retry_after = _retry_after(error)
    # The error of a header that is none repeats it, and with it the secret that it holds.
    failure.reason = None if _is_bad_header(error) else error
    return failure


def collection_error(error: Exception, what: str, address: str) -> PushError:
    """The PushError of a collector that raised `error`, of which the gateway knows nothing."""
    advice = "Check the collectors in the registry."
    failure = PushError(f"{what} the Pushgateway at {address}: {_cause(error)} {advice}")
    failure.may_pass = isinstance(error, OSError)
    failure.reason = error
    return failure


def _reason(error: Exception, words: str, address: str, within: str, whose: str) -> str:
    if isinstance(error, HTTPError):
        advice = {
            400: "Check whether metrics of these names stand there with another type.",
            401: "Check the credentials that the handler sends.",
            403: "Check what the credentials that the handler sends are allowed to do.",
            407: "Check the user and the password in the proxy's URL.",
            413: "Push less at once, such as a histogram of fewer buckets, or raise the limit.",
        }.get(error.code, "Check that this is the address of a Pushgateway.")
        return f"it answered {error.code} {_one_line(str(error.msg))}: {words} {advice}"
    # One with a number is the system's, which gave up earlier.
    if isinstance(error, TimeoutError) and error.errno is None:
        return (
            f"it did not answer within {within}. "
            "Check that it is up and can be reached, or raise the timeout."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        # What was not raised by OpenSSL has no such message.
        reason = getattr(error, "verify_message", None) or _one_line(str(error))
        return f"{reason}. Check its certificate, and SSL_CERT_FILE for your CA."
    if isinstance(error, ssl.SSLEOFError):
        return (
            "it ended the connection while it was made secure. "
            "Check whether it wants a certificate of its clients, which a handler can show."
        )
    if isinstance(error, socket.gaierror):
        return f"{whose} name is not known ({error.strerror}). Check the address."
    if _is_bad_header(error):
        return (
            "a header that the handler sends is none. "
            "Check that no secret in it ends in a line break, as one read from a file may."
        )
    if isinstance(error, OSError | HTTPException):
        return f"{_cause(error)} Check that a Pushgateway is up there (curl {address}/-/ready)."
    return f"{_cause(error)} Check the handler, and the collectors in the registry."


def _cause(error: Exception) -> str:
    return f"{_one_line(str(error)) or 'no more is known'} ({type(error).__name__})."


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in (408, 425, 429)
    if isinstance(error, ssl.SSLEOFError):
        return True
    if isinstance(error, ssl.SSLError | FileNotFoundError | PermissionError):
        return False
    return isinstance(error, OSError | HTTPException)


def _retry_after(error: Exception) -> float:
    headers = error.headers if isinstance(error, HTTPError) else None
    text = str(headers.get("Retry-After", "")) if headers is not None else ""
    try:
        seconds = float(text) if text.isdecimal() else _until(text)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


def _is_bad_header(error: Exception) -> bool:
    return isinstance(error, ValueError) and str(error).startswith("Invalid header value")


def _words(error: HTTPError, deadline: float) -> str:
    """The body of an answer, quoted."""
    words = b""
    # What a handler made itself may have no body, or one that was closed.
    untold = OSError, HTTPException, AttributeError, ValueError
    with contextlib.closing(error), contextlib.suppress(*untold):
        while len(words) < _LONGEST_WORDS and time.monotonic() < deadline:
            more = error.fp.read1(_LONGEST_WORDS - len(words))  # type: ignore[attr-defined]
            if not more:
                break
            words += more
    return f"{_one_line(words.decode(errors='replace'))!r}."


def _one_line(text: str) -> str:
    return " ".join(text.split())
