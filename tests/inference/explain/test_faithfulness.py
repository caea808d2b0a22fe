"""Good explanations score better than chance, random ones do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matinee.inference.explain import explain, faithfulness

WEIGHTS = {"splendid": 1.2, "superb": 0.9, "warm": 0.7, "dull": -1.1, "cold": -0.8, "awful": -1.4}


@pytest.fixture(scope="module")
def texts():
    chance = np.random.default_rng(0)
    fillers = [f"word{n}" for n in range(40)]
    drawn = [[*chance.choice(list(WEIGHTS), 5), *chance.choice(fillers, 35)] for _ in range(20)]
    return [" ".join(chance.permutation(words)) for words in drawn]


def at_random(explanation, chance):
    """Return the explanation with figures drawn at random, all different: ties would fall back on the order of the text."""
    words = (word._replace(contribution=float(chance.normal())) for word in explanation.words)
    return replace(explanation, words=tuple(words))


def test_a_perfect_explanation_beats_chance(lexicon, texts):
    predictor = lexicon(WEIGHTS)
    measured = faithfulness(predictor, explain(predictor, texts))
    assert measured["faithful"] is True
    assert measured["comprehensiveness"]["low"] > measured["comprehensiveness_random"]
    assert measured["sufficiency"]["high"] < measured["sufficiency_random"]
    assert all(gain["low"] > 0 for gain in measured["gain"].values())
    assert "better than chance" in measured["sentence"]
    assert (measured["n"], measured["method"]) == (20, "occlusion")


def test_random_explanations_do_not(lexicon, texts):
    predictor = lexicon(WEIGHTS)
    explanations = explain(predictor, texts)
    measured = []
    for seed in range(30):
        chance = np.random.default_rng(1000 + seed)
        measured.append(faithfulness(predictor, [at_random(each, chance) for each in explanations], seed=seed))
    gains = [gain for each in measured for gain in each["gain"].values()]
    # 95 % intervals around a gain of 0 hold it about 57 times of 60.
    assert sum(gain["low"] <= 0 <= gain["high"] for gain in gains) >= 51
    assert sum(each["faithful"] is True for each in measured) <= 3
    assert all("do not trust" in each["sentence"] for each in measured if each["faithful"] is False)
    assert any(each["faithful"] is False for each in measured)


def test_a_reversed_explanation_is_worse_than_chance(lexicon, texts):
    predictor = lexicon(WEIGHTS)
    reversed_ones = [
        replace(each, words=tuple(word._replace(contribution=-word.contribution) for word in each.words))
        for each in explain(predictor, texts)
    ]
    measured = faithfulness(predictor, reversed_ones)
    assert measured["gain"]["comprehensiveness"]["high"] < 0
    assert measured["faithful"] is False


def test_figures_are_eraser_s(lexicon):
    predictor = lexicon({"splendid": 2.0})
    (found,) = explain(predictor, ["a b c d splendid f g h i j"])
    measured = faithfulness(predictor, [found])

    def probability(odds):
        return 1 / (1 + np.exp(-odds))

    # One word at 1, 5 and 10 %, two at 20 %, five at 50 %: the one that counts is always among them.
    assert measured["comprehensiveness"]["value"] == pytest.approx(probability(2) - probability(0))
    assert measured["sufficiency"]["value"] == pytest.approx(0)
    assert measured["comprehensiveness"]["low"] is None
    assert measured["n_forward_passes"] == 21


def test_the_sentence_says_falls_and_rises_and_what_few_texts_are_worth(lexicon, texts):
    predictor = lexicon(WEIGHTS, bias=-1.0)
    few = faithfulness(predictor, explain(predictor, texts[:4], label="good"))
    assert few["sentence"].startswith("On 4 texts, the probability of the label falls by 0.")
    assert "with those words alone it rises by 0." in few["sentence"]
    chance = np.random.default_rng(3)
    unknown = faithfulness(predictor, [at_random(each, chance) for each in explain(predictor, texts[:4])])
    assert unknown["faithful"] is None
    assert "So few texts do not tell" in unknown["sentence"]


def test_each_explanation_is_measured_before_the_next_is_asked_for(lexicon, texts):
    predictor = lexicon(WEIGHTS)
    explanations, before = explain(predictor, texts[:3]), []

    def one_by_one():
        for explanation in explanations:
            before.append(predictor.n_texts)
            yield explanation

    measured = faithfulness(predictor, one_by_one())
    assert np.diff(before).tolist() == [21, 21]
    assert measured == faithfulness(predictor, explanations)


def test_passes_are_counted_and_the_seed_decides(lexicon, texts):
    predictor = lexicon(WEIGHTS)
    explanations = explain(predictor, texts)
    before = predictor.n_texts
    measured = faithfulness(predictor, explanations, seed=3, n_random_orders=2)
    assert predictor.n_texts - before == measured["n_forward_passes"] == 20 * 31
    assert faithfulness(predictor, explanations, seed=3, n_random_orders=2) == measured
    other = faithfulness(predictor, explanations, seed=4, n_random_orders=2)
    assert other["comprehensiveness_random"] != measured["comprehensiveness_random"]
    assert other["comprehensiveness"] == measured["comprehensiveness"]


def test_unread_words_are_no_part_of_it(transformer):
    predictor = transformer()
    explanations = explain(predictor, ["wonderful. " + "seat 4. " * 100], method="occlusion")
    measured = faithfulness(predictor, explanations)
    assert measured["n_forward_passes"] == 21
    assert -1 <= measured["comprehensiveness"]["value"] <= 1


def test_nothing_to_measure_is_said(lexicon):
    predictor = lexicon({})
    assert "reason" in faithfulness(predictor, [])
    assert "reason" in faithfulness(predictor, explain(predictor, ["", "one"]))
