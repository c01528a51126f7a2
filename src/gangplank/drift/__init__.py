"""Whether what a served model sees, and what it answers, is still what it was made for."""

from gangplank.drift.drift import Drift
from gangplank.drift.monitor import DriftMonitor
from gangplank.drift.reference import DriftReference, drift_reference

__all__ = ["Drift", "DriftMonitor", "DriftReference", "drift_reference"]
