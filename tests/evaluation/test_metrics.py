"""Every metric against its scikit-learn twin, with each text once and with texts repeated."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from matinee.core.errors import DataError
from matinee.evaluation.metrics import METRICS, LabelledTexts, Weighted, metrics_for

# A busy machine is no failure.
patient = settings(deadline=None, max_examples=60)
SK_AVERAGES = {"": "macro", "_weighted": "weighted"}


@st.composite
def weighted_texts(draw):
    """Labels, probabilities on a coarse grid (so that scores tie), and how often each text counts."""
    n_labels, n_texts = draw(st.integers(2, 4)), draw(st.integers(2, 25))
    labels = draw(st.lists(st.integers(0, n_labels - 1), min_size=n_texts, max_size=n_texts))
    grid = st.lists(st.integers(0, 6), min_size=n_labels, max_size=n_labels).filter(any)
    parts = np.array(draw(st.lists(grid, min_size=n_texts, max_size=n_texts)), dtype=np.float64)
    counts = draw(st.one_of(st.just([1] * n_texts), st.lists(st.integers(0, 3), min_size=n_texts, max_size=n_texts)))
    assume(any(counts))
    return np.array(labels), parts / parts.sum(axis=1, keepdims=True), np.array(counts)


def texts_of(labels, probabilities):
    return LabelledTexts(labels, probabilities, probabilities.argmax(axis=1))


def ours(name, labels, probabilities, counts):
    return METRICS[name].compute(Weighted(texts_of(labels, probabilities), counts[:, None].astype(float)))[0]


def repeated(labels, probabilities, counts):
    return np.repeat(labels, counts), np.repeat(probabilities, counts, axis=0)


@patient
@given(weighted_texts())
def test_accuracy(case):
    labels, probabilities = repeated(*case)
    assert ours("accuracy", *case) == pytest.approx(sk.accuracy_score(labels, probabilities.argmax(axis=1)), abs=1e-12)


@patient
@given(weighted_texts(), st.sampled_from(["precision", "recall", "f1"]), st.sampled_from(["", "_weighted"]))
def test_precision_recall_and_f1(case, kind, suffix):
    labels, probabilities = repeated(*case)
    two = probabilities.shape[1] == 2
    assume(not (two and suffix))
    function = getattr(sk, f"{kind}_score")
    predicted = probabilities.argmax(axis=1)
    value = ours(kind + suffix, *case)
    if two and 1 not in labels:
        assert np.isnan(value)
        return
    # Labels that no text has are left out of plain means, those never predicted count as 0.
    chosen = {"pos_label": 1} if two else {"average": SK_AVERAGES[suffix], "labels": np.unique(labels)}
    assert value == pytest.approx(function(labels, predicted, zero_division=0, **chosen), abs=1e-12)


@patient
@given(weighted_texts())
def test_roc_auc(case):
    labels, probabilities = repeated(*case)
    n_labels = probabilities.shape[1]
    value = ours("roc_auc", *case)
    if len(np.unique(labels)) < n_labels:
        assert np.isnan(value)
    elif n_labels == 2:
        assert value == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]), abs=1e-12)
    else:
        assert value == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"), abs=1e-12)


@patient
@given(weighted_texts())
def test_log_loss(case):
    labels, probabilities = repeated(*case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = sk.log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]))
    assert ours("log_loss", *case) == pytest.approx(twin, abs=1e-12)


@patient
@given(weighted_texts())
def test_brier(case):
    labels, probabilities = repeated(*case)
    if probabilities.shape[1] == 2:
        twin = np.mean((probabilities[:, 1] - (labels == 1)) ** 2)
    else:
        twin = np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2, axis=1))
    assert ours("brier", *case) == pytest.approx(twin, abs=1e-12)


def test_brier_of_two_labels_is_scikit_learns(random_predictions):
    predictions = random_predictions()
    twin = sk.brier_score_loss(predictions.labels, predictions.probabilities[:, 1])
    assert ours("brier", predictions.labels, predictions.probabilities, np.ones(200)) == pytest.approx(twin)


@patient
@given(weighted_texts())
def test_ece_as_the_paper_spells_it(case):
    labels, probabilities = repeated(*case)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    total = 0.0
    for m in range(15):
        # Guo et al. 2017: B_m holds the confidences in ((m - 1) / M, m / M].
        inside = (np.ceil(confidence * 15) == m + 1) if m else (np.ceil(confidence * 15) <= 1)
        if inside.any():
            total += inside.sum() / len(labels) * abs(right[inside].mean() - confidence[inside].mean())
    assert ours("ece", *case) == pytest.approx(total, abs=1e-12)


@patient
@given(weighted_texts(), st.floats(0, 1))
def test_a_threshold_moves_the_answers_and_not_the_probabilities(case, threshold):
    labels, probabilities, counts = case
    assume(probabilities.shape[1] == 2)
    said = (probabilities[:, 1] >= threshold).astype(int)
    weighted = Weighted(LabelledTexts(labels, probabilities, said), counts[:, None].astype(float))
    repeated_labels, repeated_said = np.repeat(labels, counts), np.repeat(said, counts)
    value = METRICS["accuracy"].compute(weighted)[0]
    assert value == pytest.approx(sk.accuracy_score(repeated_labels, repeated_said), abs=1e-12)
    if 1 in repeated_labels:
        for name in ("f1", "precision", "recall"):
            twin = getattr(sk, f"{name}_score")(repeated_labels, repeated_said, zero_division=0)
            assert METRICS[name].compute(weighted)[0] == pytest.approx(twin, abs=1e-12)
    for name in ("roc_auc", "log_loss", "brier", "ece"):
        np.testing.assert_equal(METRICS[name].compute(weighted)[0], ours(name, *case))


@patient
@given(weighted_texts())
def test_a_share_is_the_metric_it_gives_the_interval_of(case):
    labels, probabilities, counts = case
    weighted = Weighted(texts_of(labels, probabilities), counts[:, None].astype(float))
    two = probabilities.shape[1] == 2
    for name, metric in METRICS.items():
        share = metric.share(weighted)
        always = name in {"accuracy", "recall_weighted"}
        assert (share is not None) == (always or (two and name in {"f1", "precision", "recall"}))
        if share is not None and share.whole and not np.isnan(value := metric.compute(weighted)[0]):
            assert share.to_metric(share.part / share.whole) == pytest.approx(value, abs=1e-12)
            low, high = share.interval()
            assert -1e-12 <= low <= value + 1e-12
            assert value - 1e-12 <= high <= 1 + 1e-12


def test_ece_by_hand(make_predictions):
    # Two texts at 0.9, one of them right: gap 0.4. Two at 0.6, both right: gap 0.4.
    texts = LabelledTexts.of(make_predictions([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1]))
    assert METRICS["ece"].compute(Weighted(texts, np.ones((4, 1))))[0] == pytest.approx(0.4)


@patient
@given(weighted_texts(), st.integers(1, 4))
def test_columns_of_weights_do_not_mix(case, n_columns):
    labels, probabilities, counts = case
    weights = np.column_stack([np.roll(counts, k) for k in range(n_columns)]).astype(float)
    together = Weighted(texts_of(labels, probabilities), weights)
    for metric in METRICS.values():
        alone = [metric.compute(Weighted(together.texts, weights[:, [k]]))[0] for k in range(n_columns)]
        np.testing.assert_allclose(metric.compute(together), alone, atol=1e-12)


def test_registry_has_the_designs_metrics_and_averages_only_above_two_labels():
    design = ["accuracy", "f1", "precision", "recall", "roc_auc", "log_loss", "brier", "ece"]
    assert list(metrics_for(2)) == design
    assert set(metrics_for(3)) - set(design) == {"f1_weighted", "precision_weighted", "recall_weighted"}


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([0.2, 0.8], None, "no labels"),
        (np.empty((0, 2)), [], "no texts"),
        ([[1.0], [1.0]], [0, 0], "at least two labels, got 1"),
        ([0.2, 0.8], [0, 2], "between 0 and 1, got 0 to 2"),
        ([0.2, np.nan], [0, 1], "1 of 2 texts are not numbers"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(make_predictions, probabilities, labels, message):
    with pytest.raises(DataError, match=message):
        LabelledTexts.of(make_predictions(probabilities, labels))
