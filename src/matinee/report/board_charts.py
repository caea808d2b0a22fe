"""The drawings of a leaderboard: accuracy against the time of a training, and learning curves with what lies ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matinee.report.charts import Axis, Series, axis_around, key, line_chart, log_axis_around, round_step
from matinee.report.measures import share
from matinee.report.study_charts import both
from matinee.report.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

    from matinee.report.placings import LearningCurve, Placing

_MARKERS = ("circle", "square", "triangle", "diamond", "down", "cross", "plus")
_N_HUES = 7
_LEAST_SPAN = 0.04
# With more points than this, names of sizes below them run into each other.
_MOST_NOTES = 12
_TIMES: tuple[tuple[float, ...], ...] = (
    (
        0.01,
        0.02,
        0.05,
        0.1,
        0.2,
        0.5,
        1,
        2,
        5,
        10,
        30,
        60,
        120,
        300,
        600,
        1800,
        3600,
        7200,
        18_000,
        36_000,
        86_400,
        172_800,
    ),
    (0.01, 0.1, 1, 5, 30, 120, 600, 3600, 18_000, 86_400),
    (0.01, 0.1, 1, 10, 60, 600, 3600, 36_000),
    (0.01, 1, 60, 3600, 86_400),
)
# Times of a training that are less apart than this factor may be the noise of a measurement.
_LONGER = 1.5
# An axis of times goes by this factor beyond them, at least.
_ROOM = 1.12
# Share of the axis of accuracies that a name below the lowest point takes.
_NOTE = 0.05
# Least share of an axis between two of its names.
_APART = 0.13


@dataclass(frozen=True)
class Look:
    """How an encoder is drawn on all charts of a page.

    Attributes:
        kind: CSS class of its colour.
        marker: Its marker.
        dashed: Whether its line is; tells those of one colour apart.
    """

    kind: str
    marker: str
    dashed: bool

    def key(self) -> Markup:
        """Return its marker, for a legend."""
        return key(self.marker, self.kind, dashed=self.dashed)


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each encoder; colours and markers go round together, and every other round is dashed."""
    return {
        name: Look(f"hue{place % _N_HUES + 1}", _MARKERS[place % len(_MARKERS)], place // _N_HUES % 2 == 1)
        for place, name in enumerate(names)
    }


def cost_chart(placings: Sequence[Placing], found: dict[str, Look]) -> Markup | str:
    """Return accuracy against the time of a training, a line for each encoder from its smallest size to its largest.

    It breaks where the time does not clearly rise, for then it would run back and forth with the noise of the measurement.
    """
    drawn = [(placing, seconds) for placing in placings if (seconds := placing.seconds) is not None]
    if len(drawn) < 2:
        return ""
    times = [seconds for _, seconds in drawn]
    x = log_axis_around(times, "time of a training", brief, choices=round_times(min(times), max(times)))
    has_notes = len(drawn) <= _MOST_NOTES
    ends = [end for placing, _ in drawn for end in (placing.low, placing.high)]
    y = _accuracies([*ends, max(0.0, min(ends) - _NOTE * (max(ends) - min(ends)))] if has_notes else ends)
    series = []
    for name, look in found.items():
        mine = [(placing, seconds) for placing, seconds in drawn if placing.encoder == name]
        series.append(
            Series(
                name,
                look.kind,
                tuple((math.log10(seconds), placing.accuracy) for placing, seconds in mine),
                look.marker,
                dashed=look.dashed,
                whiskers=tuple((placing.low, placing.high) for placing, _ in mine),
                notes=tuple(f"{placing.size:,}" for placing, _ in mine) if has_notes else (),
                breaks=breaks([seconds for _, seconds in mine]),
            )
        )
    label = (
        f"Accuracy of {plural(len([each for each in series if each.points]), 'encoder')} against the time of a training; "
        "up and left is better. The tables below have the numbers."
    )
    return both(lambda size: line_chart(x, y, [each for each in series if each.points], label=label, size=size))


def breaks(seconds: Sequence[float]) -> tuple[int, ...]:
    """Return the places of the times that are not clearly longer than the one before."""
    return tuple(place for place in range(1, len(seconds)) if seconds[place] < _LONGER * seconds[place - 1])


def round_times(low: float, high: float) -> tuple[Sequence[float], ...]:
    """Return round durations in seconds, fine to coarse; the last are evenly apart, for a range that holds few of the others.

    Args:
        low: The shortest time to be shown, in seconds.
        high: The longest.
    """
    unit = next((unit for unit in (3600, 60) if high >= unit), 1)
    step = unit * round_step((_ROOM * high - low / _ROOM) / unit / 4)
    return (*_TIMES, [step * place for place in range(1, math.ceil(_ROOM * high / step) + 1)])


def brief(seconds: float) -> str:
    """Return a round duration as a name of a tick: `5 s`, `3 min`, `2 h`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length * 0.99:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def curves_chart(curves: Sequence[LearningCurve], found: dict[str, Look]) -> Markup | str:
    """Return the learning curves of all encoders: measured points, and the fitted curve to the last of them."""
    if len(curves) < 2 or not any(len(curve.points) > 1 for curve in curves):
        return ""
    x, y = _sizes(curves, with_ahead=False), _reach(curves, with_ahead=False)
    series = [each for curve in curves for each in _measured(curve, found[curve.encoder], joined=curve.fit is None)]
    label = f"Accuracy of {plural(len(curves), 'encoder')} by number of training texts. The tables have the numbers."
    return both(lambda size: line_chart(x, y, series, label=label, size=size))


def curve_charts(curves: Sequence[LearningCurve], found: dict[str, Look]) -> list[tuple[str, Markup]]:
    """Return a chart for each encoder that has a fitted curve: what was measured, and what lies ahead with its 95 % interval."""
    fitted = [curve for curve in curves if curve.fit is not None]
    if not fitted:
        return []
    x, y = _sizes(fitted, with_ahead=True), _reach(fitted, with_ahead=True)
    return [(curve.encoder, _curve_chart(curve, x, y, found[curve.encoder])) for curve in fitted]


def _curve_chart(curve: LearningCurve, x: Axis, y: Axis, look: Look) -> Markup:
    series = list(_measured(curve, look, joined=False))
    words = ""
    if curve.ahead:
        last, end = curve.points[-1][0], curve.ahead[-1]
        band = tuple((math.log10(size), low, high) for size, low, high in curve.band)
        line = tuple((math.log10(size), value) for size, value in curve.between(last, end.size))
        series.insert(0, Series("what lies ahead", look.kind, line, dashed=True, band=band))
        words = f" At {end.size:,} it is expected to be {share(end.accuracy[0], 1)}."
    label = f"Accuracy of {curve.encoder} by number of training texts.{words} The table below has the numbers."
    return line_chart(x, y, series, label=label)


def _measured(curve: LearningCurve, look: Look, *, joined: bool) -> Iterable[Series]:
    """Return the points of a curve with their intervals, and the fitted line between them."""
    first, last = curve.points[0][0], curve.points[-1][0]
    if curve.fit is not None and last > first:
        line = tuple((math.log10(size), value) for size, value in curve.between(first, last))
        yield Series(f"{curve.encoder}, fitted", look.kind, line, dashed=look.dashed)
    yield Series(
        curve.encoder,
        look.kind,
        tuple((math.log10(size), mean) for size, mean, _, _ in curve.points),
        look.marker,
        dashed=look.dashed,
        line=joined,
        whiskers=tuple((low, high) for _, _, low, high in curve.points),
    )


def _sizes(curves: Sequence[LearningCurve], *, with_ahead: bool) -> Axis:
    """Return a logarithmic axis that names the sizes measured, and the furthest one ahead."""
    measured = {size for curve in curves for size, *_ in curve.points}
    ahead = {float(each.size) for curve in curves for each in curve.ahead} if with_ahead else set()
    logs = [math.log10(size) for size in measured | ahead]
    room = max(0.05, 0.06 * (max(logs) - min(logs)))
    low, high = min(logs) - room, max(logs) + room
    wanted = [*sorted(measured), *([max(ahead)] if ahead else [])]
    ticks: list[float] = []
    for size in reversed(wanted):
        place = math.log10(size)
        if all(abs(place - other) >= _APART * (high - low) for other in ticks):
            ticks.append(place)
    return Axis(low, high, "training texts", tuple(ticks[::-1]), lambda place: f"{10**place:,.0f}")


def _reach(curves: Sequence[LearningCurve], *, with_ahead: bool) -> Axis:
    """Return an axis of accuracies that holds all intervals."""
    values = [end for curve in curves for _, _, low, high in curve.points for end in (low, high)]
    if with_ahead:
        values += [end for curve in curves for _, low, high in curve.band for end in (low, high)]
    return _accuracies(values)


def _accuracies(values: Iterable[float]) -> Axis:
    axis = axis_around(values, "accuracy", least_span=_LEAST_SPAN, percent=True, within=(0.0, 1.0))
    return replace(axis, name=lambda value: axis.name(value).replace("%", "\u00a0%"))
