"""`matinee train`."""

from __future__ import annotations

from typing import Any

import click

from matinee.cli import terminal
from matinee.cli.findings import print_checks, say_failed
from matinee.cli.options import SettingsCommand, given, settings_options


@click.command(cls=SettingsCommand, short_help="Fine-tune a classifier and score it.")
@click.argument("data", required=False)
@click.option(
    "--recipe",
    metavar="FILE",
    help="YAML file of settings, or imdb-minilm, imdb-minilm-quick, imdb-mpnet, imdb-distilbert or imdb-full; flags win over it.",
)
@click.option("--run-dir", metavar="DIR", help="Run folder to make. [default: runs/DATA-ENCODER-TIME]")
@click.option("--overwrite", is_flag=True, help="Replace the run that is in the run folder.")
@click.option("--resume", "resume_from", metavar="RUN", help="Finish an interrupted run; takes no other settings.")
@click.option("--strict", is_flag=True, help="Exit with 1 where a check finds an error or a warning.")
@terminal.offline_option
@settings_options(groups=["data", "text", "model", "training", "evaluation", "tracking"])
@terminal.shared_options
def train(
    data: str | None,
    recipe: str | None,
    run_dir: str | None,
    overwrite: bool,
    resume_from: str | None,
    strict: bool,
    offline: bool,
    **values: Any,
) -> int:
    """Fine-tune a classifier on DATA, score it beside its baselines, and leave a run folder.

    DATA is imdb, rotten_tomatoes, a CSV, TSV, JSONL or Parquet file, a glob, a folder with train.*, validation.* and
    test.*, or a hub dataset id (owner/name).

    \b
      matinee train reviews.csv
      matinee train imdb --train-size 1000 --test-size 2000 --run-dir runs/imdb
      matinee train --resume runs/imdb
      torchrun --nproc-per-node 4 -m matinee train imdb

    With torchrun or accelerate launch, several processes train together (several GPUs or machines): docs/scale.md.
    """
    from matinee.core.schema import from_flags
    from matinee.workflow import resume
    from matinee.workflow import train as train_

    chosen = given(values)
    if resume_from is not None:
        if data or recipe or run_dir or overwrite or chosen:
            raise click.UsageError("--resume takes the settings of the run it continues: give no others.")
        run = resume(resume_from, offline=offline)
    else:
        run = train_(
            data, recipe=recipe, run_dir=run_dir, overwrite=overwrite, offline=offline, flags=from_flags(chosen)
        )
    show_run(run)
    return say_failed(run.checks) if strict else 0


def show_run(run: Any) -> None:
    """Print a run's scores beside its baselines, what the checks found, and where it is."""
    from matinee.cli.scores import print_confusion, print_scores, say_verdict

    terminal.say()
    title = f"{run.metrics['test']['n']:,} test texts, 95 % intervals in brackets"
    if run.settings.model.encoder == "tfidf" and "distillation" not in run.data:
        print_scores(title, {"tfidf": run.metrics["test"]}, run.test.label_names)
    else:
        frozen = {"frozen_features": run.metrics["frozen_features"]} if "frozen_features" in run.metrics else {}
        columns = {"classifier": run.metrics["test"], **frozen, "tfidf": run.metrics["baseline"]}
        print_scores(title, columns, run.test.label_names)
        say_verdict(run.metrics["gain_over_baseline"]["accuracy"])
    terminal.say(f"Test texts: {run.data['held_out']['test']} ({run.data['source']})")
    terminal.say()
    print_confusion(run.test.label_names, run.confusion)
    print_checks(run.checks)
    minutes, seconds = divmod(round(sum(run.seconds.values())), 60)
    terminal.say(f"Run folder: {run.path} ({minutes} min {seconds} s)")
    terminal.say(f"Report: {run.path / 'report.html'}, to be opened in a browser")
    terminal.say(f'Try it: matinee predict {run.path} "your own sentence"')
