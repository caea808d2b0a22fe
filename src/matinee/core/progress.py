"""Progress of long work, said by the rooms and shown by whoever installed a display (the command line does)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from matinee.core.interruption import check_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Bar(Protocol):
    """One piece of long work under way."""

    def update(self, completed: float, note: str = "", seconds_left: float | None = None) -> None:
        """Say that `completed` of the total is done.

        Args:
            completed: How much is done.
            note: A few words to show beside it.
            seconds_left: Time to the end, where whoever works knows it better than the bar.
        """


class _Silent:
    def update(self, completed: float, note: str = "", seconds_left: float | None = None) -> None:
        """Show nothing."""


@contextmanager
def _silent(description: str, total: float | None, unit: str) -> Iterator[Bar]:  # noqa: ARG001 - the shape of a display
    yield _Silent()


_display: Callable[[str, float | None, str], AbstractContextManager[Bar]] = _silent


def install_display(display: Callable[[str, float | None, str], AbstractContextManager[Bar]] | None) -> None:
    """Show all progress from now on through `display(description, total, unit)`; None turns it off again."""
    global _display  # noqa: PLW0603 - one terminal, one display
    _display = display or _silent


class _Checked:
    """A bar at which Ctrl-C that was held back takes effect."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar

    def update(self, completed: float, note: str = "", seconds_left: float | None = None) -> None:
        """Say that `completed` of the total is done."""
        self.bar.update(completed, note, seconds_left)
        check_interrupt()


@contextmanager
def progress(description: str, total: float | None = None, unit: str = "") -> Iterator[Bar]:
    """Open a progress bar; Ctrl-C that was held back takes effect when it is opened and updated.

    Args:
        description: What is being done, a few words.
        total: How much there is to do, None where nobody knows.
        unit: What is counted: `"texts"`, `"steps"`, or `"bytes"` (shown as MB).

    Yields:
        A `Bar`.

    Example:
        >>> with progress("Predicting", total=2, unit="texts") as bar:
        ...     bar.update(1)
    """
    check_interrupt()
    with _display(description, total, unit) as bar:
        yield _Checked(bar)


@contextmanager
def told_to(update: Callable[[float], None], description: str) -> Iterator[None]:
    """Have work of one description inside the block tell how much of it is done, in place of a bar; other work shows none.

    Args:
        update: Told the share of it that is done, 0 to 1, now and then.
        description: As the work gives it to `progress`.
    """

    class Told:
        def __init__(self, total: float | None) -> None:
            self.total = total

        def update(self, completed: float, note: str = "", seconds_left: float | None = None) -> None:  # noqa: ARG002 - a Bar
            if self.total:
                update(completed / self.total)

    @contextmanager
    def display(said: str, total: float | None, unit: str) -> Iterator[Bar]:  # noqa: ARG001 - the shape of a display
        yield Told(total if said == description else None)

    before = _display
    install_display(display)
    try:
        yield
    finally:
        install_display(before)
