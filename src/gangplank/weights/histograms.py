"""Histograms of a model's layers or variables: `WeightsHistograms`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from gangplank import plots
from gangplank.weights.histogram import WeightsHistogram
from gangplank.weights.native_histogram import NativeWeightsHistogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Histogram = TypeVar("Histogram", bound=WeightsHistogram | NativeWeightsHistogram)


class WeightsHistograms(dict[str, Histogram]):
    """A dict from the path of each layer or variable to its histogram, which can be looked at."""

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the histograms by matplotlib, one below the other on one axis of values.

        Each is drawn as its own `plot` draws it, but as high as its row: heights of different rows
        are not to be compared. Of more than 40, the first ones are drawn, and the title tells how
        many are not.

        Arguments:
            ax: matplotlib's axes, the current ones if None, and where there is no figure those of a
                new one with room for the rows. Names need room beside other axes, which a figure
                with layout="constrained" makes.

        Returns:
            The axes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
            TypeError: `ax` is something else.
        """
        return plots.plot_all(self._counted(), len(self), ax)

    def _repr_html_(self) -> str:
        """A table as notebooks show it; of more than 50 histograms, the first ones."""
        return plots.html_of_all(self._counted(), len(self))

    def _counted(self) -> Iterator[tuple[str, plots.Counted]]:
        return ((name, histogram._in_a_row()) for name, histogram in self.items())
