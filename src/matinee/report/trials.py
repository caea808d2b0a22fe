"""The trials of a search as the page reads them: checked, so that nothing missing or odd in `study.json` breaks a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matinee.report.measures import plain
from matinee.report.wording import known, mapping, one_line, rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATES = {"complete": "finished", "pruned": "stopped early", "failed": "failed", "lost": "lost"}


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: From 0.
        state: A key of `STATES`.
        value: Its score on the validation texts; None where it has none.
        params: The settings searched, by name.
        is_base: Whether these are the settings that the search started from.
        epochs: (epoch, score), in order.
        seconds: How long it took; None where nobody knows.
        reason: Why it was stopped or failed.
    """

    number: int
    state: str
    value: float | None
    params: Mapping[str, Any]
    is_base: bool
    epochs: tuple[tuple[float, float], ...]
    seconds: float | None
    reason: str

    @property
    def last(self) -> float | None:
        """The score, or else the last one that was reported on the way."""
        return self.value if self.value is not None else self.epochs[-1][1] if self.epochs else None


def trials_of(study: Mapping[str, Any], *, with_lost: bool = False) -> list[Trial]:
    """Return the trials of `study.json` in order; a row of an unknown state is left out.

    Args:
        study: As `study.json` holds it.
        with_lost: Whether those whose process ended before they did are among them. They are no trials: each is tried again.
    """
    listed = [row for row in rows(study.get("trials")) if str(row.get("state")) in STATES]
    found = [_trial(row, place) for place, row in enumerate(listed) if with_lost or row["state"] != "lost"]
    return sorted(found, key=lambda trial: trial.number)


def _trial(row: Mapping[str, Any], place: int) -> Trial:
    number, value, seconds = (row.get(name) for name in ("number", "value", "seconds"))
    epochs = row.get("epochs")
    points = [pair for pair in epochs if _is_pair(pair)] if isinstance(epochs, (list, tuple)) else []
    return Trial(
        number=int(number) if known(number) else place,
        state=row["state"],
        value=float(value) if known(value) else None,
        params=mapping(row.get("params")),
        is_base=row.get("is_base") is True,
        epochs=tuple(sorted((float(epoch), float(score)) for epoch, score in points)),
        seconds=float(seconds) if known(seconds) else None,
        reason=one_line(row.get("reason") or "", 300),
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(known(each) for each in value)


def finished(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """Return the trials that were trained to their end and scored, each with its score."""
    return [(trial, trial.value) for trial in trials if trial.state == "complete" and trial.value is not None]


def differences(params: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """Return the settings that are not the base's, in words."""
    found = [
        f"{one_line(name, 40)} {plain(value)}" for name, value in params.items() if not same(value, base.get(name))
    ]
    return ", ".join(found)


def same(value: Any, other: Any) -> bool:
    """Return whether two settings are alike; JSON knows no tuples."""
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return list(value) == list(other)
    return bool(value == other)
