"""Which encoder from how many labels, at what cost: the board of `matinee leaderboard` on IMDB reviews, as it is stored.

python benchmarks/leaderboard.py [--encoders tfidf minilm mpnet] [--sizes 200 1000 5000] [--seeds 3] [--test-size 2000]
                                 [--timeout 2h] [--folder FOLDER] [--name leaderboard] [--summary]

It goes on where it was stopped: the cells lie in a folder of matinee's cache, or in FOLDER. After each call results/leaderboard.json
holds what is there by then: the board (rows, learning curves, paired tests, verdict), and of each cell what `matinee advise`
needs to tell how long a training will take: its settings, and seconds and tokens by stage.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from machine import store

ENCODERS, SIZES = ["tfidf", "minilm", "mpnet"], [200, 1000, 5000]


def board_folder(folder):
    """Return where the cells are kept."""
    from matinee.core.cache import cache_folder

    return Path(folder) if folder else cache_folder() / "benchmarks" / "leaderboard"


def run_board(asked):
    """Run what is missing and return `board.json`."""
    import matinee

    board = matinee.leaderboard(
        "imdb",
        encoders=asked.encoders,
        sizes=asked.sizes,
        seeds=asked.seeds,
        board_dir=board_folder(asked.folder),
        timeout=asked.timeout,
        test_size=asked.test_size,
        **({} if asked.max_length is None else {"max_length": asked.max_length}),
    )
    return board.about


def cells_of(folder, board):
    """Return the board's cells with what only their folders hold: seconds by stage, and how much was read."""
    return [{**cell, **more_of(folder, cell)} for cell in board["cells"]]


def more_of(folder, cell):
    """Return a cell's seconds by stage and wall-clock time, its settings, and the tokens of its texts."""
    name = next(
        (path for path in sorted((folder / "cells").glob("*.json")) if is_of(path, cell)),
        None,
    )
    if name is None or cell["state"] != "complete":
        return {}
    result, run = read(name), name.with_suffix("")
    return {
        "seconds": result["seconds"],
        "process_seconds": result["process_seconds"],
        "resumed": result["training_seconds"] is None,
        **tokens_of(run),
        "kept_epoch": read(run / "metrics.json").get("kept_epoch"),
    }


def is_of(path, cell):
    """Whether a result is that of a cell."""
    found = read(path)
    return all(found.get(name) == cell[name] for name in ("encoder", "size", "seed"))


def tokens_of(run):
    """Return the settings that say how much was read, and the mean number of tokens that a test text has and that are read."""
    import numpy as np
    import yaml

    from matinee.evaluation import read_predictions

    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    said = read_predictions(run / "predictions.parquet")["test", "classifier"]
    about = {
        name: config[name]
        for name in ("epochs", "batch_size", "max_length", "learning_rate", "freeze", "validation_size")
    }
    if said.token_lengths is None:
        return {"settings": about}
    read_tokens = np.minimum(said.token_lengths, config["max_length"])
    return {
        "settings": about,
        "mean_tokens": round(float(np.mean(said.token_lengths)), 1),
        "mean_tokens_read": round(float(np.mean(read_tokens)), 1),
    }


def read(path):
    """Return a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def show(board):
    """Print the table."""
    print(
        f"{'labels':>6} {'encoder':<12}{'seeds':>5}  {'accuracy':<24}{'F1':>8}{'log-loss':>9}{'train s':>9}{'texts/s':>9}{'MB':>7}"
    )
    for row in board["rows"]:
        accuracy = row["accuracy"]
        spread = f"{accuracy['mean']:.4f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]"
        f1 = row.get("f1", {}).get("mean")
        seconds = "" if row["training_seconds"] is None else f"{row['training_seconds']:.1f}"
        print(
            f"{row['size']:>6} {row['encoder']:<12}{row['n_seeds']:>5}  {spread:<24}"
            f"{'' if f1 is None else f'{f1:.4f}':>8}{row['log_loss']:>9.4f}{seconds:>9}"
            f"{row['texts_per_second']:>9.0f}{row['peak_memory_mb'] or 0:>7.0f}"
        )
    for cell in board["cells"]:
        if cell["state"] == "failed":
            print(f"FAILED {cell['encoder']} {cell['size']} {cell['seed']}: {cell['reason']}")
    print(board["verdict"])
    if board["n_left"]:
        print(f"{board['n_left']} cells are left: the same command goes on.")


def main():
    """Run the board, store it, print it."""
    parser = argparse.ArgumentParser(description="Compare encoders at several numbers of labels.")
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test-size", type=int, default=2000)
    parser.add_argument("--max-length", type=int, help="for a quick look; what suits the encoder where not given")
    parser.add_argument("--timeout", help="after which no further cell is started, as in 90m")
    parser.add_argument("--folder", help="where the cells are kept")
    parser.add_argument("--name", default="leaderboard", help="of the file in results/")
    parser.add_argument("--summary", action="store_true", help="store and print what is there, and run nothing")
    asked = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("matinee").setLevel(logging.INFO)
    folder = board_folder(asked.folder)
    board = read(folder / "board.json") if asked.summary else run_board(asked)
    note = "Seconds are those of the stages of a run; a cell that was interrupted and resumed has no training time."
    about = {name: value for name, value in board.items() if name not in {"machine", "format"}}
    store(asked.name, {"note": note, **about, "cells": cells_of(folder, board)})
    show(board)


if __name__ == "__main__":
    main()
