"""What earlier runs have left in a group, under names that a later run does not have."""

import logging
import ssl
import time
from collections.abc import Iterable
from urllib.error import HTTPError

from prometheus_client.core import Metric

from gangplank.metrics import RunMetrics
from gangplank.publishing.push_error import PushError
from gangplank.publishing.pushgateway import Pushgateway

_logger = logging.getLogger(__name__)


class LeftBehind:
    """Takes away what earlier runs of a phase have left in a group, before a run of it is shown.

    A Pushgateway keeps a metric until another one of its name comes, and deletes whole groups
    only. But a family without metrics, which its protobuf format can express, takes the place of
    the one that stands there, and is shown nowhere. So nothing is touched but what is named,
    whatever else is pushed to the group meanwhile.

    What stands there, the gateway tells. One that refuses to tell without the credentials which a
    handler has may still have what this exporter has pushed before, what all runs have, and the
    validation's twin of each metric. From one that does not know the question nothing is taken.
    """

    def __init__(self, gateway: Pushgateway) -> None:
        self._gateway = gateway
        self._there: dict[str, Metric] = {}
        self._phases: dict[str, RunMetrics] = {}
        self._unread: set[str] = set()
        self._guessed: set[str] = set()
        self._failure: PushError | None = None
        self._is_locked = False
        self._is_told = False

    def begin(self, phase: RunMetrics, *, inside: bool) -> None:
        """A run of `phase` begins, inside of another one or not."""
        self._phases = {**(self._phases if inside else {}), phase.prefix: phase}
        self._guessed = set()
        self.look_again()

    def look_again(self) -> None:
        """What stands there may have changed: the gateway reads late what was sent to it before."""
        self._unread |= self._phases.keys()

    def remove(self, families: Iterable[Metric], timeout: float) -> None:
        """Takes away what stands there but is not among `families`, which are to come.

        Raises:
            PushError: the gateway failed, and may do it later.
        """
        deadline = time.monotonic() + timeout
        prefixes = tuple(self._phases)
        named = _by_name(families)
        ours = {name: named[name] for name in named if name.startswith(prefixes)}
        if self._unread:
            self._read(timeout)
        if self._is_locked:
            self._guess(ours)
        gone = [name for name in self._there if name.startswith(prefixes) and name not in ours]
        if gone and (self._failure is None or self._is_locked):
            remaining = max(0.001, deadline - time.monotonic())
            self._remove([self._there[name] for name in gone], remaining)
        for name in gone:
            del self._there[name]
        self._there |= ours

    def tell(self) -> None:
        """Logs once, now that a push has succeeded, that something may have been left, if so."""
        if self._failure is not None and not self._is_told:
            self._is_told = True
            _logger.warning(
                "Metrics that an earlier run of job %r had, and this one has not, may still stand "
                "on the Pushgateway at %s, which does not let them be read or removed: %s.",
                self._gateway.job,
                self._gateway.address,
                self._failure.reason,
            )

    def _read(self, timeout: float) -> None:
        unread = tuple(self._unread)
        self._failure, self._is_locked = None, False
        # Without its handler the gateway may be out of reach, and there is still to be a push.
        has_handler = self._gateway.handler is not None
        try:
            families = self._gateway.families(timeout / 2 if has_handler else timeout)
        except PushError as error:
            if not (has_handler or _is_answered(error)):
                raise
            self._failure, self._is_locked = error, _is_locked(error)
        else:
            self._there |= {f.name: f for f in families if f.name.startswith(unread)}
        self._unread.difference_update(unread)

    def _remove(self, families: list[Metric], timeout: float) -> None:
        try:
            self._gateway.remove(families, timeout)
        except PushError as error:
            if error.may_pass:
                raise
            self._failure, self._is_locked = error, False

    def _guess(self, ours: dict[str, Metric]) -> None:
        """Adds what may stand there, each once: other runs of other processes pushed it."""
        own = [family for phase in self._phases.values() for family in phase.describe()]
        guesses = _by_name(own, all_created=True)
        for name, family in ours.items():
            prefix = next(prefix for prefix in self._phases if name.startswith(prefix))
            if name not in guesses and not name.startswith(f"{prefix}val_"):
                twin = f"{prefix}val_{name.removeprefix(prefix)}"
                guesses[twin] = Metric(twin, family.documentation, family.type)
        for name in guesses.keys() - self._guessed:
            self._there.setdefault(name, guesses[name])
        self._guessed |= guesses.keys()


def _is_answered(error: PushError) -> bool:
    return isinstance(error.reason, HTTPError) or not isinstance(error.reason, OSError)


def _is_locked(error: PushError) -> bool:
    """Whether the gateway wants credentials or a certificate."""
    code = error.reason.code if isinstance(error.reason, HTTPError) else None
    return code in (401, 403) or isinstance(error.reason, ssl.SSLError)


def _by_name(families: Iterable[Metric], *, all_created: bool = False) -> dict[str, Metric]:
    """The families, without samples, by the names that they have on a Pushgateway.

    When a histogram was created is a gauge of its own there: where there is one, or of all.
    """
    named = {}
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        named[name] = Metric(name, family.documentation, family.type)
        created = f"{family.name}_created"
        is_created = any(sample.name == created for sample in family.samples)
        if is_created or (all_created and family.type == "histogram"):
            named[created] = Metric(created, family.documentation, "gauge")
    return named
