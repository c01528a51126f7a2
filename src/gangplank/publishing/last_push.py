"""The last push of a run, and the time that there is for it."""

from dataclasses import dataclass


@dataclass
class LastPush:
    """The push with which a run ends, or the deletion, and the seconds that there are for it."""

    began: float
    timeout: float
    deletes: bool = False
    was_seen: bool = False
    is_given_up: bool = False

    @property
    def ends(self) -> float:
        return self.began + 0.95 * self.timeout  # the rest is for the thread to end in

    def allows(self, push_begins: float) -> bool:
        return not self.is_given_up and push_begins < self.ends
