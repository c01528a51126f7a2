"""Gateways that misbehave: servers that do with each connection what a function says."""

import contextlib
import re
import socket
import threading

# The head of a record of a handshake, of which 16,383 bytes are to come.
TLS_RECORD = b"\x16\x03\x03\x3f\xff"


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


@contextlib.contextmanager
def dropping():
    """An address on loopback that drops whoever wants to connect, as a broken route does."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        with contextlib.suppress(TimeoutError):
            while True:  # until its queue is full
                waiting = stack.enter_context(socket.socket())
                waiting.settimeout(0.2)
                waiting.connect(listener.getsockname())
        yield listener.getsockname()


def forwarding(place, heads):
    """A proxy, before which every host is at `place`; the heads of what it got go to `heads`."""

    def speak(connection, _):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1 << 16)
        heads.append(head.decode(errors="replace"))
        host, _, port = place.partition(":")
        with socket.create_connection((host, int(port))) as beyond:
            if head.startswith(b"CONNECT "):
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                beyond.sendall(re.sub(rb"http://[^/]*", b"", head, count=1))
            back = threading.Thread(target=relay, args=(beyond, connection))
            back.start()
            relay(connection, beyond)
            back.join()

    return speak


def relay(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def after(words, speak):
    """Says `words`, and goes on with `speak` when it has been answered."""

    def both(connection, end):
        connection.sendall(words)
        connection.recv(1 << 16)
        speak(connection, end)

    return both


def secured(context, speak):
    """`speak` within TLS, for a server that peeks."""

    def speak_within(connection, end):
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1 << 16)
            speak(secure, end)

    return speak_within


def failing_first(gateway, *answers):
    """A proxy before `gateway` that gives these answers to the first questions."""
    left = list(answers)

    def speak(connection, end):
        is_question = connection.recv(1 << 16, socket.MSG_PEEK).startswith(b"GET")
        (left.pop(0) if is_question and left else forwarding(gateway, []))(connection, end)

    return serving(speak, peek=True)
