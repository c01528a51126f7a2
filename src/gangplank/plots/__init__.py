"""How histograms are drawn: by matplotlib, and as HTML with inline SVG that needs nothing.

What is drawn comes as `Counted`; which bars that makes on which axis is decided once for both. What
draws is loaded when something is drawn.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gangplank.extras import how_to_install
from gangplank.plots.counted import Counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Counted", "html", "html_of_all", "in_font", "plot", "plot_all"]


def html(counted: Counted) -> str:
    """A histogram as HTML."""
    from gangplank.plots import svg

    return svg.html(counted)


def html_of_all(all_counted: Iterator[tuple[str, Counted]], total: int) -> str:
    """The first of `total` histograms, by their names, as a table of HTML."""
    from gangplank.plots import svg

    return svg.html_of_all(all_counted, total)


def plot(counted: Counted, ax: "Axes | None" = None) -> "Axes":
    """Draws a histogram onto matplotlib's axes, the current ones by default, and returns them.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        TypeError: `ax` is something else.
    """
    axes: Axes = _matplotlib().draw(counted, ax)
    return axes


def plot_all(
    all_counted: Iterator[tuple[str, Counted]], total: int, ax: "Axes | None" = None
) -> "Axes":
    """Draws the first of `total` histograms by their names, each in a row, as `plot` does."""
    axes: Axes = _matplotlib().draw_all(all_counted, total, ax)
    return axes


def in_font(text: str) -> str:
    """The text with escapes for what matplotlib's fonts do not have, of which it would warn."""
    escaped: str = _matplotlib().in_font(text)
    return escaped


def _matplotlib() -> Any:
    try:
        from gangplank.plots import axes
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Plots need matplotlib ({error}). Install it with: {how_to_install('plot')}",
            name=error.name,
        ) from error
    return axes
