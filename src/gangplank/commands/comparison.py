"""Two checkpoints side by side in a terminal."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape

from gangplank.commands.bars import edge, printable, spark
from gangplank.commands.buckets import counts_of
from gangplank.commands.contents import Contents, Part
from gangplank.commands.histogram_tables import (
    Reaches,
    axis,
    print_line,
    print_statistics,
    reaches_of,
    summary,
    table_of,
)


def print_comparison(one: Contents, two: Contents, console: Console) -> None:
    """Prints what is in two files, and the share of the weights that lie in other buckets.

    That share is half the sum of the differences: so much of one histogram has to be moved to make
    the other one of it. NaN are a bucket of their own.
    """
    if one.per == "model":
        _print_models(one, two, console)
        return
    for letter, contents in zip("AB", (one, two), strict=True):
        print_line(f"{letter}: {contents.file}", console)
    reaches = reaches_of([*one.parts, *two.parts])
    heads = [one.per, "A", axis(reaches), "B", axis(reaches), "in other buckets"]
    table = table_of(heads, right=(1, 3, 5), bars=(2, 4))
    first, second = ({part.name: part for part in each.parts} for each in (one, two))
    for name in {**first, **second}:
        left, right = first.get(name), second.get(name)
        moved = f"{_moved(left, right):.2%}" if left and right else ""
        table.add_row(
            escape(printable(name)), *_cells(left, reaches), *_cells(right, reaches), moved
        )
    console.print(table)
    for name in first:
        if name in second:
            heads = [f"A: {name}", f"B: {name}"]
            print_statistics(heads, [first[name], second[name]], console)


def _print_models(one: Contents, two: Contents, console: Console) -> None:
    (left,), (right,) = one.parts, two.parts
    print_line(f"A: {one.file}: {summary(left)}", console)
    print_line(f"B: {two.file}: {summary(right)}", console)
    table = table_of(["from", "to", "A", "", "B", "", "difference"], right=range(7))
    first, second = counts_of(left.histogram), counts_of(right.histogram)
    for reach in reaches_of([left, right]):
        numbers = first.get(reach, 0), second.get(reach, 0)
        shares = _share(numbers[0], left), _share(numbers[1], right)
        table.add_row(
            *map(edge, reach),
            *(f"{numbers[0]:,}", f"{shares[0]:.2%}"),
            *(f"{numbers[1]:,}", f"{shares[1]:.2%}"),
            f"{shares[1] - shares[0]:+.2%}",
        )
    console.print(table)
    print_line(f"In other buckets: {_moved(left, right):.2%} of the weights", console)
    print_statistics(["A", "B"], [left, right], console)


def _cells(part: Part | None, reaches: Reaches) -> tuple[str, str]:
    if part is None:
        return "", ""
    return f"{part.histogram.count:,}", spark(counts_of(part.histogram), reaches)


def _moved(left: Part, right: Part) -> float:
    first, second = _shares(left), _shares(right)
    return sum(abs(first[where] - second[where]) for where in first | second) / 2


def _shares(part: Part) -> Counter[Any]:
    """The shares of all weights, by bucket; of no weights all are nowhere."""
    histogram = part.histogram
    total = histogram.count + histogram.nan_count
    counts: Counter[Any] = Counter(counts_of(histogram))
    counts["NaN"], counts["nowhere"] = histogram.nan_count, 0 if total else 1
    return Counter({where: count / max(total, 1) for where, count in counts.items()})


def _share(count: int, part: Part) -> float:
    return count / max(part.histogram.count, 1)
