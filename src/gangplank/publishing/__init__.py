"""Getting metrics to a Pushgateway, whatever that does, without being in the way of the run."""

from gangplank.publishing.push_error import PushError
from gangplank.publishing.pushgateway import Handler, Pushgateway
from gangplank.publishing.runs_publisher import RunsPublisher

__all__ = ["Handler", "PushError", "Pushgateway", "RunsPublisher"]
