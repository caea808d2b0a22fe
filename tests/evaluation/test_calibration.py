"""Temperature scaling: it finds what was put in, never changes an answer, and survives whatever validation holds."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from matinee.core.errors import DataError
from matinee.evaluation import calibration_p, calibration_section, fit_temperature, reliability, score, temper
from matinee.evaluation.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE

patient = settings(deadline=None, max_examples=60)


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def miscalibrated(n_texts, n_labels, temperature, seed=0, spread=2.5):
    """Probabilities whose logits are `temperature` times too large, and labels drawn from the right ones."""
    generator = np.random.default_rng(seed)
    logits = spread * generator.normal(size=(n_texts, n_labels))
    drawn = generator.random((n_texts, 1))
    labels = (softmax(logits).cumsum(axis=1) < drawn).sum(axis=1).clip(max=n_labels - 1)
    return softmax(temperature * logits), labels


@st.composite
def probabilities(draw):
    """Rows that sum to 1, with zeros, ties and near ties among them."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(2, 5)))
    parts = draw(hnp.arrays(np.float64, shape, elements=st.one_of(st.just(0.0), st.floats(1e-12, 1.0))))
    parts[parts.sum(axis=1) == 0] = 1.0
    return parts / parts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_labels", [2, 4])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(n_labels, temperature):
    said, labels = miscalibrated(20_000, n_labels, temperature)
    assert fit_temperature(said, labels) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("n_texts", [30, 300])
def test_no_temperature_on_a_fine_grid_fits_better(n_texts):
    said, labels = miscalibrated(n_texts, 3, 2.0)

    def loss(temperature):
        """Cross entropy against Platt's smoothed labels, spelled out text by text."""
        total = 0.0
        for row, label in zip(said, labels, strict=True):
            odds = row ** (1 / temperature)
            for k in range(3):
                target = (n_texts + 1) / (n_texts + 2) if k == label else 1 / (n_texts + 2) / 2
                total -= target * np.log(odds[k] / odds.sum())
        return total

    grid = np.geomspace(0.5, 8, 400)
    best = grid[np.argmin([loss(t) for t in grid])]
    assert fit_temperature(said, labels) == pytest.approx(best, rel=0.01)


@pytest.mark.parametrize(
    ("said", "labels"),
    [
        ([[0.3, 0.7]], [1]),
        ([[0.3, 0.7]], [0]),
        ([[0.0, 1.0]] * 5, [1] * 5),
        ([[0.0, 1.0]] * 5, [0] * 5),
        ([[0.0, 1.0], [1.0, 0.0]], [1, 1]),
        ([[0.5, 0.5]] * 4, [0, 1, 1, 1]),
        ([[0.2, 0.3, 0.5]] * 9, [2] * 9),
    ],
)
def test_whatever_validation_holds_the_temperature_is_a_usable_number(said, labels):
    temperature = fit_temperature(np.array(said), np.array(labels))
    assert LOWEST_TEMPERATURE <= temperature <= HIGHEST_TEMPERATURE
    np.testing.assert_allclose(temper(np.array(said), temperature).sum(axis=1), 1)


def test_a_few_texts_all_right_do_not_ask_for_certainty():
    said = np.tile([0.1, 0.9], (10, 1))
    # Ten of ten right vouch for 11/12, which is what 0.9 says already.
    assert temper(said, fit_temperature(said, np.ones(10, dtype=int)))[0, 1] == pytest.approx(11 / 12, abs=1e-4)


def test_all_wrong_asks_for_as_little_confidence_as_there_is():
    assert fit_temperature(np.tile([0.1, 0.9], (10, 1)), np.zeros(10, dtype=int)) == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize(
    ("said", "labels", "message"),
    [
        (np.empty((0, 2)), np.empty(0, dtype=int), "there are none"),
        (np.array([[0.5, 0.5]]), None, "there are none"),
        (np.array([[np.nan, 0.5]]), np.array([0]), "not numbers"),
    ],
)
def test_without_labelled_texts_or_numbers_there_is_no_temperature(said, labels, message):
    with pytest.raises(DataError, match=message):
        fit_temperature(said, labels)


@patient
@given(probabilities(), st.floats(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE))
def test_no_answer_changes(said, temperature):
    tempered = temper(said, temperature)
    np.testing.assert_array_equal(tempered.argmax(axis=1), said.argmax(axis=1))
    np.testing.assert_allclose(tempered.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.7, 10.0])
def test_a_near_tie_stays_one_with_the_same_winner(temperature):
    """The logarithms of neighbouring floats are equal, so that rounding makes a tie of them, which argmax gives to the first."""
    said = np.array([[np.nextafter(0.5, 0), 0.5], [0.5, np.nextafter(0.5, 0)]])
    np.testing.assert_array_equal(temper(said, temperature).argmax(axis=1), [1, 0])


def test_tempering_divides_the_logits():
    logits = np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_allclose(temper(softmax(logits), 2.5), softmax(logits / 2.5), atol=1e-12)


@patient
@given(probabilities(), st.floats(0.5, 2.0))
def test_tempering_back_and_forth_changes_nothing(said, temperature):
    np.testing.assert_allclose(temper(temper(said, temperature), 1 / temperature), said, atol=1e-7)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_temperature_is_a_positive_number(temperature):
    with pytest.raises(ValueError, match="above 0"):
        temper(np.array([[0.5, 0.5]]), temperature)


@pytest.mark.parametrize("n_labels", [2, 4])
def test_the_bins_add_up_to_the_metric(random_predictions, n_labels):
    predictions = random_predictions(300, n_labels)
    bins = reliability(predictions)
    gaps = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in bins)
    assert gaps / 300 == pytest.approx(score(predictions, only=["ece"], n_resamples=1)["ece"]["value"])
    assert sum(row["n"] for row in bins) == 300
    assert json.loads(json.dumps(bins, allow_nan=False)) == bins
    for row in bins:
        assert row["low"] < row["confidence"] <= row["high"]
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]


def test_bins_without_texts_are_left_out(make_predictions):
    bins = reliability(make_predictions([1.0, 0.95, 0.0, 0.55], [1, 0, 0, 1]), n_bins=10)
    assert [(row["low"], row["high"], row["n"], row["accuracy"]) for row in bins] == [
        (0.5, 0.6, 1, 1.0),
        (0.9, 1.0, 3, pytest.approx(2 / 3)),
    ]
    assert bins[1]["confidence"] == pytest.approx(2.95 / 3)


def test_the_section_shows_what_a_temperature_does_to_new_texts(make_predictions):
    validation, labels = miscalibrated(400, 2, 3.0, seed=1)
    test, test_labels = miscalibrated(1000, 2, 3.0, seed=2)
    temperature = fit_temperature(validation, labels)
    before, after = make_predictions(test, test_labels), make_predictions(temper(test, temperature), test_labels)
    section = calibration_section(before, after, temperature=temperature, n_validation=400)
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert section["temperature"] == pytest.approx(3, rel=0.25)
    assert section["fitted_on"] == {"split": "validation", "n": 400}
    assert section["after"]["ece"]["value"] < 0.04 < 0.08 < section["before"]["ece"]["value"]
    assert section["after"]["log_loss"]["high"] < section["before"]["log_loss"]["low"]
    assert section["after"]["ece"]["low"] <= section["after"]["ece"]["value"] <= section["after"]["ece"]["high"]
    assert section["reliability"] == {"before": reliability(before), "after": reliability(after)}
    np.testing.assert_array_equal(before.predicted, after.predicted)


@pytest.mark.parametrize("n_texts", [5, 20, 500])
def test_exact_probabilities_are_rarely_called_wrong(make_predictions, n_texts):
    """Of 100 classifiers whose probabilities are exactly right about five have a p-value below 0.05."""
    found = [
        calibration_p(make_predictions(*miscalibrated(n_texts, 2, 1.0, seed=seed)), seed=seed, n_simulated=200)
        for seed in range(100)
    ]
    assert np.mean(np.array(found) < 0.05) <= 0.12
    assert 0.3 < np.mean(found) < 0.75


def test_probabilities_that_are_far_too_sure_are_found(make_predictions):
    assert calibration_p(make_predictions(*miscalibrated(500, 2, 3.0))) == pytest.approx(1 / 1001)
