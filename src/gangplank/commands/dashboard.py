"""The command that writes a Grafana dashboard."""

from gangplank.commands.output import write
from gangplank.monitoring import dashboard_json


def run(output: str | None, *, run_label: str) -> None:
    """Writes the dashboard.

    Arguments:
        output: the file; the standard output if None.
        run_label: the label that tells the runs of a job from one another.

    Raises:
        ValueError: `run_label` is no label's name, or the file cannot be written.
    """
    write(dashboard_json(run_label), output)
