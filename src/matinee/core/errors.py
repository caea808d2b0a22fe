"""Everything matinee raises on purpose, as one small tree.

MatineeError                       one line for a person: what was got, what was expected, what to do next
├── SettingsError                  a flag, recipe key or Python argument is unknown, of the wrong type, or at odds with another
├── DataError                      a dataset cannot be used as it is
├── NotAvailableError              a dataset or encoder is not here and could not be fetched
│   └── IntegrityError             it was fetched, but is not the file that was expected
├── RunError                       a run folder is missing, incomplete, in the way, or in use
├── InterruptedTrainingError       training was stopped by Ctrl-C; its state is saved
├── StoppedError                   other long work was stopped by Ctrl-C; what was done of it is kept
├── TrainingError                  training ran out of memory, or its loss is no longer a number
└── StorageError                   the disk is full, read-only, or otherwise refused a write
    └── UnreachableError           a drive is away: what it holds stays as it is

The command line prints the message as one line and exits with `exit_code`; `--debug` shows the traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class MatineeError(Exception):
    """Anything that a user can put right; its text is one line."""

    exit_code = 2


class SettingsError(MatineeError, ValueError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another."""


class DataError(MatineeError, ValueError):
    """A dataset cannot be read, or holds something that training must not swallow."""


class NotAvailableError(MatineeError):
    """A dataset or encoder is neither on this machine nor could be fetched."""


class IntegrityError(NotAvailableError):
    """A fetched file differs from the pinned one; it was thrown away."""


class RunError(MatineeError):
    """A run folder is missing, incomplete, already there, or used by another process."""


class StorageError(MatineeError):
    """The file system refused to keep what was written."""


class UnreachableError(StorageError):
    """A folder could not be reached for a minute: a mounted drive is away. What is in it must not be touched."""


class TrainingError(MatineeError):
    """Training cannot go on with these settings on this machine: memory is short, or the loss is no longer a number."""


class InterruptedTrainingError(MatineeError):
    """Training was stopped from outside (Ctrl-C) after its state was saved."""

    exit_code = 130


class StoppedError(MatineeError):
    """Long work was stopped by Ctrl-C; what was done of it is kept, and the same command goes on with it."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the known name nearest to `name`, or an empty string where none is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
