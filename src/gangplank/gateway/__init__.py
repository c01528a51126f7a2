"""A small Pushgateway inside this process, for development, tests and notebooks.

It takes what prometheus_client pushes, refuses what would not parse or would change a metric's
type, as the real one does, and then shows the same series. It is not for production: it keeps
everything in memory, has neither authentication nor TLS, and listens on 127.0.0.1 only. It takes
bodies of up to 8 MiB, and 64 connections at once; whoever comes then is told 503.

    with gangplank.gateway.Gateway() as gateway:
        callback = gangplank.TrainTestExporter(gateway.address, "mnist")
        model.fit(x, y, callbacks=[callback])
        print(gateway.metrics())
"""

import contextlib
import re
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from prometheus_client import generate_latest

from gangplank.gateway.groups import Groups, Labels, RefusedError, grouping_key

__all__ = ["Gateway"]

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_LARGEST_BODY = 8 << 20
_MOST_CONNECTIONS = 64
_HEAD = 64 << 10
_GROUP = re.compile(r"/metrics/job(@base64)?/")


class Gateway:
    """Serves from its construction until `close`, on a thread of its own.

    Arguments:
        port: the TCP port on 127.0.0.1; any free one by default.

    Attributes:
        address: host and port, as `gangplank.TrainTestExporter` takes them.

    Raises:
        OSError: the port is not free.
    """

    def __init__(self, port: int = 0) -> None:
        self._groups = Groups()
        self._server = _Server(("127.0.0.1", port), _handler(self._groups))
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},  # seconds that close may take
            name="gangplank-gateway",
            daemon=True,
        )
        self._thread.start()

    def metrics(self) -> str:
        """All metrics in Prometheus's text format, as ``GET /metrics`` answers them."""
        return generate_latest(self._groups).decode()

    def close(self) -> None:
        """Stops serving and frees the port; `metrics` still answers."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * _MOST_CONNECTIONS

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._free = threading.Semaphore(_MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # no thread could be started
                self._free.release()
                raise
            return
        with contextlib.suppress(OSError):
            request.settimeout(0.05)
            request.recv(_HEAD)  # closing on unread bytes would take the answer along
            request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a client went away or fell silent; else the traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(groups: Groups) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"groups": groups})


class _Handler(BaseHTTPRequestHandler):
    groups: Groups
    timeout = 10  # seconds that a client may be silent
    raw_requestline: bytes
    default_request_version = "HTTP/1.0"  # that of a request which names none, so it has a status

    def parse_request(self) -> bool:
        # http.server lets a blank line go unanswered.
        if not self.raw_requestline.strip():
            self.raw_requestline = b"?"
        return super().parse_request()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """As http.server does, but what a client did wrong is 4xx, as the real gateway has it."""
        super().send_error({501: 405, 505: 400}.get(code, code), message, explain)

    def do_GET(self) -> None:
        path = self._raw_path()
        if path == "/metrics":
            self._answer(200, generate_latest(self.groups), _TEXT_FORMAT)
        elif path in ("/-/ready", "/-/healthy"):
            self._answer(200, b"OK")
        elif _GROUP.match(path):
            self._answer(405, b"Method Not Allowed\n")
        else:
            self._answer(404, b"404 page not found\n")

    def do_PUT(self) -> None:
        self._change(200, partial(self.groups.push, replace=True))

    def do_POST(self) -> None:
        self._change(200, partial(self.groups.push, replace=False))

    def do_DELETE(self) -> None:
        self._change(202, lambda key, _: self.groups.delete(key))

    def do_HEAD(self) -> None:
        self._answer(405)

    do_PATCH = do_OPTIONS = do_HEAD

    def _change(self, status: int, change: Callable[[Labels, bytes], None]) -> None:
        raw_path = self._raw_path()
        path = unquote(raw_path)
        length = self.headers.get("Content-Length", "0")
        # The body is read before anything is answered: a connection that is closed on unread
        # bytes is reset, and the answer may be lost with it.
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            self._answer(411, b"Content-Length is required\n")
        elif (size := int(length)) > _LARGEST_BODY:
            self._answer(413, b"the body is too large\n")
        elif len(body := self.rfile.read(size)) < size:
            self._answer(400, b"the body ended too early\n")
        elif re.search("%(?![0-9a-fA-F]{2})", raw_path):
            self._answer(400, b"400 Bad Request\n")
        elif path in ("/metrics", "/-/ready", "/-/healthy"):
            self._answer(405, b"Method Not Allowed\n")
        elif not _GROUP.match(path):
            self._answer(404, b"404 page not found\n")
        else:
            try:
                change(grouping_key(path), body)
            except RefusedError as error:
                self._answer(400, f"{error}\n".encode())
            else:
                self._answer(status)

    def _raw_path(self) -> str:
        try:
            return urlsplit(self.path).path
        except ValueError:
            return "%"  # no path either

    def _answer(
        self, status: int, body: bytes = b"", content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a notebook or a test has no use for a line each request."""
