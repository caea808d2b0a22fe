"""How findings, of an audit and of the checks, look on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


def print_findings(title: str, findings: Sequence[Mapping[str, Any]], shares: Sequence[str] = ()) -> None:
    """Print a table of codes, severities and titles, with a last column of shares where they are given."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("Code", no_wrap=True)
    table.add_column("Severity", no_wrap=True)
    table.add_column("Finding", overflow="fold")
    if shares:
        table.add_column("Share", justify="right", no_wrap=True)
    for row, finding in enumerate(findings):
        severity = f"[{_COLOURS[finding['severity']]}]{finding['severity']}[/]"
        table.add_row(finding["code"], severity, escape(visible(finding["title"])), *shares[row : row + 1])
    terminal.console().print(table)


def print_checks(checks: Sequence[Mapping[str, Any]]) -> None:
    """Print what the checks found: a table, then each finding's figures and what to do."""
    if not checks:
        terminal.say("Checks: nothing found.")
        return
    print_findings("Checks", checks)
    for check in checks:
        terminal.say(visible(f"{check['code']} {check['name']}: {check['found']} {check['advice']}"))


def say_failed(checks: Sequence[Mapping[str, Any]]) -> int:
    """Say which findings --strict does not take; return the exit code: 1 where there are any."""
    failed = [check["code"] for check in checks if check["severity"] != "info"]
    if failed:
        terminal.say_error(f"--strict: {', '.join(failed)} found. --ignore CODE leaves a check out.")
    return 1 if failed else 0


def visible(text: str) -> str:
    """Return a text whose control characters are spelled out: none of them reaches the terminal."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
