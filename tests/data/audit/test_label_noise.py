"""Confident learning, against the library of its authors."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from hypothesis import given
from hypothesis import strategies as st

from matinee.data.audit import find_label_errors, label_quality


def draw(seed, n_labels=None):
    """Return labels and probabilities that lean towards them more or less."""
    chance = np.random.default_rng(seed)
    n_labels = n_labels or int(chance.integers(2, 6))
    n_texts = int(chance.integers(20, 200))
    labels = chance.integers(0, n_labels, n_texts)
    labels[:n_labels] = np.arange(n_labels)
    probabilities = chance.dirichlet(np.full(n_labels, chance.choice([0.3, 1.0, 3.0])), n_texts)
    probabilities[np.arange(n_texts), labels] += chance.random(n_texts) * chance.choice([0.0, 0.5, 2.0])
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@given(st.integers(0, 10_000))
def test_quality_is_cleanlabs_normalized_margin(seed):
    labels, probabilities = draw(seed)
    expected = get_label_quality_scores(labels, probabilities, method="normalized_margin")
    assert label_quality(labels, probabilities) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_of_two_labels_errors_and_their_order_are_cleanlabs(seed):
    labels, probabilities = draw(seed, 2)
    expected = find_label_issues(
        labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    found = find_label_errors(labels, probabilities)
    assert sorted(found.rows) == sorted(expected)
    assert found.quality[found.rows] == pytest.approx(found.quality[expected])
    assert (found.suggested == 1 - labels[found.rows]).all()


@given(st.integers(0, 10_000))
def test_of_more_labels_errors_are_cleanlabs_but_for_one_choice(seed):
    """Where several labels pass their thresholds, the paper takes the likeliest of them, and cleanlab the likeliest of all."""
    labels, probabilities = draw(seed)
    found = find_label_errors(labels, probabilities)
    passes = probabilities >= found.thresholds - 1e-6
    differ = (passes.sum(axis=1) > 1) & ~passes[np.arange(len(labels)), probabilities.argmax(axis=1)]
    expected = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    mine = np.isin(np.arange(len(labels)), found.rows)
    assert (mine == expected)[~differ].all()


def test_planted_errors_come_first():
    chance = np.random.default_rng(0)
    truth = chance.integers(0, 3, 300)
    probabilities = np.full((300, 3), 0.1)
    probabilities[np.arange(300), truth] = 0.8
    labels = truth.copy()
    flipped = chance.choice(300, 15, replace=False)
    labels[flipped] = (labels[flipped] + 1) % 3
    found = find_label_errors(labels, probabilities)
    assert sorted(found.rows) == sorted(flipped)
    assert (found.suggested == truth[found.rows]).all()


def test_a_label_that_nobody_has_is_never_suggested():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.9, 0.05, 0.05]])
    found = find_label_errors(labels, probabilities)
    assert 2 not in found.suggested
    assert np.isinf(found.thresholds[2])
    assert found.rows.tolist() == [3]


def test_right_labels_are_no_errors():
    found = find_label_errors(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert len(found.rows) == 0
