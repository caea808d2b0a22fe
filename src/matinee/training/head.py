"""The fitted head: logistic regression on the frozen encoder's features, before any fine-tuning.

A random head sends noise through the whole encoder in the first steps and wastes them (Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features", linear probing then fine-tuning). With 1,000 reviews the fitted one is worth about two
points of accuracy: docs/lab.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from matinee.data.split import stratified_sample
from matinee.model.linear import fit_scaled_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matinee.model.classifier import MeanPooledClassifier
    from matinee.model.linear import LinearHead


# Texts that a head is fitted on at most where training goes on from it. MiniLM reads 40 reviews of 384 tokens a second on two cores: a
# sample of 5,000 takes two minutes, 25,000 would take ten, for a head of 385 numbers a label that training changes anyway.
HEAD_TEXTS = 5_000

_STRENGTHS = (0.0003, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.1)


def head_sample(labels: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Return the rows that the head is fitted on: all, or a stratified sample of `HEAD_TEXTS`, in ascending order.

    Args:
        labels: Of the train split, shape (n_texts,).
        seed: Of the sample.
    """
    if len(labels) <= HEAD_TEXTS:
        return np.arange(len(labels))
    return stratified_sample(labels, HEAD_TEXTS, np.random.default_rng([seed, 13]))


def start_head(
    model: MeanPooledClassifier, features: NDArray[np.float32], labels: NDArray[np.int64], *, seed: int
) -> LinearHead:
    """Fit a head on the frozen encoder's features and put it into `model`.

    Args:
        model: Its head is replaced.
        features: Of the train texts, from `matinee.model.features.frozen_features`, shape (n_texts, hidden_size). Where texts are laid
            out in windows, they are the mean of a text's windows, for which the head says the same as the mean of what it says of each.
        labels: Of the train texts, shape (n_texts,).
        seed: Of the folds that choose the regularisation.
    """
    head = fit_scaled_head(features, labels, model.head.out_features, _STRENGTHS, seed=seed)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(head.weight))
        model.head.bias.copy_(torch.from_numpy(head.bias))
    return head
