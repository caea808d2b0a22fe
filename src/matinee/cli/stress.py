"""`matinee stress`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, given, settings_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.workflow.stress import StressTest

# Longer texts are cut on the terminal; --json and stress.json keep them whole, and three failures of each kind.
_SHOWN = 160


@click.command(cls=SettingsCommand, short_help="Test how a classifier behaves.")
@click.argument("run")
@click.option("--pairs", metavar="FILE", help="Originals and their edits, two rows each, with text and label.")
@click.option("--pair-column", metavar="NAME", help="Of --pairs: what the two rows of a pair share.")
@click.option(
    "--edit-column", metavar="NAME", help="Of --pairs: tells edits (1) from originals (0). [default: the second row]"
)
@click.option(
    "--sentiment",
    metavar="NEG,POS",
    help="The negative and the positive label, several joined by +. [default: by their names]",
)
@click.option(
    "--topic",
    metavar="TOPIC",
    help="film, book, product, restaurant or hotel: what the sentences are about. [default: by the test texts]",
)
@click.option("--n", type=int, default=60, show_default=True, metavar="N", help="Most sentences of each capability.")
# Under a name of its own: `seed` is a setting of training.
@click.option("--seed", "case_seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the cases.")
@click.option("--output", metavar="FILE", help="JSON file to write. [default: RUN/stress.json of a run folder]")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--strict", is_flag=True, help="Exit with code 1 where a failure rate is above --limit.")
@click.option(
    "--limit",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Failure rate of a capability that --strict still takes.",
)
@terminal.offline_option
@settings_options(names=["text_column", "label_column", "encoding"])
@terminal.shared_options
def stress(run: str, case_seed: int, as_json: bool, strict: bool, limit: float, **values: Any) -> int:
    """Ask the classifier in RUN what any reader could answer, and count how often it fails.

    Of a sentiment classifier: negation, "but", intensifiers, a changed mind. Of any: that other names, places and numbers,
    typos, capitals, contractions, neutral additions and line breaks do not change its answer, on the run's own test texts too.
    With --pairs: whether it gets both an original and its edit right.

    \b
      matinee stress runs/imdb
      matinee stress runs/imdb --pairs contrast.csv --pair-column pair
    """
    import json

    from matinee.core.schema import from_flags, settings_fields
    from matinee.workflow import stress as stress_

    own = {name: value for name, value in values.items() if name not in settings_fields()}
    result = stress_(run, seed=case_seed, flags=from_flags(given(values)), **own)
    if as_json:
        terminal.say(json.dumps(result.to_json(), ensure_ascii=False))
    else:
        _print(result, limit)
    failed = result.above(limit) if strict else []
    if failed:
        names = ", ".join(row["name"] for row in failed)
        terminal.say_error(f"--strict: {names} failed more than --limit {limit:g} of the time.")
    return 1 if failed else 0


def _print(result: StressTest, limit: float) -> None:
    if result.capabilities:
        _print_capabilities(result)
    for row in result.above(limit):
        _print_worst(row)
    if result.pairs is not None:
        _print_pairs(result.pairs)
    for reason, titles in _by_reason(result).items():
        terminal.say(f"Not tested, {reason}: {'; '.join(titles)}.")
    if result.path is not None:
        terminal.say(f"Written to {result.path}; `matinee report RUN` shows it in the report.")


def _print_capabilities(result: StressTest) -> None:
    rows = [
        [row["title"], _percent(row["rate"]), f"{row['failures']:,} of {row['n']:,}"] for row in result.capabilities
    ]
    title = f"{result.about['n_texts']:,} texts, 95 % intervals in brackets"
    terminal.print_table(title, ["", "Failure rate", "Failures"], rows)
    terminal.say("Cases made from one template or text tend to fail together; the intervals allow for it.")


def _print_worst(row: Mapping[str, Any]) -> None:
    terminal.say(f"{row['title']}, for example:")
    for example in row["worst"][:1]:
        said = f"{example['predicted']} at {100 * example['score']:.0f} %, expected {example['expected']}"
        terminal.say(f"  {_shorten(example['text'])}\n    {said}")
        if "changed_from" in example:
            terminal.say(f"    changed from: {_shorten(example['changed_from'])}")


def _print_pairs(pairs: Mapping[str, Any]) -> None:
    names = {
        "originals": "Originals right",
        "edits": "Edits right",
        "consistency": "Both right (consistency)",
        "fall": "Fall from originals to edits, points",
    }
    rows = [[title, _points(pairs[name]) if name == "fall" else _percent(pairs[name])] for name, title in names.items()]
    terminal.print_table(f"{pairs['n']:,} pairs, 95 % intervals in brackets", ["", "Share"], rows)


def _by_reason(result: StressTest) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for row in result.skipped:
        reasons.setdefault(row["reason"], []).append(row["title"])
    return reasons


def _percent(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.1f} % [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def _points(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:+.1f} [{100 * share['low']:+.1f}, {100 * share['high']:+.1f}]"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
