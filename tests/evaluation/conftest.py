"""Predictions to score."""

import numpy as np
import pytest

from matinee.core.types import Predictions


@pytest.fixture
def make_predictions():
    """Build predictions from probabilities (one column: of the positive label) and true labels."""

    def make(probabilities, labels=None, names=None):
        probabilities = np.asarray(probabilities, dtype=np.float64)
        if probabilities.ndim == 1:
            probabilities = np.column_stack([1 - probabilities, probabilities])
        n_texts, n_labels = probabilities.shape
        return Predictions(
            ids=[f"test-{i}" for i in range(n_texts)],
            texts=[f"text {i}" for i in range(n_texts)],
            probabilities=probabilities,
            label_names=tuple(names or (f"label{i}" for i in range(n_labels))),
            labels=None if labels is None else np.asarray(labels, dtype=np.int64),
        )

    return make


@pytest.fixture
def random_predictions(make_predictions):
    """Build predictions that are right more often than not."""

    def make(n_texts=200, n_labels=2, seed=0, skill=1.5, names=None):
        generator = np.random.default_rng(seed)
        labels = generator.integers(n_labels, size=n_texts)
        logits = generator.normal(size=(n_texts, n_labels))
        logits[np.arange(n_texts), labels] += skill
        odds = np.exp(logits)
        return make_predictions(odds / odds.sum(axis=1, keepdims=True), labels, names)

    return make
