"""Trackers: where a training can be watched, and its settings, curves and results are kept. A new one is a file and a line.

A tracker never stops a training: what it raises is told in one line, and then it is left alone.
"""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from matinee.core.errors import InterruptedTrainingError, NotAvailableError, SettingsError, did_you_mean
from matinee.training.trackers.mlflow import MLflow
from matinee.training.trackers.tensorboard import TensorBoard
from matinee.training.trackers.tracker import Status, Tracker, numbers
from matinee.training.trackers.wandb import WeightsAndBiases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings

__all__ = ["TRACKERS", "Status", "Tracker", "Trackers", "check_trackers", "tracked"]

logger = logging.getLogger(__name__)

TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WeightsAndBiases}
"""Every tracker by its name."""

_PASSWORD = re.compile(r"//[^/\s@]+@")
_LONGEST = 300


class Trackers:
    """The trackers of one training, of which each failing one is dropped."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)

    def open(self, run: RunFolder, settings: Settings) -> None:
        """Start each, or go on where it was cut off."""
        self._each(lambda tracker: tracker.open(run, settings))

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Have each keep the finite numbers of a row of the history."""
        metrics = numbers(row)
        self._each(lambda tracker: tracker.log(step, metrics))

    def artifacts(self, run: RunFolder) -> None:
        """Have each keep the figures, the model and the report."""
        self._each(lambda tracker: tracker.artifacts(run))

    def close(self, status: Status) -> None:
        """End each."""
        self._each(lambda tracker: tracker.close(status))

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                with warnings.catch_warnings(action="ignore"):  # theirs, about each other's packages
                    do(tracker)
            except Exception as error:  # whatever it is, training is worth more
                del self._trackers[name]
                logger.warning(f"Tracker {name} failed, training goes on without it: {_in_a_line(error)}")
                logger.debug("What it raised", exc_info=error)


def check_trackers(names: Iterable[str] | None) -> None:
    """Raise unless each tracker exists and its package is installed, before anything is spent.

    Raises:
        SettingsError: There is no tracker of that name.
        NotAvailableError: Its package is missing.
    """
    for name in names or ():
        if name not in TRACKERS:
            raise SettingsError(
                f"There is no tracker {name!r}.{did_you_mean(name, TRACKERS)} Known: {', '.join(TRACKERS)}."
            )
        package = TRACKERS[name].package
        if find_spec(package) is None:
            raise NotAvailableError(
                f'--track {name} needs the package {package}: pip install "matinee[{name}]", or leave that tracker out.'
            )


@contextmanager
def tracked(run: RunFolder, settings: Settings) -> Iterator[Trackers]:
    """Open the trackers that the settings name, and close them with what became of the training in the block."""
    trackers = Trackers({name: TRACKERS[name]() for name in settings.tracking.track or ()})
    trackers.open(run, settings)
    status: Status = "failed"
    try:
        yield trackers
        status = "finished"
    except (KeyboardInterrupt, InterruptedTrainingError):
        status = "interrupted"
        raise
    finally:
        trackers.close(status)


def _in_a_line(error: Exception) -> str:
    """Return the first line of what an error says, without passwords in addresses."""
    said = _PASSWORD.sub("//", str(error).strip()).splitlines() or [""]
    return f"{type(error).__name__}: {said[0][:_LONGEST]}".rstrip(": ")
