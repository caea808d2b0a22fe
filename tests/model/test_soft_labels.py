"""Logistic regression whose labels are probabilities: against scikit-learn's conditions and the hard case."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.model.linear import fit_linear_head
from matinee.model.nblr import fit_nblr, log_count_ratios
from matinee.model.tfidf import fit_tfidf

CHANCE = np.random.default_rng(0)


def problem(n_labels, n=60):
    features = CHANCE.standard_normal((n, 4))
    logits = features @ CHANCE.standard_normal((4, n_labels))
    soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return features, soft.astype(np.float32)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_fit_is_where_the_soft_cross_entropy_is_least(n_labels):
    features, soft = problem(n_labels)
    weights = CHANCE.uniform(0.2, 3.0, size=(len(soft), 1)).astype(np.float32)
    head = fit_linear_head(features, weights * soft, n_labels, [10.0], seed=0)

    def objective(weight, bias):
        logits = features @ weight.T + bias
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        # scikit-learn's: C times the weighted losses, and half the squared weights. Of two labels it has one row.
        penalty = (weight[1] - weight[0]) @ (weight[1] - weight[0]) if n_labels == 2 else (weight**2).sum()
        return -10.0 * (weights * soft * log_p).sum() + penalty / 2

    least = objective(head.weight, head.bias)
    for _ in range(20):
        step = 0.02 * CHANCE.standard_normal(head.weight.shape)
        shift = 0.02 * CHANCE.standard_normal(head.bias.shape)
        assert objective(head.weight + step, head.bias + shift) > least


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("gentle", [False, True])
def test_certain_labels_are_the_hard_case(n_labels, gentle):
    features, soft = problem(n_labels)
    labels = soft.argmax(axis=1)
    strengths = [0.01, 0.1, 1.0, 10.0]
    hard = fit_linear_head(features, labels, n_labels, strengths, seed=0, gentle=gentle)
    certain = np.eye(n_labels, dtype=np.float32)[labels]
    same = fit_linear_head(features, certain, n_labels, strengths, seed=0, gentle=gentle)
    np.testing.assert_allclose(same.weight, hard.weight, atol=1e-5)
    np.testing.assert_allclose(same.bias, hard.bias, atol=1e-5)


@pytest.mark.parametrize("fit", [fit_tfidf, fit_nblr])
def test_words_learn_from_probabilities(fit, tiny_rows):
    texts = [text for text, _ in tiny_rows]
    labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
    hard = fit(texts, labels, 2, seed=0).probabilities(texts)
    certain = np.eye(2, dtype=np.float32)[labels]
    np.testing.assert_allclose(fit(texts, certain, 2, seed=0).probabilities(texts), hard, atol=2e-3)
    flipped = fit(texts, 0.9 * certain[:, ::-1] + 0.1 * certain, 2, seed=0).probabilities(texts)
    assert (flipped.argmax(axis=1) == 1 - labels).mean() > 0.95
    assert np.median(flipped.max(axis=1)) < 0.97


def test_a_text_without_weight_counts_for_nothing(tiny_rows):
    certain = np.eye(2, dtype=np.float32)[[int(label == "positive") for _, label in tiny_rows]]
    with_more = np.concatenate([certain, np.zeros_like(certain[:20])])
    present = (CHANCE.random((140, 6)) < 0.5).astype(float)
    np.testing.assert_allclose(log_count_ratios(present, with_more), log_count_ratios(present[:120], certain))
    one = fit_linear_head(present[:120], certain, 2, [1.0], seed=0)
    other = fit_linear_head(present, with_more, 2, [1.0], seed=0)
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-4)


@pytest.mark.parametrize("n_labels", [2, 4])
def test_soft_counts_of_certain_labels_are_counts(n_labels):
    from scipy.sparse import csr_array

    present = csr_array((CHANCE.random((50, 9)) < 0.4).astype(float))
    labels = CHANCE.integers(n_labels, size=50)
    certain = np.eye(n_labels + 1, dtype=np.float32)[labels]  # a label that no text has
    np.testing.assert_allclose(log_count_ratios(present, certain), log_count_ratios(present, labels))
