"""`matinee predict`."""

from __future__ import annotations

from typing import Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, backend_option, input_option, settings_options

# Longer texts are cut in the table; --json and --output keep them whole.
_SHOWN = 70


@click.command(cls=SettingsCommand, short_help="Label texts.")
@click.argument("run")
@click.argument("texts", nargs=-1)
@input_option
@click.option(
    "--output",
    metavar="FILE",
    help="Write text, label, score, probabilities to a .jsonl, .csv, .tsv or .parquet file, a row each.",
)
@click.option("--abstain-below", type=float, metavar="P", help='Answer "uncertain" where the score is below P.')
@click.option(
    "--target-accuracy",
    type=float,
    metavar="A",
    help='Answer "uncertain" where needed for answers that were A accurate on the validation texts.',
)
@click.option(
    "--coverage", type=float, metavar="C", help="Give sets of labels that hold the true one with probability C."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@backend_option
@terminal.offline_option
@settings_options(names=["text_column", "encoding"])
@terminal.shared_options
def predict(
    run: str,
    texts: tuple[str, ...],
    source: str | None,
    output: str | None,
    abstain_below: float | None,
    target_accuracy: float | None,
    coverage: float | None,
    as_json: bool,
    backend: str,
    offline: bool,
    text_column: str | None,
    encoding: str | None,
) -> None:
    """Say what the classifier in RUN thinks of TEXTS, or of every text of a file.

    RUN is a run folder, its model/ folder, the folder of an export, or a hub id.

    \b
      matinee predict runs/imdb "A film to fall asleep in."
      matinee predict runs/imdb --input reviews.csv --output scored.csv
      matinee predict runs/imdb --input reviews.csv --target-accuracy 0.95
    """
    from matinee.workflow import predict_file

    predictions = predict_file(
        run,
        texts,
        input=source,
        output=output,
        text_column=text_column,
        encoding=encoding or "utf-8",
        offline=offline,
        backend=backend,
        abstain_below=abstain_below,
        target_accuracy=target_accuracy,
        coverage=coverage,
    )
    if as_json:
        _print_json(predictions)
    elif output is None:
        _print_table(predictions)
    if output is not None:
        terminal.say_note(f"{len(predictions):,} answers written to {output}")


def _print_json(predictions: Any) -> None:
    import json

    for record in predictions.records():
        terminal.say(json.dumps(record, ensure_ascii=False))


def _print_table(predictions: Any) -> None:
    records = predictions.records()
    rows = [[_shorten(record["text"]), record["label"], f"{100 * record['score']:.1f} %"] for record in records]
    header = ["Text", "Label", "Score"]
    if predictions.set_above is not None:
        header.append("Set")
        rows = [[*row, ", ".join(record["set"]) or "none"] for row, record in zip(rows, records, strict=True)]
    terminal.print_table("", header, rows)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
