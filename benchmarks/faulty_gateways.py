"""Gateways with whom things go wrong, and what of a run arrives at them."""

import contextlib
import random
import ssl
import tempfile

import trustme
from conftest import held_port, pushgateway_process
from faulty import answering, dripping, resetting, saying, saying_nothing, serving
from samples import metrics_of

EPOCHS = 200


class Fault:
    """A gateway's address, and what befalls it as the run goes on."""

    def __init__(self, address, at_epoch=None, delivered=lambda: "nothing"):
        self.address = address
        self.at_epoch = at_epoch or {}
        self.delivered = delivered


def arrived(address):
    """What a real gateway has in the end."""
    metrics = metrics_of(address, "faults")
    epochs = int(metrics["gangplank_train_epochs_count"])
    return "everything" if epochs == EPOCHS else f"{epochs} epochs"


@contextlib.contextmanager
def healthy():
    with pushgateway_process() as (address, _):
        yield Fault(address, delivered=lambda: arrived(address))


@contextlib.contextmanager
def refused():
    with held_port() as port:
        yield Fault(f"127.0.0.1:{port}")


@contextlib.contextmanager
def unresolvable():
    yield Fault("gateway.invalid:9091")


def speaking(speak):
    @contextlib.contextmanager
    def fault():
        with serving(speak) as address:
            yield Fault(address)

    return fault


@contextlib.contextmanager
def wrong_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def speak(connection, end):
        with contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with serving(speak, peek=True) as address:
        yield Fault(f"https://{address}")


@contextlib.contextmanager
def restarting(goes=0, comes=EPOCHS // 2):
    """A real gateway that is down from one epoch to another."""
    with held_port() as port, contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        address = f"127.0.0.1:{port}"
        if goes:
            first.enter_context(pushgateway_process(port=port))
        yield Fault(
            address,
            {
                goes: first.close,
                comes: lambda: second.enter_context(pushgateway_process(port=port)),
            },
            lambda: arrived(address),
        )


@contextlib.contextmanager
def full_disk():
    """A real gateway that cannot write what it keeps, in a file system of its own of 4 KiB."""
    with tempfile.TemporaryDirectory() as folder:
        script = (
            f"mount -t tmpfs -o size=4k none {folder} && "
            f'head -c 4096 /dev/zero > {folder}/full && exec "$@"'
        )
        with pushgateway_process(
            "--persistence.interval=1s",
            kept_in=f"{folder}/kept",
            command=("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"),
        ) as (address, _):
            yield Fault(address, delivered=lambda: arrived(address))


FAULTS = {
    "works": healthy,
    "refuses the connection": refused,
    "hangs": speaking(saying_nothing),
    "sends a byte a second": speaking(dripping(b"HTTP/1.1 200 OK\r\nX: ", seconds=1)),
    "answers 400": speaking(answering("400 Bad Request", b"no")),
    "answers 401": speaking(answering("401 Unauthorized", b"no")),
    "answers 500": speaking(answering("500 Internal Server Error", b"oh")),
    "resets the connection": speaking(resetting),
    "answers garbage": speaking(saying(random.Random(0).randbytes(2000))),
    "has a wrong certificate": wrong_certificate,
    "has a name that does not resolve": unresolvable,
    "is down for the first half": restarting,
    "is restarted in the middle": lambda: restarting(EPOCHS // 3, 2 * EPOCHS // 3),
    "has a full disk": full_disk,
}
