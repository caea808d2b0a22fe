"""Level 4: fine-tuning with the Hugging Face Trainer: the fitted head, checkpoints, resuming, history."""

from matinee.training.fit import FitResult, TokenizedSplit, fit
from matinee.training.head import FrozenEncoder, start_head

__all__ = ["FitResult", "FrozenEncoder", "TokenizedSplit", "fit", "start_head"]
