"""The HTTP of the embedded gateway."""

import contextlib
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gangplank.gateway.access import REFUSED, may_change, may_read
from gangplank.gateway.api import groups_as_json
from gangplank.gateway.bodies import RefusedError, from_protobuf, from_text, unpacked
from gangplank.gateway.groups import Groups, Labels, grouping_key
from gangplank.gateway.page import HEADERS, page_file
from gangplank.metrics import accepts_protobuf, as_protobuf
from gangplank.server_thread import QuietServer

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_LARGEST_BODY = 8 << 20
_LARGEST_REFUSED_BODY = 64 << 20  # that is read, so that its sender hears why
_LONGEST_REFUSED_BODY = 5.0  # seconds
_MOST_CONNECTIONS = 64
_HEAD = 64 << 10
_NONE: Mapping[str, str] = {}
_GROUP = re.compile(r"/metrics/job(@base64)?/")
_PAGES = ("/", "/metrics", "/api/v1/metrics", "/api/v1/history", "/-/ready", "/-/healthy")
_NOT_FOUND = b"""\
404 page not found. This is a Pushgateway for development, inside a Python process, which serves:

GET /                       a page that shows the runs live
GET /metrics                what was pushed, as Prometheus scrapes it (honor_labels: true)
GET /api/v1/metrics         the same as JSON, group by group
GET /api/v1/history         what was pushed over time, as JSON; ?after=<until of the last answer>
GET /-/ready, /-/healthy    OK

POST   /metrics/job/<job>{/<label>/<value>}    adds metrics to a group
PUT    /metrics/job/<job>{/<label>/<value>}    replaces a group
DELETE /metrics/job/<job>{/<label>/<value>}    removes a group
"""


class Server(QuietServer, ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * _MOST_CONNECTIONS

    def __init__(self, place: tuple[str, int], groups: Groups) -> None:
        super().__init__(place, _Handler)
        self.groups = groups
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


class _Handler(BaseHTTPRequestHandler):
    server: Server
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
        if not may_read(self.headers):
            self._answer(403, REFUSED)
        elif path == "/metrics":
            self._answer(200, *self._metrics())
        elif path == "/api/v1/metrics":
            self._answer(200, groups_as_json(self.server.groups), "application/json")
        elif path == "/api/v1/history":
            self._answer_history()
        elif (file := page_file(path)) is not None:
            self._answer(200, *file, HEADERS)
        elif path in ("/-/ready", "/-/healthy"):
            self._answer(200, b"OK")
        elif _GROUP.match(path):
            self._answer(405, b"Method Not Allowed\n")
        else:
            self._answer(404, _NOT_FOUND)

    def do_PUT(self) -> None:
        self._change(200, lambda key, body: self._push(key, body, replace=True))

    def do_POST(self) -> None:
        self._change(200, lambda key, body: self._push(key, body, replace=False))

    def do_DELETE(self) -> None:
        self._change(202, lambda key, _: self.server.groups.delete(key))

    def do_HEAD(self) -> None:
        self._answer(405)

    do_PATCH = do_OPTIONS = do_HEAD

    def _change(self, status: int, change: Callable[[Labels, bytes], None]) -> None:
        raw_path = self._raw_path()
        path = unquote(raw_path, errors="surrogateescape")
        length = self.headers.get("Content-Length", "0")
        # The body is read, be it after the answer: a connection that is closed on unread bytes is
        # reset, and the answer may be lost with it.
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            self._answer(411, b"Content-Length is required\n")
            self._drain()
        elif (size := int(length)) > _LARGEST_BODY:
            self._answer(413, f"more than {_LARGEST_BODY} bytes\n".encode())
            self._drain()
        elif len(body := self.rfile.read(size)) < size:
            self._answer(400, b"the body ended too early\n")
        elif re.search("%(?![0-9a-fA-F]{2})", raw_path):
            self._answer(400, b"400 Bad Request\n")
        elif not may_change(self.headers):
            self._answer(403, REFUSED)
        elif path in _PAGES:
            self._answer(405, b"Method Not Allowed\n")
        elif not _GROUP.match(path):
            self._answer(404, _NOT_FOUND)
        else:
            try:
                change(grouping_key(path), body)
            except RefusedError as error:
                self._answer(400, f"{error}\n".encode())
            else:
                self._answer(status)

    def _metrics(self) -> tuple[bytes, str]:
        """What was pushed, in the protobuf format for who accepts it, else as text."""
        groups = self.server.groups
        if accepts_protobuf(self.headers.get("Accept", "")):
            return as_protobuf(groups.collect())
        return groups.as_text(), _TEXT_FORMAT

    def _answer_history(self) -> None:
        texts = parse_qs(urlsplit(self.path).query).get("after", ["0"])
        try:
            after = float(texts[0])
        except ValueError:
            after = math.nan
        if math.isfinite(after):
            history = self.server.groups.history.as_json(after)
            self._answer(200, history, "application/json")
        else:
            self._answer(400, b"after must be a time, in seconds of the Unix epoch\n")

    def _push(self, key: Labels, body: bytes, *, replace: bool) -> None:
        body = unpacked(body, self.headers.get("Content-Encoding", ""), _LARGEST_BODY)
        families = from_protobuf(body) if self._is_protobuf() else from_text(body)
        self.server.groups.push(key, families, replace=replace)

    def _is_protobuf(self) -> bool:
        return (
            self.headers.get_content_type() == "application/vnd.google.protobuf"
            and self.headers.get_param("proto") == "io.prometheus.client.MetricFamily"
            and self.headers.get_param("encoding") == "delimited"
        )

    def _drain(self) -> None:
        """Reads what still comes, so that a client which sends before it reads gets the answer."""
        end = time.monotonic() + _LONGEST_REFUSED_BODY
        unread = _LARGEST_REFUSED_BODY
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while unread > 0 and (seconds := end - time.monotonic()) > 0:
                self.connection.settimeout(seconds)
                if not (data := self.connection.recv(_HEAD)):
                    break
                unread -= len(data)

    def _raw_path(self) -> str:
        try:
            return urlsplit(self.path).path
        except ValueError:
            return "%"  # no path either

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "text/plain; charset=utf-8",
        headers: Mapping[str, str] = _NONE,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        # No other site's page may load what stands here, whatever it takes it for.
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a notebook or a test has no use for a line each request."""
