"""What is in a checkpoint, as tables and bars in a terminal."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from gangplank.commands.bars import edge, print_bars, printable, spark
from gangplank.commands.buckets import counts_of
from gangplank.commands.contents import Contents, Part

Reaches = list[tuple[float, float]]
"""What some buckets reach from and to, ascending."""

_ANY_WIDTH = 10_000
_USUAL_WIDTH = 80

_STATISTICS = {
    "infinite_count": "infinite",
    "zero_count": "zeros",
    "norm": "norm",
    "minimum": "minimum",
    "maximum": "maximum",
    "mean": "mean",
    "standard_deviation": "deviation",
}


def terminal(*, stderr: bool = False) -> Console:
    """What lines and tables are printed to."""
    # Names may have colons, between which rich would see an emoji.
    console = Console(stderr=stderr, emoji=False)
    if console.width == 0:  # as COLUMNS=0 says, and rich would print nothing
        console.width = _USUAL_WIDTH
    return console


@contextmanager
def progress_bar(file: str, size: int) -> Iterator[Callable[[int], None]]:
    """A bar on the standard error that shows how much of a file is read; none without a terminal.

    It goes away when that is done.
    """
    console = terminal(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(escape(printable(file)), total=size)
        yield lambda read: progress.advance(task, read)


def print_contents(contents: Contents, console: Console) -> None:
    """Prints the bars of a model, or a table of its parts; and the statistics, if there are any."""
    if contents.per == "model":
        (part,) = contents.parts
        print_line(f"{contents.file}: {summary(part)}", console)
        print_bars(part.histogram, console)
        print_statistics([contents.file], [part], console)
        return
    reaches = reaches_of(contents.parts)
    heads = [contents.per, "dtype", "weights", "NaN", axis(reaches)]
    table = table_of(heads, right=(2, 3), bars=(4,), title=contents.file)
    for part in contents.parts:
        histogram = part.histogram
        numbers = f"{histogram.count:,}", f"{histogram.nan_count:,}"
        shape = spark(counts_of(histogram), reaches)
        table.add_row(escape(printable(part.name)), part.dtype, *numbers, shape)
    console.print(table)
    if any(part.statistics for part in contents.parts):
        table = _statistics_table(contents, [*_STATISTICS])
        wanted = console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum
        if wanted <= console.width:
            console.print(table)
            return
        # In one, each name would be broken into many short pieces.
        console.print(_statistics_table(contents, [*_STATISTICS][:3]))
        console.print(_statistics_table(contents, [*_STATISTICS][3:]))


def print_statistics(files: Sequence[str], parts: Sequence[Part], console: Console) -> None:
    """Prints the statistics of a part of each file side by side, if there are any."""
    if all(part.statistics for part in parts):
        table = table_of(["statistic", *files], right=range(1, len(files) + 1))
        for name, head in _STATISTICS.items():
            table.add_row(head, *(_value(part, name) for part in parts))
        console.print(table)


def print_line(text: str, console: Console) -> None:
    """Prints a line, whatever is in it."""
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def summary(part: Part) -> str:
    """How many weights there are, and of which dtype."""
    histogram = part.histogram
    nan = f", and {histogram.nan_count:,} NaN" if histogram.nan_count else ""
    return f"{histogram.count:,} weights{nan} ({part.dtype or 'no dtype'})"


def table_of(
    heads: Iterable[str],
    *,
    right: Container[int],
    bars: Container[int] = (),
    title: str | None = None,
) -> Table:
    """A table of these heads, with numbers in the columns `right`, and bars in the columns `bars`.

    What does not fit into a line goes on in the next one, bars apart: a name that is cut is none.
    """
    table = Table(title=None if title is None else escape(printable(title)))
    for i, head in enumerate(heads):
        justify: JustifyMethod = "right" if i in right else "left"
        table.add_column(
            escape(printable(head)), justify=justify, overflow="fold", no_wrap=i in bars
        )
    return table


def reaches_of(parts: Iterable[Part]) -> Reaches:
    """What the buckets of all parts reach from and to."""
    return sorted({reach for part in parts for reach in counts_of(part.histogram)})


def axis(reaches: Reaches) -> str:
    """What bars of these buckets begin and end with."""
    inner = [bound for reach in reaches for bound in reach if edge(bound)]
    return f"{edge(inner[0])} .. {edge(inner[-1])}" if inner else ""


def _statistics_table(contents: Contents, names: Sequence[str]) -> Table:
    heads = [contents.per, *(_STATISTICS[name] for name in names)]
    table = table_of(heads, right=range(1, len(heads)), title=contents.file)
    for part in contents.parts:
        table.add_row(escape(printable(part.name)), *(_value(part, name) for name in names))
    return table


def _value(part: Part, name: str) -> str:
    value = getattr(part.statistics, name)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
