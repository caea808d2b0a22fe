"""The picture of speed against accuracy: one point per back end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matinee.report.figures import BLUE, VERMILION, Row, save_picture
from matinee.report.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

# Least height of the axis of accuracies: less than a point apart, they look alike.
_LEAST_SPAN = 0.04

# Back ends that are as right as each other lie side by side: they are told apart by shape, and named beside the picture.
_MARKERS, _LINES = "osD^vP*X<>ph", ("--", ":", "-.")


def write_speed_figure(folder: Path, measured: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write `speed-accuracy.png` and `.svg`; where fewer than two back ends have an accuracy there is no picture, and an old one goes.

    Args:
        folder: Where to; made if it is not there.
        measured: The rows of `bench.json`.
    """
    picture = SpeedAccuracy.of(measured)
    if len(picture.points) < 2:
        for ending in (".png", ".svg"):
            (folder / f"speed-accuracy{ending}").unlink(missing_ok=True)
        return []
    return save_picture(picture, folder / "speed-accuracy")


@dataclass(frozen=True)
class SpeedAccuracy:
    """How fast each back end is, and how often right.

    Attributes:
        points: Name, texts a second, accuracy, and whether it is the stock pipeline.
        speeds_only: Name and texts a second of those without an accuracy.
    """

    points: tuple[tuple[str, float, float, bool], ...]
    speeds_only: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, measured: Sequence[Mapping[str, Any]]) -> SpeedAccuracy:
        """Return the picture of the rows of `bench.json`."""
        known = [row for row in measured if row["accuracy"] is not None]
        return cls(
            tuple((row["name"], row["texts_per_second"], row["accuracy"], row["stock"]) for row in known),
            tuple((row["name"], row["texts_per_second"]) for row in measured if row["accuracy"] is None),
        )

    def rows(self) -> list[Row]:
        """Return one row per back end: `name`, `texts_per_second`, `accuracy`, `stock`."""
        rows = [dict(zip(("name", "texts_per_second", "accuracy", "stock"), p, strict=True)) for p in self.points]
        return rows + [{"name": n, "texts_per_second": s, "accuracy": None, "stock": True} for n, s in self.speeds_only]

    def draw(self) -> Figure:
        """Return the picture; speed is logarithmic, and a back end without an accuracy is a dashed line."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for place, (name, speed, accuracy, stock) in enumerate(sorted(self.points, key=lambda point: point[1])):
            style: Row = {"color": VERMILION, "markerfacecolor": "none"} if stock else {"color": BLUE}
            marker = _MARKERS[place % len(_MARKERS)]
            axes.plot([speed], [accuracy], marker, markersize=8, label=shorten(name, 24), clip_on=False, **style)
        for place, (name, speed) in enumerate(self.speeds_only):
            line = _LINES[place % len(_LINES)]
            axes.axvline(speed, color=VERMILION, linestyle=line, linewidth=1.2, label=shorten(name, 24))
        figure.legend(loc="outside right upper", handlelength=2.2)
        self._scale(axes)
        axes.set_title("Speed and accuracy: up and right is better")
        axes.set_xlabel("Texts a second")
        axes.set_ylabel("Accuracy")
        axes.grid(visible=True, color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
        return figure

    def _scale(self, axes: Any) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

        speeds = [point[1] for point in self.points] + [speed for _, speed in self.speeds_only]
        right = [point[2] for point in self.points]
        axes.set_xscale("log")
        margin = max(0.12, 0.12 * math.log10(max(speeds) / min(speeds)))
        axes.set_xlim(min(speeds) / 10**margin, max(speeds) * 10**margin)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        spread = max(_LEAST_SPAN, 1.5 * (max(right) - min(right)))
        middle = (max(right) + min(right)) / 2
        high = min(1.0, middle + spread / 2)
        axes.set_ylim(high - spread, high)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
