"""Small charts as inline SVG: drawn for a page, in its ink and colours, so that they follow light, dark and print.

Colours are CSS classes (`training`, `validation`, `before`, `after`, ...) that the page's style sheet gives a hue; series also differ
by marker and dash, so that no chart needs colour to be read. All text is escaped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WIDTH, HEIGHT = 340, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 20, 10, 38
# More markers than this run into each other and hide the line.
_MOST_MARKERS = 40
STRIP_WIDTH, STRIP_HEIGHT = 160, 22
_STRIP_MARGIN = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis: which values it shows, and which of them are named.

    Attributes:
        low: Value at its start.
        high: Value at its end; above `low`.
        title: What it measures.
        ticks: Values with a name.
        name: Turns a tick into its name.
    """

    low: float
    high: float
    title: str
    ticks: tuple[float, ...]
    name: Callable[[float], str]

    def at(self, value: float, start: float, end: float) -> float:
        """Return where `value` stands between `start` and `end`, values beyond the axis at its ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(start + share * (end - start), 2)


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        name: For the reader of the SVG.
        kind: CSS class, which gives the colour.
        points: (x, y), from left to right.
        marker: `"circle"`, `"square"`, or none.
        dashed: Whether its line is.
        line: Whether it has one.
        whiskers: (low, high) of each point's y; empty for none.
        label: Stands beside the last point; empty for none.
    """

    name: str
    kind: str
    points: tuple[Point, ...]
    marker: str = ""
    dashed: bool = False
    line: bool = True
    whiskers: tuple[tuple[float, float], ...] = ()
    label: str = ""


def axis_around(
    values: Iterable[float], title: str, *, least_span: float = 0.0, percent: bool = False, within: Point | None = None
) -> Axis:
    """Return an axis that shows all values with a little room, and names about five round ones.

    Args:
        values: At least one.
        title: What they measure.
        least_span: Smallest length of the axis, so that noise does not look like news.
        percent: Whether values are shares, named as percentages.
        within: Ends that the axis never passes.
    """
    found = list(values)
    low, high = min(found), max(found)
    margin = max(0.06 * (high - low), (least_span - (high - low)) / 2, 1e-9)
    low, high = low - margin, high + margin
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    step = _round_step((high - low) / 4)
    first = math.ceil(low / step - 1e-9)
    ticks = tuple(round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1))
    shown = step * 100 if percent else step
    digits = max(0, -math.floor(math.log10(shown) + 1e-9) + (1 if _leading(shown) == 2.5 else 0))
    return Axis(low, high, title, ticks, lambda v: f"{v:.{digits}%}" if percent else f"{v:.{digits}f}")


def line_chart(x: Axis, y: Axis, series: Sequence[Series], *, label: str, diagonal: bool = False) -> Markup:
    """Return a chart of lines and points.

    Args:
        x: The axis below.
        y: The axis on the left.
        series: What to draw, later ones over earlier ones.
        label: What the chart shows, in a sentence, for those who do not see it.
        diagonal: Whether to draw y = x, thin.
    """
    frame = _Frame(x, y)
    parts = [frame.grid()]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(_line("diagonal", *frame.place((low, low)), *frame.place((high, high))))
    parts += [frame.draw(each) for each in series]
    return _svg(WIDTH, HEIGHT, Markup("").join(parts), label)


def columns(x: Axis, bars: Sequence[tuple[float, float, float]], *, label: str, title: str) -> Markup:
    """Return low columns that say how many texts stand behind the points of a chart above them.

    Args:
        x: The axis of the chart above.
        bars: (low, high, count).
        label: What they show, in a sentence.
        title: What their height is.
    """
    height, base = 64, 46
    tallest = max((count for _, _, count in bars), default=0) or 1
    parts = [_line("axis", _LEFT, base, WIDTH - _RIGHT, base)]
    for low, high, count in bars:
        left, right = (x.at(value, _LEFT, WIDTH - _RIGHT) for value in (low, high))
        tall = round((base - 6) * count / tallest, 2)
        parts.append(
            Markup('<rect class="column" x="{}" y="{}" width="{}" height="{}"/>').format(
                _short(left + 1), _short(base - tall), _short(max(0.5, right - left - 2)), _short(tall)
            )
        )
    parts.append(_text("title", (_LEFT + WIDTH - _RIGHT) / 2, height - 4, title, "middle"))
    return _svg(WIDTH, height, Markup("").join(parts), label)


def strip(
    value: float, low: float, high: float, *, axis: Axis, kind: str = "after", zero: float | None = None
) -> Markup:
    """Return an interval as a line with a dot, small enough for a table cell; the figures stand in the cells beside it.

    Args:
        value: Where the dot is.
        low: Start of the interval.
        high: Its end.
        axis: Shared by the rows of the table.
        kind: CSS class.
        zero: Value of a thin line that all rows share, such as no difference.
    """
    start, end, middle = _STRIP_MARGIN, STRIP_WIDTH - _STRIP_MARGIN, STRIP_HEIGHT / 2
    parts = [_line("axis", start, middle, end, middle)]
    if zero is not None:
        place = axis.at(zero, start, end)
        parts.append(_line("zero", place, 1, place, STRIP_HEIGHT - 1))
    left, dot, right = (axis.at(each, start, end) for each in (low, value, high))
    parts.append(_line(f"interval {kind}", left, middle, right, middle))
    parts.append(Markup('<circle class="{}" cx="{}" cy="{}" r="4.5"/>').format(kind, _short(dot), _short(middle)))
    return Markup(
        '<svg class="strip" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true" focusable="false">{}</svg>'
    ).format(STRIP_WIDTH, STRIP_HEIGHT, STRIP_WIDTH, STRIP_HEIGHT, Markup("").join(parts))


@dataclass(frozen=True)
class _Frame:
    """Turns values into places on the drawing."""

    x: Axis
    y: Axis

    def place(self, point: Point) -> Point:
        return self.x.at(point[0], _LEFT, WIDTH - _RIGHT), self.y.at(point[1], HEIGHT - _BOTTOM, _TOP)

    def grid(self) -> Markup:
        """Return grid lines, axis, names of ticks and axes."""
        right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
        parts = []
        for tick in self.y.ticks:
            _, place = self.place((self.x.low, tick))
            parts.append(_line("grid", _LEFT, place, right, place))
            parts.append(_text("tick", _LEFT - 6, place + 4, self.y.name(tick), "end"))
        for tick in self.x.ticks:
            place, _ = self.place((tick, self.y.low))
            parts.append(_line("axis", place, bottom, place, bottom + 4))
            parts.append(_text("tick", place, bottom + 16, self.x.name(tick), "middle"))
        parts.append(_line("axis", _LEFT, bottom, right, bottom))
        parts.append(_text("title", (_LEFT + right) / 2, HEIGHT - 4, self.x.title, "middle"))
        return Markup("").join(parts)

    def draw(self, series: Series) -> Markup:
        """Return a series: whiskers, then the line, then the markers."""
        places = [self.place(point) for point in series.points]
        parts = []
        for (across, _), (low, high) in zip(places, series.whiskers, strict=False):
            ends = self.y.at(low, HEIGHT - _BOTTOM, _TOP), self.y.at(high, HEIGHT - _BOTTOM, _TOP)
            parts.append(_line("whisker", across, ends[0], across, ends[1]))
        if series.line and len(places) > 1:
            path = "M" + "L".join(f"{_short(across)} {_short(up)}" for across, up in places)
            parts.append(Markup('<path class="line{}" d="{}"/>').format(" dashed" if series.dashed else "", path))
        if series.marker and len(places) <= _MOST_MARKERS:
            parts += [_marker(series.marker, place) for place in places]
        if series.label and places:
            across, up = places[-1]
            parts.append(_text("title", across + 7, up + 4, series.label, "start"))
        return Markup('<g class="{}"><title>{}</title>{}</g>').format(series.kind, series.name, Markup("").join(parts))


def _marker(shape: str, place: Point) -> Markup:
    across, up = place
    if shape == "square":
        corner = (_short(across - 4), _short(up - 4))
        return Markup('<rect class="marker" x="{}" y="{}" width="8" height="8"/>').format(*corner)
    if shape == "ring":
        return Markup('<circle class="ring" cx="{}" cy="{}" r="8"/>').format(_short(across), _short(up))
    return Markup('<circle class="marker" cx="{}" cy="{}" r="4"/>').format(_short(across), _short(up))


def _svg(width: int, height: int, inside: Markup, label: str) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, inside
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    ends = (_short(value) for value in (x1, y1, x2, y2))
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, *ends)


def _text(kind: str, x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, _short(x), _short(y), anchor, words
    )


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _round_step(step: float) -> float:
    """Return the nearest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def _leading(value: float) -> float:
    return round(value / 10.0 ** math.floor(math.log10(value) + 1e-9), 6)
