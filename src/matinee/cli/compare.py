"""`matinee compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from matinee.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.workflow.compare import RunComparison

# Texts on the terminal: that many, that long; --json has more of them, whole.
_EXAMPLES, _SHOWN = 5, 60
_ROWS = {"accuracy": "Accuracy", "f1": "F1", "log_loss": "Log-loss (lower is better)", "ece": "ECE (lower is better)"}


@click.command(short_help="Say which of several runs is better.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Which hold-out of the runs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@terminal.shared_options
def compare(runs: tuple[str, ...], split: Any, as_json: bool) -> None:
    """Say which of several RUNs is better on the same texts, or that one cannot tell.

    Each is tested against each on the answers stored in their folders, text by text: McNemar's test, corrected by Holm's
    method for the number of pairs, and 95 % intervals of the differences. Runs whose texts differ are refused.

    \b
      matinee compare runs/minilm runs/tfidf
    """
    import json

    from matinee.workflow import compare as compare_

    result = compare_(runs, split=split)
    if as_json:
        terminal.say(json.dumps(result.to_json(), ensure_ascii=False))
        return
    _print_scores(result)
    _print_pairs(result)
    _print_disagreements(result)
    terminal.say(result.verdict)
    terminal.say("This is about these trainings: another seed can turn a small difference.")


def _print_scores(result: RunComparison) -> None:
    from matinee.core.wording import score_in_words

    names = {**_ROWS, "f1": f"F1 ({result.label_names[1]})" if len(result.label_names) == 2 else "F1, macro"}
    rows = [[title, *(score_in_words(getattr(run, name)) for run in result.runs)] for name, title in names.items()]
    rows.append(["Model on disk", *(_size(run.model_bytes) for run in result.runs)])
    rows.append(["Training", *(_seconds(run.training_seconds) for run in result.runs)])
    title = f"{result.n:,} {result.split} texts, 95 % intervals in brackets"
    terminal.print_table(title, ["", *(run.name for run in result.runs)], rows, bold_first=False)


def _print_pairs(result: RunComparison) -> None:
    rows = [
        [
            f"{pair['first']} less {pair['second']}",
            _points(pair["accuracy"]),
            _points(pair["f1"]),
            f"{pair['only_first_right']:,} : {pair['only_second_right']:,}",
            f"{pair['p_adjusted']:.2g}",
        ]
        for pair in result.pairs
    ]
    columns = ["", "Accuracy, points", "F1, points", "Right alone", "p" if len(rows) == 1 else "p, corrected"]
    terminal.print_table("Differences on the same texts", columns, rows, bold_first=False)


def _print_disagreements(result: RunComparison) -> None:
    if not result.n_disagree:
        return
    shown = result.disagreements[:_EXAMPLES]
    rows = [
        [
            _shorten(row["text"]),
            row["label"],
            *(f"{said['label']} {100 * said['score']:.0f} %" for said in row["answers"].values()),
        ]
        for row in shown
    ]
    which = f"; the {len(shown)} on which they are surest" if result.n_disagree > len(shown) else ""
    title = f"They disagree on {result.n_disagree:,} of {result.n:,} texts{which}"
    terminal.print_table(title, ["", "True", *(run.name for run in result.runs)], rows, bold_first=False)


def _points(difference: Mapping[str, Any]) -> str:
    if difference["value"] is None:
        return "–"
    return f"{100 * difference['value']:+z.1f} [{100 * difference['low']:+z.1f}, {100 * difference['high']:+z.1f}]"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:,.1f} s"
