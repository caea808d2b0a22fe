"""A leaderboard as Markdown."""

from __future__ import annotations

import pytest

from matinee.report.board_markdown import board_markdown

SHARE = {"value": 0.9, "low": 0.85, "high": 0.95}


def row(name="tfidf", **more):
    return {
        "encoder": name, "size": 200, "n_seeds": 3, "accuracy": {"mean": 0.863, "low": 0.841, "high": 0.885, "min": 0.85, "max": 0.87},
        "f1": {"mean": 0.8712},
        "log_loss": 0.31, "ece": 0.02, "training_seconds": 0.25, "texts_per_second": 1234.5, "peak_memory_mb": 1530.0,
        "model_mb": 0.4, **more,
    }  # fmt: skip


@pytest.fixture
def board():
    return {
        "format": 1,
        "data": "imdb",
        "n_test": 2000,
        "label_names": ["negative", "positive"],
        "majority_label": "positive",
        "majority_share": 0.615,
        "sizes": [200, 900],
        "seeds": [0, 1, 2],
        "machine": {"processor": "A processor", "cores": 2, "system": "Linux", "memory_gb": 25.0},
        "encoders": [{"name": "tfidf", "settings": {}, "skipped": None}, {"name": "bert", "settings": {}, "skipped": "no hub"}],
        "cells": [{"encoder": "minilm", "size": 200, "seed": 2, "state": "failed", "reason": "memory ran out"}],
        "n_left": 4,
        "left_out": [{"size": 90_000, "reason": "there are too few"}],
        "rows": [row(), row("mini|lm")],
        "curves": [
            {"encoder": "tfidf", "fit": {"a": 0, "b": 1, "c": 0.3}, "reason": None, "flat_fits": False, "points": [], "ahead": [
                {"more": 500, "size": 700, "accuracy": SHARE, "gain": {"value": 0.02, "low": -0.0001, "high": 0.03}, "is_guess": False},
                {"more": 5000, "size": 5200, "accuracy": SHARE, "gain": {"value": 0.04, "low": 0.01, "high": 0.09}, "is_guess": True},
            ]}
        ],
        "pairs": [{"size": 200, "first": "tfidf", "second": "mini|lm", "gain": {"value": -0.021, "low": -0.04, "high": -0.01},
                   "p_value": 0.001, "p_adjusted": 0.002, "n_seeds": 3, "better": "mini|lm"}],
        "verdict": "Take <this> one.",
    }  # fmt: skip


def test_it_holds_everything_a_reader_needs(board):
    page = board_markdown(board, ["figures/a.png"])
    for part in (
        "# Leaderboard: imdb",
        "Take &lt;this> one.",
        "2,000 test texts, the same for all. Always answering positive would be right for 61.5 % of them.",
        "Measured on 2 cores of A processor.",
        "their intervals hold other seeds and other test texts.",
        "Such a curve cannot fall: the lower end says how little",
        "![figures/a.png](figures/a.png)",
        "| tfidf | 86.3 % [84.1, 88.5] | 0.871 | 3 | 0.310 | 0.020 | 0.25 s | 1,200 | 1.5 GB | 0.4 MB |",
        "| tfidf less mini\\|lm | -2.1 [-4.0, -1.0] | 0.002 | mini\\|lm |",
        "| tfidf | 500 | 700 | 90.0 % [85.0, 95.0] | +2.0 [+0.0, +3.0] |  |",
        "+4.0 [+1.0, +9.0] | a guess |",
        "- bert is skipped: no hub",
        "- minilm with 200 labels, seed 2, failed: memory ran out",
        "- 4 trainings that were asked for are still to be done",
        "- 90,000 labels are left out: there are too few",
    ):
        assert part in page
    assert "## 900 labels" not in page


def test_every_line_of_a_table_has_as_many_cells(board):
    for block in board_markdown(board).split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_an_empty_board_is_a_page_too(board):
    page = board_markdown(
        {
            **board,
            "rows": [],
            "pairs": [],
            "curves": [],
            "cells": [],
            "encoders": [],
            "machine": {},
            "left_out": [],
            "n_left": 0,
        }
    )
    assert "|" not in page
    assert "missing" not in page


def test_what_is_unknown_is_a_dash(board):
    unknown = row(
        log_loss=None, ece=None, training_seconds=None, texts_per_second=None, peak_memory_mb=None, model_mb=None
    )
    assert "| – | – | – | – | – | – |" in board_markdown({**board, "rows": [unknown]})


def test_where_a_flat_curve_fits_a_gain_is_only_bounded_above(board):
    board["curves"][0]["flat_fits"] = True
    page = board_markdown(board)
    assert "| 90.0 % [85.0, 95.0] | at most +3.0 |  |" in page
    assert "| at most +9.0 | a guess |" in page


def test_one_training_each_is_said_wherever_it_counts(board):
    one_each = "another seed may turn this"
    assert one_each not in board_markdown(board)
    mixed = board_markdown({**board, "rows": [row(n_seeds=1), row("mini|lm")]})
    assert mixed.count(one_each) == 2  # beside the accuracies, and beside the curve that rests on it
    assert "means over seeds" in mixed
    board["pairs"][0] |= {"n_seeds": 1, "better": None}
    alone = board_markdown({**board, "rows": [row(n_seeds=1), row("mini|lm", n_seeds=1)]})
    assert "means over seeds" not in alone
    assert "| cannot be told from one training each |" in alone


def test_a_board_of_an_earlier_version_is_a_page_too(board):
    del board["majority_label"], board["majority_share"], board["curves"][0]["flat_fits"], board["pairs"][0]["n_seeds"]
    for each in board["rows"]:
        del each["f1"]
    page = board_markdown(board)
    assert "| tfidf | 86.3 % [84.1, 88.5] | – | 3 |" in page
    assert "Always answering" not in page
