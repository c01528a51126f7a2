"""Whether what a served model sees, and what it answers, is still what it was trained on."""

from gangplank.drift.drift import Drift

__all__ = ["Drift"]
