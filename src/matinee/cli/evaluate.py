"""`matinee evaluate`."""

from __future__ import annotations

from typing import Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, backend_option, given, settings_options


@click.command(cls=SettingsCommand, short_help="Score a classifier on labelled data.")
@click.argument("run")
@click.argument("data", required=False)
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Which hold-out of the run; of DATA, which split where it has several.",
)
@click.option(
    "--output",
    metavar="DIR",
    help="Folder for scores, predictions, pictures. [default with DATA: RUN/evaluations/DATA-HASH]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
@backend_option
@terminal.offline_option
@settings_options(names=["text_column", "label_column", "missing", "encoding"])
@terminal.shared_options
def evaluate(
    run: str,
    data: str | None,
    split: Any,
    output: str | None,
    as_json: bool,
    backend: str,
    offline: bool,
    **values: Any,
) -> None:
    """Score the classifier in RUN on labelled DATA, or show its scores on its own hold-out, beside the baselines.

    RUN is a run folder; with DATA, a model folder, an export or a hub id will do. DATA is whatever `matinee train` takes.

    \b
      matinee evaluate runs/imdb
      matinee evaluate runs/imdb newer-reviews.csv
    """
    import json

    from matinee.cli.scores import print_confusion, print_labels, print_scores
    from matinee.core.schema import from_flags
    from matinee.workflow import evaluate as evaluate_

    flags = from_flags(given(values))
    result = evaluate_(run, data, split=split, output=output, offline=offline, backend=backend, flags=flags)
    if as_json:
        more = {"by_label": result.by_label, "confusion_matrix": result.confusion, "baselines": result.baselines}
        terminal.say(json.dumps({**result.metrics, **more}))
        return
    texts = f"{result.metrics['n']:,} {'texts of ' + data if data else split + ' texts'}, 95 % intervals in brackets"
    print_scores(texts, {"classifier": result.metrics, **result.baselines}, result.predictions.label_names)
    print_labels(result.by_label)
    print_confusion(result.predictions.label_names, result.confusion)
    if result.folder is not None:
        terminal.say(f"Written to {result.folder}")
