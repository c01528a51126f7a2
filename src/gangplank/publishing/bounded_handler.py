"""A push handler for prometheus_client whose timeout bounds the whole exchange.

prometheus_client's own bounds each wait for a byte, so that a gateway which sends one a second is
waited for without end. It also follows a redirect with a GET, and takes the answer of whatever
page that leads to for the gateway's.
"""

import io
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.request import (
    AbstractHTTPHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)


def bounded_handler(
    url: str,
    method: str,
    timeout: float,
    headers: Sequence[tuple[str, str]],
    data: bytes,
    *,
    context: ssl.SSLContext | None = None,
) -> Callable[[], None]:
    """What sends `data` within `timeout` seconds, the resolution of the name apart.

    `context` is for https; one that trusts the system's certificates if None. It raises
    TimeoutError or URLError where the gateway was not heard, and HTTPError where it answered
    anything but 2xx.
    """

    def send() -> None:
        request = Request(url, data, dict(headers), method=method)
        # Not build_opener, which adds handlers of redirects and, from Python 3.12 on, one of https
        # that reads the system's certificates each time.
        opener = OpenerDirector()
        for handler in (
            ProxyHandler(),
            _HTTPHandler(),
            _HTTPSHandler(context),
            HTTPErrorProcessor(),
            HTTPDefaultErrorHandler(),
        ):
            opener.add_handler(handler)
        with opener.open(request, timeout=timeout):
            pass

    return send


class _BoundedConnection(HTTPConnection):
    def __init__(self, host: str, *, timeout: float = 10.0, **options: Any) -> None:
        super().__init__(host, timeout=timeout, **options)
        self._deadline = time.monotonic() + timeout
        self.response_class = partial(_BoundedResponse, deadline=self._deadline)  # type: ignore[assignment]
        self._create_connection = self._connected

    def _connected(self, address: tuple[str, int], *options: Any) -> socket.socket:
        """A connection to the first address of the host that answers, all in time."""
        failure: OSError = TimeoutError()
        for _, _, _, _, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            host, port = str(found[0]), int(found[1])
            try:
                connection = socket.create_connection((host, port), _remaining(self._deadline))
            except OSError as error:
                failure = error
            else:
                connection.settimeout(_remaining(self._deadline))
                return connection
        raise failure

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


class _HTTPSHandler(AbstractHTTPHandler):
    https_request = AbstractHTTPHandler.do_request_

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._context = context

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_BoundedHTTPSConnection, request, context=self._context)


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
