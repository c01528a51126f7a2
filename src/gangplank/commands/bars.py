"""Histograms as bars in a terminal."""

from collections.abc import Iterable, Mapping

from rich.console import Console

from gangplank.commands.buckets import Histogram, counts_of

BAR_WIDTH = 40

_HEIGHTS = " ▁▂▃▄▅▆▇█"


def print_bars(histogram: Histogram, console: Console) -> None:
    """Prints a bar per bucket, with what it reaches from and to."""
    counts = counts_of(histogram)
    longest = max([1, *counts.values()])
    labels = [(edge(low), edge(high)) for low, high in counts]
    width = max((len(label) for pair in labels for label in pair), default=0) + 1
    digits = len(f"{longest:,}") + 1
    room = max(1, min(BAR_WIDTH, console.width - 2 * width - digits - len(" ..   ")))
    for (low, high), count in zip(labels, counts.values(), strict=True):
        bar = "█" * round(room * count / longest)
        console.print(
            f"{low:>{width}} .. {high:<{width}} {bar:<{room}} {count:>{digits},}", highlight=False
        )


def printable(text: str) -> str:
    """A text from a file, in which control characters of a terminal are written out."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def edge(bound: float) -> str:
    """A bound as text; that of a bucket without one is empty."""
    return "" if abs(bound) == float("inf") else f"{bound:g}"


def spark(counts: Mapping[tuple[float, float], int], reaches: Iterable[tuple[float, float]]) -> str:
    """The counts as a line of bars, one for each bucket of `reaches`."""
    longest = max([1, *counts.values()])
    steps = len(_HEIGHTS) - 1
    # Rounded up, so that one weight is seen.
    return "".join(_HEIGHTS[-(-steps * counts.get(reach, 0) // longest)] for reach in reaches)
