"""Histograms drawn by matplotlib, which is imported with this module."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib import pyplot, rcParams
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.transforms import Affine2D, Bbox

from gangplank.plots.bars import Bar, bars_of, ends, ticks_of
from gangplank.plots.counted import Counted, in_words
from gangplank.plots.scales import Linear, Scale, scale_of

_MOST_ROWS = 40

_LONGEST_NAME = 40

# So that a second histogram is drawn as the first one on the same axes is. Axes that were cleared
# have no data.
_scales: WeakKeyDictionary[Axes, Scale] = WeakKeyDictionary()


def draw(counted: Counted, ax: Axes | None) -> Axes:
    """Draws one histogram."""
    ax = pyplot.gca() if ax is None else _checked(ax)
    scale = _scale_beside(ax, scale_of([counted]))
    bars = bars_of(counted, scale)
    _set_axis(ax, bars, scale)
    words = in_words(counted)
    _draw_bars(ax, bars, label=words)
    ax.set_ylabel(scale.height_label)
    # What stands there is the user's, or of another histogram.
    ax.set_title("\n".join(filter(None, [ax.get_title(), words])))
    return ax


def draw_all(all_counted: Iterator[tuple[str, Counted]], total: int, ax: Axes | None) -> Axes:
    """Draws a ridgeline: a row a histogram, the first of `total` on top, by their names."""
    shown = dict(islice(all_counted, _MOST_ROWS))
    ax = _current_axes(len(shown)) if ax is None else _checked(ax)
    if not shown:
        return ax
    scale = scale_of(list(shown.values()))
    rows = [bars_of(counted, scale) for counted in shown.values()]
    _set_axis(ax, [bar for bars in rows for bar in bars], scale)
    for row, bars in enumerate(reversed(rows)):
        highest = max(bar.height for bar in bars) or 1.0
        lowered = [replace(bar, height=bar.height / highest * 0.9) for bar in bars]
        _draw_bars(ax, lowered, bottom=row, color="C0")
        ax.axhline(row, color="C0", linewidth=0.5)
    names = [_name(name, counted) for name, counted in shown.items()]
    size = float(np.clip(0.9 * _points(ax).height / len(names), 3, 10))
    ax.set_yticks(range(len(names)), reversed(names), fontsize=size, parse_math=False)
    ax.set_ylim(-0.1, len(names))
    ax.set_xlabel("value; each row as high as its highest bar")
    if left_out := total - len(shown):
        words = f"the first {len(shown)}; {left_out:,} more are left out"
        ax.set_title("\n".join(filter(None, [ax.get_title(), words])))
    return ax


def _checked(ax: object) -> Axes:
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib's Axes, one of them. Received {ax!r}.")
    return ax


def _scale_beside(ax: Axes, scale: Scale) -> Scale:
    """The axis of what is drawn already, here and where the axis is shared; with room for more."""
    sharing = ax.get_shared_x_axes().get_siblings(ax)
    known = [_scales[each] for each in sharing if each in _scales and each.has_data()]
    scale = known[0].joined(scale) if known else scale
    _scales.update(dict.fromkeys(sharing, scale))
    return scale


def _current_axes(rows: int) -> Axes:
    if pyplot.get_fignums():
        return pyplot.gca()
    height = 1 + 0.35 * max(rows, 4)
    return pyplot.figure(figsize=(6.4, height), layout="constrained").gca()


def _draw_bars(ax: Axes, bars: Sequence[Bar], bottom: float = 0, **style: Any) -> None:
    # A legend shows the first one.
    drawn = sorted((bar for bar in bars if bar.count), key=lambda bar: bar.is_open)
    if not drawn:
        return
    container = ax.bar(
        [bar.left for bar in drawn],
        [bar.height for bar in drawn],
        [bar.right - bar.left for bar in drawn],
        bottom,
        align="edge",
        alpha=0.6,
        **style,
    )
    for bar, patch in zip(drawn, container.patches, strict=True):
        # bar() adds and takes away the first one's value, beside which others are too small.
        patch.set(x=bar.left, width=bar.right - bar.left)
        if bar.is_open:
            patch.set(hatch="////", fill=False, edgecolor=patch.get_facecolor(), linewidth=0)


def _set_axis(ax: Axes, bars: Sequence[Bar], scale: Scale) -> None:
    """Makes the axis of values that of `scale`, and as long as what is on it."""
    left, right = ends(bars)
    if any(each.has_data() for each in ax.get_shared_x_axes().get_siblings(ax)):
        before = ax.get_xlim()
        left, right = min(left, *before), max(right, *before)
    if not isinstance(scale, Linear):
        ax.set_xscale("function", functions=(scale.place, scale.value))
    ax.set_xlim(left, right)
    letter = 0.6 * FontProperties(size=rcParams["xtick.labelsize"]).get_size_in_points()
    ticks = ticks_of(bars, scale, letter / _points(ax).width)
    ax.set_xticks([tick.value for tick in ticks], [in_font(tick.label) for tick in ticks])
    ax.set_xlabel(in_font("value (hatched: to ∞)") if _has_open(bars) else "value")


def _points(ax: Axes) -> Bbox:
    """The rectangle of the axes, in points, of which letters have so many."""
    return ax.get_window_extent().transformed(Affine2D().scale(72 / ax.figure.dpi))


def _has_open(bars: Sequence[Bar]) -> bool:
    return any(bar.is_open and bar.count for bar in bars)


def _name(name: str, counted: Counted) -> str:
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME // 2]}…{name[-_LONGEST_NAME // 2 :]}"
    return in_font(f"{name} ({counted.nan_count:,} NaN)" if counted.nan_count else name)


def in_font(text: str) -> str:
    """The text with escapes for what no font has, of which matplotlib would warn."""
    fonts = [get_font(findfont(FontProperties(family=[f]))) for f in FontProperties().get_family()]
    return "".join(
        character
        if character.isprintable() and any(font.get_char_index(ord(character)) for font in fonts)
        else character.encode("unicode_escape").decode()
        for character in text
    )
