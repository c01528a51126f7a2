"""A small Pushgateway inside this process, for development, tests and notebooks.

It takes what prometheus_client pushes, compressed by gzip or not, and protobuf, refuses what would
not parse or would change a metric's type, as the real one does, and counts that are none, and then
shows the same series, also as JSON. Text is read as prometheus_client reads it: white space and
numbers may be what the real one refuses, and a counter's name has to end in ``_total``. It is not
for production: it keeps everything in memory, has neither authentication nor TLS, and listens on
127.0.0.1 only. It takes bodies of up to 8 MiB, and 64 connections at once; whoever comes then is
told 503.

    with gangplank.gateway.Gateway() as gateway:
        callback = gangplank.TrainTestExporter(gateway.address, "mnist")
        model.fit(x, y, callbacks=[callback])
        print(gateway.metrics())

In a browser, ``http://<address>/`` shows the runs live, and what they were before.
"""

import errno
import time

from gangplank.checked_values import checked_port
from gangplank.gateway.groups import Groups
from gangplank.gateway.server import Server
from gangplank.publishing import process_end
from gangplank.server_thread import ServerThread

__all__ = ["Gateway"]

_LAST_WORDS = 2.0  # seconds that they may take


class Gateway:
    """Serves from its construction until `close`, on a thread of its own.

    Where an exception leaves a `with` of it, it serves on while a run of this process goes on or
    has not yet said that it failed, for two seconds at most.

    Arguments:
        port: the TCP port on 127.0.0.1; any free one by default.

    Attributes:
        address: host and port, as `gangplank.TrainTestExporter` takes them.

    Raises:
        ValueError: `port` is none.
        OSError: it is not free.
    """

    def __init__(self, port: int = 0) -> None:
        self._groups = Groups()
        place = "127.0.0.1", checked_port(port)
        try:
            server = Server(place, self._groups)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            reason = (
                f"port must be a free port of 127.0.0.1, but {port} is not ({error.strerror}). "
                "Pass another one, or 0 for any"
            )
            raise OSError(error.errno, reason) from error
        self.address = f"127.0.0.1:{server.server_port}"
        self._serving = ServerThread(server, "gangplank-gateway")
        self._is_open = True

    def __repr__(self) -> str:
        return f"<Gateway at {self.address}{'' if self._is_open else ', closed'}>"

    def metrics(self) -> str:
        """All metrics in Prometheus's text format, as ``GET /metrics`` answers them."""
        return self._groups.as_text().decode()

    def close(self) -> None:
        """Stops serving and frees the port; `metrics` still answers."""
        self._is_open = False
        self._serving.close()

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                self._await_last_words()
        finally:
            self.close()

    def _await_last_words(self) -> None:
        """Gives the runs that an exception has ended the time to say so."""
        until = time.monotonic() + _LAST_WORDS
        while process_end.is_expecting() and time.monotonic() < until:
            time.sleep(0.02)
