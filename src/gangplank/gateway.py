"""A small Pushgateway inside this process, for development, tests and notebooks.

It takes what the real one takes, refuses what that refuses, and shows the same series. It is
not for production: it keeps everything in memory, has neither authentication nor TLS, and
listens on 127.0.0.1 only.

    with gangplank.gateway.Gateway() as gateway:
        callback = gangplank.TrainTestExporter(gateway.address, "mnist")
        model.fit(x, y, callbacks=[callback])
        print(gateway.metrics())
"""

import base64
import binascii
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any
from urllib.parse import unquote, urlsplit

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_LARGEST_BODY = 64 << 20
_SERIES_OF = {
    "histogram": ("", "_bucket", "_count", "_sum"),
    "summary": ("", "_count", "_sum"),
    "counter": ("_total",),
}

_GROUP = re.compile(r"/metrics/job(@base64)?/")

Labels = frozenset[tuple[str, str]]


class RefusedError(ValueError):
    """A request that the gateway answers with 400."""


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
        self._groups = _Groups()
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


@dataclass
class _Group:
    families: dict[str, Metric] = field(default_factory=dict)
    pushed: float = 0.0
    failed: float = 0.0


class _Groups(Collector):
    """The groups of metrics, by their grouping key, as one collector."""

    def __init__(self) -> None:
        self._groups: dict[Labels, _Group] = {}
        self._lock = threading.Lock()

    def push(self, key: Labels, body: bytes, *, replace: bool) -> None:
        """Takes the metrics of a body whole, or raises RefusedError and takes none."""
        families = _parsed(body)
        with self._lock:
            group = self._groups.setdefault(key, _Group())
            try:
                grouped = {name: _in_group(family, key) for name, family in families.items()}
                kept = {} if replace else group.families
                self._check_types(key, kept | grouped)
            except RefusedError:
                group.failed = time.time()
                raise
            group.families = kept | grouped
            group.pushed = time.time()

    def delete(self, key: Labels) -> None:
        with self._lock:
            self._groups.pop(key, None)

    def collect(self) -> Iterable[Metric]:
        """The families of all groups merged by their names, and when each group was pushed."""
        with self._lock:
            groups = sorted((sorted(key), group) for key, group in self._groups.items())
            merged: dict[str, Metric] = {}
            for _, group in groups:
                for name, family in group.families.items():
                    empty = Metric(family.name, family.documentation, family.type)
                    merged.setdefault(name, empty).samples.extend(family.samples)
            for name, documentation, attribute in (
                ("push_failure_time_seconds", "When a push to this group failed last.", "failed"),
                ("push_time_seconds", "When a push to this group succeeded last.", "pushed"),
            ):
                merged[name] = times = GaugeMetricFamily(name, documentation)
                for key, group in groups:
                    labels = {"instance": "", **dict(key)}
                    times.add_sample(name, labels, getattr(group, attribute))
        return [merged[name] for name in sorted(merged)]

    def _check_types(self, key: Labels, families: dict[str, Metric]) -> None:
        others = [group.families for other, group in self._groups.items() if other != key]
        series: dict[str, Metric] = {}
        for family in chain.from_iterable(group.values() for group in (*others, families)):
            for suffix in _SERIES_OF.get(family.type, ("",)):
                first = series.setdefault(family.name + suffix, family)
                if (first.name, first.type) != (family.name, family.type):
                    raise RefusedError(
                        f"pushed metrics are inconsistent with existing metrics: {family.name!r} "
                        f"is a {family.type}, but {first.name!r} is a {first.type} already"
                    )


def _parsed(body: bytes) -> dict[str, Metric]:
    """The families of a body by their names in the text format."""
    families: dict[str, Metric] = {}
    try:
        text = body.decode()
        if text and not text.endswith("\n"):
            raise ValueError("unexpected end of input")
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            first = families.setdefault(name, family)
            if first is family:
                continue
            # Of untyped metrics the parser yields each sample by itself.
            if {first.type, family.type} != {"unknown"}:
                raise ValueError(f"second TYPE line for metric name {name!r}")
            first.samples.extend(family.samples)
    # The parser raises whatever its handling of strings comes upon.
    except Exception as error:
        raise RefusedError(f"text format parsing error: {error}") from error
    return families


def _in_group(family: Metric, key: Labels) -> Metric:
    """`family` with the grouping key's labels on its samples, complete as a gateway shows it."""
    grouped = Metric(family.name, family.documentation, family.type)
    seen: dict[tuple[str, Labels], Sample] = {}
    for sample in family.samples:
        if sample.timestamp is not None:
            raise RefusedError("pushed metrics must not have timestamps")
        labels = {"instance": "", **sample.labels, **dict(key)}
        if family.type == "histogram" and sample.name.endswith("_bucket"):
            labels["le"] = _go_float(labels.get("le", ""))
        identity = sample.name, frozenset(labels.items())
        if identity in seen:
            raise RefusedError(f"{sample.name!r} was pushed twice with the same labels")
        seen[identity] = Sample(sample.name, labels, sample.value)
    grouped.samples = list(seen.values())
    if family.type == "histogram":
        grouped.samples += _missing_totals(family.name, seen)
    return grouped


def _missing_totals(name: str, seen: dict[tuple[str, Labels], Sample]) -> Iterator[Sample]:
    """The ``_sum`` and ``_count`` of 0 that a Pushgateway shows where none were pushed."""
    for series in {
        frozenset((label, value) for label, value in labels if label != "le") for _, labels in seen
    }:
        for total in (f"{name}_sum", f"{name}_count"):
            if (total, series) not in seen:
                yield Sample(total, dict(series), 0)


def _go_float(text: str) -> str:
    """A bound as Go prints it: 0 and not 0.0."""
    try:
        value = float(text)
    except ValueError:
        raise RefusedError(f"expected float as value for 'le' label, got {text!r}") from None
    if abs(value) < 1e21 and value.is_integer():
        return str(int(value))
    return repr(value).replace("inf", "+Inf").replace("-+", "-")


def _grouping_key(path: str) -> Labels:
    """The labels that a path ``/metrics/job/<job>{/<label>/<value>}`` names."""
    components = path.removeprefix("/metrics/").split("/")
    if len(components) % 2:
        raise RefusedError(f"odd number of components in label string {path!r}")
    labels: dict[str, str] = {}
    for name, value in zip(components[::2], components[1::2], strict=True):
        name, at, encoding = name.partition("@")
        if at and encoding != "base64":
            raise RefusedError(f"improper label name {name + at + encoding!r}")
        if re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name) is None:
            raise RefusedError(f"improper label name {name!r}")
        labels.setdefault(name, _from_base64(value) if at else value)
    if not labels["job"]:
        raise RefusedError("job name is required")
    return frozenset(labels.items())


def _from_base64(value: str) -> str:
    stripped = value.rstrip("=")
    try:
        # -_ are the alphabet of URLs; the padding is optional in a path.
        padded = stripped + "=" * (-len(stripped) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise RefusedError(f"invalid base64 encoding {value!r}: {error}") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where a client went away or fell silent; else the traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(groups: _Groups) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"groups": groups})


class _Handler(BaseHTTPRequestHandler):
    groups: _Groups
    timeout = 10  # seconds that a client may be silent

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/metrics":
            self._answer(200, generate_latest(self.groups), CONTENT_TYPE_PLAIN_0_0_4)
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

    def _change(self, status: int, change: Callable[[Labels, bytes], None]) -> None:
        path = unquote(urlsplit(self.path).path)
        size = self.headers.get("Content-Length", "0")
        if path in ("/metrics", "/-/ready", "/-/healthy"):
            self._answer(405, b"Method Not Allowed\n")
        elif not _GROUP.match(path):
            self._answer(404, b"404 page not found\n")
        elif "Transfer-Encoding" in self.headers or not size.isdecimal():
            self._answer(411, b"Content-Length is required\n")
        elif int(size) > _LARGEST_BODY:
            self._answer(413, b"the body is too large\n")
        elif len(body := self.rfile.read(int(size))) < int(size):
            self._answer(400, b"the body ended too early\n")
        else:
            try:
                change(_grouping_key(path), body)
            except RefusedError as error:
                self._answer(400, f"{error}\n".encode())
            else:
                self._answer(status)

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
