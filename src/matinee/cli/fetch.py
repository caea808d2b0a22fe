"""`matinee fetch`."""

from __future__ import annotations

import click

from matinee.cli import terminal


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@terminal.shared_options
def fetch(names: tuple[str, ...]) -> None:
    r"""Bring datasets and encoders onto this machine ahead of time, for work without a network.

    \b
      matinee fetch imdb minilm
    """
    from matinee.workflow import fetch as fetch_

    for name, source in fetch_(names):
        terminal.say(f"{name}: here ({source})")
