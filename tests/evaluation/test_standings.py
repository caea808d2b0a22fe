"""Rows, pairs, curves and the verdict of a leaderboard."""

from __future__ import annotations

import json

import numpy as np
import pytest

from matinee.evaluation.standings import standings, verdict

N_TEXTS = 400


def cell(name, size, seed, *, seconds=1.0, state="complete"):
    value = {"value": 0.5, "low": 0.4, "high": 0.6}
    return {
        "encoder": name, "size": size, "seed": seed, "state": state, "reason": None, "log_loss": value, "ece": value,
        "accuracy": value, "f1": value, "training_seconds": seconds, "texts_per_second": 100.0, "peak_memory_mb": 500.0 + seed,
        "model_mb": 90.0,
    }  # fmt: skip


def right(share, seed=0):
    """Return answers of which a share is right, always on the easiest texts but for a few."""
    chance = np.random.default_rng(seed)
    difficulty = np.linspace(0, 1, N_TEXTS) + 0.05 * chance.normal(size=N_TEXTS)
    return difficulty < np.quantile(difficulty, share)


@pytest.fixture
def board():
    """Three encoders at three sizes with four seeds; the slow one is best, the middle one as good."""
    shares = {"slow": (0.80, 0.86, 0.90), "middle": (0.795, 0.858, 0.8975), "quick": (0.6, 0.7, 0.75)}
    seconds = {"slow": 600.0, "middle": 60.0, "quick": 0.5}
    keys = [(name, size, seed) for name in shares for size in (100, 300, 900) for seed in range(4)]
    cells = [cell(*key, seconds=seconds[key[0]]) for key in keys]
    answers = {(name, size, seed): right(shares[name][(100, 300, 900).index(size)], seed) for name, size, seed in keys}
    return cells, answers, ["quick", "middle", "slow"]


def test_there_is_a_row_for_each_encoder_and_size(board):
    rows = standings(*board)["rows"]
    assert [(row["size"], row["encoder"]) for row in rows] == [
        (size, name) for size in (100, 300, 900) for name in ("quick", "middle", "slow")
    ]
    row = rows[-1]
    assert row["accuracy"]["mean"] == pytest.approx(0.9, abs=0.002)
    assert row["accuracy"]["low"] < row["accuracy"]["mean"] < row["accuracy"]["high"]
    assert (row["n_seeds"], row["training_seconds"], row["peak_memory_mb"]) == (4, 600.0, 503.0)
    json.dumps(standings(*board), allow_nan=False)


def test_pairs_are_tested_at_each_size_and_corrected_within_it(board):
    pairs = standings(*board)["pairs"]
    assert [(pair["size"], pair["first"], pair["second"]) for pair in pairs[:3]] == [
        (100, "quick", "middle"), (100, "quick", "slow"), (100, "middle", "slow"),
    ]  # fmt: skip
    assert len(pairs) == 9
    assert all(pair["p_value"] <= pair["p_adjusted"] <= 1 for pair in pairs)
    at_900 = {(pair["first"], pair["second"]): pair for pair in pairs[6:]}
    assert at_900["quick", "slow"]["better"] == "slow"
    assert at_900["quick", "slow"]["gain"]["value"] == pytest.approx(-0.15, abs=0.01)
    assert at_900["middle", "slow"]["better"] is None


def test_pairs_rest_on_the_seeds_that_both_have(board):
    cells, answers, order = board
    for seed in (1, 2, 3):
        del answers["slow", 900, seed]
    cells = [one for one in cells if (one["encoder"], one["size"], one["seed"]) in answers]
    (pair,) = [p for p in standings(cells, answers, order)["pairs"] if (p["size"], p["second"]) == (900, "slow")][:1]
    expected = answers["quick", 900, 0].mean() - answers["slow", 900, 0].mean()
    assert pair["gain"]["value"] == pytest.approx(expected)
    assert pair["n_seeds"] == 1


def test_rows_have_the_mean_of_f1(board):
    cells, answers, order = board
    f1 = {0: 0.2, 1: 0.4, 2: 0.6, 3: None}
    cells = [{**one, "f1": {"value": f1[one["seed"]], "low": None, "high": None}} for one in cells]
    assert standings(cells, answers, order)["rows"][0]["f1"] == {"mean": pytest.approx(0.4)}


def test_one_training_each_makes_none_the_better(board):
    cells, answers, order = board
    kept = {key: of for key, of in answers.items() if key[2] == 0}
    pairs = standings([one for one in cells if one["seed"] == 0], kept, order)["pairs"]
    assert min(pair["p_adjusted"] for pair in pairs) < 0.001
    assert {(pair["n_seeds"], pair["better"]) for pair in pairs} == {(1, None)}


def test_curves_follow_the_rows(board):
    curves = standings(*board)["curves"]
    assert [curve["encoder"] for curve in curves] == ["quick", "middle", "slow"]
    assert [point[0] for point in curves[0]["points"]] == [100, 300, 900]
    assert all(curve["fit"] and curve["ahead"] for curve in curves)


def test_failed_cells_count_for_nothing(board):
    cells, answers, order = board
    found = standings([*cells, {**cell("lost", 100, 0), "state": "failed"}], answers, [*order, "lost"])
    assert found == standings(*board)


def test_nothing_measured_is_a_board_too():
    assert standings([], {}, ["tfidf"]) == {
        "rows": [],
        "curves": [],
        "pairs": [],
        "verdict": "Nothing is measured yet.",
        "telling_size": None,
    }


class TestVerdict:
    def test_the_cheap_one_is_recommended_where_it_cannot_be_much_worse(self, board):
        said = standings(*board)["verdict"]
        assert said.startswith("With 900 labels slow is the most accurate: 90.0 %")
        assert "middle (89.8 %" in said
        assert "10 times as fast" in said
        assert "take middle" in said
        assert "quick is 15.0 [" in said
        assert "trains 1,200 times as fast" in said

    def test_one_that_may_be_much_worse_is_not(self, board):
        cells, answers, order = board
        rows, pairs = (standings(cells, answers, order)[name] for name in ("rows", "pairs"))
        for pair in pairs:
            if {pair["first"], pair["second"]} == {"middle", "slow"}:
                pair["gain"] = {"value": -0.01, "low": -0.08, "high": 0.06}
        said = verdict(rows, pairs)
        assert "take" not in said
        assert "cannot be told apart from middle (1.0 [-6.0, 8.0] points): more test texts would tell" in said
        rows[-1]["accuracy"]["max"] += 0.01
        assert "points): more seeds or test texts would tell" in verdict(rows, pairs)

    def test_one_encoder_has_no_rival(self):
        found = standings([cell("tfidf", 100, 0)], {("tfidf", 100, 0): right(0.8)}, ["tfidf"])
        assert found["verdict"].startswith("With 100 labels tfidf answers 80.0 %")
        assert found["pairs"] == []

    def test_a_board_under_way_is_judged_by_a_size_that_most_have(self, board):
        cells, answers, order = board
        started = [one for one in cells if one["size"] < 900 or one["encoder"] == "quick"]
        kept = {key: of for key, of in answers.items() if key[1] < 900 or key[0] == "quick"}
        assert standings(started, kept, order)["verdict"].startswith("With 300 labels slow")

    def test_unknown_times_are_left_out(self, board):
        cells, answers, order = board
        said = standings([{**one, "training_seconds": None} for one in cells], answers, order)["verdict"]
        assert "of training" not in said
        assert "as fast" not in said

    def test_one_training_each_recommends_nothing(self, board):
        cells, answers, order = board
        kept = {key: of for key, of in answers.items() if key[2] == 0}
        said = standings([one for one in cells if one["seed"] == 0], kept, order)["verdict"]
        assert said.startswith("With 900 labels slow is ahead so far: 90.0 %")
        assert "In one training each it is " in said
        assert "points ahead of quick" in said
        assert "another seed may turn this" in said
        assert "take" not in said
        assert "behind" not in said
        assert "most accurate" not in said

    def test_one_training_alone_says_nothing_of_other_seeds(self):
        found = standings([cell("tfidf", 100, 0)], {("tfidf", 100, 0): right(0.8)}, ["tfidf"])
        assert "another seed may turn this" in found["verdict"]

    def test_a_lucky_seed_that_others_lack_ranks_nobody_first(self, board):
        """The quick one was trained with one seed alone, on which all are good."""
        shares = {"slow": (0.7, 0.7, 0.95), "quick": (0.85,)}
        answers = {(name, 900, 2 - n): right(of[-1 - n], n) for name, of in shares.items() for n in range(len(of))}
        found = standings([cell(*key) for key in answers], answers, ["quick", "slow"])
        assert max(found["rows"], key=lambda row: row["accuracy"]["mean"])["encoder"] == "quick"
        assert found["verdict"].startswith("With 900 labels slow is ahead so far, by the seeds that it shares")
        assert "it is 10.0 [" in found["verdict"]
        assert "-" not in found["verdict"].split("points ahead")[0]

    def test_one_that_is_certainly_better_is_never_behind(self, board):
        """A third encoder with a single seed makes all share that one, on which the worse is ahead."""
        answers = {("good", 900, seed): right(0.9, 1) for seed in range(5)}
        answers |= {("bad", 900, seed): right(0.7 if seed else 0.92, 1) for seed in range(5)}
        answers |= {("new", 900, 0): right(0.6, 1)}
        rows, pairs = (
            standings([cell(*key) for key in answers], answers, ["bad", "new", "good"])[name]
            for name in ("rows", "pairs")
        )
        for pair in pairs:
            if {pair["first"], pair["second"]} == {"good", "bad"}:
                pair |= {"better": "good", "gain": {"value": -0.15, "low": -0.2, "high": -0.1}}
        said = verdict(rows, pairs, {"bad": 0.92, "good": 0.9, "new": 0.6})
        assert said.startswith("With 900 labels good is the most accurate: 90.0 %")
        assert "bad is 15.0 [10.0, 20.0] points behind" in said

    def test_without_a_common_seed_nothing_is_compared(self):
        answers = {("one", 100, 0): right(0.8), ("other", 100, 1): right(0.7)}
        said = standings([cell(*key) for key in answers], answers, ["one", "other"])["verdict"]
        assert "Not compared with other: no seed in common." in said
        assert "points" not in said

    def test_equals_are_level_and_the_quicker_is_named_first(self, board):
        cells, answers, order = board
        answers = {key: answers["slow", *key[1:]] if key[0] == "middle" else of for key, of in answers.items()}
        said = standings(cells, answers, order)["verdict"]
        assert said.startswith("With 900 labels middle and slow are level: 90.0 %")
        assert "seeds" not in said
        assert "cannot be told" not in said
        assert "take" not in said

    @pytest.mark.parametrize(
        ("share", "words"),
        [
            (0.86, None),
            (0.89, "As far as can be told that is no better than always answering no, which is right for 89.0 %"),
            (0.96, "That is no better than always answering no, which is right for 96.0 % of the test texts."),
        ],
    )
    def test_one_answer_for_all_texts_is_a_rival(self, board, share, words):
        said = standings(*board, ("no", share))["verdict"]
        assert ("always answering" in said) == (words is not None)
        assert words is None or words in said
        assert ("take middle" in said) == (words is None)

    def test_the_size_that_it_is_about_is_told(self, board):
        cells, answers, order = board
        started = [one for one in cells if one["size"] < 900 or one["encoder"] == "quick"]
        kept = {key: of for key, of in answers.items() if key[1] < 900 or key[0] == "quick"}
        assert standings(started, kept, order)["telling_size"] == 300
        assert standings(cells, answers, order)["telling_size"] == 900
