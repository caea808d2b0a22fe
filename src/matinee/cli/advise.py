"""`matinee advise`."""

from __future__ import annotations

from typing import Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, given, settings_options


@click.command(cls=SettingsCommand, short_help="Propose encoder and settings for a dataset.")
@click.argument("data")
@click.option(
    "--budget", metavar="TIME", help="What a training may take: seconds, or a time such as 20m or 2h. [default: 1h]"
)
@click.option("--output", metavar="FILE", help="Write the proposal as a recipe, for matinee train --recipe.")
@click.option("--overwrite", is_flag=True, help="Replace the file that --output names.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@terminal.offline_option
@settings_options(groups=["data"])
@terminal.shared_options
def advise(
    data: str,
    budget: str | None,
    output: str | None,
    overwrite: bool,
    as_json: bool,
    offline: bool,
    **values: Any,
) -> None:
    """Look at DATA and at this machine, and propose encoder, maximum length and settings, with the command to run.

    What time and accuracy to expect is taken from stored benchmarks, which it names; of what was never measured it says so.
    DATA is whatever `matinee train` takes. Nothing is trained.

    \b
      matinee advise reviews.csv
      matinee advise imdb --train-size 1000 --test-size 2000 --budget 20m
      matinee advise reviews.csv --output mine.yaml
    """
    import json
    import shlex

    from matinee.core.schema import from_flags
    from matinee.workflow import advise as advise_

    advice = advise_(
        data, budget=budget, output=output, overwrite=overwrite, offline=offline, flags=from_flags(given(values))
    )
    if as_json:
        terminal.say(json.dumps(advice.to_json(), ensure_ascii=False))
        return
    terminal.say(str(advice))
    if output is not None:
        terminal.say()
        terminal.say(f"Recipe: {output}, for `matinee train --recipe {shlex.quote(output)}`")
