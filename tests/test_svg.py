"""Histograms as notebooks show them: HTML that any XML parser takes, with inline SVG."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
from histograms import HISTOGRAMS, NORMAL

from gangplank import (
    HISTOGRAM_WEIGHT_BUCKETS_0_3,
    NativeBuckets,
    NativeWeightsHistogram,
    WeightsHistogram,
    WeightsHistograms,
    weights_histogram,
    weights_histograms,
)

SVG = "{http://www.w3.org/2000/svg}"

each_histogram = pytest.mark.parametrize("histogram", HISTOGRAMS.values(), ids=HISTOGRAMS.keys())


def parsed(shown):
    return ElementTree.fromstring(shown._repr_html_())


def text(element):
    return " ".join(element.itertext())


def bars(root):
    """Left and right end and height of each bar, in pixels, and the count that it tells."""
    found = []
    for path in root.iter(f"{SVG}path"):
        for title in path.iter(f"{SVG}title"):
            left, bottom, top, right, end = map(float, re.findall(r"[-\d.]+", path.get("d")))
            assert bottom == end
            count = int(title.text.rpartition(": ")[2].replace(",", ""))
            found.append((left, right, bottom - top, count))
    return found


@each_histogram
def test_areas_are_counts(histogram):
    drawn = bars(parsed(histogram))
    assert sum(count for *_, count in drawn) == histogram.count
    lefts, rights, heights, counts = np.array(drawn or np.zeros((0, 4))).T
    widths = rights - lefts
    assert (widths > 1).all()
    # As precise as a hundredth of a pixel is of the highest bar.
    expected = counts / widths
    errors = np.abs(heights / heights.max(initial=1e-9) - expected / expected.max(initial=1e-9))
    assert (errors < 0.02).all()


@each_histogram
def test_needs_nothing_and_has_the_colour_of_its_text(histogram):
    html = histogram._repr_html_()
    assert not re.search(r"<script|<style|url\(|href|\bid=|class=|#", html)
    assert re.findall(r"https?://[^\"]*", html) == ["http://www.w3.org/2000/svg"]
    assert set(re.findall(r'(?:fill|stroke)="(.*?)"', html)) == {"currentColor", "none"}
    assert len(html) < 60_000


@each_histogram
def test_everything_is_inside_of_the_picture(histogram):
    svg = parsed(histogram).find(f"{SVG}svg")
    width, height = float(svg.get("width")), float(svg.get("height"))
    labels = [each for each in svg.iter(f"{SVG}text") if each.get("text-anchor") == "middle"]
    assert labels
    places = [(float(each.get("x")), 3.5 * len(each.text)) for each in labels]
    for x, half in places:
        assert half <= x <= width - half
    for (x, half), (other, other_half) in pairwise(places):
        assert x + half < other - other_half
    for left, right, size, _ in bars(svg):
        assert 0 <= left < right <= width
        assert 0 <= size <= height


def test_what_is_told():
    histogram = WeightsHistogram((-0.5, 0.5), [1, 2000, 3], nan_count=4)
    root = parsed(histogram)
    assert root.find("div").text == "2,004 weights, 4 NaN"
    assert root.find(f"{SVG}svg").get("aria-label") == "2,004 weights, 4 NaN"
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert titles == ["-inf to -0.5: 1", "-0.5 to 0.5: 2,000", "0.5 to inf: 3"]
    labels = [label.text for label in root.iter(f"{SVG}text")]
    assert labels[:5] == ["weights per 1", "500", "1k", "1.5k", "2k"]
    assert labels[5:] == ["−∞", "−0.2", "0", "0.2", "∞"]
    assert "dashed: up to infinity" in text(root)
    assert "dashed" not in text(parsed(HISTOGRAMS["empty"]))
    assert parsed(HISTOGRAMS["only NaN"]).find("div").text == "0 weights, 5 NaN"


def test_the_sum_is_told_where_it_is_known():
    histogram = NativeWeightsHistogram(3, 0.0, 1, {}, {}, sum=0.25)
    assert parsed(histogram).find("div").text == "1 weight, sum 0.25"


def test_native_buckets_that_are_drawn_together_keep_their_counts():
    fine = weights_histogram(NORMAL, NativeBuckets(8))
    assert len(fine.positive) + len(fine.negative) > 1000
    drawn = bars(parsed(fine))
    assert 64 < len(drawn) <= 257
    assert sum(count for *_, count in drawn) == fine.count


def layers(count, buckets=HISTOGRAM_WEIGHT_BUCKETS_0_3):
    names = (f"block_{i}/dense/kernel" for i in range(count))
    return weights_histograms(dict.fromkeys(names, NORMAL[0][:50]), buckets)


@pytest.mark.parametrize("buckets", [HISTOGRAM_WEIGHT_BUCKETS_0_3, NativeBuckets()], ids=str)
def test_layers(buckets):
    root = parsed(layers(3, buckets))
    rows = [[text(cell) for cell in row] for row in root.iter("tr")]
    assert [row[:3] for row in rows[1:-1]] == [[f"block_{i}/dense", "50", "0"] for i in range(3)]
    assert "each drawn as high as its highest bar" in rows[-1][0]
    # The axis below the rows is theirs.
    assert "0" in rows[-1][1].split()
    assert len(list(root.iter(f"{SVG}svg"))) == 4


def test_of_many_layers_the_first_ones():
    html = layers(5000)._repr_html_()
    assert len(html) < 100_000
    assert "the first 50; 4,950 more are left out" in html
    assert len(list(ElementTree.fromstring(html).iter(f"{SVG}svg"))) == 51


def test_names_are_text():
    names = ["<script>alert(1)</script>", "a & b", '"', "\0\ud800\x1b", "重み", "]]>"]
    histograms = WeightsHistograms(dict.fromkeys(names, HISTOGRAMS["0.3"]))
    shown = [text(row[0]) for row in parsed(histograms).iter("tr")][1:-1]
    assert shown == [*names[:3], "\ufffd\ufffd\ufffd", *names[4:]]


def test_histograms_of_all_kinds_and_none():
    root = parsed(WeightsHistograms(HISTOGRAMS))
    assert [text(row[0]) for row in root.iter("tr")][1:-1] == [*HISTOGRAMS]
    assert text(parsed(WeightsHistograms())) == "no histograms"


def test_matplotlib_is_not_loaded():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import gangplank, numpy; "
        "weights = {'a': numpy.array([0.5])}; "
        "histograms = gangplank.weights_histograms(weights, gangplank.NativeBuckets()); "
        "print(histograms._repr_html_() + histograms['a']._repr_html_())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "1 weight, sum 0.5" in result.stdout, result.stderr
