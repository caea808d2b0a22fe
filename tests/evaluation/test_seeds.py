"""Accuracies over several trainings: against textbook formulas, against simulation, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from matinee.evaluation.comparison import mcnemar_p
from matinee.evaluation.proportions import wilson
from matinee.evaluation.seeds import accuracy_over_seeds, gain_over_seeds


def drawn(chance, n_seeds, n_texts, *, spread, mean=1.2, hardness=1.5):
    """Return whether trainings answer texts right: some texts are harder, some trainings better."""
    logits = mean + hardness * chance.normal(size=(1, n_texts)) + spread * chance.normal(size=(n_seeds, 1))
    return chance.random((n_seeds, n_texts)) < 1 / (1 + np.exp(-logits))


def test_one_training_has_wilsons_interval():
    correct = np.array([[True] * 17 + [False] * 3])
    found, expected = accuracy_over_seeds(correct), wilson(17, 20)
    assert (found["mean"], found["low"], found["high"]) == (expected["value"], expected["low"], expected["high"])
    assert found["min"] == found["max"] == 0.85


def test_the_lowest_and_the_highest_are_those_of_the_trainings():
    correct = np.array([[True, True, False, False], [True, True, True, False]])
    found = accuracy_over_seeds(correct)
    assert (found["min"], found["mean"], found["max"]) == (0.5, 0.625, 0.75)
    assert 0 <= found["low"] < 0.625 < found["high"] <= 1


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong_still_has_an_interval(right):
    found = accuracy_over_seeds(np.full((3, 20), right))
    assert found["mean"] == float(right)
    assert found["high"] - found["low"] > 0.1


def test_the_interval_holds_other_seeds_and_other_texts():
    """With seeds that differ, an interval from the texts alone would hold the truth in fewer than 8 of 10 cases."""
    chance = np.random.default_rng(0)
    truth = float(np.mean(drawn(chance, 2000, 2000, spread=0.4)))
    held, held_by_texts = 0, 0
    for _ in range(300):
        correct = drawn(chance, 3, 400, spread=0.4)
        found = accuracy_over_seeds(correct)
        held += found["low"] <= truth <= found["high"]
        alone = wilson(correct.sum(), correct.size)
        held_by_texts += alone["low"] <= truth <= alone["high"]
    assert held / 300 > 0.91
    assert held_by_texts / 300 < 0.8


def test_where_texts_say_nothing_it_is_students_t_over_the_seeds():
    """Every text is the same coin: of many texts, what is left is the seeds."""
    rows = [np.arange(20_000) < 20_000 * share for share in (0.80, 0.84, 0.83, 0.85)]
    correct = np.stack([np.random.default_rng(seed).permutation(row) for seed, row in enumerate(rows)])
    found = accuracy_over_seeds(correct)
    expected = ttest_1samp(correct.mean(axis=1), 0).confidence_interval(0.95)
    assert found["low"] == pytest.approx(expected.low, abs=0.002)
    assert found["high"] == pytest.approx(expected.high, abs=0.002)


class TestGain:
    def test_one_seed_is_mcnemars_test(self):
        chance = np.random.default_rng(1)
        first, second = chance.random((1, 500)) < 0.85, chance.random((1, 500)) < 0.75
        found = gain_over_seeds(first, second)
        only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
        assert found["p_value"] == mcnemar_p(only_first, only_second)
        assert found["gain"]["value"] == pytest.approx((only_first - only_second) / 500)
        assert found["gain"]["low"] > 0

    def test_it_turns_with_its_arguments(self):
        chance = np.random.default_rng(2)
        first, second = drawn(chance, 3, 200, spread=0.1), drawn(chance, 3, 200, spread=0.1)
        one, other = gain_over_seeds(first, second), gain_over_seeds(second, first)
        assert one["p_value"] == pytest.approx(other["p_value"])
        assert one["gain"]["low"] == pytest.approx(-other["gain"]["high"])

    @pytest.mark.parametrize("n_seeds", [2, 3, 5])
    def test_without_a_difference_it_finds_one_in_5_percent_at_most(self, n_seeds):
        """Two ways to train that are equal on average, whose trainings differ: one training each would be told apart often."""
        chance = np.random.default_rng(3)
        found, found_by_one = 0, 0
        for _ in range(300):
            logits = 1.2 + 1.5 * chance.normal(size=(1, 300))
            first, second = (
                chance.random((n_seeds, 300)) < 1 / (1 + np.exp(-logits - 0.5 * chance.normal(size=(n_seeds, 1))))
                for _ in range(2)
            )
            found += gain_over_seeds(first, second)["p_value"] < 0.05
            found_by_one += gain_over_seeds(first[:1], second[:1])["p_value"] < 0.05
        assert found / 300 <= 0.08
        assert found_by_one / 300 > 0.15

    def test_the_interval_holds_0_where_the_test_finds_nothing(self):
        chance = np.random.default_rng(4)
        for n_seeds in (1, 2, 3):
            for _ in range(50):
                first, second = drawn(chance, n_seeds, 60, spread=0.2), drawn(chance, n_seeds, 60, spread=0.2)
                found = gain_over_seeds(first, second)
                gain = found["gain"]
                assert gain["low"] <= gain["value"] <= gain["high"]
                if found["p_value"] >= 0.05:
                    assert gain["low"] <= 0 <= gain["high"]

    def test_the_same_answers_are_no_difference(self):
        same = drawn(np.random.default_rng(5), 3, 40, spread=0.2)
        found = gain_over_seeds(same, same)
        assert found["p_value"] == 1
        assert found["gain"]["low"] < 0 == found["gain"]["value"] < found["gain"]["high"]

    def test_always_right_against_always_wrong(self):
        found = gain_over_seeds(np.ones((3, 30), bool), np.zeros((3, 30), bool))
        assert found["gain"]["value"] == found["gain"]["high"] == 1
        assert found["p_value"] < 0.001

    def test_tables_of_other_seeds_are_refused(self):
        with pytest.raises(ValueError, match="same seeds and texts"):
            gain_over_seeds(np.ones((2, 5), bool), np.ones((3, 5), bool))
