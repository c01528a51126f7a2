"""The command that writes rules of Prometheus."""

from gangplank.commands.output import write
from gangplank.monitoring import rules_yaml


def run(output: str | None, *, silent_after: float, patience: int, dead_share: float) -> None:
    """Writes the rules.

    Arguments:
        output: the file; the standard output if None.
        silent_after: seconds without a push after which a run is silent.
        patience: epochs without a better loss after which a run makes no progress.
        dead_share: the share of zeros from which on a layer is dead.

    Raises:
        ValueError: a number is out of its range, or the file cannot be written.
    """
    text = rules_yaml(silent_after=silent_after, patience=patience, dead_share=dead_share)
    write(text, output)
