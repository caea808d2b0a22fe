"""Frozen features: what the pretrained encoder says of a text before any fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from matinee.core.progress import progress
from matinee.model.fast import fast_kernels
from matinee.model.feature_cache import feature_key
from matinee.model.precision import autocast
from matinee.model.windows import pool_features
from matinee.tokens import LENGTH_STEP, length_batches, pad
from matinee.tokens.windows import all_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matinee.model.classifier import MeanPooledClassifier
    from matinee.model.feature_cache import FeatureCache
    from matinee.tokens.windows import Windows


_READING = "Reading with the frozen encoder"


def frozen_features(
    model: MeanPooledClassifier,
    ids: Sequence[NDArray[np.int32]],
    pad_id: int,
    precision: str,
    windows: Windows | None = None,
    cache: FeatureCache | None = None,
    kernels: str = "auto",
) -> NDArray[np.float32]:
    """Return the pooled vector of each text, the mean of its windows' where it has several, in the order given.

    They are not computed again where a cache has them.

    Returns:
        Shape (n_texts, hidden_size).
    """

    def compute() -> NDArray[np.float32]:
        inputs, counts = all_windows(ids, windows)
        features = run_batches(model, model.features, inputs, pad_id, precision, _READING, kernels)
        return pool_features(features, counts)

    return (
        compute() if cache is None else cache.get(feature_key(model, ids, pad_id, precision, windows, kernels), compute)
    )


def run_batches(
    model: nn.Module,
    compute: Callable[[Tensor, Tensor], Tensor],
    ids: Sequence[NDArray[np.int32]],
    pad_id: int,
    precision: str,
    description: str,
    kernels: str = "auto",
) -> NDArray[np.float32]:
    """Run `batch_rows` over all texts under a progress bar of its own."""
    with progress(description, len(ids), "texts") as bar:
        return batch_rows(model, compute, ids, pad_id, precision, bar.update, kernels)


def batch_rows(
    model: nn.Module,
    compute: Callable[[Tensor, Tensor], Tensor],
    ids: Sequence[NDArray[np.int32]],
    pad_id: int,
    precision: str,
    done: Callable[[int], None],
    kernels: str = "auto",
) -> NDArray[np.float32]:
    """Run `compute(input_ids, attention_mask)` over all texts without gradients and dropout, in batches of like length.

    Args:
        model: What `compute` belongs to.
        compute: Gives one row per text.
        ids: Token ids of each text.
        pad_id: What batches are filled up with.
        precision: `"fp32"` or `"bf16"`.
        done: Told how many texts are computed, after each batch.
        kernels: As in `fast_kernels`.

    Returns:
        One row per text, in the order given, shape (n_texts, whatever `compute` returns per text).
    """
    device = next(model.parameters()).device
    lengths = [len(row) for row in ids]
    rows: NDArray[np.float32] | None = None
    was_training, n_done = model.training, 0
    model.eval()
    try:
        with torch.inference_mode(), fast_kernels(model, precision, kernels), autocast(device, precision):
            for batch in length_batches(lengths):
                padded = pad([ids[i] for i in batch], pad_id, multiple=LENGTH_STEP, at_most=max(lengths))
                output = compute(*(torch.from_numpy(part).to(device) for part in padded)).float().cpu().numpy()
                rows = np.empty((len(ids), *output.shape[1:]), dtype=np.float32) if rows is None else rows
                rows[batch] = output
                n_done += len(batch)
                done(n_done)
    finally:
        model.train(was_training)
    return np.empty((0, 0), dtype=np.float32) if rows is None else rows
