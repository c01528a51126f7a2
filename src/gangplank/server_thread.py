"""A server on a thread of its own."""

import threading
from socketserver import BaseServer

_POLL = 0.05  # seconds that close may take


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
