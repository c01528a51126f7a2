"""What a histogram of either kind can be looked at by: `Drawn`."""

from typing import TYPE_CHECKING

from gangplank import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# As many as can be told apart on a page, and in a row of a table.
_MOST_BARS, _MOST_BARS_IN_A_ROW = 256, 128


class Drawn:
    """A histogram that can be drawn."""

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the histogram by matplotlib.

        The area of each bar, as it stands on the page, is the count of its bucket: where buckets
        are not of one width, heights would mislead. The y axis names the width for which the height
        is the count: that of the narrowest bucket, so that of ready-made buckets each bar is as
        high as its count. A bucket without an end is hatched, of a width that is chosen, and its
        end is marked ∞. The title tells the number of weights, and of NaN where there is any.

        Bounds that lie on a linear axis are drawn on one. Native buckets, and bounds a hundred
        times further apart than others, are drawn on one that is logarithmic on both sides of zero:
        heights are weights per factor of 2 there. The bar at zero is the bucket of zero, which has
        a width of its own, and what is between it and the least weight is left out. Data
        coordinates are the values of the weights. Of more than 256 buckets, neighbours are drawn
        as one.

        Arguments:
            ax: matplotlib's axes, the current ones if None. What has been drawn there stays, and
                the title gets another line: of two histograms on the same axes each is drawn on the
                axis of the first, so that areas can be compared.

        Returns:
            The axes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
            TypeError: `ax` is something else.
        """
        return plots.plot(self._counted(_MOST_BARS), ax)

    def _repr_html_(self) -> str:
        """The histogram as notebooks show it: an SVG of the colour of the text around it."""
        return plots.html(self._counted(_MOST_BARS))

    def _in_a_row(self) -> plots.Counted:
        """What is drawn of the histogram where it is one of several."""
        return self._counted(_MOST_BARS_IN_A_ROW)

    def _counted(self, most: int) -> plots.Counted:
        """What is drawn of the histogram, with about `most` buckets at most."""
        raise NotImplementedError
