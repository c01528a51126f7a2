"""A server of metrics for a Prometheus, in text or in the protobuf format."""

import errno
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from copy import copy
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_client
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from gangplank.checked_values import checked_port
from gangplank.metrics import accepts_protobuf, as_protobuf, checked_registry
from gangplank.server_thread import QuietServer, ServerThread

_OF_ADDRESSES = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)


class MetricsServer:
    """Serves a registry to Prometheus, from its construction until `close`, on a thread of its own.

    A Prometheus that asks for the protobuf format, as one that takes native histograms does, gets
    it, and with it native histograms, which `prometheus_client.start_http_server` serves only as
    OpenMetrics 2.0; of metrics of your own it has no exemplars then. Everybody else gets what that
    one answers. It has neither TLS nor authentication.

    Arguments:
        port: the TCP port; 0 takes any that is free.
        registry: what is served.
        address: the address of this machine that `port` is of; by default all those of
            IPv4, while "::" is those of IPv6 and, where the system has it so, of both.

    Attributes:
        port: the TCP port.

    Raises:
        ValueError: that is no port, no registry, or the address no text.
        OSError: the port is not free, or the address is none of this machine's.
    """

    def __init__(
        self,
        port: int,
        registry: CollectorRegistry = prometheus_client.REGISTRY,
        address: str = "0.0.0.0",
    ) -> None:
        number = checked_port(port)
        if not isinstance(address, str):
            raise ValueError(f"address must be a text, such as '127.0.0.1'. Received {address!r}.")
        app = _app(checked_registry(registry))
        kind = _ServerV6 if ":" in address else _Server
        try:
            server = make_server(address, number, app, kind, _Handler)
        except OSError as error:
            if (reason := _why_not(port, address, error)) is None:
                raise
            raise OSError(error.errno, reason) from error
        self.port: int = server.server_port
        self._serving = ServerThread(server, "gangplank-metrics")

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._serving.close()

    def __enter__(self) -> "MetricsServer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<MetricsServer at port {self.port}>"


class _Server(QuietServer, ThreadingWSGIServer):
    pass


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds that a client may be silent

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: nobody wants a line each scrape."""


def _why_not(port: int, address: str, error: OSError) -> str | None:
    """Which argument the error is of, and what to do; None where it is of neither."""
    if error.errno in _OF_ADDRESSES or isinstance(error, socket.gaierror):
        return f"address must be one of this machine's. Received {address!r} ({error.strerror})"
    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
        return None
    return (
        f"port must be a free port of {address}, but {port} is not ({error.strerror}). Where "
        "another worker of the same server has it, show the metrics of all of them by "
        "prometheus_client's multiprocess mode; else pass another port, or 0"
    )


class _Shown(Collector):
    """What a registry shows or, of that, the samples of some names.

    The registry itself finds no names that its collectors did not tell when they were registered,
    as those of Keras's metrics.
    """

    def __init__(self, registry: CollectorRegistry, names: Collection[str] | None = None) -> None:
        self._registry, self._names = registry, names

    def restricted_registry(self, names: Collection[str]) -> "_Shown":
        return _Shown(self._registry, names)

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            if self._names is None:
                yield family
            elif samples := [each for each in family.samples if each.name in self._names]:
                shown = copy(family)
                shown.samples = samples
                yield shown


def _app(registry: CollectorRegistry) -> Callable[..., Iterable[bytes]]:
    shown = _Shown(registry)
    as_text = make_wsgi_app(shown)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        is_asked = environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] != "/favicon.ico"
        if not is_asked or not accepts_protobuf(environ.get("HTTP_ACCEPT", "")):
            return as_text(environ, start_response)  # type: ignore[no-any-return]
        names = parse_qs(environ.get("QUERY_STRING", "")).get("name[]")
        asked = shown.restricted_registry(names) if names else shown
        body, content_type = as_protobuf(asked.collect())
        start_response("200 OK", [("Content-Type", content_type)])
        return [body]

    return app
