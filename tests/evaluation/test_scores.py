"""Scores: their shape, their intervals, and what happens where a metric or an interval is not defined."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from matinee.core.errors import DataError
from matinee.core.types import Predictions
from matinee.evaluation import accuracy_gain, class_report, confusion_matrix, gain, point_scores, score
from matinee.evaluation.intervals import resample_weights, widened_point


def intervals(scores):
    return {name: entry for name, entry in scores.items() if name != "n"}


@pytest.mark.parametrize("n_labels", [2, 5])
def test_scores_are_plain_json_and_hold_their_values(random_predictions, n_labels):
    scores = score(random_predictions(300, n_labels))
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert scores["n"] == 300
    for entry in intervals(scores).values():
        assert 0 <= entry["low"] <= entry["value"] <= entry["high"]
        assert entry["low"] < entry["high"]


def test_same_seed_same_scores_other_seed_other_intervals(random_predictions):
    predictions = random_predictions()
    assert score(predictions, seed=3) == score(predictions, seed=3)
    other = score(predictions, seed=4)
    assert other["brier"]["value"] == score(predictions, seed=3)["brier"]["value"]
    assert other["brier"]["low"] != score(predictions, seed=3)["brier"]["low"]


def test_point_scores_are_the_values_of_scores(random_predictions):
    for n_labels in (2, 4):
        predictions = random_predictions(n_labels=n_labels)
        scores = intervals(score(predictions, n_resamples=5))
        assert point_scores(predictions) == {name: entry["value"] for name, entry in scores.items()}


def test_accuracy_intervals_cover_as_often_as_they_say(make_predictions):
    generator, covered = np.random.default_rng(0), 0
    for seed in range(200):
        right = generator.random(150) < 0.85
        entry = score(make_predictions(np.where(right, 0.9, 0.1), np.ones(150)), seed=seed, n_resamples=200)["accuracy"]
        covered += entry["low"] <= 0.85 <= entry["high"]
    # 95 % nominal; a binomial of 200 stays between 180 and 198 nearly always.
    assert 180 <= covered <= 199


@pytest.mark.parametrize("f1", [0.65, 0.95])
def test_f1_intervals_cover_as_often_as_they_say(make_predictions, f1):
    """The percentile bootstrap covers an F1 of 0.95 with these 100 texts in 92 % of cases, this one in 96 %."""
    generator, covered = np.random.default_rng(1), 0
    # As many false positives as false negatives: precision = recall = F1.
    chances = np.array([0.5 * f1, 0.5 * (1 - f1), 0.5 * (1 - f1), 0.5 * f1])
    for _ in range(400):
        kind = generator.choice(4, size=100, p=chances)
        predictions = make_predictions(np.where(kind < 2, 0.9, 0.1), (kind % 2 == 0).astype(int))
        entry = score(predictions, only=["f1"])["f1"]
        covered += entry["low"] <= f1 <= entry["high"]
    assert 368 <= covered <= 393


def test_shares_of_texts_have_wilsons_interval_whatever_the_seed(random_predictions):
    predictions = random_predictions(300)
    entry = score(predictions, seed=1, n_resamples=1)["accuracy"]
    n, p, z = 300, entry["value"], 1.959963984540054
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert entry["low"] == pytest.approx((centre - half) / (1 + z**2 / n))
    assert entry["high"] == pytest.approx((centre + half) / (1 + z**2 / n))
    assert score(predictions, seed=2, n_resamples=1)["accuracy"] == entry


def test_only_the_metrics_asked_for(random_predictions):
    predictions = random_predictions()
    scores, everything = (
        score(predictions, only=("ece", "accuracy"), n_resamples=20),
        score(predictions, n_resamples=20),
    )
    assert set(scores) == {"n", "accuracy", "ece"}
    assert all(scores[name] == everything[name] for name in scores)
    with pytest.raises(ValueError, match=r"unknown metrics \['acuracy'\]"):
        score(predictions, only=["acuracy"])


def test_calibration_intervals_take_back_the_bias_that_noise_adds(make_predictions):
    """The percentile interval covers the true error of this classifier about half of the time, the basic one 89 %."""
    generator, covered = np.random.default_rng(0), 0
    for seed in range(60):
        logits = 2 * generator.normal(size=400)
        labels = generator.random(400) < 1 / (1 + np.exp(-logits))
        predictions = make_predictions(1 / (1 + np.exp(-1.3 * logits)), labels)
        entry = score(predictions, seed=seed, n_resamples=200)["ece"]
        covered += entry["low"] <= 0.0386 <= entry["high"]
    assert covered >= 48


def test_interval_narrows_with_the_root_of_the_number_of_texts(random_predictions):
    small, large = (score(random_predictions(n, seed=1))["accuracy"] for n in (200, 3200))
    assert 3 < (small["high"] - small["low"]) / (large["high"] - large["low"]) < 5.3


def test_resamples_draw_each_time_as_many_texts_and_depend_on_seed_and_count_alone():
    weights = np.concatenate(list(resample_weights(50, 400, 0)), axis=1)
    assert weights.shape == (50, 400)
    assert (weights.sum(axis=0) == 50).all()
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.05)
    np.testing.assert_array_equal(weights, np.concatenate(list(resample_weights(50, 400, 0)), axis=1))


def test_resamples_come_in_blocks_of_bounded_memory():
    blocks = resample_weights(200_000, 1000, 0)
    assert next(blocks).nbytes <= 8 << 20


@pytest.mark.parametrize("n_texts", [1, 5, 40])
def test_all_right_is_not_certainty(make_predictions, n_texts):
    """Wilson's interval, here from its textbook form."""
    entry = score(make_predictions([0.9] * n_texts, [1] * n_texts), n_resamples=20)["accuracy"]
    z = 1.959963984540054
    centre, half = (1 + z**2 / (2 * n_texts)), z * np.sqrt(z**2 / (4 * n_texts**2))
    assert entry == {"value": 1.0, "low": pytest.approx((centre - half) / (1 + z**2 / n_texts)), "high": 1.0}


def test_all_wrong_is_not_certainty_either(make_predictions):
    entry = score(make_predictions([0.9] * 10 + [0.1] * 10, [0] * 10 + [1] * 10), n_resamples=20)
    assert entry["accuracy"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(0.1611, abs=1e-4)}
    # Only the ten positive texts speak of recall.
    assert entry["recall"]["high"] == pytest.approx(0.2775, abs=1e-4)


def test_a_perfect_sample_leaves_room_for_error_in_every_metric(make_predictions):
    scores = intervals(score(make_predictions([0.0] * 30 + [1.0] * 30, [0] * 30 + [1] * 30)))
    for name, entry in scores.items():
        assert entry["low"] < entry["high"], name
    assert scores["log_loss"]["high"] > 1
    assert scores["roc_auc"]["high"] == 1.0
    assert 0.8 < scores["roc_auc"]["low"] < 0.95


def test_widening_stays_within_the_range():
    assert widened_point(0.5, 1.0, 10) == (pytest.approx(0.361, abs=1e-3), pytest.approx(0.639, abs=1e-3))
    assert widened_point(0.0, 1.0, 0) == (0.0, 1.0)


def test_a_missing_label_is_undefined_and_says_so(make_predictions):
    scores = score(make_predictions([0.9, 0.2, 0.4], [0, 0, 0], ["bad", "good"]))
    for name in ("roc_auc", "f1", "precision", "recall"):
        assert scores[name] == {"value": None, "low": None, "high": None, "reason": "no text has the label 'good'"}
    assert scores["accuracy"]["value"] == pytest.approx(2 / 3)
    assert set(point_scores(make_predictions([0.9, 0.2], [0, 0]))) == {"accuracy", "log_loss", "brier", "ece"}


def test_many_missing_labels_are_counted(make_predictions):
    scores = score(make_predictions(np.full((4, 8), 1 / 8), [0, 0, 1, 1]))
    assert scores["roc_auc"]["reason"] == "no text has the label 'label2', 'label3', 'label4' and 3 more"
    assert scores["f1"]["value"] is not None


def test_resamples_without_a_rare_label_are_left_out(make_predictions):
    scores = score(make_predictions(np.linspace(0, 1, 40), [0] * 39 + [1]), n_resamples=300)
    assert scores["roc_auc"]["value"] == 1.0
    assert scores["roc_auc"]["low"] is not None


def test_a_rare_label_that_no_resample_drew_leaves_the_value_without_interval(make_predictions):
    predictions = make_predictions(np.linspace(0, 1, 40), [0] * 39 + [1])
    entries = [score(predictions, n_resamples=1, seed=seed)["roc_auc"] for seed in range(20)]
    without = [entry for entry in entries if entry["low"] is None]
    assert without
    assert all(entry["value"] == 1.0 and "too few texts" in entry["reason"] for entry in without)


def test_a_classifier_that_never_says_positive_has_no_precision_rather_than_none_reported(make_predictions):
    scores = score(make_predictions([0.1] * 20, [0] * 10 + [1] * 10))
    assert scores["precision"] == {"value": 0.0, "low": 0.0, "high": 1.0}
    assert scores["recall"]["value"] == scores["f1"]["value"] == 0.0
    assert scores["roc_auc"]["value"] == 0.5


def test_no_resamples_are_refused(random_predictions):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        score(random_predictions(), n_resamples=0)


def test_class_report_is_scikit_learns(random_predictions):
    predictions = random_predictions(150, 4, names=("a", "b", "c", "d"))
    rows = class_report(predictions)
    twin = sk.classification_report(
        predictions.labels, predictions.predicted, target_names=predictions.label_names, output_dict=True
    )
    assert [row["label"] for row in rows] == ["a", "b", "c", "d"]
    for row in rows:
        expected = twin[row["label"]]
        assert row["support"] == expected["support"]
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"])
        )
    json.dumps(rows, allow_nan=False)


def test_class_report_of_a_label_without_texts_has_nulls(make_predictions):
    rows = class_report(make_predictions([0.9, 0.1], [0, 0], ["bad", "good"]))
    assert rows[1] == {"label": "good", "precision": None, "recall": None, "f1": None, "support": 0}


def test_confusion_matrix_is_scikit_learns(random_predictions):
    predictions = random_predictions(150, 4)
    counts = confusion_matrix(predictions)
    np.testing.assert_array_equal(counts, sk.confusion_matrix(predictions.labels, predictions.predicted))
    assert counts.dtype == np.int64


def test_confusion_matrix_needs_labels(make_predictions):
    with pytest.raises(DataError, match="no labels"):
        confusion_matrix(make_predictions([0.4, 0.6]))


class TestAccuracyGain:
    def of(self, right):
        """Predictions of 200 texts, all of label 0, of which the given ones are right."""
        probabilities = np.where(np.asarray(right)[:, None], [0.9, 0.1], [0.2, 0.8])
        ids = [str(row) for row in range(len(right))]
        return Predictions(ids, ids, probabilities, ("a", "b"), np.zeros(len(right), dtype=np.int64))

    def test_what_both_find_hard_does_not_blur_the_difference(self):
        hard = np.arange(200) < 100
        better, worse = ~hard, ~hard & (np.arange(200) < 190)
        found = accuracy_gain(self.of(better), self.of(worse))
        assert found["value"] == pytest.approx(0.05)
        assert 0.01 < found["low"] < 0.05 < found["high"] < 0.085

    def test_equals_do_not_differ(self):
        same = self.of(np.arange(200) % 3 > 0)
        assert accuracy_gain(same, same) == {"value": 0, "low": 0, "high": 0}

    def test_a_lead_of_three_texts_is_no_more_than_chance(self):
        found = accuracy_gain(self.of([True] * 5), self.of([False] * 3 + [True] * 2))
        assert found["value"] == pytest.approx(0.6)
        assert found["low"] == 0

    def test_a_loss_that_is_lower_is_a_gain(self):
        surer = Predictions(
            *((ids := [str(row) for row in range(200)]), ids),
            np.tile([0.95, 0.05], (200, 1)),
            ("a", "b"),
            np.zeros(200, dtype=np.int64),
        )
        other = self.of(np.arange(200) < 190)
        found = gain("log_loss", surer, other)
        assert found["value"] == pytest.approx(score(other)["log_loss"]["value"] - score(surer)["log_loss"]["value"])
        assert 0 < found["low"] < found["value"] < found["high"]
        turned = gain("log_loss", other, surer)
        assert turned["value"] == pytest.approx(-found["value"])
        assert (turned["low"], turned["high"]) == pytest.approx((-found["high"], -found["low"]))

    def test_accuracy_is_that_of_its_own(self):
        one, other = self.of(np.arange(200) < 150), self.of(np.arange(200) < 120)
        assert gain("accuracy", one, other) == accuracy_gain(one, other)

    def test_a_calibration_error_s_has_no_interval(self):
        found = gain("ece", self.of(np.arange(200) < 150), self.of(np.arange(200) < 120))
        assert found == {
            "value": None,
            "low": None,
            "high": None,
            "reason": "of two calibration errors it has no interval",
        }

    def test_what_is_undefined_says_why(self):
        one = self.of(np.arange(200) < 150)
        found = gain("roc_auc", one, one)  # there are no texts of the other label
        assert found == {"value": None, "low": None, "high": None, "reason": "a label has no or too few texts"}

    def test_other_texts_cannot_be_compared(self):
        one = self.of(np.ones(200, dtype=bool))
        with pytest.raises(DataError, match="same labelled texts"):
            accuracy_gain(one, self.of(np.ones(100, dtype=bool)))
