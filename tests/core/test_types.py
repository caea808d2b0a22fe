"""How probabilities become answers."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.core.types import UNCERTAIN, Predictions

SAID = np.array([[0.9, 0.1], [0.55, 0.45], [0.3, 0.7]])


def predictions(**policy):
    return Predictions(["a", "b", "c"], ["x", "y", "z"], SAID, ("bad", "good"), **policy)


def labels(**policy):
    return [record["label"] for record in predictions(**policy)]


def test_the_more_probable_label_is_the_answer():
    assert labels() == ["bad", "bad", "good"]
    assert predictions()[1]["score"] == 0.55


def test_a_threshold_moves_the_second_label_s_answers():
    assert labels(threshold=0.4) == ["bad", "good", "good"]
    assert predictions(threshold=0.4).predicted.tolist() == [0, 1, 1]
    assert predictions(threshold=0.4)[1]["score"] == 0.45, "the score is the answered label's probability"
    assert labels(threshold=0.45)[1] == "good", "a probability of exactly the threshold is enough"


def test_a_threshold_needs_two_labels():
    with pytest.raises(ValueError, match="two labels, got 3"):
        Predictions(["a"], ["x"], np.full((1, 3), 1 / 3), ("a", "b", "c"), threshold=0.5)


def test_abstaining_changes_the_label_alone():
    assert labels(abstain_below=0.6) == ["bad", UNCERTAIN, "good"]
    assert predictions(abstain_below=0.6)[1]["probabilities"] == {"bad": 0.55, "good": 0.45}
    assert labels(abstain_below=0.55)[1] == "bad", "a probability of exactly the limit is enough"


def test_sets_hold_every_label_above_the_limit():
    assert [record["set"] for record in predictions(set_above=0.4)] == [["bad"], ["bad", "good"], ["good"]]
    assert predictions(set_above=0.8)[1]["set"] == []
    assert "set" not in predictions()[0]
