"""What earlier runs have left in a group, under names that a later run does not have."""

import ssl
import time
from collections.abc import Iterable
from urllib.error import HTTPError

from prometheus_client.core import Metric

from gangplank.harmless_logger import HarmlessLogger
from gangplank.metrics import RunMetrics, exposed_name
from gangplank.publishing.push_error import PushError
from gangplank.publishing.pushgateway import Pushgateway

_logger = HarmlessLogger(__name__)

# Pushes of a run before each of which the gateway is asked, while it may yet answer.
_MOST_TRIES = 3


class LeftBehind:
    """Takes away what earlier runs of a phase have left in a group, before a run of it is shown.

    A Pushgateway keeps a metric until another one of its name comes, and deletes whole groups
    only. But a family without metrics, which its protobuf format can express, takes the place of
    the one that stands there, and is shown nowhere. So nothing is touched but what is named,
    whatever else is pushed to the group meanwhile.

    What stands there, the gateway tells. From one that refuses to tell without the credentials that
    only a handler has is taken what this exporter has pushed before, what all runs have, and the
    validation's twin of each metric; from one that does not know the question, nothing.

    Arguments:
        gateway: where the group is.
        before: what did the same for the exporter's last run.
    """

    def __init__(self, gateway: Pushgateway, before: "LeftBehind | None" = None) -> None:
        self._gateway: Pushgateway = gateway
        self._there: dict[str, Metric] = {}
        self._is_told: bool = False
        if before is not None and before._gateway.grouping_key == gateway.grouping_key:
            self._there, self._is_told = before._there, before._is_told
        self._phases: dict[str, RunMetrics] = {}
        self._unread: set[str] = set()
        self._tries = 0
        self._guessed: set[str] = set()
        self._failure: PushError | None = None

    def begin(self, phase: RunMetrics) -> None:
        """A run of `phase` begins."""
        self._phases = {**self._phases, phase.prefix: phase}
        self._guessed = set()
        self.look_again()

    def forget(self) -> None:
        """Nothing stands there any more."""
        self._there, self._failure = {}, None
        self._unread.clear()

    def look_again(self) -> None:
        """What stands there may have changed: the gateway reads late what was sent to it before."""
        self._unread |= self._phases.keys()
        self._tries = 0

    def remove(self, families: Iterable[Metric], timeout: float) -> None:
        """Takes away what stands there but is not among `families`, which are to come.

        Raises:
            PushError: the gateway failed, and may do it later.
        """
        deadline = time.monotonic() + timeout
        phases = self._phases
        named = _by_name(families)
        ours = {name: named[name] for name in named if name.startswith(tuple(phases))}
        if self._unread:
            self._read(timeout / 2)  # so that there is time for the push, whatever comes of it
        if self._is_locked():
            self._guess(ours, phases)
        gone = [
            name
            for name in list(self._there)
            if name.startswith(tuple(phases)) and name not in ours
        ]
        if gone and (self._failure is None or self._is_locked()):
            remaining = max(0.001, deadline - time.monotonic())
            self._remove([self._there[name] for name in gone], remaining)
        for name in gone:
            self._there.pop(name, None)
        self._there |= ours

    def pushed(self, *, is_last: bool) -> None:
        """A push has succeeded. Logs once, if so, that something may have been left."""
        if self._unread:
            self._tries += 1
            if self._tries < _MOST_TRIES and not is_last:
                return
            self._unread.clear()
        if self._failure is not None and not self._is_told:
            self._is_told = True
            _logger.warning(
                "Metrics that an earlier run of job %r had, and this one has not, may still stand "
                "on the Pushgateway at %s, which does not let them be read or removed: %s.",
                self._gateway.job,
                self._gateway.address,
                str(self._failure.reason) or type(self._failure.reason).__name__,
            )

    def _read(self, timeout: float) -> None:
        unread = tuple(self._unread.copy())  # which another thread may change
        try:
            families = self._gateway.families(timeout)
        except PushError as error:
            self._failure = error
            if error.may_pass and _code(error) != 501:
                return
        else:
            self._failure = None
            self._there |= {f.name: f for f in families if f.name.startswith(unread)}
        self._unread.difference_update(unread)

    def _is_locked(self) -> bool:
        """Whether the gateway wants credentials, or a certificate, of whoever reads."""
        error = self._failure
        is_refused = error is not None and isinstance(error.reason, ssl.SSLError)
        return is_refused or _code(error) in (401, 403)

    def _remove(self, families: list[Metric], timeout: float) -> None:
        try:
            self._gateway.remove(families, timeout)
        except PushError as error:
            if error.may_pass:
                raise
            self._failure = error

    def _guess(self, ours: dict[str, Metric], phases: dict[str, RunMetrics]) -> None:
        """Adds what may stand there, each once: other runs of other processes pushed it."""
        own = [family for phase in phases.values() for family in phase.describe()]
        guesses = _by_name(own, all_created=True)
        for name, family in ours.items():
            prefix = next(prefix for prefix in phases if name.startswith(prefix))
            if name not in guesses and not name.startswith(f"{prefix}val_"):
                twin = f"{prefix}val_{name.removeprefix(prefix)}"
                guesses[twin] = Metric(twin, family.documentation, family.type)
        for name in guesses.keys() - self._guessed:
            self._there.setdefault(name, guesses[name])
        self._guessed |= guesses.keys()


def _code(error: PushError | None) -> int | None:
    """The status that the gateway answered with."""
    reason = None if error is None else error.reason
    return reason.code if isinstance(reason, HTTPError) else None


def _by_name(families: Iterable[Metric], *, all_created: bool = False) -> dict[str, Metric]:
    """The families, without samples, by the names that they have on a Pushgateway.

    When a histogram was created is a gauge of its own there: where there is one, or of all.
    """
    named = {}
    for family in families:
        name = exposed_name(family)
        named[name] = Metric(name, family.documentation, family.type)
        created = f"{family.name}_created"
        # A gauge never has one, and with statistics it may have many samples.
        is_created = family.type != "gauge" and any(each.name == created for each in family.samples)
        if is_created or (all_created and family.type == "histogram"):
            named[created] = Metric(created, family.documentation, "gauge")
    return named
