"""The command that writes rules of Prometheus."""

from typing import Any

from gangplank.commands.output import write
from gangplank.monitoring import rules_yaml


def run(output: str | None, **options: Any) -> None:
    """Writes the rules.

    Arguments:
        output: the file; the standard output if None.
        options: what `rules_yaml` takes.

    Raises:
        ValueError: a number is out of its range, or the file cannot be written.
    """
    write(rules_yaml(**options), output)
