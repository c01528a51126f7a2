"""One group of metrics on a Pushgateway, which can be pushed and deleted."""

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request

from prometheus_client import (
    CollectorRegistry,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gangplank.checked_values import as_float, check_encodable
from gangplank.metrics import OWN_LABELS, is_label_name
from gangplank.publishing.body import Body, body_of
from gangplank.publishing.bounded_handler import bounded_context, bounded_handler, opened
from gangplank.publishing.groups_answer import families_of
from gangplank.publishing.proxy import as_url, proxy_for, proxy_of_urllib
from gangplank.publishing.push_error import PushError, collection_error, push_error

Handler = Callable[..., Callable[[], None]]
"""A push handler as prometheus_client defines it: called with url, method, timeout, headers
and data, it returns a function that sends them."""

_Function = Callable[..., None]  # one of prometheus_client's functions

T = TypeVar("T")

_PUSH = "The metrics of job {job!r} were not pushed to"
_DELETION = "The group of job {job!r} was not deleted from"

# With which a gateway may answer what it cannot read.
_NO_PROTOBUF = (400, 406, 415)


@dataclass
class Pushgateway:
    """A group of metrics on a Pushgateway, and how to get them there.

    Attributes:
        address: of the Pushgateway, as ``host:port`` or an http(s) URL; None for none.
        job: the job label, not empty; may be None where there is no address.
        grouping_key: further labels that tell this group of metrics from others of the job.
        handler: prometheus_client's push handler; one whose timeout is a bound if None.
        timeout: seconds that a push may take.

    Raises:
        ValueError: an attribute is not as above. The message never holds a secret.
    """

    address: str | None
    job: str | None
    grouping_key: Mapping[str, str] | None = None
    handler: Handler | None = field(default=None, repr=False)
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.address is not None:
            _check_address(self.address)
        if self.address is not None and self.job is None:
            raise ValueError(
                "job must name the job where pgw_addr is given, such as 'mnist'. Received None."
            )
        if self.job is not None:
            _check_label_value("job", self.job)
            if not self.job:
                raise ValueError("job must not be empty. Name the job, such as 'mnist'.")
        self.grouping_key = _checked_grouping_key(self.grouping_key)
        if self.handler is not None and not callable(self.handler):
            raise ValueError(
                "handler must be a function. "
                f"Received an object of type {type(self.handler).__name__}. Pass a push handler "
                "as prometheus_client has them, such as one that calls its basic_auth_handler."
            )
        seconds = as_float(self.timeout)
        if seconds is None or not 0 < seconds <= threading.TIMEOUT_MAX:
            raise ValueError(
                f"timeout must be a positive number of seconds. Received {self.timeout!r}."
            )
        self.timeout = seconds
        # Here, since the system's certificates take 18 ms, in which no other thread runs.
        self._context = bounded_context() if _is_https(self.address) else None
        self._own_handler = partial(bounded_handler, context=self._context)

    def in_group(self, labels: Mapping[str, str]) -> "Pushgateway":
        """The same, with a group that has further labels."""
        return replace(self, grouping_key={**(self.grouping_key or {}), **labels})

    def push(self, metrics: Collector, timeout: float, *, replaces: bool = False) -> None:
        """Pushes what `metrics` hold, as `send` does the body of it, within `timeout` seconds.

        Raises:
            PushError: as `send` does, or they cannot be collected.
        """
        try:
            body = body_of(metrics.collect())
        except Exception as error:
            raise self.not_collected(error) from error
        self.send(body, timeout, replaces=replaces)

    def send(self, body: Body, timeout: float, *, replaces: bool = False) -> None:
        """Pushes metrics within `timeout` seconds.

        What they do not name stays there (POST), unless they replace all of the group (PUT).

        Raises:
            PushError: the gateway did not take it and has what it had before; or it did not
                answer in time, and may yet take it.
        """
        try:
            self._send(body, timeout, push_to_gateway if replaces else pushadd_to_gateway)
        except PushError as error:
            is_refused = isinstance(error.reason, HTTPError) and error.reason.code in _NO_PROTOBUF
            if body.is_text or not is_refused:
                raise
            raise error.with_more(
                "It was pushed in Prometheus's protobuf format, as native histograms have to be. "
                "If this gateway takes text only, pass upper bounds as histogram_buckets in place "
                "of NativeBuckets()."
            ) from None

    def delete(self, timeout: float) -> None:
        """Removes the group within `timeout` seconds. Raises PushError where that failed."""
        self.attempt(lambda: self._call(delete_from_gateway, timeout), timeout, _DELETION)

    def families(self, timeout: float) -> list[Metric]:
        """What stands in the group, without samples, by the names that it has there.

        It is asked for without the handler, since those of prometheus_client give no answer back.

        Raises:
            PushError: the gateway did not tell within `timeout` seconds.
        """
        return self.attempt(lambda: self._read(timeout), timeout)

    def remove(self, families: Iterable[Metric], timeout: float) -> None:
        """Takes metrics of these names and types out of the group within `timeout` seconds.

        A Pushgateway merges what all its groups have under one name, and serves nothing at all
        where the types differ: they have to be those that the names have there.

        Raises:
            PushError: the gateway did not do it.
        """
        # Here, since they take 40 ms to load, and few need them.
        from gangplank.metrics.messages import emptied
        from gangplank.metrics.protobuf import CONTENT_TYPE, encoded

        self._send(Body(encoded(map(emptied, families)), CONTENT_TYPE), timeout, pushadd_to_gateway)

    def _send(self, body: Body, timeout: float, function: _Function) -> None:
        handler = self.handler or self._own_handler

        def with_body(url: str, method: str, timeout: float, headers: Any, data: bytes) -> Any:
            headers = [("Content-Type", body.content_type)]
            return handler(url=url, method=method, timeout=timeout, headers=headers, data=body.data)

        # Of prometheus_client only the URL of the group is wanted, which it tells a handler alone.
        nothing = partial(function, registry=CollectorRegistry())
        self.attempt(lambda: self._call(nothing, timeout, with_body), timeout)

    def late(self) -> PushError:
        """The error of a push that took longer than `timeout` seconds."""
        return self.not_pushed(TimeoutError())

    def _call(self, function: _Function, timeout: float, handler: Handler | None = None) -> None:
        function(
            self.address,
            self.job,
            grouping_key=self.grouping_key,
            timeout=timeout,
            handler=handler or self.handler or self._own_handler,
        )

    def not_pushed(self, reason: Exception) -> PushError:
        """The error of a push that failed for this reason."""
        return self._error(reason, _PUSH, self.timeout)

    def no_thread(self, reason: RuntimeError) -> PushError:
        """The error of a run of which nothing is pushed, since no thread can be started for it."""
        failure = PushError(
            f"{_PUSH.format(job=self.job)} the Pushgateway at {self.address}, nor will be: "
            f"{reason}. Check how many threads this process may have."
        )
        failure.reason = reason
        return failure

    def not_collected(self, reason: Exception) -> PushError:
        """The error of what was not pushed since collecting it failed for this reason."""
        assert self.address is not None
        return collection_error(reason, _PUSH.format(job=self.job), self.address)

    def attempt(self, call: Callable[[], T], timeout: float, what: str = _PUSH) -> T:
        """What `call` returns; raises as a PushError whatever a handler or a collector raises."""
        try:
            return call()
        except PushError as error:
            failure = error
        except Exception as error:
            failure = self._error(error, what, timeout)
        raise failure  # here, since in the clause it would drag what may hold a secret along

    def _read(self, timeout: float) -> list[Metric]:
        assert self.address is not None
        request = Request(f"{as_url(self.address).rstrip('/')}/api/v1/metrics")
        with opened(request, timeout, self._context) as answer:
            text = answer.read().decode()
        labels = {"job": self.job, **(self.grouping_key or {})}
        return families_of(labels, text)

    def _error(self, error: Exception, what: str, timeout: float) -> PushError:
        assert self.address is not None
        is_own = self.handler is None
        return push_error(
            error,
            what.format(job=self.job),
            self.address,
            timeout,
            of=self.timeout,
            proxy=(proxy_for if is_own else proxy_of_urllib)(self.address),
            is_proxy_taken=is_own,
        )


def _check_address(address: Any) -> None:
    advice = "Pass the address of a Pushgateway, such as '127.0.0.1:9091' or 'https://host'."
    if not isinstance(address, str):
        raise ValueError(f"pgw_addr must be a str or None. Received {address!r}. {advice}")
    # In a host's name, what NFKC makes an @ of is one.
    if "@" in unicodedata.normalize("NFKC", address) or "?" in address:
        raise ValueError(
            "pgw_addr must not hold a user or a password, nor a query. In Python, pass a handler "
            "that sends them, such as one made with "
            "prometheus_client.exposition.basic_auth_handler; commands send none."
        )
    if not address.isascii():
        raise ValueError(
            "pgw_addr must be in ASCII: a host as its 'xn--…' name, a path with its '%…' bytes. "
            f"Received {address!r}. {advice}"
        )
    try:
        url = urlsplit(as_url(address))
        is_address = (
            url.scheme in ("http", "https")
            and url.hostname is not None
            and url.port != 0
            and not url.netloc.endswith(":")
            and "#" not in address
            and re.search(r"[\s\x00-\x1f\x7f]", address) is None
            and bool(url.hostname.encode("idna"))  # which raises UnicodeError, a ValueError
        )
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError(
            f"pgw_addr must be the address of a gateway. Received {address!r}. {advice}"
        )


def _is_https(address: str | None) -> bool:
    return address is not None and urlsplit(address).scheme == "https"


def _check_label_value(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a str. Received {value!r}. Pass str({value!r}).")
    check_encodable(name, value)
    if value in (".", ".."):
        raise ValueError(f"{name} must not be {value!r}, which no URL of a gateway can hold.")


def _checked_grouping_key(grouping_key: Any) -> dict[str, str]:
    if grouping_key is None:
        return {}
    if not isinstance(grouping_key, Mapping):
        raise ValueError(
            "grouping_key must map label names to values, such as {'instance': 'gpu-7'}. "
            f"Received {grouping_key!r}."
        )
    for name, value in grouping_key.items():
        if not isinstance(name, str) or not is_label_name(name):
            raise ValueError(f"grouping_key must have label names as keys. Received {name!r}.")
        if name in OWN_LABELS:
            raise ValueError(
                f"grouping_key must not name the label {name!r}, which gangplank sets itself."
            )
        _check_label_value(f"grouping_key[{name!r}]", value)
    return dict(grouping_key)
