"""What a tracker is, and what the trackers share."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings

Status = Literal["finished", "failed", "interrupted"]


class Tracker(Protocol):
    """A place where a training can be watched and kept: one object for one training, its methods called in this order.

    A method may raise anything: the training goes on without this tracker then. Waiting is what it must not do for long.
    """

    package: ClassVar[str]
    """What must be importable; the extra of the tracker's name brings it."""

    def open(self, run: RunFolder, settings: Settings) -> None:
        """Start, or go on where a training that was cut off left this run folder; keep all settings."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep finite numbers, by the names that they have in `history.jsonl`, once for each name and step."""

    def artifacts(self, run: RunFolder) -> None:
        """Keep the figures, the model and the report of a complete run."""

    def close(self, status: Status) -> None:
        """End it; an interrupted one may be gone on with later."""


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a row of the history, `step` aside."""
    return {
        name: float(value)
        for name, value in row.items()
        if name != "step"
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(float(value))
    }


@contextmanager
def environment_defaults(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set the environment variables that the user has not set, for the block."""
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
