"""`matinee report`."""

from __future__ import annotations

import click

from matinee.cli import terminal
from matinee.cli.findings import print_checks, say_failed
from matinee.cli.options import SettingsCommand, settings_options


@click.command(cls=SettingsCommand, short_help="Write a run's report, one HTML page.")
@click.argument("run")
@click.option("--output", metavar="FILE", help="Where to write it. [default: RUN/report.html]")
@click.option("--strict", is_flag=True, help="Exit with 1 where a check finds an error or a warning.")
@settings_options(groups=["evaluation"])
@terminal.shared_options
def report(run: str, output: str | None, strict: bool, slices: tuple[str, ...], ignore: tuple[str, ...]) -> int:
    """Write what is known of RUN as one HTML page: verdict, scores, checks, calibration, slices, mistakes, data, settings.

    Every training writes it already; do it again after `matinee stress`, to look at other slices, or to leave checks out.
    The page needs no network and opens from disk.

    \b
      matinee report runs/imdb
      matinee report runs/imdb --slices "sequels=\\bsequel" --ignore test-too-small --strict
    """
    from matinee.workflow import report as report_

    written = report_(run, output=output, slices=slices, ignore=ignore)
    print_checks(written.checks)
    terminal.say(f"Report: {written.path}")
    return say_failed(written.checks) if strict else 0
