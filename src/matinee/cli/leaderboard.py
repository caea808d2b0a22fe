"""`matinee leaderboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, given, settings_options

if TYPE_CHECKING:
    from matinee.workflow.leaderboard import Board

_COLUMNS = ("", "Accuracy", "F1", "Log-loss", "Training", "Texts/s", "Memory", "On disk")


@click.command(cls=SettingsCommand, short_help="Say which encoder to take for your data, and at what cost.")
@click.argument("data", required=False)
@click.option("--encoders", metavar="A,B,…", help="Encoders. [default: tfidf, nblr, minilm and those that are here]")
@click.option(
    "--sizes", metavar="N,N,…", help="Numbers of training texts, or all. [default: 200,1000,5000, or what there is]"
)
@click.option(
    "--seeds",
    type=int,
    default=3,
    show_default=True,
    help="Trainings for each encoder and size; fewer than 3 say little of other seeds.",
)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="ENCODER=FILE",
    help="Settings for one encoder: a YAML file, or the name of a shipped recipe. Repeatable.",
)
@click.option("--board-dir", metavar="DIR", help="Folder to make or go on with. [default: leaderboards/DATA]")
@click.option("--overwrite", is_flag=True, help="Start anew where there is another leaderboard.")
@click.option("--keep-models", is_flag=True, help="Keep each cell's model, not only what it said.")
@click.option("--timeout", metavar="TIME", help="Seconds, or as in 90m or 2h, after which no further cell is started.")
@click.option("--json", "as_json", is_flag=True, help="Print board.json instead of tables.")
@terminal.offline_option
@settings_options(
    groups=["data", "text", "model", "training"], but=["train_size", "encoder", "seed", "keep_checkpoints"]
)
@terminal.shared_options
def leaderboard(
    data: str | None,
    encoders: str | None,
    sizes: str | None,
    seeds: int,
    recipes: tuple[str, ...],
    board_dir: str | None,
    overwrite: bool,
    keep_models: bool,
    timeout: str | None,
    as_json: bool,
    offline: bool,
    **values: Any,
) -> None:
    """Train several encoders with several numbers of labels of DATA, on the same texts, and say which one to take.

    Each cell runs in a process of its own, so that its memory is its own. Stopped or killed, the same command goes on; with more
    encoders, sizes or seeds it adds them. What cannot be had here is skipped, with the reason. Settings given as flags are
    those of all cells; without them each encoder has those that suit it.

    \b
      matinee leaderboard imdb --encoders tfidf,minilm,mpnet --sizes 200,1000,5000
      matinee leaderboard reviews.csv --sizes 500,all --seeds 5 --timeout 2h
    """
    import json

    from matinee.core.schema import from_flags
    from matinee.workflow import leaderboard as leaderboard_

    board = leaderboard_(
        data,
        encoders=encoders,
        sizes=sizes,
        seeds=seeds,
        recipes=_recipes(recipes),
        board_dir=board_dir,
        overwrite=overwrite,
        keep_models=keep_models,
        timeout=timeout,
        offline=offline,
        flags=from_flags(given(values)),
    )
    if as_json:
        terminal.say(json.dumps(board.about, ensure_ascii=False))
    else:
        _show(board)


def _recipes(pairs: tuple[str, ...]) -> dict[str, str]:
    recipes = {}
    for pair in pairs:
        encoder, equals, path = pair.rpartition("=")
        if not (encoder and equals and path):
            raise click.UsageError(f"--recipe takes ENCODER=FILE, got {pair!r}.")
        recipes[encoder] = path
    return recipes


def _show(board: Board) -> None:
    from matinee.core.wording import ONE_TRAINING

    about = board.about
    terminal.say()
    for size in about["sizes"]:
        rows = [_row(row) for row in board.rows if row["size"] == size]
        if rows:
            title = f"{size:,} labels; {about['n_test']:,} test texts, 95 % intervals in brackets"
            terminal.print_table(title, _COLUMNS, rows)
    if about["majority_share"] is not None:
        terminal.say(
            f"Always answering {about['majority_label']} would be right for {100 * about['majority_share']:.1f} % of the test texts."
        )
    if about["n_elsewhere"]:
        terminal.say(f"The times of {about['n_elsewhere']:,} trainings on other machines are left out.")
    if any(row["n_seeds"] == 1 for row in board.rows):
        terminal.say(ONE_TRAINING)
    _show_ahead(about["curves"])
    _show_missing(about)
    terminal.say(board.verdict)
    if board.n_left:
        terminal.say(f"{board.n_left} trainings are left: the same command goes on.")
    terminal.say(
        f"Leaderboard: {board.path / 'board.html'}, to be opened in a browser; board.md, board.csv and board.json beside it"
    )


def _show_missing(about: dict[str, Any]) -> None:
    for encoder in about["encoders"]:
        if encoder["skipped"]:
            terminal.say(f"{encoder['name']} is skipped: {encoder['skipped']}")
    for cell in about["cells"]:
        if cell["state"] == "failed":
            terminal.say(
                f"{cell['encoder']} with {cell['size']:,} labels, seed {cell['seed']}, failed: {cell['reason']}"
            )
    for row in about["left_out"]:
        terminal.say(f"{row['size']:,} labels are left out: {row['reason']}")


def _show_ahead(curves: list[dict[str, Any]]) -> None:
    from matinee.core.wording import CANNOT_FALL, gain_in_words

    rows = [
        [curve["encoder"], f"{step['more']:,}", _share(step["accuracy"]),
         gain_in_words(step["gain"], flat_fits=curve["flat_fits"])]
        for curve in curves
        for step in curve["ahead"]
        if not step["is_guess"]
    ]  # fmt: skip
    if rows:
        columns = ("", "More labels", "Accuracy then", "Gain, points")
        terminal.print_table("What more labels would bring, if the curve goes on as it did", columns, rows)
        terminal.say(CANNOT_FALL)


def _row(row: dict[str, Any]) -> list[str]:
    from matinee.core.durations import measured_in_words
    from matinee.core.wording import rate_in_words

    accuracy, seconds, speed = row["accuracy"], row["training_seconds"], row["texts_per_second"]
    return [
        row["encoder"],
        _share({"value": accuracy["mean"], **accuracy}),
        "–" if row["f1"]["mean"] is None else f"{row['f1']['mean']:.3f}",
        "–" if row["log_loss"] is None else f"{row['log_loss']:.3f}",
        "–" if seconds is None else measured_in_words(seconds),
        "–" if speed is None else rate_in_words(speed),
        _megabytes(row["peak_memory_mb"]),
        _megabytes(row["model_mb"]),
    ]


def _share(share: dict[str, Any]) -> str:
    return f"{100 * share['value']:.1f} % [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def _megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f} MB"
