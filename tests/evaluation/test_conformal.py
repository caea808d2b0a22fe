"""Prediction sets: their quantile by definition, their coverage by simulation."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from matinee.core.errors import DataError, SettingsError
from matinee.core.types import Predictions
from matinee.evaluation import conformal_quantile, conformal_section, prediction_sets, temper
from matinee.evaluation.conformal import expected_range

patient = settings(deadline=None, max_examples=60)


def of_true(p_true):
    """Predictions with these probabilities of their true labels, which are all the second."""
    p_true = np.asarray(p_true, dtype=np.float64)
    names = [str(i) for i in range(len(p_true))]
    both = np.column_stack([1 - p_true, p_true])
    return Predictions(names, names, both, ("a", "b"), np.ones(len(p_true), dtype=np.int64))


@patient
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_the_quantile_is_the_smallest_score_with_enough_scores_at_or_below_it(p_true, coverage):
    quantile = conformal_quantile(of_true(p_true), coverage)
    scores, needed = sorted(1 - p for p in p_true), (len(p_true) + 1) * coverage
    reached = [score for score in scores if sum(s <= score for s in scores) >= needed - 1e-9]
    assert quantile == pytest.approx(min(reached, default=math.inf))


@patient
@given(st.lists(st.floats(0, 1), min_size=19, max_size=60))
def test_validation_texts_up_to_the_quantile_are_covered_in_spite_of_rounding(p_true):
    predictions = of_true(p_true)
    sets = prediction_sets(predictions.probabilities, conformal_quantile(predictions, 0.9))
    assert sets[:, 1].sum() >= 0.9 * (len(p_true) + 1) - 1e-9


def test_rounding_leaves_out_no_label_that_sits_on_the_quantile():
    """1 - (1 - 0.3) is above 0.3."""
    predictions = of_true([0.3] * 19)
    assert prediction_sets(predictions.probabilities, conformal_quantile(predictions, 0.9))[:, 1].all()


def test_a_coverage_that_floats_cannot_express_takes_no_text_more():
    """100 * 0.55 is 55.00000000000001; the quantile is the 55th score all the same."""
    assert conformal_quantile(of_true(1 - np.arange(99) / 100), 0.55) == pytest.approx(0.54)


@pytest.mark.parametrize(("coverage", "needed"), [(0.9, 9), (0.95, 19), (0.99, 99)])
def test_too_few_texts_leave_every_label_in(coverage, needed):
    assert math.isinf(conformal_quantile(of_true([0.9] * (needed - 1)), coverage))
    assert conformal_quantile(of_true([0.9] * needed), coverage) == pytest.approx(0.1)
    assert prediction_sets(np.array([[0.0, 0.3, 0.7]]), math.inf).all()


def test_sets_hold_the_labels_that_are_probable_enough():
    said = np.array([[0.7, 0.3], [0.5, 0.5], [0.95, 0.05], [0.4, 0.6]])
    np.testing.assert_array_equal(prediction_sets(said, 0.5), [[1, 0], [1, 1], [1, 0], [0, 1]])
    # Nothing is probable enough: an empty set says that the text is unlike the others.
    assert not prediction_sets(said, 0.25)[1].any()


@pytest.mark.parametrize("n_labels", [2, 5])
def test_coverage_is_as_stated(n_labels):
    """However wrong the probabilities are; the mean over 150 validation sets has a standard error of 0.2 points."""
    generator, covered = np.random.default_rng(n_labels), []
    for _ in range(150):
        logits = 2 * generator.normal(size=(400, n_labels))
        odds = np.exp(logits)
        labels = ((odds / odds.sum(axis=1, keepdims=True)).cumsum(axis=1) < generator.random((400, 1))).sum(axis=1)
        odds = np.exp(4 * logits)
        said = odds / odds.sum(axis=1, keepdims=True)
        names = [str(i) for i in range(200)]
        validation = Predictions(names, names, said[:200], tuple(names[:n_labels]), labels[:200])
        sets = prediction_sets(said[200:], conformal_quantile(validation, 0.9))
        covered.append(sets[np.arange(200), labels[200:]].mean())
    assert 0.893 < np.mean(covered) < 0.912


def test_a_temperature_leaves_the_sets_of_two_labels_alone(random_predictions):
    validation, new = random_predictions(150, seed=1), random_predictions(150, seed=2).probabilities
    sets = prediction_sets(new, conformal_quantile(validation, 0.9))
    cooler = Predictions(
        validation.ids,
        validation.texts,
        temper(validation.probabilities, 2.5),
        validation.label_names,
        validation.labels,
    )
    np.testing.assert_array_equal(prediction_sets(temper(new, 2.5), conformal_quantile(cooler, 0.9)), sets)


def test_the_expected_range_is_the_beta_distributions():
    low, high = expected_range(200, 0.9)
    assert (low, high) == pytest.approx(tuple(stats.beta(181, 20).ppf([0.025, 0.975])))
    assert expected_range(5, 0.9) == (1.0, 1.0)


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 90])
def test_a_coverage_is_a_share(coverage, random_predictions):
    with pytest.raises(SettingsError, match="between 0 and 1"):
        conformal_quantile(random_predictions(), coverage)


def test_without_labels_there_is_no_quantile(make_predictions):
    with pytest.raises(DataError, match="no labels"):
        conformal_quantile(make_predictions([0.5]), 0.9)


class TestSection:
    def test_rows_are_counts_of_the_sets(self, random_predictions):
        validation, test = random_predictions(300, 4, seed=1), random_predictions(500, 4, seed=2)
        rows = conformal_section(validation, test, (0.8, 0.95))
        assert json.loads(json.dumps(rows, allow_nan=False)) == rows
        for row in rows:
            sets = prediction_sets(test.probabilities, conformal_quantile(validation, row["coverage"]))
            sizes = sets.sum(axis=1)
            assert row["mean_size"] == pytest.approx(sizes.mean())
            assert row["share_single"] == pytest.approx(np.mean(sizes == 1))
            assert row["share_empty"] == pytest.approx(np.mean(sizes == 0))
            assert row["test_coverage"]["value"] == pytest.approx(sets[np.arange(500), test.labels].mean())
            assert row["test_coverage"]["low"] < row["coverage"] < row["test_coverage"]["high"]
            assert row["expected"]["low"] < row["coverage"] < row["expected"]["high"]
        assert rows[0]["mean_size"] < rows[1]["mean_size"]

    def test_too_few_validation_texts_say_so(self, random_predictions):
        row = conformal_section(random_predictions(10), random_predictions(50), (0.95,))[0]
        assert row["quantile"] is None
        assert "at least 19" in row["reason"]
        assert (row["mean_size"], row["test_coverage"]["value"]) == (2, 1)

    def test_no_validation_says_so(self, random_predictions):
        row = conformal_section(None, random_predictions(50), (0.95,))[0]
        assert "no labelled validation texts" in row["reason"]
        assert row["mean_size"] is None

    def test_test_texts_without_labels_still_have_sets(self, random_predictions, make_predictions):
        row = conformal_section(random_predictions(100), make_predictions([0.5, 0.9, 0.99]), (0.9,))[0]
        assert row["test_coverage"] is None
        assert "not known" in row["reason"]
        assert row["mean_size"] > 0
