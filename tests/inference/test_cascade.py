"""The threshold of a cascade, against a search over all that there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.inference.cascade import NEVER_SURE, choose_threshold


def answers(probabilities, decision=None):
    return probabilities.argmax(axis=1) if decision is None else (probabilities[:, 1] >= decision).astype(int)


def least_gain(cheap, encoder, labels, threshold, decision=None):
    """Return by how much a mix is more accurate than the encoder, less two standard errors."""
    mixed = np.where((cheap.max(axis=1) >= threshold)[:, None], cheap, encoder)
    right, before = (answers(said, decision) == labels for said in (mixed, encoder))
    return (right.sum() - before.sum() - 2 * (right != before).sum() ** 0.5) / len(labels)


def distributions(chance, n, n_labels):
    # Few distinct values: ties are what a sorted search gets wrong.
    weights = chance.integers(1, 6, size=(n, n_labels)).astype(float)
    return weights / weights.sum(axis=1, keepdims=True)


@given(
    st.integers(0, 10_000),
    st.integers(1, 30),
    st.integers(2, 3),
    st.sampled_from([0.0, 0.002, 0.05, 0.3]),
    st.booleans(),
)
def test_it_is_the_lowest_that_surely_keeps_the_accuracy(seed, n, n_labels, bound, decided):
    chance = np.random.default_rng(seed)
    cheap, encoder = distributions(chance, n, n_labels), distributions(chance, n, n_labels)
    labels = chance.integers(0, n_labels, size=n)
    decision = 0.4 if decided and n_labels == 2 else None
    found = choose_threshold(cheap, encoder, labels, bound, decision=decision)
    assert least_gain(cheap, encoder, labels, found, decision) >= -bound - 1e-9
    lower = [value for value in cheap.max(axis=1) if value < found]
    assert all(least_gain(cheap, encoder, labels, value, decision) < -bound for value in lower)


def test_new_texts_lose_no_more_than_was_asked_for():
    """A cheap classifier of 80 % before an encoder of 90 %, 200 texts to choose by and 2,000 new ones, 40 times."""
    losses = []
    for seed in range(40):
        chance = np.random.default_rng(seed)
        labels = chance.integers(0, 2, size=2_200)
        cheap, encoder = (noisy(chance, labels, spread) for spread in (1.2, 0.78))
        threshold = choose_threshold(cheap[:200], encoder[:200], labels[:200], 0.005)
        mixed = np.where((cheap.max(axis=1) >= threshold)[:, None], cheap, encoder)[200:]
        losses.append((answers(encoder[200:]) == labels[200:]).mean() - (answers(mixed) == labels[200:]).mean())
    assert np.mean(losses) < 0.005
    assert np.mean(np.array(losses) > 0.01) < 0.1


def noisy(chance, labels, spread):
    """Return calibrated probabilities of labels that are seen through noise."""
    logits = 2 * (np.where(labels == 1, 1.0, -1.0) + chance.normal(0, spread, len(labels))) / spread**2
    positive = 1 / (1 + np.exp(-logits))
    return np.stack([1 - positive, positive], axis=1)


def test_a_cheap_classifier_that_is_as_good_answers_everything():
    chance = np.random.default_rng(0)
    both, labels = distributions(chance, 20, 2), chance.integers(0, 2, size=20)
    assert choose_threshold(both, both, labels) == 0


def test_a_cheap_classifier_that_is_always_wrong_answers_nothing():
    labels = np.array([0, 1, 0, 1])
    encoder = np.eye(2)[labels]
    assert choose_threshold(1 - encoder, encoder, labels) == NEVER_SURE


def test_it_lies_between_two_probabilities_so_that_rounding_moves_no_text():
    labels = np.array([0, 0, 0])
    cheap = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    encoder = np.array([[1.0, 0.0]] * 3)
    assert choose_threshold(cheap, encoder, labels) == pytest.approx(0.7)
