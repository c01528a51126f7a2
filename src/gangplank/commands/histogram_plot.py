"""What is in checkpoints, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gangplank.commands.contents import Contents
from gangplank.plots import in_font

# Of a picture of more the columns cannot be told apart, and it takes minutes.
MOST_PLOTS = 200


def save_plot(files: Sequence[Contents], path: Path) -> None:
    """Saves a picture of the histograms, a row a part and a column a file.

    Its format is that of the suffix of `path`.

    Raises:
        ValueError: there are too many parts, or none, or it cannot be written.
    """
    names = list(dict.fromkeys(part.name for contents in files for part in contents.parts))
    if not names:
        raise ValueError("--plot has nothing to show: there are no weights.")
    if len(names) * len(files) > MOST_PLOTS:
        raise ValueError(
            f"--plot can show {MOST_PLOTS} histograms at most, but there are "
            f"{len(names) * len(files)}. Plot them --per model or layer, or fewer files at once."
        )
    figure = Figure(figsize=(6 * len(files), 3 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(files), squeeze=False)
    for column, contents in zip(axes.T, files, strict=True):
        histograms: dict[str, Any] = {part.name: part.histogram for part in contents.parts}
        for ax, name in zip(column, names, strict=True):
            if name in histograms:
                histograms[name].plot(ax)
                title = f"{contents.file}: {name}" if name else contents.file
                # Of a name that has a dollar sign matplotlib would make mathematics.
                ax.set_title(f"{in_font(title)}\n{ax.get_title()}", parse_math=False)
            else:
                ax.set_axis_off()
    try:
        figure.savefig(path)
    except OSError as error:
        raise ValueError(f"{path}: the picture cannot be written: {error.strerror}") from error
