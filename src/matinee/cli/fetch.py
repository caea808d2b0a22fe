"""`matinee fetch`."""

from __future__ import annotations

import click

from matinee.cli import terminal


@click.command(short_help="Get data and encoders ahead of time.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@terminal.shared_options
def fetch(names: tuple[str, ...]) -> None:
    """Bring datasets and encoders onto this machine ahead of time, for work without a network.

    NAME is a dataset or encoder that matinee knows, the hub id of an encoder (owner/name), or the hub id of a dataset
    with dataset: before it.

    \b
      matinee fetch imdb minilm
      matinee fetch dataset:owner/name
    """
    from matinee.workflow import fetch as fetch_

    for name, source in fetch_(names):
        terminal.say(f"{name}: here ({source})")
