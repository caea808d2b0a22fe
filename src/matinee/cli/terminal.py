"""The terminal: tables and records to standard output; log lines, progress and errors to standard error."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from matinee.core.progress import install_display
from matinee.core.ranks import is_helper
from matinee.core.wording import duration_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

_state = {"debug": False, "quiet": False}
_Command = TypeVar("_Command", bound="Callable[..., Any]")

# Plain progress lines, where there is no terminal, come at most this often.
_SECONDS_BETWEEN_LINES = 20.0


def debug() -> bool:
    """Return whether --debug was given."""
    return _state["debug"]


def shared_options(command: _Command) -> _Command:
    """Add the options that every command takes."""
    for option in (
        click.option(
            "--debug",
            is_flag=True,
            expose_value=False,
            callback=_set("debug"),
            help="Show tracebacks and debug messages.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_set("quiet"),
            help="Show results and errors only.",
        ),
    ):
        command = option(command)
    return command


def offline_option(command: _Command) -> _Command:
    """Add --offline."""
    return click.option("--offline", is_flag=True, help="Never touch the network: use what is on this machine.")(
        command
    )


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        # Given before or after the command's name, a flag holds for both.
        _state[name] = value or (_state[name] and context.parent is not None)
        _start()

    return callback


def _start() -> None:
    """Send the rooms' log lines and progress to standard error, as much of them as was asked for."""
    root = logging.getLogger("matinee")
    root.handlers = [_StderrHandler()]
    root.setLevel(logging.DEBUG if _state["debug"] else logging.WARNING if _state["quiet"] else logging.INFO)
    if is_helper():
        root.setLevel(logging.ERROR)  # the first process says it all
    root.propagate = False
    install_display(None if _state["quiet"] or is_helper() else _display)


def say_error(message: str) -> None:
    """Print one line to standard error."""
    click.echo(click.style("matinee: ", fg="red", bold=True) + message, err=True)


def console() -> Console:
    """Return a console on standard output; plain and wide enough for a table where that is no terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 110)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, bold_first: bool = True) -> None:
    """Print a table: first column left, the others right."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(
            name, justify="right" if index else "left", style="bold" if bold_first and index == 1 else None
        )
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console().print(table)


def say(message: str = "") -> None:
    """Print a line to standard output."""
    click.echo(message)


def say_note(message: str) -> None:
    """Print a line to standard error, out of the way of records on standard output."""
    click.echo(message, err=True)


def _plain(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever standard error is now, above a live progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if record.levelno >= logging.WARNING:
            line = f"{record.levelname.lower()}: {line}"
        live = _Live.current
        if live is not None:
            live.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)


class _Live:
    """The console of the progress bar on show, if any."""

    current: Console | None = None


class _RichBar:
    def __init__(self, bars: Any, task: Any) -> None:
        self.bars, self.task = bars, task

    def update(self, completed: float, note: str = "", seconds_left: float | None = None) -> None:
        self.bars.update(self.task, completed=completed, note=note, seconds_left=seconds_left)


class _LineBar:
    """Progress where no terminal is: a line now and then, none for short work."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.said = time.monotonic()

    def update(self, completed: float, note: str = "", seconds_left: float | None = None) -> None:
        if time.monotonic() - self.said < _SECONDS_BETWEEN_LINES:
            return
        if seconds_left is not None:
            note = ", ".join([*filter(None, [note]), f"about {duration_in_words(seconds_left)} left"])
        self.said = time.monotonic()
        scale, unit = (1e6, "MB") if self.unit == "bytes" else (1, self.unit)
        of = f" of {self.total / scale:.0f}" if self.total else ""
        click.echo(f"{self.description}: {completed / scale:.0f}{of} {unit}{f', {note}' if note else ''}", err=True)


@contextmanager
def _display(description: str, total: float | None, unit: str) -> Iterator[Any]:
    if not sys.stderr.isatty() or _Live.current is not None:
        yield _LineBar(description, total, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class TimeLeft(TimeRemainingColumn):
        """The time that is left, as whoever works knows it, else as the bar's own speed has it."""

        max_refresh = 0

        def render(self, task: Any) -> Text:
            left = task.fields["seconds_left"]
            if left is None:
                return super().render(task)
            return Text(str(timedelta(seconds=round(left))), style="progress.remaining")

    count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    stderr = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeLeft(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=stderr, transient=True) as bars:
        task = bars.add_task(description, total=total, note="", seconds_left=None)
        _Live.current = stderr
        try:
            yield _RichBar(bars, task)
        finally:
            _Live.current = None
