"""`matinee encoders`."""

from __future__ import annotations

import click

from matinee.cli import terminal


@click.command(short_help="List the known encoders.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@terminal.offline_option
@terminal.shared_options
def encoders(as_json: bool, offline: bool) -> None:
    """List the encoders that have short names, their size and source, and whether they are here already.

    Any other hub id (owner/name) or local model folder works with --encoder too.
    """
    import json

    from matinee.workflow import encoders as encoders_

    rows = encoders_()
    if as_json:
        for row in rows:
            terminal.say(json.dumps(row))
        return
    cells = [
        [
            row["name"],
            f"{row['n_parameters']} M" if row["n_parameters"] else "–",
            ", ".join(row["sources"]),
            row["here"] or "no",
            row["note"],
        ]
        for row in rows
    ]
    terminal.print_table("", ["Encoder", "Parameters", "From", "Here", "Good for"], cells, bold_first=False)
