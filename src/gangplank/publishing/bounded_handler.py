"""A push handler for prometheus_client whose timeout bounds the whole exchange.

prometheus_client's own bounds each wait for a byte, so that a gateway which sends one a second is
waited for without end. It also follows a redirect with a GET, and takes the answer of whatever
page that leads to for the gateway's.
"""

import io
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    Request,
    build_opener,
)


def bounded_handler(
    url: str,
    method: str,
    timeout: float,
    headers: Sequence[tuple[str, str]],
    data: bytes,
) -> Callable[[], None]:
    """What sends `data` within `timeout` seconds, the resolution of the name apart.

    It raises TimeoutError or URLError where the gateway was not heard, and HTTPError where it
    answered anything but 2xx.
    """

    def send() -> None:
        request = Request(url, data, dict(headers), method=method)
        opener = build_opener(_HTTPHandler, _HTTPSHandler, _NoRedirects)
        with opener.open(request, timeout=timeout):
            pass

    return send


class _BoundedConnection(HTTPConnection):
    def __init__(self, host: str, *, timeout: float = 10.0, **options: Any) -> None:
        super().__init__(host, timeout=timeout, **options)
        self._deadline = time.monotonic() + timeout
        self.response_class = partial(_BoundedResponse, deadline=self._deadline)  # type: ignore[assignment]

    def connect(self) -> None:
        self.timeout = _remaining(self._deadline)
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(_remaining(self._deadline))
        super().send(data)


class _BoundedHTTPSConnection(_BoundedConnection, HTTPSConnection):
    pass


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, deadline: float, **options: Any):
        super().__init__(sock, *arguments, **options)
        unbounded = self.fp.detach()
        self.fp = io.BufferedReader(_BoundedReader(unbounded, sock, deadline))


class _BoundedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_remaining(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _HTTPHandler(HTTPHandler):
    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_BoundedConnection, request)


class _HTTPSHandler(HTTPSHandler):
    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_BoundedHTTPSConnection, request)


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *redirect: Any) -> None:
        """None, so that the redirect itself is the answer."""


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
