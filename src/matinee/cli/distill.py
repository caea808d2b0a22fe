"""`matinee distill`."""

from __future__ import annotations

from typing import Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, given, settings_options
from matinee.cli.train import show_run
from matinee.core.backends import BACKENDS, TORCH


@click.command(cls=SettingsCommand, short_help="Train a student on what runs say of unlabelled texts.")
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--unlabelled",
    metavar="DATA",
    required=True,
    help="Texts to learn from: imdb, rotten_tomatoes, a data file, a glob, a folder or a hub dataset id; labels in it are not looked at.",
)
@click.option(
    "--into", metavar="ENCODER", required=True, help="Encoder of the student, as --encoder of train takes it."
)
@click.option("--unlabelled-size", metavar="N", type=int, help="Texts to draw at random. [default: all of them]")
@click.option("--text-column", metavar="TEXT", help="Column that holds the unlabelled texts; guessed where not given.")
@click.option("--encoding", metavar="TEXT", default="utf-8", show_default=True, help="Of the unlabelled file.")
@click.option(
    "--distill-temperature",
    metavar="T",
    type=float,
    default=1.0,
    show_default=True,
    help="What both sides' logits are divided by before they are compared.",
)
@click.option(
    "--confidence", metavar="P", type=float, help="Leave out texts whose most probable label has a probability below P."
)
@click.option(
    "--true-label-share",
    metavar="S",
    type=float,
    help="Share of the loss that the true labels have, from 0 to below 1. [default: every text counts the same]",
)
@click.option(
    "--recipe", metavar="FILE", help="YAML file of settings; flags win over it, data and encoder in it play no part."
)
@click.option("--run-dir", metavar="DIR", help="Run folder to make. [default: runs/DATA-ENCODER-TIME]")
@click.option("--overwrite", is_flag=True, help="Replace the run that is in the run folder.")
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=TORCH,
    show_default=True,
    help="What computes the teachers: an export of theirs is faster; auto may take a cascade.",
)
@terminal.offline_option
@settings_options(groups=["text", "model", "training", "evaluation", "tracking"], but=["encoder"])
@terminal.shared_options
def distill(
    runs: tuple[str, ...], unlabelled: str, into: str, recipe: str | None, offline: bool, **values: Any
) -> None:
    """Train a student on what RUNS say of unlabelled texts, and on the true labels of the first run.

    The student is tested on the first run's test texts, which none of the unlabelled ones is among, and leaves a run folder
    like any other: `matinee train --resume` finishes it where it was cut off. Several runs are an ensemble: their
    probabilities are averaged. With the encoder of the first run, its settings are the student's where none are given.

    \b
      matinee distill runs/mpnet --unlabelled imdb --into minilm --run-dir runs/student
      matinee distill runs/a runs/b --unlabelled reviews.csv --into tfidf --confidence 0.7
      matinee distill runs/minilm --unlabelled imdb --into minilm --layers 3
    """
    from matinee.core.schema import from_flags
    from matinee.workflow import distill as distill_

    chosen = given({name: value for name, value in values.items() if name not in {"text_column", "encoding"}})
    own = {name: value for name, value in values.items() if name in _OWN}
    show_run(
        distill_(
            runs, unlabelled=unlabelled, into=into, recipe=recipe, offline=offline, flags=from_flags(chosen), **own
        )
    )


_OWN = (
    "unlabelled_size",
    "text_column",
    "encoding",
    "distill_temperature",
    "confidence",
    "true_label_share",
    "run_dir",
    "overwrite",
    "backend",
)
