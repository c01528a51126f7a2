"""Histograms as HTML with inline SVG, which needs no script, no style sheet and no other file."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice

from gangplank.plots.bars import Bar, bars_of, ends, ticks_of
from gangplank.plots.counted import Counted, in_words
from gangplank.plots.scales import Scale, nice_step, scale_of

_MOST_ROWS = 50

_WIDTH, _HEIGHT = 600, 230
_LETTER = 7
_ROW_WIDTH, _ROW_HEIGHT, _ROW_MARGIN = 360, 36, 34

# The colour is that of the text around it, on a light page as on a dark one.
_BAR = 'fill="currentColor" fill-opacity="0.6" shape-rendering="crispEdges"'
_OPEN_BAR = 'fill="currentColor" fill-opacity="0.2" stroke="currentColor" stroke-dasharray="3 2"'
_LINE = 'stroke="currentColor" stroke-width="1" fill="none"'
_GRID = 'stroke="currentColor" stroke-opacity="0.2" fill="none"'
_LEFT, _RIGHT = ('style="text-align:left;padding-left:1em"', 'style="text-align:right"')

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def html(counted: Counted) -> str:
    """What is counted in words, and the bars of one histogram."""
    scale = scale_of([counted])
    bars = bars_of(counted, scale)
    frame = _Frame(bars, scale, left=56, right=_WIDTH - 34, top=26, bottom=_HEIGHT - 24)
    words = in_words(counted)
    if counted.total is not None:
        words += f", sum {counted.total:.6g}"
    label = f'<text x="4" y="13" fill="currentColor">{scale.height_label}</text>'
    parts = [label, *frame.height_ticks(), *frame.bars(), *frame.axis()]
    return f"<div><div>{words}</div>{_svg(_WIDTH, _HEIGHT, words, parts)}{_legend(bars)}</div>"


def html_of_all(all_counted: Iterator[tuple[str, Counted]], total: int) -> str:
    """A table of the first of `total` histograms on one axis, by their names."""
    shown = dict(islice(all_counted, _MOST_ROWS))
    if not shown:
        return "<div>no histograms</div>"
    scale = scale_of(list(shown.values()))
    rows = {name: bars_of(counted, scale) for name, counted in shown.items()}
    together = [bar for bars in rows.values() for bar in bars]
    body = "".join(_row(name, shown[name], bars, together, scale) for name, bars in rows.items())
    axis = _row_frame(together, scale, together, bottom=1)
    caption = "each drawn as high as its highest bar"
    if left_out := total - len(shown):
        caption = f"the first {len(shown)}; {left_out:,} more are left out; {caption}"
    return (
        f"<div><table><thead><tr><th {_LEFT}>name</th><th {_RIGHT}>weights</th>"
        f"<th {_RIGHT}>NaN</th><th {_LEFT}>histogram</th></tr></thead>"
        f'<tbody>{body}</tbody><tfoot><tr><td {_LEFT} colspan="3">{caption}</td>'
        f"<td {_LEFT}>{_svg(_ROW_WIDTH, 22, 'value', axis.axis())}</td></tr></tfoot></table>"
        f"{_legend(together)}</div>"
    )


class _Frame:
    """Where the bars of a histogram are drawn: between which pixels, and between which values."""

    def __init__(
        self,
        bars: Sequence[Bar],
        scale: Scale,
        *,
        left: float,
        right: float,
        top: float,
        bottom: float,
        beside: Sequence[Bar] = (),
    ) -> None:
        self._bars, self._scale, self._beside = bars, scale, beside or bars
        self._left, self._right, self._top, self._bottom = left, right, top, bottom
        self._first, self._last = map(float, scale.place(ends(self._beside)))
        self._highest = max(bar.height for bar in bars) or 1.0

    def bars(self) -> Iterator[str]:
        """A rectangle a bar, which says what it is where the mouse points at it."""
        for bar in self._bars:
            if bar.count:
                style = _OPEN_BAR if bar.is_open else _BAR
                yield f'<path d="{self._outline(bar)}" {style}><title>{_told(bar)}</title></path>'

    def outlines(self) -> Iterator[str]:
        """The same with one path for all bars, for where there are many histograms."""
        for is_open, style in ((False, _BAR), (True, _OPEN_BAR)):
            outlines = [
                self._outline(bar) for bar in self._bars if bar.count and bar.is_open is is_open
            ]
            if outlines:
                yield f'<path d="{"".join(outlines)}" {style}/>'

    def line(self) -> str:
        """The line on which the bars stand."""
        return f'<path d="M{self._left} {self._bottom}H{self._right}" {_LINE}/>'

    def axis(self) -> Iterator[str]:
        """The line with its ticks."""
        yield self.line()
        for tick in ticks_of(self._beside, self._scale, _LETTER / (self._right - self._left)):
            x = self._x(tick.value)
            yield f'<path d="M{x} {self._bottom}v4" {_LINE}/>'
            yield (
                f'<text x="{x}" y="{self._bottom + 17}" text-anchor="middle" '
                f'fill="currentColor">{tick.label}</text>'
            )

    def height_ticks(self) -> Iterator[str]:
        """Lines at some heights, and what they are."""
        step = nice_step(self._highest / 4)
        for i in range(1, int(self._highest / step) + 1):
            y = self._y(i * step)
            yield f'<path d="M{self._left} {y}H{self._right}" {_GRID}/>'
            yield (
                f'<text x="{self._left - 6}" y="{y + 4:g}" text-anchor="end" '
                f'fill="currentColor">{_short(i * step)}</text>'
            )

    def _outline(self, bar: Bar) -> str:
        left, right = self._x(bar.left), self._x(bar.right)
        return f"M{left} {self._bottom}V{self._y(bar.height)}H{right}V{self._bottom}Z"

    def _x(self, value: float) -> float:
        part = (float(self._scale.place(value)) - self._first) / (self._last - self._first)
        return round(self._left + part * (self._right - self._left), 2)

    def _y(self, height: float) -> float:
        return round(self._bottom - height / self._highest * (self._bottom - self._top), 2)


def _row(
    name: str, counted: Counted, bars: Sequence[Bar], together: Sequence[Bar], scale: Scale
) -> str:
    frame = _row_frame(bars, scale, together, bottom=_ROW_HEIGHT - 2)
    label = _text(f"{name}: {in_words(counted)}")
    svg = _svg(_ROW_WIDTH, _ROW_HEIGHT, label, [*frame.outlines(), frame.line()])
    return (
        f"<tr><td {_LEFT}>{_text(name)}</td><td {_RIGHT}>{counted.count:,}</td>"
        f"<td {_RIGHT}>{counted.nan_count:,}</td><td {_LEFT}>{svg}</td></tr>"
    )


def _row_frame(
    bars: Sequence[Bar], scale: Scale, together: Sequence[Bar], *, bottom: float
) -> _Frame:
    left, right = _ROW_MARGIN, _ROW_WIDTH - _ROW_MARGIN
    return _Frame(bars, scale, left=left, right=right, top=2, bottom=bottom, beside=together)


def _svg(width: int, height: int, label: str, parts: Iterator[str] | Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{label}" font-size="12" '
        f'font-family="sans-serif" style="max-width:100%;height:auto">{"".join(parts)}</svg>'
    )


def _legend(bars: Sequence[Bar]) -> str:
    if any(bar.is_open and bar.count for bar in bars):
        return "<div>dashed: up to infinity, drawn of a width that is chosen</div>"
    return ""


def _told(bar: Bar) -> str:
    return f"{bar.lower:g} to {bar.upper:g}: {bar.count:,}"


def _text(text: str) -> str:
    """Text as XML can have it."""
    return escape(_NO_XML.sub("\ufffd", text))


def _short(number: float) -> str:
    if number >= 1e15:
        return f"{number:.0e}".replace("e+", "e")
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= power:
            return f"{number / power:g}{letter}"
    return f"{number:g}"
