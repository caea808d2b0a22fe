"""The pictures of a leaderboard, to be printed or put into a README: accuracy against time, and learning curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matinee.report.board_charts import breaks, brief, round_times
from matinee.report.charts import Spot, along, place_notes
from matinee.report.figures import BLUE, VERMILION, Row, save_picture
from matinee.report.measures import name_of_data
from matinee.report.placings import curves_of, encoders_of, placings_of
from matinee.report.wording import mapping, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from matinee.report.placings import LearningCurve, Placing

# Okabe and Ito's (2008) colours, those that are too light on white darkened.
_COLOURS = (BLUE, VERMILION, "#007a5a", "#a8457c", "#8a6100", "#1a1a1a", "#6a4fb3")
_MARKERS = ("o", "s", "^", "D", "v", "X", "P")
_LINES = ("-", "--", "-.", ":")
_LEAST_SPAN = 0.04
# With more points than this, names of sizes below them run into each other.
_MOST_NOTES = 12
_MOST_TICKS = 7
# About how wide and tall the axes are, in units of the pages' drawings, and how many points such a unit is.
_AXES, _UNIT = (600.0, 360.0), 0.67
# How dark a band is where few of them overlap; more than so many are drawn lighter.
_SHADE, _FEW = 0.14, 4


def write_board_figures(folder: Path, board: Mapping[str, Any]) -> list[Path]:
    """Write the pictures of a leaderboard, each as PNG and as SVG; the same board gives the same bytes.

    A picture that the board has too little for is not written, and an old one of its name goes.

    Args:
        folder: Where to; made if it is not there.
        board: As `board.json` holds it.

    Returns:
        The files: `accuracy-time` (two trainings at least whose time is known), `learning-curves` (two sizes at least).

    Raises:
        StorageError: A write was refused.
    """
    board = mapping(board)
    names, title = tuple(encoders_of(board)), name_of_data(board["data"]) if board.get("data") else ""
    timed = tuple(placing for placing in placings_of(board) if placing.seconds is not None)
    curves = tuple(curve for curve in curves_of(board) if len(curve.points) > 1)
    pictures = {
        "accuracy-time": AccuracyTime(timed, names, title) if len(timed) > 1 else None,
        "learning-curves": LearningCurves(curves, names, title) if curves else None,
    }
    written = []
    for name, picture in pictures.items():
        if picture is None:
            for ending in (".png", ".svg"):
                (folder / f"{name}{ending}").unlink(missing_ok=True)
        else:
            written += save_picture(picture, folder / name)
    return written


@dataclass(frozen=True)
class AccuracyTime:
    """How accurate each encoder is at each size, and how long its training takes.

    Attributes:
        placings: Those whose time is known.
        names: All encoders of the board; an encoder's place gives it its look, on every picture.
        title: The data.
    """

    placings: tuple[Placing, ...]
    names: tuple[str, ...]
    title: str = ""

    def rows(self) -> list[Row]:
        """Return one row per point: `encoder`, `size`, `seconds`, `accuracy`, `low`, `high`."""
        return [
            {
                "encoder": p.encoder,
                "size": p.size,
                "seconds": p.seconds,
                "accuracy": p.accuracy,
                "low": p.low,
                "high": p.high,
            }
            for p in self.placings
        ]

    def draw(self) -> Figure:
        """Return the picture; time is logarithmic, and a line goes from an encoder's smallest size to its largest."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for place, name in enumerate(self.names):
            points = [
                (p.seconds, p.accuracy, p.low, p.high)
                for p in self.placings
                if p.encoder == name and p.seconds is not None
            ]
            if points:
                points = _broken(points)
                _errorbars(axes, points, name, place, line=_LINES[place // len(_COLOURS) % len(_LINES)])
        has_notes = len(self.placings) <= _MOST_NOTES
        across = "Time of a training"
        if has_notes:
            across += " (at the points: number of training texts)"
            low, high = axes.get_ylim()
            axes.set_ylim(low - 0.05 * (high - low), high)
        axes.set_xscale("log")
        _name_times(axes, [p.seconds for p in self.placings if p.seconds is not None])
        _finish(figure, axes, _heading(self.title, "accuracy and cost (up and left is better)"), across)
        if has_notes:
            self._note(axes)
        return figure

    def _note(self, axes: Axes) -> None:
        """Name the size at each point, clear of markers and intervals as far as their places are known before the layout is."""
        style: Row = {"ha": "center", "fontsize": 8, "color": "#4a4a4a", "textcoords": "offset points"}
        style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.85}
        (first, last), (low, high), (width, height) = axes.get_xlim(), axes.get_ylim(), _AXES

        def across(seconds: float) -> float:
            return width * math.log(seconds / first) / math.log(last / first)

        def up(value: float) -> float:
            return height * (high - value) / (high - low)

        timed = [(p, p.seconds) for p in self.placings if p.seconds is not None]
        spots = [Spot(across(s), up(p.accuracy), up(p.high), up(p.low), f"{p.size:,}") for p, s in timed]
        lines = []
        for name in self.names:
            mine = [(p, s) for p, s in timed if p.encoder == name]
            lines += along([(across(s), up(p.accuracy)) for p, s in mine], breaks([s for _, s in mine]))
        places = place_notes(spots, (0.0, 0.0, width, height), lines)
        for (p, seconds), spot, place in zip(timed, spots, places, strict=True):
            away = (_UNIT * (place[0] - spot.across), _UNIT * (spot.up - place[1]))
            axes.annotate(spot.words, (seconds, p.accuracy), away, **style)


@dataclass(frozen=True)
class LearningCurves:
    """Accuracy by number of training texts, and what the fitted curves expect of more.

    Attributes:
        curves: Those with two points at least.
        names: All encoders of the board.
        title: The data.
    """

    curves: tuple[LearningCurve, ...]
    names: tuple[str, ...]
    title: str = ""

    def rows(self) -> list[Row]:
        """Return one row per point: `encoder`, `size`, `accuracy`, `low`, `high`, and whether it was `measured`."""
        rows = []
        for curve in self.curves:
            points = [(*point, True) for point in curve.points]
            points += [(float(each.size), *each.accuracy, False) for each in curve.ahead if curve.fit is not None]
            rows += [
                {
                    "encoder": curve.encoder,
                    "size": size,
                    "accuracy": value,
                    "low": low,
                    "high": high,
                    "measured": measured,
                }
                for size, value, low, high, measured in points
            ]
        return rows

    def draw(self) -> Figure:
        """Return the picture; a curve is dashed, in a band, where nothing was measured."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for curve in self.curves:
            self._draw_curve(axes, curve)
        axes.set_xscale("log")
        _name_sizes(axes, self.curves)
        is_ahead = any(curve.fit is not None and curve.ahead for curve in self.curves)
        across = "Training texts" + (
            " (dashed: what the curve expects of more, with its 95% interval)" if is_ahead else ""
        )
        _finish(figure, axes, _heading(self.title, "accuracy by number of labels"), across)
        return figure

    def _draw_curve(self, axes: Axes, curve: LearningCurve) -> None:
        place = self.names.index(curve.encoder)
        colour = _COLOURS[place % len(_COLOURS)]
        first, last = curve.points[0][0], curve.points[-1][0]
        _errorbars(axes, curve.points, curve.encoder, place, line="-" if curve.fit is None else "none")
        if curve.fit is None:
            return
        axes.plot(*zip(*curve.between(first, last), strict=True), color=colour, linewidth=1.6)
        if curve.ahead:
            ahead = curve.between(last, float(curve.ahead[-1].size))
            axes.plot(*zip(*ahead, strict=True), color=colour, linewidth=1.6, linestyle=(0, (4, 2)))
            sizes, lows, highs = zip(*curve.band, strict=True)
            shade = _SHADE if len(self.curves) <= _FEW else _SHADE / 2
            axes.fill_between(sizes, lows, highs, color=colour, alpha=shade, linewidth=0)


def _heading(title: str, words: str) -> str:
    return f"{shorten(title, 40)}: {words}" if title else words[0].upper() + words[1:]


def _errorbars(axes: Axes, points: Sequence[Sequence[float]], name: str, place: int, *, line: str) -> None:
    """Draw (x, value, low, high) with intervals, in the look of an encoder's place."""
    across, values, lows, highs = zip(*points, strict=True)
    below = [max(0.0, value - low) for value, low in zip(values, lows, strict=True)]
    above = [max(0.0, high - value) for value, high in zip(values, highs, strict=True)]
    style: Row = {"color": _COLOURS[place % len(_COLOURS)], "linestyle": line, "linewidth": 1.6, "elinewidth": 1.1}
    marker = _MARKERS[place % len(_MARKERS)]
    axes.errorbar(across, values, yerr=[below, above], label=shorten(name, 24), marker=marker, markersize=6, **style)


def _broken(points: Sequence[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
    """Return the points with a gap where no line should go: before a time that is not clearly longer than the one before."""
    found = []
    gaps = breaks([seconds for seconds, *_ in points])
    for place, point in enumerate(points):
        found += [(point[0], math.nan, math.nan, math.nan)] if place in gaps else []
        found.append(point)
    return found


def _name_times(axes: Axes, seconds: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(seconds), max(seconds)
    margin = 10 ** max(0.08, 0.06 * math.log10(high / low))
    low, high = low / margin, high * margin
    inside = [[time for time in times if low <= time <= high] for times in round_times(min(seconds), max(seconds))]
    named = next((times for times in inside if 2 <= len(times) <= _MOST_TICKS), [min(seconds), max(seconds)])
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: brief(value)))
    axes.xaxis.set_minor_locator(NullLocator())


def _name_sizes(axes: Axes, curves: Sequence[LearningCurve]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    measured = {size for curve in curves for size, *_ in curve.points}
    furthest = max((float(each.size) for curve in curves for each in curve.ahead if curve.fit is not None), default=0.0)
    low, high = min(measured), max(furthest, *measured)
    named: list[float] = []
    for size in sorted({*measured, furthest} - {0.0}, reverse=True):
        if not named or math.log(named[-1] / size) >= 0.07 * math.log(high / low):
            named.append(size)
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _finish(figure: Figure, axes: Axes, title: str, across: str) -> None:
    """Scale the accuracies, name the axes, put the legend beside them."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = axes.get_ylim()
    spread = max(_LEAST_SPAN, high - low)
    high = min(1.0, (low + high + spread) / 2)
    axes.set_ylim(max(0.0, high - spread), high)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.10g} %"))
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel("Accuracy")
    axes.grid(visible=True, axis="y", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", handlelength=2.6)
