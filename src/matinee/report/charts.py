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
    from collections.abc import Callable, Iterable, Iterator, Sequence

WIDTH, HEIGHT = 340, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 10, 38
# More markers than this run into each other and hide the line.
_MOST_MARKERS = 40
BROAD = (680, 300)
"""Width and height of a chart as wide as the page."""
STRIP_WIDTH, STRIP_HEIGHT = 160, 22
_STRIP_MARGIN = 6

MARKERS = ("circle", "square", "triangle", "diamond", "down", "cross", "plus", "ring", "hollow")
# What is not a circle or a square: (move or line, x and y from the middle), and the class that paints it.
_PATHS: dict[str, tuple[tuple[tuple[str, float, float], ...], str]] = {
    "triangle": ((("M", 0, -5.5), ("L", 5.2, 4), ("L", -5.2, 4)), "marker"),
    "down": ((("M", 0, 5.5), ("L", 5.2, -4), ("L", -5.2, -4)), "marker"),
    "diamond": ((("M", 0, -6), ("L", 5, 0), ("L", 0, 6), ("L", -5, 0)), "marker"),
    "hollow": ((("M", 0, -5.5), ("L", 5.2, 4), ("L", -5.2, 4)), "hollow"),
    "cross": ((("M", -4, -4), ("L", 4, 4), ("M", -4, 4), ("L", 4, -4)), "cross"),
    "plus": ((("M", 0, -5), ("L", 0, 5), ("M", -5, 0), ("L", 5, 0)), "cross"),
}
_MOST_LOG_TICKS = 6
_LOG_STEPS = ((1, 2, 5), (1, 3), (1,))
# Parallel axes: least distance between two, room beside the outer ones, and how wide a letter of a title is at most.
_LEAST_GAP, _EDGE, _LETTER, _PARALLEL_HEIGHT = 112, 74, 7.6, 290

# How wide a digit of a note is.
_DIGIT = 7
# How many places of a line between two points notes keep clear of.
_DOTS = 40

Point = tuple[float, float]
Placed = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


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
        marker: One of `MARKERS`, or none.
        dashed: Whether its line is.
        line: Whether it has one.
        whiskers: (low, high) of each point's y; empty for none.
        label: Stands beside the last point; empty for none.
        notes: Small words at each point, below it where there is room; empty for none.
        band: (x, low, high), from left to right: a shaded area behind everything; empty for none.
        breaks: Places of the points to which no line goes from the one before.
    """

    name: str
    kind: str
    points: tuple[Point, ...]
    marker: str = ""
    dashed: bool = False
    line: bool = True
    whiskers: tuple[tuple[float, float], ...] = ()
    label: str = ""
    notes: tuple[str, ...] = ()
    band: tuple[tuple[float, float, float], ...] = ()
    breaks: tuple[int, ...] = ()


def axis_around(
    values: Iterable[float], title: str, *, least_span: float = 0.0, percent: bool = False, within: Point | None = None
) -> Axis:
    """Return an axis that shows all values with a little room, and names about five round ones.

    Args:
        values: At least one.
        title: What they measure.
        least_span: Smallest length of the axis, so that noise does not look like news.
        percent: Whether values are shares, named as percentages.
        within: Ends that the axis never passes, unless all values do.
    """
    found = list(values)
    low, high = min(found), max(found)
    margin = max(0.06 * (high - low), (least_span - (high - low)) / 2, 1e-9)
    low, high = low - margin, high + margin
    if within is not None and within[0] <= max(found) and min(found) <= within[1]:
        low, high = max(low, within[0]), min(high, within[1])
    step = round_step((high - low) / 4)
    first = math.ceil(low / step - 1e-9)
    ticks = tuple(round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1))
    shown = step * 100 if percent else step
    digits = max(0, -math.floor(math.log10(shown) + 1e-9) + (1 if _leading(shown) == 2.5 else 0))
    return Axis(low, high, title, ticks, lambda v: f"{v:.{digits}%}" if percent else f"{v:.{digits}f}")


def log_axis_around(
    values: Iterable[float], title: str, name: Callable[[float], str], *, choices: Sequence[Sequence[float]] = ()
) -> Axis:
    """Return an axis of the decimal logarithms of positive values, which names a few round ones.

    Args:
        values: At least one, above 0; not their logarithms.
        title: What they measure.
        name: Turns a value, not its logarithm, into its name.
        choices: Values that may be named, fine to coarse, of which the first are taken that are neither too many nor fewer than
            two; without any, 1, 2 and 5 times powers of ten.
    """
    logs = [math.log10(value) for value in values]
    room = max(0.06 * (max(logs) - min(logs)), 0.05)
    low, high = min(logs) - room, max(logs) + room
    powers = range(math.floor(low), math.ceil(high) + 1)
    round_ones = choices or [[step * 10.0**power for power in powers for step in steps] for steps in _LOG_STEPS]
    ticks: list[float] = []
    for values_named in round_ones:
        ticks = [place for value in values_named if low <= (place := math.log10(value)) <= high]
        if 2 <= len(ticks) <= _MOST_LOG_TICKS:
            break
    if len(ticks) < 2:
        ticks = sorted({min(logs), max(logs)})
    thin = ticks[:: -(-len(ticks) // _MOST_LOG_TICKS)]
    return Axis(low, high, title, tuple(thin), lambda place: name(10**place))


def line_chart(
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    *,
    label: str,
    diagonal: bool = False,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Markup:
    """Return a chart of lines and points.

    Args:
        x: The axis below.
        y: The axis on the left.
        series: What to draw, later ones over earlier ones.
        label: What the chart shows, in a sentence, for those who do not see it.
        diagonal: Whether to draw y = x, thin.
        size: Width and height.
    """
    frame = _Frame(x, y, size)
    parts = [frame.grid(), *(frame.shade(each) for each in series if len(each.band) > 1)]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(_line("diagonal", *frame.place((low, low)), *frame.place((high, high))))
    notes = iter(frame.notes(series))
    parts += [frame.draw(each, notes) for each in series]
    return _svg(*size, Markup("").join(parts), label)


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


def bar(share: float) -> Markup:
    """Return a bar for a table cell, as long as the share; the figure stands in the cell beside it."""
    long = round(min(max(share, 0.0), 1.0) * STRIP_WIDTH, 2)
    return Markup(
        '<svg class="strip" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true" focusable="false">'
        '<rect class="bar" x="0" y="5" width="{}" height="12"/></svg>'
    ).format(STRIP_WIDTH, STRIP_HEIGHT, STRIP_WIDTH, STRIP_HEIGHT, _short(long))


def key(marker: str, kind: str, *, dashed: bool = False) -> Markup:
    """Return a marker on a short line, as it stands on a chart, for a legend."""
    line = _line(f"line{' dashed' if dashed else ''}", 0, 9, 30, 9)
    return Markup(
        '<svg class="chart sample {}" viewBox="0 0 30 18" width="30" height="18" aria-hidden="true">{}{}</svg>'
    ).format(kind, line, _marker(marker, (15.0, 9.0)))


@dataclass(frozen=True)
class Thread:
    """One line through parallel axes.

    Attributes:
        name: For the reader of the SVG.
        kind: CSS class, which gives colour and width.
        values: One for each axis; None where it has no place on it.
    """

    name: str
    kind: str
    values: tuple[float | None, ...]


def parallel(axes: Sequence[Axis], threads: Sequence[Thread], *, label: str) -> Markup:
    """Return parallel axes with a line through each thread's values; as wide as it needs to be to be read.

    Args:
        axes: From left to right; at least two.
        threads: What to draw, later ones over earlier ones.
        label: What the chart shows, in a sentence.
    """
    gap = max(_LEAST_GAP, *(round(_LETTER * len(axis.title)) for axis in axes))
    places = [_EDGE + gap * place for place in range(len(axes))]
    top, bottom = 34, _PARALLEL_HEIGHT - 12
    lines = [_thread(thread, axes, places, (bottom, top)) for thread in threads]
    names = []
    for axis, across in zip(axes, places, strict=True):
        names.append(_line("axis", across, top, across, bottom))
        names.append(_text("title", across, 16, axis.title, "middle"))
        for tick in axis.ticks:
            up = axis.at(tick, bottom, top)
            names.append(_line("axis", across - 4, up, across, up))
            names.append(_text("tick halo", across - 7, up + 4, axis.name(tick), "end"))
    width = places[-1] + _EDGE
    return Markup(
        '<svg class="chart across" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>'
    ).format(width, _PARALLEL_HEIGHT, width, _PARALLEL_HEIGHT, label, Markup("").join([*lines, *names]))


def _thread(thread: Thread, axes: Sequence[Axis], places: Sequence[int], ends: Point) -> Markup:
    """Return a line that is broken where the thread has no value; a value between two gaps is a dash."""
    path, drawing = "", False
    for axis, across, value in zip(axes, places, thread.values, strict=True):
        if value is not None:
            up = axis.at(value, *ends)
            path += f"{'L' if drawing else f'M{across - 5} {_short(up)}L'}{across} {_short(up)}"
        drawing = value is not None
    line = Markup('<path class="line" d="{}"/>').format(path) if path else ""
    return Markup('<g class="{}"><title>{}</title>{}</g>').format(thread.kind, thread.name, line)


@dataclass(frozen=True)
class _Frame:
    """Turns values into places on the drawing."""

    x: Axis
    y: Axis
    size: tuple[int, int] = (WIDTH, HEIGHT)

    def place(self, point: Point) -> Point:
        width, height = self.size
        return self.x.at(point[0], _LEFT, width - _RIGHT), self.y.at(point[1], height - _BOTTOM, _TOP)

    def grid(self) -> Markup:
        """Return grid lines, axis, names of ticks and axes."""
        width, height = self.size
        right, bottom = width - _RIGHT, height - _BOTTOM
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
        parts.append(_text("title", (_LEFT + right) / 2, height - 4, self.x.title, "middle"))
        return Markup("").join(parts)

    def shade(self, series: Series) -> Markup:
        """Return the band of a series."""
        above = [self.place((across, high)) for across, _, high in series.band]
        below = [self.place((across, low)) for across, low, _ in series.band]
        edge = " ".join(f"{_short(across)},{_short(up)}" for across, up in [*above, *below[::-1]])
        return Markup('<g class="{}"><polygon class="band" points="{}"/></g>').format(series.kind, edge)

    def notes(self, series: Sequence[Series]) -> list[Placed]:
        """Return where the notes of all series stand, one after the other."""
        spots = []
        for each in series:
            for place, point in enumerate(each.points if each.marker else ()):
                low, high = each.whiskers[place] if place < len(each.whiskers) else (point[1], point[1])
                bottom, top = (self.place((point[0], end))[1] for end in (low, high))
                spots.append(
                    Spot(*self.place(point), top, bottom, each.notes[place] if place < len(each.notes) else "")
                )
        width, height = self.size
        lined = [each for each in series if each.line]
        lines = [box for each in lined for box in along([self.place(point) for point in each.points], each.breaks)]
        return place_notes(spots, (_LEFT, _TOP, width, height - _BOTTOM), lines)

    def draw(self, series: Series, notes: Iterator[Placed]) -> Markup:
        """Return a series: whiskers, then the line, then the markers; its notes stand where `notes` says next."""
        places = [self.place(point) for point in series.points]
        parts = []
        for (across, _), (low, high) in zip(places, series.whiskers, strict=False):
            ends = (self.y.at(end, self.size[1] - _BOTTOM, _TOP) for end in (low, high))
            parts.append(_line("whisker", across, next(ends), across, next(ends)))
        if series.line and len(places) - len(series.breaks) > 1:
            path = "".join(
                f"{'M' if place == 0 or place in series.breaks else 'L'}{_short(across)} {_short(up)}"
                for place, (across, up) in enumerate(places)
            )
            parts.append(Markup('<path class="line{}" d="{}"/>').format(" dashed" if series.dashed else "", path))
        if series.marker and (len(places) <= _MOST_MARKERS or not series.line):
            parts += [_marker(series.marker, place) for place in places]
        if series.marker:
            parts += [
                _text("tick halo", *next(notes), words, "middle") for words in series.notes[: len(places)] if words
            ]
        if series.label and places:
            across, up = places[-1]
            parts.append(_text("title", across + 7, up + 4, series.label, "start"))
        return Markup('<g class="{}"><title>{}</title>{}</g>').format(series.kind, series.name, Markup("").join(parts))


@dataclass(frozen=True)
class Spot:
    """A marker that a note may belong to, in the units of the drawing, y downwards.

    Attributes:
        across: Its middle.
        up: Its middle.
        top: Upper end of its whisker.
        bottom: Lower end.
        words: The note; empty for none.
    """

    across: float
    up: float
    top: float
    bottom: float
    words: str


def place_notes(spots: Sequence[Spot], within: Box, lines: Iterable[Box] = ()) -> list[Placed]:
    """Return where each note stands: below its marker and whisker, else wherever beside them it covers least of the others.

    Args:
        spots: All markers, those without a note too: notes keep clear of them.
        within: The frame that no note should leave.
        lines: What else notes should not cover.

    Returns:
        Middle and base line of each note, of spots that have none nothing.
    """
    taken = [*lines, *(box for spot in spots for box in _boxes(spot))]
    found = []
    for spot in spots:
        if not spot.words:
            continue
        box, place = min(
            ((_note_box(place, spot.words), place) for place in _around(spot)),
            key=lambda each: sum(_overlap(each[0], other) for other in taken) + _outside(each[0], within),
        )
        taken.append(box)
        found.append(place)
    return found


def along(places: Sequence[Point], breaks: Sequence[int]) -> list[Box]:
    """Return small boxes along the line through some places; it breaks before those whose numbers are in `breaks`."""
    ways = [(places[n - 1], places[n]) for n in range(1, len(places)) if n not in breaks]
    dots = [
        (start[0] + (end[0] - start[0]) * step / _DOTS, start[1] + (end[1] - start[1]) * step / _DOTS)
        for start, end in ways
        for step in range(_DOTS)
    ]
    return [(across - 2, up - 2, across + 2, up + 2) for across, up in dots]


def _around(spot: Spot) -> list[Placed]:
    """Return where a note may stand, best first."""
    below, above = max(spot.up + 17, spot.bottom + 13), min(spot.up - 9, spot.top - 5)
    aside = len(spot.words) * _DIGIT / 2 + 9
    places = [(spot.across, below), (spot.across, above)]
    places += [(spot.across + side, spot.up + shift) for shift in (4, 17, -9) for side in (aside, -aside)]
    return [*places, (spot.across, below + 13), (spot.across, above - 13)]


def _boxes(spot: Spot) -> tuple[Box, Box]:
    """Return what a marker and its whisker cover."""
    marker = (spot.across - 6, spot.up - 6, spot.across + 6, spot.up + 6)
    return marker, (spot.across - 2, spot.top, spot.across + 2, spot.bottom)


def _note_box(place: Placed, words: str) -> Box:
    half = len(words) * _DIGIT / 2
    return place[0] - half, place[1] - 10, place[0] + half, place[1] + 2


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, tall)


def _outside(box: Box, within: Box) -> float:
    """Return how much of a box is outside another."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, within)


def _marker(shape: str, place: Point) -> Markup:
    across, up = place
    if shape in _PATHS:
        corners, kind = _PATHS[shape]
        path = "".join(f"{move}{_short(across + x)} {_short(up + y)}" for move, x, y in corners)
        return Markup('<path class="{}" d="{}"/>').format(kind, path + ("Z" if kind != "cross" else ""))
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


def round_step(step: float) -> float:
    """Return the nearest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def _leading(value: float) -> float:
    return round(value / 10.0 ** math.floor(math.log10(value) + 1e-9), 6)
