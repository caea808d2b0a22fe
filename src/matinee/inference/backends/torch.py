"""Predicts with PyTorch: the reference that every other back end is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matinee.inference.backends.encoder import EncoderPredictor
from matinee.model.classifier import divide_logits
from matinee.model.features import batch_rows
from matinee.model.precision import best_device
from matinee.model.windows import window_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matinee.tokens import TextPreparation


class TorchPredictor(EncoderPredictor):
    """A transformer classifier on the accelerator if there is one.

    Args:
        model: The classifier.
        preparation: From texts to token ids, as in training.
        label_names: In the order of the logits.
        threshold: As in `Predictor`.
        precision: `"fp32"`, or `"bf16"`: faster where the machine multiplies it natively, and off in the third digit.
    """

    def __init__(
        self,
        model: nn.Module,
        preparation: TextPreparation,
        label_names: tuple[str, ...],
        threshold: float | None = None,
        precision: str = "fp32",
    ) -> None:
        super().__init__(preparation, label_names, threshold)
        self.model = model.to(best_device()).eval()
        self.precision = precision

    def divide_logits(self, temperature: float) -> None:
        """Divide all logits by the temperature, for good: its inverse goes into the last layer's weights."""
        divide_logits(self.model, temperature)

    def rows(self, inputs: Sequence[NDArray[np.int32]], done: Callable[[int], None]) -> NDArray[np.float32]:
        """Return what the classifier says of each input; see `EncoderPredictor.rows`."""
        return batch_rows(self.model, self._compute, inputs, self.preparation.pad_id, self.precision, done)

    def _compute(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return window_rows(self.model(input_ids=input_ids, attention_mask=attention_mask))
