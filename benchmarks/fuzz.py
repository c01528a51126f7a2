"""Malformed requests, made at random, for the embedded gateway."""

import socket

_VALID = (
    b"POST /metrics/job/fuzz HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
    b'# HELP x Text.\n# TYPE x gauge\nx{a="b"} 1\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\n',
)
_BAD_BODIES = (
    b"x\n",
    b"x{a=1} 1\n",
    b"x 1 2 3\n",
    b"# TYPE x weird\nx 1\n",
    b'x{a="1\n',
    b"x 1\nx 1\n",
    b"x 1 1700000000000\n",
)
_BAD_PATHS = (b"/", b"/metrics", b"/metrics/job/", b"/metrics/job/a/b", b"/%", b"http://[", b"//[/")
_BAD_HEADERS = (b"Content-Length: -1", b"Content-Length: 9" + b"9" * 12, b"Transfer-Encoding: x")


def malformed(rng):
    """A request that no gateway may take."""
    bad_body = rng.choice(_BAD_BODIES)
    return rng.choice(
        (
            lambda: rng.randbytes(rng.randrange(1, 200)).replace(b"\n", b"") + b"\n\r\n\r\n",
            lambda: b"%s / HTTP/1.1\r\n\r\n" % rng.choice((b"FOO", b"PATCH", b"\xff", b"")),
            lambda: b"GET / HTTP/%d.x\r\n\r\n" % rng.randrange(99),
            lambda: b"POST %s HTTP/1.1\r\nContent-Length: 0\r\n\r\n" % rng.choice(_BAD_PATHS),
            lambda: b"POST /metrics/job/a HTTP/1.1\r\n%s\r\n\r\n" % rng.choice(_BAD_HEADERS),
            lambda: _post(bad_body),
            lambda: _post(_mutated(rng, bad_body) + b"\n\xff\n"),
        )
    )()


def mutated(rng):
    """A request that was valid, with some bytes changed; it may still be."""
    return _mutated(rng, _post(_VALID[1]))


def answer(address, request):
    """The status that a gateway answers, or None where it closes without one."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            line = connection.makefile("rb").readline()
        except ConnectionError:  # it has answered, and closed on bytes that it did not want
            return None
    return int(line.split()[1]) if line.startswith(b"HTTP/") else None


def _post(body):
    return _VALID[0] % len(body) + body


def _mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(data)
