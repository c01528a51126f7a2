"""Getting a registry to a Pushgateway."""

import contextlib
import numbers
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, pushadd_to_gateway
from prometheus_client.exposition import default_handler

from gangplank.labels import is_label_name

Handler = Callable[..., Callable[[], None]]
"""A push handler as prometheus_client defines it: called with url, method, timeout, headers
and data, it returns a function that sends them."""


class PushError(OSError):
    """A gateway did not take a push. The message says which, whose, why, and what to check."""


@dataclass
class Publisher:
    """Pushes one job's metrics to one gateway.

    Attributes:
        address: of the Pushgateway, as ``host:port`` or an http(s) URL; None pushes nowhere.
        job: the job label, not empty.
        grouping_key: further labels that tell this group of metrics from others of the job.
        handler: prometheus_client's push handler; its default one if None.
        timeout: seconds that a push may take in all.

    Raises:
        ValueError: an attribute is not as above. The message never holds a password.
    """

    address: str | None
    job: str
    grouping_key: Mapping[str, str] | None = None
    handler: Handler | None = field(default=None, repr=False)
    timeout: float = 10.0
    _pushing: threading.Thread | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.address is not None:
            _check_address(self.address)
        _check_label_value("job", self.job)
        if not self.job:
            raise ValueError("job must not be empty. Name the job, such as 'mnist'.")
        _check_grouping_key(self.grouping_key)
        if self.handler is not None and not callable(self.handler):
            raise ValueError(
                f"handler must be a function. Received {self.handler!r}. Pass a push handler as "
                "prometheus_client has them, such as one that calls its basic_auth_handler."
            )
        if not _is_positive(self.timeout):
            raise ValueError(
                f"timeout must be a positive number of seconds. Received {self.timeout!r}."
            )

    def publish(self, registry: CollectorRegistry) -> None:
        """Pushes what `registry` holds; what it does not name stays on the gateway (POST).

        Raises:
            PushError: the gateway did not take it and has what it had before; or it did not
                answer in time, and may yet take it.
        """
        if self.address is None:
            return
        try:
            self._push_in_time(self.address, registry)
        except Exception as error:
            raise PushError(
                f"The metrics of job {self.job!r} were not pushed to the Pushgateway at "
                f"{self.address}: {self._reason(error)}"
            ) from error

    def _push_in_time(self, address: str, registry: CollectorRegistry) -> None:
        """Pushes on a thread, which is left behind where `timeout` ends first.

        A socket's timeout bounds each wait for a byte, but neither the sum of them nor the
        resolution of a name. A push that was left behind may still arrive, so the next one
        waits for it: what is newer must not arrive before what is older.
        """
        deadline = time.monotonic() + self.timeout
        failures: list[Exception] = []

        def push() -> None:
            try:
                pushadd_to_gateway(
                    address,
                    self.job,
                    registry,
                    grouping_key=dict(self.grouping_key or {}),
                    timeout=self.timeout,
                    handler=self.handler or default_handler,
                )
            except Exception as error:
                # An answer's words are read here, where they cannot hold up the training.
                if isinstance(error, HTTPError):
                    error.msg = f"{error.msg}: {_words(error)}"
                failures.append(error)

        if self._pushing is not None:
            _join(self._pushing, deadline)
        self._pushing = threading.Thread(target=push, name="gangplank-push", daemon=True)
        self._pushing.start()
        _join(self._pushing, deadline)
        if failures:
            raise failures[0]

    def _reason(self, error: Exception) -> str:
        """What went wrong, in the gateway's words where it said any, and what to check."""
        if isinstance(error, HTTPError):
            advice = {
                400: "Check whether metrics of these names stand there with another type.",
                401: "Check the credentials that the handler sends.",
                403: "Check what the credentials that the handler sends are allowed to do.",
            }.get(error.code, "Check that this is the address of a Pushgateway.")
            return f"it answered {error.code} {_one_line(error.msg)} {advice}"
        if isinstance(error, URLError) and isinstance(error.reason, Exception):
            error = error.reason
        if isinstance(error, TimeoutError):
            return (
                f"it did not answer within {self.timeout:g} s. "
                "Check that it is up and can be reached, or raise the timeout."
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{error.verify_message}. Check its certificate, and SSL_CERT_FILE for your CA."
        if isinstance(error, socket.gaierror):
            return f"its name is not known ({error.strerror}). Check the address."
        cause = f"{_one_line(str(error)) or 'no more is known'} ({type(error).__name__}). "
        if isinstance(error, OSError | HTTPException):
            return f"{cause}Check that a Pushgateway is up there: curl {self.address}/-/ready"
        return f"{cause}Check the handler, and the collectors in the registry."


def _join(thread: threading.Thread, deadline: float) -> None:
    thread.join(max(0, deadline - time.monotonic()))
    if thread.is_alive():
        raise TimeoutError


def _words(error: HTTPError) -> str:
    """The body of an answer, quoted."""
    with contextlib.closing(error), contextlib.suppress(OSError, HTTPException):
        return f"{_one_line(error.read(500).decode(errors='replace'))!r}."
    return "its words were lost."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _check_address(address: Any) -> None:
    advice = "Pass the address of a Pushgateway, such as '127.0.0.1:9091' or 'https://host'."
    if not isinstance(address, str):
        raise ValueError(f"pgw_addr must be a str or None. Received {address!r}. {advice}")
    if "@" in address:
        raise ValueError(
            "pgw_addr must not hold a user or a password. Pass a handler that sends them, such as "
            "one made with prometheus_client.exposition.basic_auth_handler."
        )
    try:
        url = urlsplit(address if "://" in address else f"http://{address}")
        is_address = (
            url.scheme in ("http", "https")
            and url.hostname is not None
            and url.port != 0
            and not (url.query or url.fragment)
            and re.search(r"[\s\x00-\x1f\x7f]", address) is None
        )
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError(
            f"pgw_addr must be the address of a gateway. Received {address!r}. {advice}"
        )


def _check_label_value(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a str. Received {value!r}. Pass str({value!r}).")
    if value in (".", ".."):
        raise ValueError(f"{name} must not be {value!r}, which no URL of a gateway can hold.")


def _check_grouping_key(grouping_key: Any) -> None:
    if grouping_key is None:
        return
    if not isinstance(grouping_key, Mapping):
        raise ValueError(
            "grouping_key must map label names to values, such as {'instance': 'gpu-7'}. "
            f"Received {grouping_key!r}."
        )
    for name, value in grouping_key.items():
        if not isinstance(name, str) or not is_label_name(name):
            raise ValueError(f"grouping_key must have label names as keys. Received {name!r}.")
        if name in ("job", "le"):
            raise ValueError(
                f"grouping_key must not name the label {name!r}, which gangplank sets itself."
            )
        _check_label_value(f"grouping_key[{name!r}]", value)


def _is_positive(seconds: Any) -> bool:
    return isinstance(seconds, numbers.Real) and 0 < seconds <= threading.TIMEOUT_MAX  # type: ignore[operator]
