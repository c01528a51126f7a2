"""Who may ask: programs on this machine, and no page of another site that a browser shows."""

import re
from email.message import Message
from urllib.parse import urlsplit

_LOCAL = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?", re.IGNORECASE)

REFUSED = (
    b"This gateway is asked as 127.0.0.1, localhost or [::1] only, and not from pages of others.\n"
)


def may_read(headers: Message) -> bool:
    """Whether a request names this machine, as one of DNS rebinding does not.

    The port is not looked at: a tunnel may have another one, and no rebinding can choose the name.
    """
    return all(_LOCAL.fullmatch(host.strip()) for host in headers.get_all("Host", []))


def may_change(headers: Message) -> bool:
    """Whether a request is of no browser, or of a page of this gateway's own.

    Browsers tell with each change what page it is of, and nobody else does.
    """
    origins = headers.get_all("Origin", [])
    return all(_host_of(origin) == headers.get("Host") for origin in origins) and (
        not origins or may_read(headers)
    )


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
