"""Write the reference pages from the code they describe, docs/cli.md, docs/settings.md and docs/checks.md, and README's picture.

python scripts/docs.py            write them
python scripts/docs.py --check    exit 1 and name each page that differs from what would be written

docs/leaderboard.svg is what `matinee leaderboard` draws of benchmarks/results/leaderboard.json. Each version of matplotlib draws it a
little differently, so it is out of date where its last line names another result, not where its lines lie elsewhere.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from matinee.core.schema import settings_fields
from matinee.core.settings import GROUPS
from matinee.evaluation.checks import CHECKS
from matinee.report import write_board_figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matinee.core.schema import Field

DOCS = Path(__file__).resolve().parent.parent / "docs"
BOARD = DOCS.parent / "benchmarks" / "results" / "leaderboard.json"
WIDTH = 100  # columns of the help pages, whatever terminal they are written from
NOTE = "<!-- Written by `make docs` from the code. Do not edit by hand. -->"


def cli_page(command: click.Command) -> str:
    """Return docs/cli.md: the help of a command and of every command below it."""
    parts = ["# The command line", NOTE]
    for path, text in help_pages(command):
        parts += [f"## {path}", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def help_pages(
    command: click.Command, parent: click.Context | None = None, name: str = "matinee"
) -> Iterator[tuple[str, str]]:
    """Yield (full name, help text) of a command, then of the commands below it, in the order that its help lists them."""
    own = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = command.context_class(command, parent=parent, info_name=name, **own)
    lines = click.unstyle(command.get_help(context)).splitlines()
    yield context.command_path, "\n".join(line.rstrip() for line in lines).strip()
    if isinstance(command, click.Group):
        for sub_name in command.list_commands(context):
            sub = command.get_command(context, sub_name)
            if sub is not None and not sub.hidden:
                yield from help_pages(sub, context, sub_name)


def settings_page(train: click.Command) -> str:
    """Return docs/settings.md: a table of every setting for each group, with the flag that `train` has for it."""
    flags = {parameter.name: _flag(parameter) for parameter in train.params}
    parts = [
        "# Settings",
        NOTE,
        (
            "Each name below is at once a flag of `matinee train`, a key of a YAML recipe and an argument from Python. "
            "Flags win over the recipe, the recipe over these defaults; what they came to stands in the run's `config.yaml`."
        ),
    ]
    for group, cls in GROUPS.items():
        fields = [field for field in settings_fields().values() if field.group == group]
        table = [
            "| setting | flag | must be | default | |",
            "| --- | --- | --- | --- | --- |",
            *(_row(field, flags[field.name]) for field in fields),
        ]
        parts += [f"## {group.capitalize()}", inspect.cleandoc(cls.__doc__ or ""), "\n".join(table)]
    return "\n\n".join(parts) + "\n"


def checks_page() -> str:
    """Return docs/checks.md: what each check of a run looks at, when it speaks up, and what to do then."""
    parts = [
        "# Checks",
        NOTE,
        (
            "Every training, and `matinee report`, looks for these. `error`: do not use the classifier as it is; `warning`: look at it "
            "first; `info`: worth knowing. `--strict` exits with 1 where there is an error or a warning, `--ignore` takes a code or a "
            "name out. A check whose facts are missing says nothing."
        ),
    ]
    for check in CHECKS.values():
        parts += [
            f"## {check.code} {check.name}",
            f"**{check.title}** ({check.severity}). {check.explanation}",
            f"What to do: {check.advice}",
        ]
    return "\n\n".join(parts) + "\n"


def board_picture() -> str:
    """Return docs/leaderboard.svg: accuracy and time of each encoder with each number of labels; its last line names the stored result."""
    stored = BOARD.read_bytes()
    with TemporaryDirectory() as folder:
        pictures = write_board_figures(Path(folder), json.loads(stored))
        found = [path.read_text(encoding="utf-8") for path in pictures if path.name == "accuracy-time.svg"]
    if not found:
        raise SystemExit(f"{BOARD.name} has no two trainings whose time is known: there is nothing to draw")
    return f"{found[0].rstrip()}\n<!-- {BOARD.name}: SHA-256 {sha256(stored).hexdigest()} -->\n"


def _flag(parameter: click.Parameter) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    if isinstance(parameter, click.Argument):  # positional
        names = [name.upper() for name in names]
    return ", ".join(f"`{name}`" for name in names)


def _row(field: Field, flag: str) -> str:
    cells = (f"`{field.name}`", flag, field.kind, f"`{_value(field.default)}`", field.help)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _value(default: object) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(default) if isinstance(default, tuple) else str(default)


def pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    from matinee.cli.main import cli

    train = cli.get_command(click.Context(cli), "train")
    if train is None:
        raise SystemExit("matinee has no command `train`: docs/settings.md cannot be written")
    return {
        DOCS / "cli.md": cli_page(cli),
        DOCS / "settings.md": settings_page(train),
        DOCS / "checks.md": checks_page(),
        DOCS / "leaderboard.svg": board_picture(),
    }


def drift(path: Path, fresh: str) -> str:
    """Return how a page differs from what would be written, an empty string where it does not."""
    stored = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines, name = fresh.splitlines(), f"docs/{path.name}"
    if path.suffix == ".svg":
        stored, lines = stored[-1:], lines[-1:]
    return "\n".join(unified_diff(stored, lines, name, f"{name} (fresh)", lineterm="", n=1))


def main() -> int:
    """Write the pages, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Write docs/cli.md, docs/settings.md and docs/checks.md from the code, and README's picture."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is out of date")
    check = parser.parse_args().check
    status = 0
    for path, fresh in pages().items():
        if not check:
            path.write_text(fresh, encoding="utf-8", newline="\n")
        elif difference := drift(path, fresh):
            print(f"{difference}\ndocs/{path.name} is out of date: run `make docs`", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
