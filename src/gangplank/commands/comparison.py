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

_NAN = "NaN"


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
        moved = f"{_moved(_counts(left), _counts(right)):.2%}" if left and right else ""
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
    first, second = _counts(left), _counts(right)
    buckets: dict[Any, list[str]] = {each: [*map(edge, each)] for each in reaches_of([left, right])}
    if first[_NAN] or second[_NAN]:
        buckets[_NAN] = ["NaN", ""]
    for bucket, edges in buckets.items():
        numbers = first[bucket], second[bucket]
        shares = _share(numbers[0], first), _share(numbers[1], second)
        table.add_row(
            *edges,
            *(f"{numbers[0]:,}", f"{shares[0]:.2%}"),
            *(f"{numbers[1]:,}", f"{shares[1]:.2%}"),
            f"{shares[1] - shares[0]:+.2%}",
        )
    console.print(table)
    print_line(f"In other buckets: {_moved(first, second):.2%} of the weights", console)
    print_statistics(["A", "B"], [left, right], console)


def _cells(part: Part | None, reaches: Reaches) -> tuple[str, str]:
    if part is None:
        return "", ""
    return f"{part.histogram.count:,}", spark(counts_of(part.histogram), reaches)


def _moved(first: Counter[Any], second: Counter[Any]) -> float:
    if not (first.total() and second.total()):
        return float(first != second)
    return sum(abs(_share(first[b], first) - _share(second[b], second)) for b in first | second) / 2


def _counts(part: Part) -> Counter[Any]:
    """How many weights are in each bucket, NaN in one of their own."""
    counts: Counter[Any] = Counter(counts_of(part.histogram))
    counts[_NAN] = part.histogram.nan_count
    return counts


def _share(count: int, counts: Counter[Any]) -> float:
    return count / max(counts.total(), 1)
