"""Predicts with PyTorch: the reference that every other back end is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matinee.model.classifier import divide_logits
from matinee.model.features import run_batches
from matinee.model.linear import softmax
from matinee.model.precision import best_device
from matinee.model.windows import pool_rows, window_rows
from matinee.tokens.windows import Windows, all_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matinee.tokens import TextPreparation


class TorchPredictor:
    """A transformer classifier in float32, on the accelerator if there is one."""

    def __init__(
        self,
        model: nn.Module,
        preparation: TextPreparation,
        label_names: tuple[str, ...],
        threshold: float | None = None,
    ) -> None:
        self.model = model.to(best_device()).eval()
        self.preparation = preparation
        self.label_names = label_names
        self.threshold = threshold

    def divide_logits(self, temperature: float) -> None:
        """Divide all logits by the temperature, for good: its inverse goes into the last layer's weights."""
        divide_logits(self.model, temperature)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels)."""
        if len(texts) == 0:
            return np.empty((0, len(self.label_names)))
        ids = self.preparation.encode(texts)
        windows = Windows.of(self.preparation.settings)
        inputs, counts = all_windows(ids, windows)
        unit = "texts" if len(inputs) == len(texts) else "windows"
        rows = run_batches(self.model, self._rows, inputs, self.preparation.pad_id, "fp32", "Predicting", unit)
        return softmax(pool_rows(rows, counts, windows))

    def _rows(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return window_rows(self.model(input_ids=input_ids, attention_mask=attention_mask))
