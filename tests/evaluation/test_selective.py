"""Abstaining and decision thresholds, against spelled-out implementations."""

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from matinee.core.errors import DataError, SettingsError
from matinee.core.types import Predictions
from matinee.evaluation import (
    accuracy_coverage_curve,
    aurc,
    coverage_section,
    parse_objective,
    threshold_for_accuracy,
    tune_threshold,
)
from matinee.evaluation.selective import confidence

patient = settings(deadline=None, max_examples=60)


def binary(scores, labels, threshold=None):
    scores = np.asarray(scores, dtype=np.float64)
    names = [str(i) for i in range(len(scores))]
    both = np.column_stack([1 - scores, scores])
    return Predictions(names, names, both, ("bad", "good"), np.asarray(labels, dtype=np.int64), threshold=threshold)


@st.composite
def scored_texts(draw, max_texts=40):
    """Two-label predictions on a coarse grid, so that scores tie, with both labels present."""
    scores = draw(st.lists(st.integers(0, 12).map(lambda n: n / 12), min_size=2, max_size=max_texts))
    labels = draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)))
    assume(0 < sum(labels) < len(labels))
    return binary(scores, labels)


def naive_curve(predictions):
    """(coverage, accuracy, threshold) at every confidence that occurs, one loop over the texts each."""
    sure = [max(row) for row in predictions.probabilities.tolist()]
    rows = []
    for threshold in sorted(set(sure), reverse=True):
        kept = [i for i in range(len(sure)) if sure[i] >= threshold]
        right = sum(predictions.predicted[i] == predictions.labels[i] for i in kept)
        rows.append((len(kept) / len(sure), right / len(kept), threshold))
    return rows


@patient
@given(scored_texts())
def test_the_curve_is_what_a_loop_over_thresholds_finds(predictions):
    rows = [tuple(row.values()) for row in accuracy_coverage_curve(predictions)]
    np.testing.assert_allclose(rows, naive_curve(predictions), atol=1e-12)


def test_a_long_curve_is_thinned_and_keeps_its_end(random_predictions):
    curve = accuracy_coverage_curve(random_predictions(5000))
    coverages = [row["coverage"] for row in curve]
    assert 90 <= len(curve) <= 100
    assert coverages == sorted(coverages)
    assert coverages[-1] == 1
    assert max(np.diff(coverages)) < 0.0101


@patient
@given(scored_texts(max_texts=6))
def test_aurc_is_its_mean_over_every_order_of_tied_texts(predictions):
    sure = predictions.probabilities.max(axis=1)
    wrong = predictions.predicted != predictions.labels
    areas = []
    for order in permutations(range(len(sure))):
        if all(sure[a] >= sure[b] for a, b in pairwise(order)):
            risks = [np.mean(wrong[list(order[: k + 1])]) for k in range(len(order))]
            areas.append(np.mean(risks))
    assert aurc(predictions) == pytest.approx(np.mean(areas), abs=1e-12)


def test_aurc_is_the_error_rate_where_confidence_says_nothing():
    assert aurc(binary([0.9] * 8, [1, 1, 1, 0] * 2)) == pytest.approx(0.25)


def test_aurc_rewards_mistakes_that_are_made_hesitantly():
    hesitant = binary([0.95, 0.9, 0.8, 0.55], [1, 1, 1, 0])
    confident = binary([0.95, 0.9, 0.8, 0.55], [0, 1, 1, 1])
    assert aurc(hesitant) == pytest.approx(1 / 4 / 4)
    assert aurc(confident) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_confidence_is_that_of_the_answer_given():
    """With a threshold the answer need not be the more probable label."""
    predictions = binary([0.3, 0.9, 0.1], [1, 1, 0], threshold=0.25)
    assert confidence(predictions) == pytest.approx([0.3, 0.9, 0.9])
    curve = accuracy_coverage_curve(predictions)
    assert [row["threshold"] for row in curve] == pytest.approx([0.9, 0.3])
    assert curve[-1]["accuracy"] == 1


class TestThresholdForAccuracy:
    @patient
    @given(scored_texts(), st.sampled_from([0.5, 0.75, 0.9, 0.95]))
    def test_it_is_the_lowest_that_reaches_the_target_with_one_more_mistake(self, predictions, target):
        predictions = replace_rows(predictions, 3)
        n_texts, lowest = len(predictions), None
        for coverage, accuracy, threshold in naive_curve(predictions):
            kept = round(coverage * n_texts)
            if kept >= 20 and round(accuracy * kept) / (kept + 1) >= target - 1e-12:
                lowest = 0.0 if kept == n_texts else threshold
        assert threshold_for_accuracy(predictions, target) == lowest

    def test_tied_texts_are_kept_or_dropped_together(self):
        # 40 sure and right; 10 at 0.8, of which 6 wrong: the right ones among them cannot be kept alone.
        predictions = binary([0.9] * 40 + [0.8] * 10, [1] * 44 + [0] * 6)
        assert threshold_for_accuracy(predictions, 0.95) == pytest.approx(0.9)

    def test_where_all_can_be_kept_nothing_is_withheld(self):
        assert threshold_for_accuracy(binary([0.9] * 60 + [0.6] * 40, [1] * 100), 0.95) == 0.0

    def test_few_texts_vouch_for_little(self):
        assert threshold_for_accuracy(binary([0.9] * 98, [1] * 98), 0.99) is None
        assert threshold_for_accuracy(binary([0.9] * 99, [1] * 99), 0.99) == 0.0
        assert threshold_for_accuracy(binary([0.9] * 19, [1] * 19), 0.5) is None

    def test_a_classifier_that_is_never_that_good_has_none(self):
        assert threshold_for_accuracy(binary([0.9] * 300, [1, 1, 0] * 100), 0.9) is None

    def test_on_average_new_texts_reach_the_target(self):
        generator, reached = np.random.default_rng(0), []

        def draw(n_texts):
            scores = 1 / (1 + np.exp(-4 * generator.normal(size=n_texts)))
            return binary(scores, generator.random(n_texts) < scores)

        new = draw(50_000)
        for _ in range(60):
            threshold = threshold_for_accuracy(draw(200), 0.95)
            kept = confidence(new) >= threshold
            reached.append(np.mean((new.predicted == new.labels)[kept]))
        # 95.4 % on average over many more; the standard error of 60 is 0.2 points.
        assert 0.948 < np.mean(reached) < 0.962


def replace_rows(predictions, times):
    """The same texts several times over."""
    return Predictions(
        ids=[f"{i}-{name}" for i in range(times) for name in predictions.ids],
        texts=predictions.texts * times,
        probabilities=np.tile(predictions.probabilities, (times, 1)),
        label_names=predictions.label_names,
        labels=np.tile(predictions.labels, times),
    )


class TestCoverageSection:
    def test_thresholds_come_from_validation_and_scores_from_test(self, random_predictions):
        validation, test = random_predictions(400, seed=1), random_predictions(600, seed=2)
        section = coverage_section(validation, test, targets=(0.9,))
        (row,) = section["targets"]
        assert row["threshold"] == threshold_for_accuracy(validation, 0.9)
        kept = test.probabilities.max(axis=1) >= row["threshold"]
        assert row["test_coverage"] == pytest.approx(kept.mean())
        assert row["test_accuracy"]["value"] == pytest.approx(np.mean((test.predicted == test.labels)[kept]))
        assert row["test_accuracy"]["low"] < row["test_accuracy"]["value"] < row["test_accuracy"]["high"]
        assert 0 < row["validation_coverage"] < 1
        assert section["aurc"] == aurc(test)
        assert section["curve"] == accuracy_coverage_curve(test)

    def test_what_cannot_be_chosen_says_why(self, random_predictions):
        test = random_predictions(50)
        for validation, words in [
            (None, "no labelled validation texts"),
            (random_predictions(15), "it takes at least 20"),
            (random_predictions(60), "it takes at least 99"),
            (random_predictions(2000, skill=0.0), "do not show that"),
        ]:
            row = coverage_section(validation, test, targets=(0.6 if "20" in words else 0.99,))["targets"][0]
            assert row["threshold"] is row["test_accuracy"] is None
            assert words in row["reason"]

    def test_certainty_is_never_reached(self, random_predictions):
        row = coverage_section(random_predictions(), random_predictions(), targets=(1.0,))["targets"][0]
        assert "too few to tell" in row["reason"]

    def test_a_threshold_that_no_test_text_reaches_says_so(self):
        validation = binary([0.99] * 60 + [0.6] * 60, [1] * 60 + [0] * 60)
        row = coverage_section(validation, binary([0.7, 0.3], [1, 0]), targets=(0.9,))["targets"][0]
        assert row["test_coverage"] == 0
        assert row["test_accuracy"] is None
        assert "no test text" in row["reason"]


class TestObjective:
    def test_every_kind_is_read(self):
        assert (parse_objective("f1").name, parse_objective(" balanced_accuracy ").name) == ("f1", "balanced_accuracy")
        assert parse_objective("precision@.9") == parse_objective("precision@0.90")
        assert parse_objective("precision@1").recall == 1

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "F1@0.5",
            "f1@0.5",
            "precision",
            "precision@",
            "precision@90",
            "precision@nan",
            "precision@-0.1",
            "recall@0.9",
        ],
    )
    def test_anything_else_is_refused_in_a_line(self, text):
        with pytest.raises(SettingsError, match="f1, balanced_accuracy or precision@R") as caught:
            parse_objective(text)
        assert "\n" not in str(caught.value)

    def test_a_slip_of_the_pen_is_guessed(self):
        with pytest.raises(SettingsError, match="Did you mean 'balanced_accuracy'"):
            parse_objective("balanced-accuracy")


VALUE = {
    "f1": sk.f1_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "precision@0.7": lambda labels, said: (
        sk.precision_score(labels, said, zero_division=0) if sk.recall_score(labels, said) >= 0.7 else -1.0
    ),
}


class TestTuneThreshold:
    @patient
    @given(scored_texts(), st.sampled_from(sorted(VALUE)))
    def test_no_other_threshold_is_better_by_scikit_learns_count(self, predictions, objective):
        def value(threshold):
            return VALUE[objective](predictions.labels, predictions.probabilities[:, 1] >= threshold)

        threshold = tune_threshold(predictions, objective)
        assert 0 <= threshold <= 1
        assert value(threshold) == pytest.approx(max(value(t) for t in np.linspace(0, 1, 49)), abs=1e-12)
        tuned = replace(predictions, threshold=threshold)
        np.testing.assert_array_equal(tuned.predicted == 1, predictions.probabilities[:, 1] >= threshold)

    def test_it_lies_half_way_between_probabilities_that_occur(self):
        assert tune_threshold(binary([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]), "f1") == pytest.approx(0.25)

    def test_of_equally_good_ones_the_nearest_to_a_half_is_taken(self):
        # Balanced accuracy is 0.75 both at 0.15 (both positives, one of two negatives) and at 0.45 (one, both).
        predictions = binary([0.1, 0.2, 0.4, 0.5], [0, 1, 0, 1])
        assert tune_threshold(predictions, "balanced_accuracy") == pytest.approx(0.45)

    def test_precision_at_a_recall_keeps_the_recall(self):
        predictions = binary([0.95, 0.9, 0.8, 0.7, 0.6, 0.2], [1, 0, 1, 1, 0, 0])
        assert tune_threshold(predictions, "precision@0.3") == pytest.approx(0.925)
        assert tune_threshold(predictions, "precision@0.5") == pytest.approx(0.65)
        assert tune_threshold(predictions, "precision@1") == pytest.approx(0.65)

    def test_of_the_same_precision_the_higher_recall_counts_before_the_middle(self):
        predictions = binary([0.05, 0.1, 0.55], [0, 1, 1])
        assert tune_threshold(predictions, "precision@0.3") == pytest.approx(0.075)

    def test_one_score_for_all_texts_leaves_one_choice(self):
        assert tune_threshold(binary([0.7] * 4, [0, 1, 1, 1]), "f1") == pytest.approx(0.35)

    def test_neighbouring_floats_have_no_middle(self):
        low, high = 0.7, np.nextafter(0.7, 1)
        threshold = tune_threshold(binary([low, high], [0, 1]), "f1")
        assert low < threshold <= high

    def test_more_than_two_labels_have_no_threshold(self, random_predictions):
        with pytest.raises(SettingsError, match="needs two labels, got 3"):
            tune_threshold(random_predictions(n_labels=3), "f1")

    @pytest.mark.parametrize(("label", "missing"), [(0, "good"), (1, "bad")])
    def test_one_label_alone_decides_nothing(self, label, missing):
        with pytest.raises(DataError, match=f"no validation text has the label '{missing}'"):
            tune_threshold(binary([0.2, 0.8], [label] * 2), "f1")
