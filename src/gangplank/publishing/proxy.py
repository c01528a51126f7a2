"""The proxy that the environment names (``http_proxy``, ``https_proxy``, ``no_proxy``)."""

import contextlib
import ipaddress
import re
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def proxy_for(address: str) -> str | None:
    """The URL of the proxy by which `address` is reached. None is needed on loopback."""
    is_loopback = _is_loopback(urlsplit(as_url(address)).hostname or "")
    return None if is_loopback else proxy_of_urllib(address)


def proxy_of_urllib(address: str) -> str | None:
    """The URL of the one by which urllib reaches it, and with it prometheus_client's handlers."""
    parts = urlsplit(as_url(address))
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme) or None


def without_credentials(proxy: str) -> str:
    """A proxy's URL as it may be shown."""
    scheme = re.match(r"\w+://", proxy)
    place = proxy[scheme.end() if scheme else 0 :].rpartition("@")[2].partition("/")[0]
    return f"{scheme[0] if scheme else 'http://'}{place}"


def as_url(address: str) -> str:
    """An address with its scheme: http where it names none."""
    return address if "://" in address else f"http://{address}"


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.rstrip(".") == "localhost"
