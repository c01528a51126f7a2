"""A push handler for prometheus_client whose timeout bounds the whole exchange.

prometheus_client's own bounds each wait for a byte, so that a gateway which sends one a second is
waited for without end. It also follows a redirect with a GET, and takes the answer of whatever
page that leads to for the gateway's.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from io import BytesIO
from typing import Any
from urllib.error import HTTPError
from urllib.request import (
    AbstractHTTPHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from gangplank.publishing.proxy import proxy_for

_MOST_OF_A_PAGE = 1000  # bytes


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

    `context` is for https, and `bounded_context` makes it; a new one if None. It raises
    TimeoutError or URLError where the gateway was not heard, and HTTPError where it answered
    anything but 2xx, or a page, as what is no gateway does.
    """

    def send() -> None:
        request = Request(url, data, dict(headers), method=method)
        with opened(request, timeout, context) as answer:
            is_html = answer.headers.get_content_type() == "text/html"
            if is_html and (page := answer.read(_MOST_OF_A_PAGE)):
                words = BytesIO(page)
                raise HTTPError(url, answer.status, answer.reason, answer.headers, words)

    return send


def opened(request: Request, timeout: float, context: ssl.SSLContext | None) -> HTTPResponse:
    """The answer to `request`, whose head and body come within `timeout` seconds from now."""
    proxy = proxy_for(request.full_url)
    # Not build_opener, which adds handlers of redirects and, from Python 3.12 on, one of https
    # that reads the system's certificates each time.
    opener = OpenerDirector()
    for handler in (
        ProxyHandler({request.type: proxy} if proxy else {}),
        _HTTPHandler(),
        _HTTPSHandler(context),
        UnknownHandler(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    answer: HTTPResponse = opener.open(request, timeout=timeout)
    return answer


def bounded_context() -> ssl.SSLContext:
    """A context that trusts the system's certificates, for connections that end in time."""
    context = ssl.create_default_context()
    context.sslsocket_class = _BoundedTLSSocket
    return context


class _Bounded(socket.socket):
    """A socket no call of which lasts beyond its deadline.

    A timer that shuts an ordinary socket would be a thread, and those cannot be started any more
    where Python 3.12 ends a process, which is where a run has its last words.
    """

    deadline: float  # by time.monotonic()

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(_remaining(self.deadline))
        return super().recv_into(*arguments)

    # The sendall of gevent calls it with keywords.
    def send(self, *arguments: Any, **keywords: Any) -> int:
        self.settimeout(_remaining(self.deadline))
        return super().send(*arguments, **keywords)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(_remaining(self.deadline))
        super().sendall(*arguments)


class _BoundedSocket(_Bounded):
    def gettimeout(self) -> float:
        # TLS takes it over, and holds to it in its handshake as a whole.
        return _remaining(self.deadline)


class _BoundedTLSSocket(_Bounded, ssl.SSLSocket):
    def sendall(self, *arguments: Any) -> None:
        try:
            super().sendall(*arguments)
        except (BrokenPipeError, ConnectionResetError):
            # A server of TLS 1.3 refuses a client after the handshake, and the reason waits here.
            with suppress(TimeoutError, ConnectionError):
                self.recv(1)
            raise


class _BoundedConnection(HTTPConnection):
    def __init__(self, host: str, *, timeout: float = 10.0, **options: Any) -> None:
        super().__init__(host, timeout=timeout, **options)
        self._deadline = time.monotonic() + timeout
        self._create_connection = self._connected

    def _connected(self, address: tuple[str, int], *options: Any) -> _BoundedSocket:
        """A connection to the first address of the host that answers in its share of the time."""
        failure: OSError = TimeoutError()
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        for left, (family, kind, protocol, _, place) in zip(
            range(len(found), 0, -1), found, strict=True
        ):
            connection = None
            try:
                connection = _BoundedSocket(family, kind, protocol)
                connection.deadline = self._deadline
                connection.settimeout(_remaining(self._deadline) / left)
                connection.connect(place)
            except OSError as error:
                failure = error
                if connection is not None:
                    connection.close()
            else:
                return connection
        raise failure


class _BoundedHTTPSConnection(_BoundedConnection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        assert isinstance(self.sock, _BoundedTLSSocket)
        self.sock.deadline = self._deadline


class _HTTPHandler(HTTPHandler):
    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_BoundedConnection, request)


class _HTTPSHandler(AbstractHTTPHandler):
    https_request = AbstractHTTPHandler.do_request_

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._context = context

    def https_open(self, request: Request) -> HTTPResponse:
        context = self._context or bounded_context()
        return self.do_open(_BoundedHTTPSConnection, request, context=context)


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
