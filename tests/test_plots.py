"""Histograms drawn by matplotlib: where bars are, how high, and what is said beside them."""

import io
import itertools
import math
import pickle
import sys

import matplotlib as mpl
import numpy as np
import pytest
from histograms import HISTOGRAMS, NORMAL
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot

from gangplank import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    NativeBuckets,
    NativeWeightsHistogram,
    WeightsHistogram,
    WeightsHistograms,
    weights_histogram,
    weights_histograms,
)
from gangplank.plots.bars import bars_of
from gangplank.plots.scales import scale_of

mpl.use("agg")

each_histogram = pytest.mark.parametrize("histogram", HISTOGRAMS.values(), ids=HISTOGRAMS.keys())


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def rendered(ax):
    """Draws the figure, where matplotlib gives most of its warnings."""
    ax.figure.savefig(io.BytesIO(), format="png")
    return ax


def bars(ax):
    """Left and right end, and height, of each bar that is drawn."""
    return sorted((p.get_x(), p.get_x() + p.get_width(), p.get_height()) for p in ax.patches)


def areas(ax):
    """The areas of the bars as they stand on the page, in the units of the two axes."""
    place = ax.xaxis.get_transform().transform
    return [
        float(np.diff(place(np.array(ends)))[0]) * height / unit(ax) for *ends, height in bars(ax)
    ]


def unit(ax):
    label = ax.get_ylabel()
    return 1.0 if label == "weights per factor of 2" else float(label.split()[-1])


def tick_labels(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


@each_histogram
def test_areas_are_counts(histogram):
    ax = rendered(histogram.plot())
    # The unit is written in three digits.
    assert sum(areas(ax)) == pytest.approx(histogram.count, rel=0.005)
    assert len(ax.patches) <= 260


@each_histogram
def test_the_title_tells_how_many_there_are(histogram):
    title = histogram.plot().get_title()
    assert title.startswith(f"{histogram.count:,} weight")
    assert (f", {histogram.nan_count:,} NaN" in title) is (histogram.nan_count > 0)


@settings(max_examples=60, deadline=None)
@given(
    bounds=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    data=st.data(),
)
def test_areas_are_counts_whatever_the_bounds(bounds, data):
    bounds = sorted({bound + 0.0 for bound in bounds})
    size = len(bounds) + 1
    counts = data.draw(st.lists(st.integers(0, 2**40), min_size=size, max_size=size))
    counted = WeightsHistogram(bounds, counts)._counted(256)
    scale = scale_of([counted])
    drawn = bars_of(counted, scale)
    assert sum(bar.count for bar in drawn) == sum(counts)
    assert drawn == sorted(drawn, key=lambda bar: bar.left)
    for bar in drawn:
        width = np.diff(scale.place([bar.left, bar.right]))[0]
        assert width * bar.height == pytest.approx(bar.count * scale.unit)


def test_buckets_of_one_width_are_as_high_as_their_counts():
    histogram = HISTOGRAMS["0.3"]
    ax = histogram.plot()
    assert ax.get_ylabel() == "weights per 0.05"
    lefts, rights, heights = zip(*bars(ax), strict=True)
    np.testing.assert_allclose(heights, histogram.counts)
    np.testing.assert_allclose(rights[:-1], HISTOGRAM_WEIGHT_BUCKETS_0_3)
    np.testing.assert_allclose(lefts[1:], HISTOGRAM_WEIGHT_BUCKETS_0_3)


def test_uneven_buckets():
    ax = WeightsHistogram((0.0, 1.0, 3.0), [2, 4, 8, 0]).plot()
    assert ax.get_ylabel() == "weights per 1"
    # 4 weights in a bucket of 1 are as many to the unit as 8 in one of 2.
    assert bars(ax) == [(-1, 0, 2), (0, 1, 4), (1, 3, 4)]


def test_bounds_of_unlike_magnitudes_are_on_a_logarithmic_axis():
    ax = WeightsHistogram((-1.0, -0.25, -1 / 256, 0.0, 1.0), [0, 6, 12, 4, 32, 0]).plot()
    assert ax.get_ylabel() == "weights per factor of 2"
    # From 1/4 to 1 there are 2 octaves, from 1/256 to 1/4 there are 6; half of one is given to what
    # is between 0 and 1/256, beyond which there are 8.
    assert bars(ax) == [(-1, -1 / 4, 3), (-1 / 4, -1 / 256, 2), (-1 / 256, 0, 8), (0, 1, 32 / 8.5)]


def test_native_buckets():
    histogram = NativeWeightsHistogram(0, 2.0**-128, 7, {-1: 3, 1: 5}, {0: 2}, sum=1.5)
    ax = histogram.plot()
    zero = (-(2.0**-128), 2.0**-128, 7)
    assert bars(ax) == [(-1, -0.5, 2), zero, (0.25, 0.5, 3), (1, 2, 5)]


def test_native_buckets_of_one_schema_are_as_high_as_their_counts_by_octaves():
    ax = NativeWeightsHistogram(2, 0.0, 0, {0: 3, 1: 5}, {}).plot()
    (*_, low), (*_, high) = bars(ax)
    assert (low, high) == (pytest.approx(12), pytest.approx(20))


def test_open_buckets_are_hatched_and_end_at_infinity():
    ax = WeightsHistogram((-1.0, 0.0, 1.0), [1, 2, 3, 4]).plot()
    hatched = {patch.get_x(): bool(patch.get_hatch()) for patch in ax.patches}
    assert hatched == {-2: True, -1: False, 0: False, 1: True}
    assert (tick_labels(ax)[0], tick_labels(ax)[-1]) == ("−∞", "∞")
    assert ax.get_xlim() == (-2, 2)
    assert "hatched" in ax.get_xlabel()


def test_infinite_weights_in_native_buckets_are_beside_the_others():
    arrays = [np.array([0.5, 1.0, math.inf, math.inf])]
    ax = weights_histogram(arrays, NativeBuckets()).plot()
    assert tick_labels(ax)[-1] == "∞"
    *_, (left, right, _) = bars(ax)
    assert 1 < left < right < 8
    assert ax.patches[-1].get_hatch()


def test_no_weights():
    for name in ("empty", "only NaN", "native, empty", "native, only NaN"):
        ax = HISTOGRAMS[name].plot(pyplot.figure().gca())
        assert not ax.patches
        assert ax.get_ylim() == (0, 1)
        assert "0" in tick_labels(ax)


def test_labels_of_ticks_do_not_run_into_one_another():
    # matplotlib draws no axes as short as these are.
    shown = {**HISTOGRAMS}
    del shown["tiny bounds"], shown["neighbours"]
    for histogram in shown.values():
        for columns in (1, 3):
            ax = pyplot.figure(layout="none").add_subplot(1, columns, 1)
            rendered(histogram.plot(ax))
            labels = ax.get_xticklabels()
            boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
            for one, other in itertools.pairwise(boxes):
                assert one.x1 < other.x0
            pyplot.close()


def test_axes():
    first, second = pyplot.figure().subplots(2)
    assert HISTOGRAMS["0.3"].plot(first) is first
    assert HISTOGRAMS["native"].plot() is second
    assert HISTOGRAMS["native"].plot(ax=first) is first


@pytest.mark.parametrize("ax", [[], "first", 0, np.array([])], ids=repr)
def test_what_is_no_axes(ax):
    for what in (HISTOGRAMS["0.3"], layers(1, NativeBuckets())):
        with pytest.raises(TypeError, match="ax must be matplotlib's Axes"):
            what.plot(ax)


def test_a_second_histogram_is_drawn_as_the_first_one_is():
    ax = pyplot.figure().gca()
    ax.set_title("before and after")
    WeightsHistogram((0.0, 1.0, 2.0), [0, 3, 4, 0]).plot(ax)
    WeightsHistogram((0.0, 0.5, 5.0), [0, 3, 0, 1], nan_count=2).plot(ax)
    assert ax.get_ylabel() == "weights per 1"
    # That without an end is 1 wide as well.
    assert bars(ax) == [(0, 0.5, 6), (0, 1, 3), (1, 2, 4), (5, 6, 1)]
    assert ax.get_xlim() == (-1, 6)
    assert ax.get_title() == "before and after\n7 weights\n4 weights, 2 NaN"
    assert ax.get_legend_handles_labels()[1] == ["7 weights", "4 weights, 2 NaN"]


def test_native_histograms_of_unlike_weights_on_shared_axes():
    large = weights_histogram([np.array([1.0, 2.0])], NativeBuckets(0))
    small = weights_histogram([np.array([0.0, 2.0**-40])], NativeBuckets(0))
    for axes in ([pyplot.figure().gca()] * 2, pyplot.figure().subplots(2, sharex=True)):
        for ax, histogram in zip(axes, (large, small), strict=True):
            histogram.plot(ax)
        assert set(axes[1].get_xlim()) == set(axes[0].get_xlim())
        together = {bar for ax in axes for bar in bars(rendered(ax))}
        zero = (-(2.0**-128), 2.0**-128, 1)
        assert together == {zero, (2.0**-41, 2.0**-40, 1), (0.5, 1, 1), (1, 2, 1)}
        place = axes[0].xaxis.get_transform().transform
        assert np.diff(place(np.array([2.0**-40, 1.0, 2.0]))).tolist() == [40, 1]


def test_what_was_cleared_is_forgotten():
    ax = HISTOGRAMS["native"].plot()
    ax.clear()
    HISTOGRAMS["0.3"].plot(ax)
    assert ax.get_ylabel() == "weights per 0.05"


def test_a_figure_can_be_pickled():
    ax = HISTOGRAMS["native"].plot()
    copy = pickle.loads(pickle.dumps(ax.figure))
    assert bars(rendered(copy.axes[0])) == bars(ax)


def layers(count, buckets):
    names = (f"block_{i}/dense" for i in range(count))
    return weights_histograms({f"{name}/kernel": NORMAL[0][:50] for name in names}, buckets)


@pytest.mark.parametrize("buckets", [HISTOGRAM_WEIGHT_BUCKETS_0_3, NativeBuckets()], ids=str)
def test_layers(buckets):
    histograms = layers(3, buckets)
    ax = rendered(histograms.plot())
    assert [label.get_text() for label in ax.get_yticklabels()] == [*reversed(histograms)]
    for row in range(3):
        tops = [patch.get_height() for patch in ax.patches if patch.get_y() == row]
        assert max(tops) == pytest.approx(0.9)
    assert tick_labels(ax)
    assert ax.get_title() == ""


def test_of_many_layers_the_first_ones():
    ax = rendered(layers(1234, HISTOGRAM_WEIGHT_BUCKETS_0_3).plot())
    assert ax.get_title() == "the first 40; 1,194 more are left out"
    assert len(ax.get_yticklabels()) == 40


def test_layers_of_any_names_and_none():
    names = ("a$b", "$\\frac{$", "重み", "\0\n\ud800", "x" * 500, "")
    histograms = WeightsHistograms(dict.fromkeys(names, HISTOGRAMS["0.3"]))
    labels = [label.get_text() for label in rendered(histograms.plot()).get_yticklabels()]
    assert labels[-4:] == ["\\x00\\n\\ud800", "\\u91cd\\u307f", "$\\frac{$", "a$b"]
    assert len(labels[1]) < 50
    assert not rendered(WeightsHistograms().plot(pyplot.figure().gca())).patches


def test_layers_of_all_kinds():
    ax = rendered(WeightsHistograms(HISTOGRAMS).plot())
    nan = [label.get_text() for label in ax.get_yticklabels() if "NaN)" in label.get_text()]
    assert "native, hard (1 NaN)" in nan


def test_matplotlib_is_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, "gangplank.plots.axes", raising=False)
    monkeypatch.delattr("gangplank.plots.axes", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for what in (HISTOGRAMS["0.3"], layers(1, NativeBuckets())):
        with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[plot\]' in a clone"):
            what.plot()
