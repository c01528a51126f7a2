"""What Grafana, Prometheus and Alertmanager are to show and to tell of runs."""

from gangplank.monitoring.dashboard import dashboard_json
from gangplank.monitoring.rules import rules_yaml

__all__ = ["dashboard_json", "rules_yaml"]
