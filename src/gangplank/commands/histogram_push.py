"""What is in checkpoints, pushed to a gateway."""

from collections.abc import Sequence

from prometheus_client.core import Metric

from gangplank.commands.contents import Contents, Part
from gangplank.metrics import Collected, WeightsMetrics, WeightsReport
from gangplank.publishing import Pushgateway


def push(files: Sequence[Contents], gateway: Pushgateway) -> None:
    """Pushes each file's metrics into a group of its own, by the label ``file``.

    So to push another file of the job takes nothing of this one away, while of what was pushed of
    the same file before nothing is left.

    Raises:
        gangplank.PushError: the gateway does not take them.
    """
    for contents in files:
        group = gateway.in_group({"file": _label(contents.file)})
        group.push(Collected(_families(contents)), group.timeout, replaces=True)


def _families(contents: Contents) -> list[Metric]:
    """A file's histograms and statistics as metrics.

    A checkpoint is a phase beside training and testing, so its metrics are called as theirs are
    (``gangplank_checkpoint_model_weights``, ``gangplank_checkpoint_layer_weights`` with the label
    ``layer``, and so on): a query for one is that for the other.
    """
    prefix = "gangplank_checkpoint_"
    parts: dict[str, Part] = {}
    for part in contents.parts:
        name = _label(part.name)
        while name in parts:  # which may have been written as another one is escaped
            name += "_"
        parts[name] = part
    report = WeightsReport(
        histograms={contents.per: {name: (part.histogram,) for name, part in parts.items()}},
        statistics={name: part.statistics for name, part in parts.items() if part.statistics},
        statistics_per=contents.per,
    )
    return WeightsMetrics(prefix, report).families


def _label(name: str) -> str:
    """A name as UTF-8 can encode it, which that of a file, or one that JSON tells, may not be."""
    return name.encode(errors="backslashreplace").decode()
