"""Servers on threads of their own."""

import sys
import threading
from socketserver import BaseServer
from typing import Any

from gangplank.forks import call_where_forked

_POLL = 0.05  # seconds that close may take


class QuietServer(BaseServer):
    """A server that does not print the errors of connections, such as of clients that go away."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The traceback of all other errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class ServerThread:
    """Has a server serve from now on, until `close`.

    Raises:
        RuntimeError: no thread can be started; the port is free again.
    """

    def __init__(self, server: BaseServer, name: str) -> None:
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL,), name=name, daemon=True
        )
        # A forked process would keep the port taken, and answer nobody there.
        call_where_forked(server.server_close)
        try:
            self._thread.start()
        except RuntimeError:
            server.server_close()
            raise

    def close(self) -> None:
        """Stops serving and frees the port."""
        if self._thread.is_alive():  # which it is not in a process that was forked since
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
