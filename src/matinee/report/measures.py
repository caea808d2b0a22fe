"""How the score that a search goes by reads: in which unit, and which direction is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matinee.evaluation import METRICS
from matinee.report.wording import NOTHING, known, number, one_line, percent, points

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Measure:
    """A metric, for people.

    Attributes:
        title: What it is called.
        higher_is_better: Whether more of it is better.
        is_share: Whether it reads as a percentage, and its differences as points: accuracy does.
        ends: Values that it never passes; None where nobody knows.
    """

    title: str
    higher_is_better: bool = True
    is_share: bool = False
    ends: tuple[float, float] | None = None

    @classmethod
    def of(cls, name: Any, *, higher_is_better: Any = None) -> Measure:
        """Return the measure that a metric's name stands for; one that is not in the registry goes by the direction given."""
        metric = METRICS.get(name) if isinstance(name, str) else None
        if metric is None:
            return cls(one_line(name or "score", 40), higher_is_better is not False)
        ends = (0.0, 1.0 if metric.higher_is_better else math.inf)
        return cls(metric.title, metric.higher_is_better, name == "accuracy", ends)

    def said(self, value: Any) -> str:
        """Return a value: `88.1%` or `0.881`."""
        return percent(value, 1) if self.is_share else number(float(value) if known(value) else value)

    def change(self, difference: Any) -> str:
        """Return a difference with its sign: `+1.2 points` or `−0.021`."""
        if not known(difference):
            return NOTHING
        return self.bare(difference) + (" points" if self.is_share else "")

    def bare(self, difference: Any) -> str:
        """Return a difference with its sign and without its unit: `+1.2` or `−0.021`."""
        if self.is_share or not known(difference):
            return points(difference)
        text = f"{abs(difference):.3f}"
        return ("" if float(text) == 0 else "+" if difference > 0 else "−") + text

    def apart(self, difference: float) -> str:
        """Return how a value stands to another that is `difference` below it: `1.2 points more`, `0.021 lower`."""
        size = self.change(abs(difference)).lstrip("+")
        words = ("more", "fewer") if self.is_share else ("higher", "lower")
        return f"{size} {words[difference < 0]}"

    def lead(self, value: float, other: float) -> float:
        """Return by how much a value is better than another; below 0 where it is worse."""
        return value - other if self.higher_is_better else other - value

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values, of which there is at least one."""
        return max(values) if self.higher_is_better else min(values)


def share(value: Any, digits: int = 0) -> str:
    """Return a share as a leaderboard's verdict writes it: `88.1 %`, never broken before the sign."""
    return percent(value, digits).replace("%", "\u00a0%")


def plain(value: Any) -> str:
    """Return a setting's value as short as it can be said: `2e-4`, `0.25`, `16`, `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and known(value):
        if value and abs(value) < 0.001:
            digits, _, power = f"{value:.2e}".partition("e")
            return f"{float(digits):g}e{int(power)}"
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return one_line(", ".join(plain(each) for each in value), 80)
    return one_line(value, 80)


def name_of_data(value: Any) -> str:
    """Return the name of a dataset or an encoder: of a path in a file system its last part, which says enough to who reads a page."""
    words = one_line(value or NOTHING, 300).replace("\\", "/")
    is_path = words.startswith(("/", ".", "~")) or words[1:3] == ":/"
    return one_line(words.rstrip("/").rpartition("/")[2] or words if is_path else words, 80)


def duration(seconds: Any) -> str:
    """Return a duration for a table: `0.4 s`, `45 s`, `7.4 min`, `2.1 h`."""
    if not known(seconds):
        return NOTHING
    if seconds < 99.5:
        return f"{seconds:.{0 if seconds >= 9.95 else 1}f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
