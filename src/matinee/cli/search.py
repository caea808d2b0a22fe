"""`matinee search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, engine_options, given, settings_options
from matinee.core.space import PRUNERS, SAMPLERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.workflow.search import Study

# Trials in the terminal's table; all are in trials.csv.
_SHOWN = 8


@click.command(cls=SettingsCommand, short_help="Search for better settings, and say what they gain.")
@click.argument("data", required=False)
@click.option(
    "--recipe", metavar="FILE", help="YAML file of settings to vary, or the name of a shipped one; flags win over it."
)
@click.option("--space", metavar="FILE", help="YAML file of what to try, or default or quick. [default: default]")
@click.option(
    "--trials", "n_trials", type=int, metavar="N", help="Trials that the study shall have. [default: 30; of a grid all]"
)
@click.option(
    "--sampler", type=click.Choice(SAMPLERS), default="tpe", show_default=True, help="What chooses the next settings."
)
@click.option(
    "--pruner",
    type=click.Choice(PRUNERS),
    default="median",
    show_default=True,
    help="What stops trials that lag behind.",
)
@click.option("--metric", default="accuracy", show_default=True, metavar="NAME", help="Validation score to search for.")
@click.option(
    "--timeout",
    metavar="TIME",
    help="Begin no further trial after that long: 90m, 2h, or seconds; the best ones are repeated and trained anew after it.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Where trials are kept: a database, or journal:FILE. Machines that share one need study folders of the same name. "
    "[default: STUDY/study.db]",
)
@click.option(
    "--jobs", "n_jobs", type=int, default=1, show_default=True, metavar="N", help="Processes on this machine."
)
@engine_options
@click.option(
    "--finalists", "n_finalists", type=int, default=3, show_default=True, metavar="N", help="Best trials to repeat."
)
@click.option(
    "--finalist-seeds", type=int, default=3, show_default=True, metavar="N", help="Further seeds to repeat them with."
)
@click.option(
    "--refit/--no-refit", default=True, show_default=True, help="Train winner and base as runs, and test each once."
)
@click.option("--study-dir", metavar="DIR", help="Folder of the study. [default: searches/DATA-ENCODER]")
@click.option("--overwrite", is_flag=True, help="Start again, in the place of the study that is there.")
@terminal.offline_option
@settings_options(groups=["data", "text", "model", "training", "evaluation", "tracking"])
@terminal.shared_options
def search(data: str | None, **values: Any) -> None:
    """Search for better settings for DATA than those given, by their score on validation texts.

    The best trials are repeated with further seeds; what wins is trained as a run and tested once, beside the settings
    that the search began with. The same command goes on with a study that was stopped, and joins one that is under way.

    \b
      matinee search reviews.csv --trials 30
      matinee search imdb --train-size 1000 --space quick --timeout 8h
      matinee search imdb --encoder tfidf --space grid.yaml --sampler grid
      matinee search imdb --engine ray --address auto --storage postgresql://user:password@host/database
    """
    from matinee.core.schema import from_flags
    from matinee.workflow import search as search_

    own = {name: values[name] for name in _OWN}
    _show(search_(data, flags=from_flags(given(values)), **own))


_OWN = (
    "recipe",
    "space",
    "n_trials",
    "sampler",
    "pruner",
    "metric",
    "timeout",
    "storage",
    "n_jobs",
    "engine",
    "address",
    "workers",
    "n_finalists",
    "finalist_seeds",
    "refit",
    "study_dir",
    "overwrite",
    "offline",
)


def _show(study: Study) -> None:
    """Print the best trials, what won, what is left of it on test, and where everything is."""
    record = study.record
    _print_trials(record)
    _print_finalists(record)
    terminal.say(verdict(record))
    terminal.say()
    terminal.say(f"Recipe: {study.path / 'best.yaml'}")
    terminal.say(f"Report: {study.path / 'report.html'}, to be opened in a browser")
    if study.run is None:
        terminal.say(f"Train it: matinee train --recipe {study.path / 'best.yaml'}")
    else:
        terminal.say(f'Try it: matinee predict {study.run.path} "your own sentence"')


def _print_trials(record: Mapping[str, Any]) -> None:
    sign = -1 if record["higher_is_better"] else 1
    complete = [trial for trial in record["trials"] if trial["state"] == "complete"]
    best = sorted(complete, key=lambda trial: sign * trial["value"])[:_SHOWN]
    names = list(record["space"])
    rows = [
        [
            f"{trial['number']}{' (yours)' if trial['is_base'] else ''}",
            f"{trial['value']:.3f}",
            *(_spelled(trial["params"].get(name)) for name in names),
        ]
        for trial in best
    ]
    counts = record["counts"]
    others = ", ".join(f"{counts[state]} {state}" for state in ("pruned", "failed") if counts[state])
    title = f"{counts['complete']} trials{f' ({others})' if others else ''}, scored on {record['n_validation']:,} validation texts"
    terminal.say()
    terminal.print_table(title, ["Trial", record["metric"], *names], rows)


def _print_finalists(record: Mapping[str, Any]) -> None:
    if not record["finalists"]:
        return
    rows = [
        [
            f"{row['number']}{' (yours)' if row['is_base'] else ''}",
            "–" if row["mean"] is None else f"{row['mean']:.3f}",
            *("–" if value is None else f"{value:.3f}" for value in row["values"]),
        ]
        for row in record["finalists"]
    ]
    seeds = [f"seed {seed}" for seed in record["finalists"][0]["seeds"]]
    terminal.print_table("The best of them, repeated", ["Trial", "mean", *seeds], rows)


def verdict(record: Mapping[str, Any]) -> str:
    """Return in words what the search gained, on validation and on test."""
    winner, test, metric = record["winner"], record["test"], record["metric"]
    if winner["is_base"]:
        said = "Nothing that was tried beats your settings"
        tested = (
            "" if test is None else f"; they have {metric} {_score(test['winner'][metric])} on {test['n']:,} test texts"
        )
        return f"{said}: validation {metric} {winner['mean']:.3f}{tested}."
    gained = "; your settings were not measured beside them"
    if winner["base_mean"] is not None:
        gained = f", against {winner['base_mean']:.3f} of your settings"
    said = f"The best settings have validation {metric} {winner['mean']:.3f}{gained}."
    if test is None:
        return said
    both = f"{metric} {_score(test['winner'][metric])}, yours {_score(test['base'][metric])}"
    accuracy = ""
    if metric != "accuracy":
        accuracy = f" Accuracy: {_score(test['winner']['accuracy'])}, yours {_score(test['base']['accuracy'])}."
    return (
        f"{said}\nOn the {test['n']:,} test texts, which nothing was chosen by: {both}; {_gained(test['gain'], metric)}. That is of one "
        f"training each, with the seed that found the settings.{accuracy}"
    )


def _gained(gain: Mapping[str, Any], metric: str) -> str:
    """Return how much better the settings are on test, and whether chance could have done it."""
    if gain["value"] is None:
        return f"the difference is not known: {gain['reason']}"
    is_accuracy = metric == "accuracy"
    scale, digits = (100, 1) if is_accuracy else (1, 3)
    value, low, high = (f"{scale * gain[end]:+z.{digits}f}" for end in ("value", "low", "high"))
    sure = "" if gain["low"] > 0 or gain["high"] < 0 else ": no difference that could be told from chance"
    return f"{value} [{low}, {high}] points{sure}" if is_accuracy else f"better by {value} [{low}, {high}]{sure}"


def _score(score: Mapping[str, Any]) -> str:
    from matinee.core.wording import score_in_words

    return score_in_words(score)


def _spelled(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
