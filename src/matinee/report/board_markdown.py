"""A leaderboard as Markdown: for a README, a wiki, a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.core.durations import measured_in_words
from matinee.core.wording import CANNOT_FALL, ONE_TRAINING, gain_in_words, points_in_words, rate_in_words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_COLUMNS = ("Encoder", "Accuracy [95 %]", "F1", "Seeds", "Log-loss", "ECE", "Training", "Texts/s", "Memory", "On disk")


def board_markdown(board: Mapping[str, Any], pictures: Sequence[str] = ()) -> str:
    """Return `board.json` as a Markdown page: verdict, a table per size, differences, what more labels would bring, what is missing.

    Args:
        board: As in `board.json`.
        pictures: Files beside the page to show in it, as relative paths.
    """
    parts = [f"# Leaderboard: {_cell(board['data'])}", _cell(board["verdict"]), _about(board)]
    parts += [f"![{_cell(picture)}]({picture})" for picture in pictures]
    for size in board["sizes"]:
        rows = [row for row in board["rows"] if row["size"] == size]
        if rows:
            parts.append(f"## {size:,} labels\n\n{_table(_COLUMNS, [_row(row) for row in rows])}")
            parts += [_pairs([pair for pair in board["pairs"] if pair["size"] == size])]
    parts += [_ahead(board["curves"], single={row["encoder"] for row in board["rows"] if row["n_seeds"] == 1})]
    parts += [_missing(board)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(board: Mapping[str, Any]) -> str:
    machine = board.get("machine") or {}
    where = (
        f"Measured on {machine['cores']} cores of {_cell(machine['processor'])}. " if machine.get("processor") else ""
    )
    n_elsewhere = board.get("n_elsewhere") or 0
    if n_elsewhere:
        where += f"The times of {n_elsewhere:,} trainings on other machines are left out. "
    most = (
        f"Always answering {_cell(board['majority_label'])} would be right for {100 * board['majority_share']:.1f} % of them. "
        if board.get("majority_share") is not None
        else ""
    )
    return (
        f"{board['n_test']:,} test texts, the same for all. {most}{where}{_spread(board['rows'])}"
        "Memory is the most that the whole of a training held."
    )


def _spread(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the intervals of the accuracies are for, which hangs on the number of seeds."""
    several = "Accuracies are means over seeds; their intervals hold other seeds and other test texts. "
    single = f"{ONE_TRAINING} "
    if not any(row["n_seeds"] == 1 for row in rows):
        return several
    return single if all(row["n_seeds"] == 1 for row in rows) else several + single


def _row(row: Mapping[str, Any]) -> list[str]:
    seconds, speed = row["training_seconds"], row["texts_per_second"]
    return [
        _cell(row["encoder"]),
        accuracy_in_words(row["accuracy"]),
        _number((row.get("f1") or {}).get("mean"), ".3f"),
        str(row["n_seeds"]),
        _number(row["log_loss"], ".3f"),
        _number(row["ece"], ".3f"),
        "–" if seconds is None else measured_in_words(seconds),
        "–" if speed is None else rate_in_words(speed),
        _megabytes(row["peak_memory_mb"]),
        _megabytes(row["model_mb"]),
    ]


def accuracy_in_words(accuracy: Mapping[str, Any]) -> str:
    """Return a mean accuracy with its interval, `86.3 % [84.1, 88.5]`."""
    return f"{100 * accuracy['mean']:.1f} % [{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}]"


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return ""
    rows = [
        [f"{_cell(pair['first'])} less {_cell(pair['second'])}", points_in_words(pair["gain"]), f"{pair['p_adjusted']:.2g}",
         _better(pair)]
        for pair in pairs
    ]  # fmt: skip
    return _table(("Difference", "Points of accuracy [95 %]", "p, corrected", "Better"), rows)


def _better(pair: Mapping[str, Any]) -> str:
    if pair.get("n_seeds") == 1:
        return "cannot be told from one training each"
    return _cell(pair["better"] or "cannot be told")


def _ahead(curves: Sequence[Mapping[str, Any]], single: Collection[str]) -> str:
    rows = [
        [_cell(curve["encoder"]), f"{step['more']:,}", f"{step['size']:,}", _share(step["accuracy"]),
         gain_in_words(step["gain"], flat_fits=bool(curve.get("flat_fits"))),
         "a guess" if step["is_guess"] else ""]
        for curve in curves
        for step in curve["ahead"]
    ]  # fmt: skip
    if not rows:
        return ""
    note = "As far as the learning curves go on as they did: error = a + b · n^(-c), fitted to the sizes above. "
    note += CANNOT_FALL
    note += f" {ONE_TRAINING}" if any(curve["encoder"] in single for curve in curves if curve["ahead"]) else ""
    columns = ("Encoder", "More labels", "In all", "Accuracy [95 %]", "Gain, points [95 %]", "")
    return f"## What more labels would bring\n\n{note}\n\n{_table(columns, rows)}"


def _missing(board: Mapping[str, Any]) -> str:
    lines = [
        f"- {_cell(one['name'])} is skipped: {_cell(one['skipped'])}" for one in board["encoders"] if one["skipped"]
    ]
    lines += [
        f"- {_cell(cell['encoder'])} with {cell['size']:,} labels, seed {cell['seed']}, failed: {_cell(cell['reason'])}"
        for cell in board["cells"]
        if cell["state"] == "failed"
    ]
    lines += [f"- {board['n_left']} trainings that were asked for are still to be done"] if board.get("n_left") else []
    lines += [f"- {row['size']:,} labels are left out: {_cell(row['reason'])}" for row in board.get("left_out", ())]
    return "## What is missing\n\n" + "\n".join(lines) if lines else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *(["---:"] * (len(columns) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.1f} % [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def _megabytes(value: float | None) -> str:
    return (
        "–"
        if value is None
        else f"{value / 1000:.1f} GB"
        if value >= 1000
        else f"{value:.1f} MB"
        if value < 10
        else f"{value:.0f} MB"
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _cell(text: object) -> str:
    """Return text that is no Markdown, no HTML, and no end of a table's cell."""
    line = " ".join(str(text).split())
    for sign in ("\\", "|", "*", "_", "`", "[", "]"):
        line = line.replace(sign, f"\\{sign}")
    return line.replace("&", "&amp;").replace("<", "&lt;")
