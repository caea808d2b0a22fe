"""Progress of long work, said by the rooms and shown by whoever installed a display (the command line does)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Bar(Protocol):
    """One piece of long work under way."""

    def update(self, completed: float, note: str = "") -> None:
        """Say that `completed` of the total is done; `note` is a few words to show beside it."""


class _Silent:
    def update(self, completed: float, note: str = "") -> None:
        """Show nothing."""


@contextmanager
def _silent(description: str, total: float | None, unit: str) -> Iterator[Bar]:  # noqa: ARG001 - the shape of a display
    yield _Silent()


_display: Callable[[str, float | None, str], AbstractContextManager[Bar]] = _silent


def install_display(display: Callable[[str, float | None, str], AbstractContextManager[Bar]] | None) -> None:
    """Show all progress from now on through `display(description, total, unit)`; None turns it off again."""
    global _display  # noqa: PLW0603 - one terminal, one display
    _display = display or _silent


def progress(description: str, total: float | None = None, unit: str = "") -> AbstractContextManager[Bar]:
    """Open a progress bar.

    Args:
        description: What is being done, a few words.
        total: How much there is to do, None where nobody knows.
        unit: What is counted: `"texts"`, `"steps"`, or `"bytes"` (shown as MB).

    Returns:
        A context manager that gives a `Bar`.

    Example:
        >>> with progress("Predicting", total=2, unit="texts") as bar:
        ...     bar.update(1)
    """
    return _display(description, total, unit)
