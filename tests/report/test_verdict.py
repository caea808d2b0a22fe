"""The two sentences, on every kind of run."""

import re

import pytest

from matinee.report import verdict


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


def metrics(accuracy=(0.874, 0.859, 0.888), gain=(0.057, 0.04, 0.074), ece=(0.02, 0.01, 0.03), n=2000):
    return {
        "test": {"n": n, "accuracy": interval(*accuracy), "ece": interval(*ece)},
        "baseline": {"n": n, "accuracy": interval(0.817, 0.799, 0.834)},
        "gain_over_baseline": {"accuracy": interval(*gain)},
    }


def is_one_sentence(text):
    return text[0].isupper() and text.endswith(".") and not re.search(r"[.!?] [A-Z]", text)


def test_better_than_the_baseline_and_to_be_believed():
    said = verdict(metrics())
    assert said.tone == "good"
    assert said.quality == (
        "The classifier labels 87.4% of texts right (likely 85.9% to 88.8%, measured on 2,000 texts that it had not seen), 5.7 points "
        "more than a simple word-count baseline, which is more than chance explains (the lead is likely +4.0 to +7.4 points)."
    )
    assert said.trust == "Its probabilities can be believed: they are 2.0 points off on average."


def test_not_distinguishable():
    said = verdict(metrics(gain=(0.01, -0.005, 0.025)))
    assert said.tone == "mixed"
    assert "a simple word-count baseline gets 81.7%, and so many texts cannot tell the two apart" in said.quality
    assert "likely −0.5 to +2.5 points" in said.quality


def test_worse():
    said = verdict(metrics(gain=(-0.021, -0.035, -0.007)))
    assert said.tone == "bad"
    assert "2.1 points fewer than a simple word-count baseline, which is the better choice here" in said.quality


def test_a_gain_that_touches_zero_is_no_gain():
    assert "cannot tell the two apart" in verdict(metrics(gain=(0.01, 0.0, 0.02))).quality


def test_miscalibrated_says_in_which_direction():
    bins = [{"n": 10, "confidence": 0.6, "accuracy": 0.7}, {"n": 90, "confidence": 0.97, "accuracy": 0.88}]
    said = verdict(metrics(ece=(0.09, 0.07, 0.11)), {"reliability": {"before": bins}})
    assert said.tone == "mixed"
    assert said.trust == (
        "Its probabilities cannot be believed as they stand: they are 9.0 points off on average, "
        "and it is too sure of itself: of answers given with about 97%, 88% are right."
    )
    modest = verdict(
        metrics(ece=(0.09, 0.07, 0.11)), {"reliability": {"after": [{"n": 5, "confidence": 0.6, "accuracy": 0.9}]}}
    )
    assert "less sure than it could be" in modest.trust


def test_what_counts_is_the_error_after_calibration():
    calibration = {"after": {"ece": interval(0.02, 0.01, 0.03)}, "fitted_on": {"split": "validation", "n": 200}}
    said = verdict(metrics(ece=(0.3, 0.2, 0.4)), calibration)
    assert (
        said.trust
        == "Its probabilities can be believed: they are 2.0 points off on average, after calibration on 200 other texts."
    )


def test_in_between():
    said = verdict(metrics(ece=(0.04, 0.02, 0.06)))
    assert said.trust.startswith("Its probabilities can be believed roughly")
    assert "likely 2.0 to 6.0" in said.trust


def test_a_tiny_test_set():
    said = verdict(metrics(accuracy=(0.8, 0.36, 0.98), gain=(0.2, -0.2, 0.6), ece=(0.1, 0.0, 0.4), n=5))
    assert said.tone == "mixed"
    assert said.quality.startswith(
        "The classifier got 4 of only 5 test texts right, too few to say how good it is (anything from 36% to 98%"
    )
    assert "is not known" in said.trust


def test_a_tiny_test_set_is_never_good():
    assert verdict(metrics(accuracy=(1.0, 0.7, 1.0), gain=(0.5, 0.1, 0.9), n=8)).tone == "mixed"


def test_many_labels():
    said = verdict(metrics(accuracy=(0.612, 0.59, 0.634)), n_labels=7)
    assert said.quality.startswith(
        "The classifier picks the right one of 7 labels for 61.2% of texts (likely 59.0% to 63.4%"
    )


def test_the_baseline_itself():
    said = verdict(metrics(gain=(0.0, 0.0, 0.0)), is_baseline=True)
    assert "it is the simple word-count baseline itself" in said.quality
    assert said.tone == "mixed"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, "is not known: there are no labelled test texts that it was scored on."),
        (
            {"test": {"n": 5, "accuracy": {"value": None, "low": None, "high": None, "reason": "no labels"}}},
            "is not known: no labels.",
        ),
        ({"test": {"n": 500, "accuracy": interval(0.9, 0.87, 0.93)}}, "no baseline was scored on the same texts."),
    ],
)
def test_what_is_missing_is_said(found, expected):
    said = verdict(found)
    assert said.quality.endswith(expected)
    assert "is not known" in said.trust
    assert said.tone == "mixed"


@pytest.mark.parametrize("gain", [(0.057, 0.04, 0.074), (0.01, -0.01, 0.03), (-0.05, -0.07, -0.02)])
@pytest.mark.parametrize("ece", [(0.02, 0.01, 0.03), (0.04, 0.02, 0.06), (0.09, 0.07, 0.11), (0.1, 0.0, 0.4)])
@pytest.mark.parametrize("accuracy", [(0.874, 0.859, 0.888), (0.5, 0.2, 0.8)])
def test_it_is_always_two_sentences(accuracy, gain, ece):
    said = verdict(metrics(accuracy, gain, ece))
    assert is_one_sentence(said.quality)
    assert is_one_sentence(said.trust)
