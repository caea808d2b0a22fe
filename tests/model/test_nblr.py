"""NB-weighted logistic regression, against counting by hand and against the paper's own form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from matinee.model import nblr
from matinee.model.bag_of_words import BagOfWords
from matinee.model.linear import fit_linear_head
from matinee.model.nblr import fit_nblr, log_count_ratios

SUBJECTS = ("the sky", "a leaf", "my coat", "one door")
COLOURS = ("red", "green", "blue")


def coloured(n_labels, n=60, seed=0):
    """Texts whose label is the colour that most of their words name."""
    chance = np.random.default_rng(seed)
    labels = np.arange(n) % n_labels
    texts = [
        " ".join(
            f"{chance.choice(SUBJECTS)} is {COLOURS[label] if chance.random() < 0.7 else chance.choice(COLOURS)}"
            for _ in range(3)
        )
        for label in labels
    ]
    return texts, labels.astype(np.int64)


def naive_ratio(rows, labels, label):
    """Return the log-count ratio of each feature, label against the rest, as the paper writes it."""
    n_features = len(rows[0])
    p = [1 + sum(row[i] for row, of in zip(rows, labels, strict=True) if of == label) for i in range(n_features)]
    q = [1 + sum(row[i] for row, of in zip(rows, labels, strict=True) if of != label) for i in range(n_features)]
    return [math.log((a / sum(p)) / (b / sum(q))) for a, b in zip(p, q, strict=True)]


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.tuples(st.lists(st.sampled_from([0, 1]), min_size=width, max_size=width), st.integers(0, 3)),
            min_size=2,
            max_size=12,
        )
    )
)
def test_ratios_are_those_counted_by_hand(task):
    rows, labels = [row for row, _ in task], [label for _, label in task]
    found = log_count_ratios(csr_array(np.array(rows, dtype=float)), np.array(labels))
    ratios = [naive_ratio(rows, labels, label) for label in sorted(set(labels))]
    np.testing.assert_allclose(found, np.sqrt(np.mean(np.square(ratios), axis=0)), atol=1e-12)


def features_of(texts):
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(ngram_range=(1, 2), binary=True).fit_transform(texts).astype(float)


def test_of_two_labels_it_is_the_paper_s(monkeypatch):
    monkeypatch.setattr(nblr, "_STRENGTHS", (10.0,))
    texts, labels = coloured(2)
    counts = features_of(texts)
    signed = normalize(counts @ np.diag(naive_ratio(counts.toarray().tolist(), labels.tolist(), 1)))
    twin = LogisticRegression(C=10.0, max_iter=2000).fit(signed, labels)
    said = fit_nblr(texts, labels, 2, seed=0).probabilities(texts)
    np.testing.assert_allclose(said, twin.predict_proba(signed), atol=2e-4)


def test_of_three_labels_it_is_all_ratios_side_by_side(monkeypatch):
    monkeypatch.setattr(nblr, "_STRENGTHS", (10.0,))
    texts, labels = coloured(3)
    counts = features_of(texts)
    dense = counts.toarray().tolist()
    weighted = [counts @ np.diag(naive_ratio(dense, labels.tolist(), label)) for label in range(3)]
    beside = normalize(hstack([csr_array(part) for part in weighted]))
    twin = LogisticRegression(C=10.0, max_iter=2000).fit(beside, labels)
    said = fit_nblr(texts, labels, 3, seed=0).probabilities(texts)
    np.testing.assert_allclose(said, twin.predict_proba(beside), atol=2e-4)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_it_learns_and_survives_its_folder(n_labels, tmp_path):
    texts, labels = coloured(n_labels)
    model = fit_nblr(texts, labels, n_labels, seed=0)
    others, truth = coloured(n_labels, n=90, seed=1)
    said = model.probabilities(others)
    assert (said.argmax(axis=1) == truth).mean() > 0.75
    np.testing.assert_allclose(said.sum(axis=1), 1)
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nblr.json", "nblr.safetensors"]
    np.testing.assert_array_equal(BagOfWords.load(tmp_path, "nblr").probabilities(others), said)


def test_texts_without_words_are_taken_by_characters():
    model = fit_nblr(["👍", "👎", "好", "坏"] * 5, np.array([1, 0, 1, 0] * 5), 2, seed=0)
    assert model.probabilities(["👍", "坏"]).argmax(axis=1).tolist() == [1, 0]


def test_a_label_that_no_text_has_counts_for_nothing():
    texts, labels = coloured(2)
    two, three = fit_nblr(texts, labels, 2, seed=0), fit_nblr(texts, labels, 3, seed=0)
    np.testing.assert_allclose(two.vectorizer.idf_, three.vectorizer.idf_)
    assert three.probabilities(texts)[:, 2].max() < 1e-6


def test_weights_are_learned_without_the_held_out_texts():
    """What would see the held-out labels makes the least regularised head look best; what does not, does not."""
    chance = np.random.default_rng(0)
    noise, labels = csr_array((chance.random((80, 400)) < 0.05).astype(float)), np.arange(80) % 2

    def blind(rows, of):
        weights = np.diag(log_count_ratios(rows, of))
        return lambda given: given @ weights

    peeking_weights = np.diag(log_count_ratios(noise, labels))
    honest = fit_linear_head(noise, labels, 2, [1e-3, 100.0], seed=0, weigh=blind)
    peeking = fit_linear_head(csr_array(noise @ peeking_weights), labels, 2, [1e-3, 100.0], seed=0)
    assert np.abs(honest.weight).max() < 0.1 < np.abs(peeking.weight).max()
