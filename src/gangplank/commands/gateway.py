"""The embedded gateway by itself, with its page, until Ctrl-C or SIGTERM."""

import signal
import time
from collections.abc import Callable

from gangplank.gateway import Gateway


def run(port: int) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Arguments:
        port: the TCP port on 127.0.0.1; 0 for any free one.

    Raises:
        ValueError: the port cannot be had.
    """
    try:
        gateway = Gateway(port)
    except OSError as error:
        raise ValueError(f"{error.strerror}.") from None
    with gateway:
        text = f"See the runs at http://{gateway.address}/ and push to {gateway.address}.\n"
        wait_for_interrupt(gateway.address, lambda line: print(line, flush=True), text)


def wait_for_interrupt(address: str, say: Callable[[str], object], text: str = "") -> None:
    """Returns after Ctrl-C or SIGTERM; says before, after another text, that the gateway stays.

    The first process of a container would not heed SIGTERM by itself.
    """
    before_sigterm = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        say(f"{text}The gateway stays up at http://{address} until Ctrl-C.")
        while True:
            time.sleep(1)  # not longer: Ctrl-C just before it is heeded after it
    except KeyboardInterrupt:
        say("The gateway has ended.")
    finally:
        signal.signal(signal.SIGTERM, before_sigterm or signal.SIG_DFL)
