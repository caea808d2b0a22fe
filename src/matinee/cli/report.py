"""`matinee report`."""

from __future__ import annotations

import click

from matinee.cli import terminal


@click.command(short_help="Write a run's report, one HTML page.")
@click.argument("run")
@click.option("--output", metavar="FILE", help="Where to write it. [default: RUN/report.html]")
@terminal.shared_options
def report(run: str, output: str | None) -> None:
    """Write what is known of RUN as one HTML page: verdict, scores, calibration, slices, mistakes, data, settings.

    Every training writes it already; do it again after `matinee stress`. The page needs no network and opens from disk.

    \b
      matinee report runs/imdb
    """
    from matinee.workflow import report as report_

    terminal.say(f"Report: {report_(run, output=output)}")
