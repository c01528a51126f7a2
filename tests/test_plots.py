"""Histograms drawn by matplotlib: where bars are, how high, and what is said beside them."""

import io
import math
import sys

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot

import gangplank
from gangplank import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    HISTOGRAM_WEIGHT_BUCKETS_1_0,
    NativeBuckets,
    NativeWeightsHistogram,
    WeightsHistogram,
    WeightsHistograms,
    weights_histogram,
)

mpl.use("agg")

NORMAL = [np.random.default_rng(0).normal(0, 0.1, 10_000).astype("float32")]
HARD = [np.array([5e-324, 1e-310, 0, 1, 1e308, -1e300, math.inf, -math.inf, math.nan])]

HISTOGRAMS = {
    "0.3": weights_histogram(NORMAL, HISTOGRAM_WEIGHT_BUCKETS_0_3),
    "1.0": weights_histogram(NORMAL + HARD, HISTOGRAM_WEIGHT_BUCKETS_1_0),
    "uneven": weights_histogram(NORMAL, [-0.3, -0.1, -0.05, 0, 0.02, 0.1, 0.5]),
    "decades": weights_histogram(NORMAL, [-1, -0.1, -0.01, -1e-3, 0, 1e-3, 0.01, 0.1, 1]),
    "positive decades": weights_histogram(NORMAL, [1e-6, 1e-4, 0.01, 1]),
    "a thousand": weights_histogram(NORMAL, np.linspace(-0.5, 0.5, 1000)),
    "one bound": weights_histogram(NORMAL, [0.0]),
    "one large bound": WeightsHistogram((-1e308,), [1, 2]),
    "huge counts": WeightsHistogram((-1.0, 0.0, 1.0), [2**60, 2**61, 5, 2**59]),
    "huge bounds": WeightsHistogram((-1e308, 0.0, 1e308), [1, 2, 3, 4]),
    "tiny bounds": WeightsHistogram((-5e-324, 0.0, 5e-324), [1, 2, 3, 4]),
    "neighbours": WeightsHistogram((1.0, math.nextafter(1, 2)), [1, 2, 3]),
    "neighbours far from others": WeightsHistogram((-3, 1, math.nextafter(1, 2), 4), [1] * 5),
    "empty": weights_histogram([], HISTOGRAM_WEIGHT_BUCKETS_0_3),
    "only NaN": weights_histogram([np.full(5, np.nan)], HISTOGRAM_WEIGHT_BUCKETS_0_3),
    "native": weights_histogram(NORMAL, NativeBuckets()),
    "native, fine": weights_histogram(NORMAL, NativeBuckets(8)),
    "native, coarse": weights_histogram(NORMAL, NativeBuckets(-4)),
    "native, hard": weights_histogram(HARD, NativeBuckets()),
    "native, hard, no threshold": weights_histogram(HARD, NativeBuckets(8, 0.0)),
    "native, only infinity": weights_histogram([np.array([math.inf])], NativeBuckets()),
    "native, only zero": weights_histogram([np.zeros(9)], NativeBuckets(3, 0.0)),
    "native, empty": weights_histogram([], NativeBuckets()),
    "native, only NaN": weights_histogram([np.full(5, np.nan)], NativeBuckets()),
}
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
    bounds=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, unique=True),
    data=st.data(),
)
def test_areas_are_counts_whatever_the_bounds(bounds, data):
    bounds = sorted({bound + 0.0 for bound in bounds})
    counts = st.lists(
        st.integers(0, 2**40), min_size=len(bounds) + 1, max_size=len(bounds) + 1
    )
    histogram = WeightsHistogram(bounds, data.draw(counts))
    drawn = gangplank.plots.bars.bars_of(histogram._counted(256), scale := scale_of(histogram))
    widths = [np.diff(scale.place([bar.left, bar.right]))[0] for bar in drawn]
    assert sum(bar.count for bar in drawn) == histogram.count
    assert drawn == sorted(drawn, key=lambda bar: bar.left)
    for bar, width in zip(drawn, widths, strict=True):
        assert width * bar.height / scale.unit == pytest.approx(bar.count, rel=1e-6)
