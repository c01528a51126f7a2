"""Gateways that misbehave: servers that do with each connection what a function says."""

import contextlib
import socket
import threading


@contextlib.contextmanager
def serving(speak, *, peek=False):
    """Calls `speak` with each connection, when it has sent something, and with the end's event.

    What it sent first is taken off the connection unless `peek`.
    """
    end = threading.Event()
    threads = []
    connections = []

    def converse(connection):
        with contextlib.suppress(OSError), connection:
            connection.recv(1 << 16, socket.MSG_PEEK if peek else 0)
            speak(connection, end)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connections.append(listener.accept()[0])
                threads.append(threading.Thread(target=converse, args=(connections[-1],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            end.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def saying_nothing(connection, end):
    end.wait()


def saying(answer):
    def speak(connection, _):
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    return speak


def answering(status, body=b"", *headers):
    """`status` is a code and a reason, such as "503 Unavailable"."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return saying("\r\n".join(lines).encode() + body)


def dripping(head, seconds=0.05):
    """The head at once, then a byte every so many seconds."""

    def speak(connection, end):
        connection.sendall(head)
        while not end.wait(seconds):
            connection.sendall(b"x")

    return speak


def resetting(connection, _):
    # To linger for no time is to reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
