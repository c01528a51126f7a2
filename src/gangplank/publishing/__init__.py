"""Getting metrics to a Pushgateway, whatever that does, without being in the way of the run."""

from gangplank.publishing.publisher import Publisher
from gangplank.publishing.push_error import PushError
from gangplank.publishing.pushgateway import Handler, Pushgateway

__all__ = ["Handler", "Publisher", "PushError", "Pushgateway"]
