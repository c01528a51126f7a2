"""What a served model does, as metrics: its calls, how long they take, whether its data drift."""

from gangplank.inference.watch import Watch

__all__ = ["Watch"]
