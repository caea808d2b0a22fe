import json

import numpy as np
import pytest

from matinee.core.errors import DataError
from matinee.evaluation.behaviour import match_pairs, score_pairs
from matinee.evaluation.proportions import wilson


def test_the_first_row_is_the_original():
    matched = match_pairs(["b", "a", "b", "a"])
    assert matched.originals.tolist() == [0, 1]
    assert matched.edits.tolist() == [2, 3]


def test_a_mark_tells_the_edit():
    matched = match_pairs(["b", "a", "b", "a"], [True, False, False, True])
    assert matched.originals.tolist() == [2, 1]
    assert matched.edits.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("pairs", "edits", "part"),
    [
        ([], None, "no pairs"),
        (["a"], None, "'a' has 1 row:"),
        (["a", "a", "a"], None, "'a' has 3 rows:"),
        (["a", "b", "c", "c"], None, "1 more pairs like it"),
        (["a", "a"], [True, True], "two edits"),
        (["a", "a"], [False, False], "two originals"),
    ],
)
def test_what_is_no_pair_is_named(pairs, edits, part):
    with pytest.raises(DataError, match=part):
        match_pairs(pairs, edits)


def test_scores_are_shares_of_pairs(answers):
    # Both right, only the original, only the edit, neither.
    said = answers(["o1", "e1", "o2", "e2", "o3", "e3", "o4", "e4"], {
        "o1": 0.9, "e1": 0.1, "o2": 0.8, "e2": 0.7, "o3": 0.2, "e3": 0.3, "o4": 0.4, "e4": 0.6,
    }.__getitem__, labels=[1, 0, 1, 0, 1, 0, 1, 0])  # fmt: skip
    scores = score_pairs(said, match_pairs(list("11223344")))
    assert (scores["n"], scores["same_label"]) == (4, 0)
    assert scores["originals"] == wilson(2, 4)
    assert scores["edits"] == wilson(2, 4)
    assert scores["consistency"] == wilson(1, 4)
    assert scores["fall"]["value"] == 0
    assert scores["fall"]["low"] == pytest.approx(-scores["fall"]["high"])
    (worst,) = scores["worst"]
    assert worst == {"text": "e2", "expected": "negative", "predicted": "positive", "score": 0.7, "changed_from": "o2"}
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_who_counts_words_gets_the_edits_wrong(answers, understanding, counting):
    texts = [text for i in range(30) for text in (f"Film {i} was good.", f"Film {i} was not good.")]
    pairs, labels = [str(i // 2) for i in range(60)], [1, 0] * 30
    counted = score_pairs(answers(texts, counting, labels=labels), match_pairs(pairs))
    assert (counted["originals"]["value"], counted["edits"]["value"], counted["consistency"]["value"]) == (1, 0, 0)
    assert counted["fall"]["low"] > 0.8
    understood = score_pairs(answers(texts, understanding, labels=labels), match_pairs(pairs))
    assert understood["consistency"]["value"] == 1
    assert understood["fall"]["value"] == 0
    assert -0.15 < understood["fall"]["low"] < 0 < understood["fall"]["high"] < 0.15
    assert understood["worst"] == []


def test_the_fall_s_interval_covers(answers):
    generator = np.random.default_rng(0)
    covered, n_trials, n = 0, 300, 80
    for _ in range(n_trials):
        right = np.column_stack([generator.random(n) < 0.9, generator.random(n) < 0.75]).ravel()
        said = answers(
            [str(i) for i in range(2 * n)],
            lambda text, right=right: 0.9 if right[int(text)] else 0.1,
            labels=[1] * 2 * n,
        )
        fall = score_pairs(said, match_pairs([str(i // 2) for i in range(2 * n)]))["fall"]
        covered += fall["low"] <= 0.15 <= fall["high"]
    assert 0.92 < covered / n_trials <= 0.99


def test_labels_are_needed(answers):
    with pytest.raises(DataError, match="labels"):
        score_pairs(answers(["a", "b"], lambda _: 0.5), match_pairs(["1", "1"]))


def test_a_classifier_that_diverged_is_named(answers):
    with pytest.raises(DataError, match="diverged"):
        score_pairs(answers(["a", "b"], lambda _: float("nan"), labels=[0, 1]), match_pairs(["1", "1"]))
