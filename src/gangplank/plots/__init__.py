"""How histograms are drawn: by matplotlib, and as HTML with inline SVG that needs nothing.

What is drawn comes as `Counted`; which bars that makes on which axis is decided once for both.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gangplank.plots.counted import Counted
from gangplank.plots.svg import html, html_of_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Counted", "html", "html_of_all", "plot", "plot_all"]


def plot(counted: Counted, ax: "Axes | None" = None) -> "Axes":
    """Draws a histogram onto matplotlib's axes, the current ones by default, and returns them.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    try:
        from gangplank.plots.axes import draw
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return draw(counted, ax)


def plot_all(
    all_counted: Iterator[tuple[str, Counted]], total: int, ax: "Axes | None" = None
) -> "Axes":
    """Draws the first of `total` histograms by their names, each in a row, as `plot` does."""
    try:
        from gangplank.plots.axes import draw_all
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return draw_all(all_counted, total, ax)


def _missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"Plots need matplotlib ({error}). Install it with: pip install 'gangplank[plot]' (in a "
        "clone of gangplank: pip install '.[plot]')",
        name=error.name,
    )
