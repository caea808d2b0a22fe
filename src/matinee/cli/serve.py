"""`matinee serve`."""

from __future__ import annotations

import os

import click

from matinee.cli import terminal
from matinee.cli.options import backend_option
from matinee.core.errors import SettingsError

KEY = "MATINEE_API_KEY"


@click.command(short_help="Answer over HTTP, with a demo page.")
@click.argument("run")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="Address to listen at: this machine alone; 0.0.0.0 for all that reach it.",
)
@click.option("--port", type=int, default=8000, show_default=True, metavar="N", help="Port; 0 takes one that is free.")
@click.option(
    "--api-key",
    "with_key",
    is_flag=True,
    help=f"Do not start without a key in {KEY}. Where that is set, requests must bring it as 'Authorization: Bearer KEY'.",
)
@click.option(
    "--cors",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin call the API from a browser. Repeatable. [default: its own page only]",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Answer to this name too, say that of a proxy. Repeatable. [default: this machine's own names; all with another --host]",
)
@backend_option
@terminal.offline_option
@terminal.shared_options
def serve(
    run: str,
    host: str,
    port: int,
    with_key: bool,
    origins: tuple[str, ...],
    hosts: tuple[str, ...],
    backend: str,
    offline: bool,
) -> None:
    """Answer over HTTP with the classifier in RUN, and show a page to try it on.

    RUN is a run folder, its model/ folder, the folder of an export, or a hub id. The page is at the address that is printed, the
    API's reference at /docs. Requests are logged as lines of JSON, never with a text. Ctrl-C or SIGTERM answers what was accepted,
    for a minute at most, then stops.

    \b
      matinee serve runs/imdb
      matinee serve runs/imdb --port 0 --backend openvino
      MATINEE_API_KEY=… matinee serve runs/imdb/exports/onnx-int8 --host 0.0.0.0 --api-key
    """
    from matinee.workflow import serve as serve_

    key = os.environ.get(KEY) or None
    if with_key and key is None:
        raise SettingsError(f"--api-key: {KEY} is not set. Set it to the key that requests must bring.")
    serve_(
        run,
        host=host,
        port=port,
        backend=backend,
        api_key=key,
        origins=origins,
        hosts=hosts,
        offline=offline,
        debug=terminal.debug(),
        ready=lambda address: terminal.say(f"Serving {run} at {address} (Ctrl-C stops)"),
    )
