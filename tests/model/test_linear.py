"""The linear head and the linear baseline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax as scipy_softmax
from sklearn.linear_model import LogisticRegression

from matinee.model.bag_of_words import BagOfWords
from matinee.model.linear import fit_linear_head, fit_scaled_head, softmax
from matinee.model.tfidf import fit_tfidf


@pytest.fixture(params=[2, 3])
def task(request):
    chance = np.random.default_rng(0)
    features = chance.normal(size=(120, 5)).astype(np.float32)
    labels = (features[:, 0] * 3 + chance.normal(size=120)).argsort().argsort() * request.param // 120
    return features, labels.astype(np.int64), request.param


@given(arrays(np.float32, (4, 3), elements=st.floats(-50, 50, width=32)))
def test_softmax_is_scipy_s(logits):
    np.testing.assert_allclose(softmax(logits), scipy_softmax(logits.astype(np.float64), axis=1), atol=1e-12)


def test_the_head_says_what_scikit_learn_says(task):
    features, labels, n_labels = task
    head = fit_linear_head(features, labels, n_labels, [0.5], seed=0)
    twin = LogisticRegression(C=0.5, max_iter=2000).fit(features, labels)
    np.testing.assert_allclose(head.probabilities(features), twin.predict_proba(features), atol=1e-6)


def test_the_scaled_head_takes_raw_features(task):
    features, labels, n_labels = task
    shifted = features * 7 + 3
    head = fit_scaled_head(shifted, labels, n_labels, [0.5], seed=0)
    scaled = (shifted - shifted.mean(axis=0)) / shifted.std(axis=0).mean()
    twin = LogisticRegression(C=0.5, max_iter=2000).fit(scaled, labels)
    np.testing.assert_allclose(head.probabilities(shifted), twin.predict_proba(scaled), atol=1e-4)


def test_the_gentle_choice_is_the_smallest_c_that_is_not_worse(task):
    features, labels, n_labels = task
    candidates = [1e-5, 0.1, 0.3, 1.0, 3.0, 10.0]
    best = fit_linear_head(features, labels, n_labels, candidates, seed=0)
    gentle = fit_linear_head(features, labels, n_labels, candidates, seed=0, gentle=True)
    useless = fit_linear_head(features, labels, n_labels, candidates[:1], seed=0)
    assert np.abs(useless.weight).max() < np.abs(gentle.weight).max() < np.abs(best.weight).max()


def test_the_strength_is_chosen_by_held_out_loss():
    chance = np.random.default_rng(0)
    noise, labels = chance.normal(size=(60, 40)), np.arange(60) % 2
    strong = fit_linear_head(noise, labels, 2, [1e-4, 100.0], seed=0)
    assert np.abs(strong.weight).max() < 0.01  # nothing to learn: the smallest C wins


def test_a_label_never_seen_is_next_to_impossible(task):
    features, labels, n_labels = task
    head = fit_linear_head(features, labels, n_labels + 1, [1.0], seed=0)
    assert head.probabilities(features)[:, n_labels].max() < 1e-6


def test_a_class_with_one_text_does_not_break_the_choice():
    features = np.random.default_rng(0).normal(size=(11, 3))
    labels = np.array([0] * 5 + [1] * 5 + [2])
    assert fit_linear_head(features, labels, 3, [0.1, 1.0], seed=0).weight.shape == (3, 3)


def test_the_baseline_learns_and_survives_its_folder(tiny_rows, tmp_path):
    texts = [text for text, _ in tiny_rows]
    labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
    model = fit_tfidf(texts[:80], labels[:80], 2, seed=0)
    said = model.probabilities(texts[80:])
    assert (said.argmax(axis=1) == labels[80:]).mean() > 0.8
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tfidf.json", "tfidf.safetensors"]
    np.testing.assert_array_equal(BagOfWords.load(tmp_path, "tfidf").probabilities(texts[80:]), said)


def test_texts_without_words_are_taken_by_characters(tmp_path):
    texts, labels = ["👍", "👎", "好", "坏"] * 5, np.array([1, 0, 1, 0] * 5)
    model = fit_tfidf(texts, labels, 2, seed=0)
    assert model.probabilities(["👍", "坏"]).argmax(axis=1).tolist() == [1, 0]
    model.save(tmp_path)
    assert BagOfWords.load(tmp_path, "tfidf").probabilities(["👍"]).argmax() == 1
