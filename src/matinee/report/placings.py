"""A leaderboard as its page and its pictures read it: checked, so that nothing missing or odd in `board.json` breaks them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matinee.report.wording import ends, known, mapping, one_line, rows, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_NAME = 40
# An exponent beyond this is no learning curve.
_STEEPEST = 10


@dataclass(frozen=True)
class Placing:
    """One encoder at one size: means over its seeds.

    Attributes:
        encoder: Its name.
        size: Number of training texts.
        accuracy: Share of the test texts that it labels right.
        low: Lower end of the accuracy's 95 % interval.
        high: Upper end.
        n_seeds: How many trainings stand behind it; None where nobody says.
        f1: F1, as a run's metrics have it; None where it was not measured.
        seconds: Time of a training; None where it was not measured, as are all that follow.
        rate: Texts a second.
        memory_mb: Peak memory.
        disk_mb: Size of the classifier on disk.
        log_loss: As it says.
        ece: Expected calibration error.
    """

    encoder: str
    size: int
    accuracy: float
    low: float
    high: float
    n_seeds: int | None
    f1: float | None
    seconds: float | None
    rate: float | None
    memory_mb: float | None
    disk_mb: float | None
    log_loss: float | None
    ece: float | None


@dataclass(frozen=True)
class Ahead:
    """What more labels would bring.

    Attributes:
        more: How many more.
        size: How many there are then.
        accuracy: Expected: value, low, high.
        gain: Expected gain in accuracy: value, low, high; NaN where it is not known.
        is_guess: Whether it lies too far from what was measured.
    """

    more: int
    size: int
    accuracy: tuple[float, float, float]
    gain: tuple[float, float, float]
    is_guess: bool


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy of one encoder by number of training texts.

    Attributes:
        encoder: Its name.
        points: (size, accuracy, low, high), by size.
        fit: a, b, c of `1 - (a + b * n**-c)`; None where no curve could be fitted.
        ahead: By size.
        reason: Why there is no fitted curve.
        flat_fits: Whether no gain at all fits what was measured as well.
    """

    encoder: str
    points: tuple[tuple[float, float, float, float], ...]
    fit: tuple[float, float, float] | None
    ahead: tuple[Ahead, ...]
    reason: str
    flat_fits: bool

    def at(self, size: float) -> float:
        """Return the fitted accuracy at a size; NaN without a fit."""
        if self.fit is None:
            return math.nan
        a, b, c = self.fit
        return min(1.0, max(0.0, 1 - a - b * math.pow(size, -c)))

    def between(self, start: float, end: float, n_points: int = 40) -> list[tuple[float, float]]:
        """Return (size, fitted accuracy) from one size to another, evenly on a logarithmic axis."""
        ratio = end / start
        sizes = [start * ratio ** (place / (n_points - 1)) for place in range(n_points)]
        return [(size, self.at(size)) for size in sizes]

    @property
    def band(self) -> tuple[tuple[float, float, float], ...]:
        """(size, low, high) from the last size measured to the furthest ahead; empty without a fit or where nothing is ahead.

        At the last size it is as wide as at the first one ahead, around the curve.
        """
        if not self.points or not self.ahead or self.fit is None:
            return ()
        size, (value, low, high) = self.points[-1][0], self.ahead[0].accuracy
        start = (size, self.at(size) + low - value, self.at(size) + high - value)
        return (start, *((float(each.size), each.accuracy[1], each.accuracy[2]) for each in self.ahead))


def placings_of(board: Mapping[str, Any]) -> list[Placing]:
    """Return the rows of a board that have a size and an accuracy, by size, in the order of the encoders."""
    found = [placing for row in rows(board.get("rows")) if (placing := _placing(row)) is not None]
    return sorted(found, key=lambda placing: placing.size)


def _placing(row: Mapping[str, Any]) -> Placing | None:
    accuracy = mapping(row.get("accuracy"))
    mean, size, seeds = accuracy.get("mean"), row.get("size"), row.get("n_seeds")
    if not (known(mean) and known(size) and size > 0):
        return None
    low, high = ends(accuracy)
    positive = {
        name: float(value) if known(value := row.get(name)) and value > 0 else None
        for name in ("training_seconds", "texts_per_second", "peak_memory_mb", "model_mb")
    }
    return Placing(
        encoder=name_of(row.get("encoder")),
        size=int(size),
        accuracy=float(mean),
        low=float(mean if low is None else low),
        high=float(mean if high is None else high),
        n_seeds=int(seeds) if known(seeds) else None,
        f1=float(f1) if known(f1 := mapping(row.get("f1")).get("mean")) else None,
        seconds=positive["training_seconds"],
        rate=positive["texts_per_second"],
        memory_mb=positive["peak_memory_mb"],
        disk_mb=positive["model_mb"],
        log_loss=value_of(row.get("log_loss")),
        ece=value_of(row.get("ece")),
    )


def name_of(encoder: Any) -> str:
    """Return an encoder's name on one line."""
    return one_line(encoder or "?", _LONGEST_NAME)


def encoders_of(board: Mapping[str, Any]) -> list[str]:
    """Return the names of all encoders of a board, those that were skipped too, in its order: their places give them their looks."""
    listed = [name_of(row.get("name")) for row in rows(board.get("encoders"))]
    scored = [placing.encoder for placing in placings_of(board)]
    return list(dict.fromkeys([*listed, *scored, *(curve.encoder for curve in curves_of(board))]))


def curves_of(board: Mapping[str, Any]) -> list[LearningCurve]:
    """Return the learning curves that have a point."""
    found = (_curve(row) for row in rows(board.get("curves")))
    return [curve for curve in found if curve.points]


def _curve(row: Mapping[str, Any]) -> LearningCurve:
    points = row.get("points")
    measured = [_four(point) for point in points if _is_point(point)] if isinstance(points, (list, tuple)) else []
    ahead = [each for part in rows(row.get("ahead")) if (each := _ahead(part)) is not None]
    return LearningCurve(
        encoder=name_of(row.get("encoder")),
        points=tuple(sorted(measured)),
        fit=_fit(mapping(row.get("fit"))),
        ahead=tuple(sorted(ahead, key=lambda each: each.size)),
        reason=one_line(row.get("reason") or "", 300),
        flat_fits=row.get("flat_fits") is True,
    )


def _fit(fit: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Return a, b and c; None where one is missing, or the curve does not fall as a learning curve does."""
    a, b, c = (fit.get(name) for name in ("a", "b", "c"))
    return (float(a), float(b), float(c)) if known(a) and known(b) and known(c) and 0 <= c <= _STEEPEST else None


def _is_point(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        return False
    return known(value[0]) and known(value[1]) and value[0] > 0


def _four(point: Sequence[Any]) -> tuple[float, float, float, float]:
    size, mean, *rest = point
    low, high = (float(end) if known(end) else float(mean) for end in (*rest, None, None)[:2])
    return float(size), float(mean), low, high


def _ahead(row: Mapping[str, Any]) -> Ahead | None:
    more, size, accuracy = row.get("more"), row.get("size"), mapping(row.get("accuracy"))
    if not (known(more) and known(size) and size > 0 and value_of(accuracy) is not None):
        return None
    return Ahead(int(more), int(size), _triple(accuracy), _triple(row.get("gain")), row.get("is_guess") is True)


def _triple(interval: Any) -> tuple[float, float, float]:
    value, (low, high) = value_of(interval), ends(interval)
    if value is None:
        return math.nan, math.nan, math.nan
    return value, value if low is None else low, value if high is None else high
