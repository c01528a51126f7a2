"""What the weights in checkpoints look like: as tables and bars, JSON, a picture, or pushed."""

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gangplank.checkpoints import CheckpointError
from gangplank.commands.comparison import print_comparison
from gangplank.commands.contents import Contents, contents_of, json_line
from gangplank.commands.histogram_tables import print_contents, print_line, progress_bar, terminal
from gangplank.weights import NativeBuckets, Per

if TYPE_CHECKING:
    from gangplank.publishing import Pushgateway

# So many names of what is left out are told.
_NAMES = 3


def run(
    files: Sequence[str],
    buckets: Iterable[float] | NativeBuckets,
    per: Per,
    *,
    has_statistics: bool = False,
    as_json: bool = False,
    compare: bool = False,
    plot: Path | None = None,
    gateway: "Pushgateway | None" = None,
) -> bool:
    """Shows the weights in files by their value, each as soon as it is counted.

    Arguments:
        files: of any format that `gangplank.checkpoints.open_checkpoint` takes.
        buckets: as `gangplank.weights_histogram` takes them.
        per: the parts that are told apart.
        has_statistics: whether statistics are shown, too.
        as_json: whether each file is a line of JSON.
        compare: whether there are two files, which are shown side by side.
        plot: the file for a picture, if one is wanted.
        gateway: where to push the histograms, if anywhere.

    Returns:
        Whether all files could be read. Why not is told; the others are shown and pushed.

    Raises:
        gangplank.PushError: the gateway does not take the metrics.
        ValueError: a picture cannot be made of it.
        ModuleNotFoundError: a picture is wanted, and matplotlib is missing.
        OSError: the standard output takes no more, or it is wanted and there is none.
    """
    if sys.stdout is None and plot is None and gateway is None:
        raise OSError("There is no standard output. Pass --plot or --push.")
    save_plot = None if plot is None else _plotter(plot)
    console, errors = terminal(), terminal(stderr=True)
    found: list[Contents] = []
    failures: list[CheckpointError] = []
    for file in files:
        try:
            contents = contents_of(
                file, buckets, per, has_statistics=has_statistics, reading=progress_bar
            )
        except CheckpointError as error:
            failures.append(error)
            continue
        found.append(contents)
        if contents.left_out:
            print_line(f"gangplank: {_left_out(contents)}", errors)
        if as_json:
            print_line(json_line(contents), console)
        elif not compare:
            print_contents(contents, console)
    try:
        if compare and not failures:
            print_comparison(found[0], found[1], console)
        if save_plot is not None and found:
            save_plot(found)
        if gateway is not None:
            from gangplank.commands.histogram_push import push

            push(found, gateway)
    finally:
        for failure in failures:
            print(f"gangplank: {failure}", file=sys.stderr)
    return not failures


def _plotter(path: Path) -> Callable[[Sequence[Contents]], None]:
    # Before anything is counted, which may take long.
    from gangplank.commands.histogram_plot import save_plot

    return partial(save_plot, path=path)


def _left_out(contents: Contents) -> str:
    left_out = contents.left_out
    names = [f"{name} ({reason})" for name, reason in left_out.items()]
    shown = "; ".join(names[:_NAMES])
    more = f"; and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return f"{contents.file}: not counted: {shown}{more}"
