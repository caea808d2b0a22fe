"""The fitted head: logistic regression on the frozen encoder's features, before any fine-tuning.

A random head sends noise through the whole encoder in the first steps and wastes them (Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features", linear probing then fine-tuning). With 1,000 reviews the fitted one is worth about two
points of accuracy: docs/lab.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from matinee.data.split import stratified_sample
from matinee.model.features import frozen_features
from matinee.model.linear import fit_scaled_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matinee.core.types import SplitName
    from matinee.model.classifier import MeanPooledClassifier
    from matinee.model.feature_cache import FeatureCache
    from matinee.tokens.windows import Windows


@dataclass(frozen=True)
class FrozenEncoder:
    """What the encoder makes of the texts before any fine-tuning.

    Attributes:
        probabilities: Of each label, by split except train, shape (n_texts, n_labels): a baseline.
        features: Pooled vectors by split, train too, shape (n_texts, hidden_size).
    """

    probabilities: dict[SplitName, NDArray[np.float64]]
    features: dict[SplitName, NDArray[np.float32]]


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
    model: MeanPooledClassifier,
    splits: Mapping[SplitName, list[NDArray[np.int32]]],
    labels: NDArray[np.int64],
    *,
    pad_id: int,
    precision: str,
    seed: int,
    windows: Windows | None = None,
    cache: FeatureCache | None = None,
    kernels: str = "auto",
) -> FrozenEncoder:
    """Fit the head on the frozen features of the train split and put it into `model`.

    Args:
        model: Its head is replaced.
        splits: Token ids by split; `train` is fitted on, the others are predicted for the baseline's scores.
        labels: Of the train split, shape (n_texts,).
        pad_id: Padding token id.
        precision: `"fp32"` or `"bf16"`.
        seed: Of the folds that choose the regularisation.
        windows: How long texts were laid out in windows; None where they were truncated. The head is fitted on the mean
            of a text's windows, for which it says the same as the mean of what it says of each.
        cache: Where features are kept from one training to the next; None: nowhere.
        kernels: As the setting of that name.
    """
    features = {
        name: frozen_features(model, ids, pad_id, precision, windows, cache, kernels) for name, ids in splits.items()
    }
    head = fit_scaled_head(features["train"], labels, model.head.out_features, _STRENGTHS, seed=seed)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(head.weight))
        model.head.bias.copy_(torch.from_numpy(head.bias))
    said: dict[SplitName, NDArray[np.float64]] = {
        name: head.probabilities(of) for name, of in features.items() if name != "train"
    }
    return FrozenEncoder(said, features)
