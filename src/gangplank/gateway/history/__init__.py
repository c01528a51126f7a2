"""What was pushed over time, within bounds: the points of each series, and histograms."""

from gangplank.gateway.history.history import History

__all__ = ["History"]
