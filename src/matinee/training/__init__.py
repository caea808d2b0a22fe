"""Level 4: fine-tuning with the Hugging Face Trainer: the fitted head, checkpoints, resuming, history."""

from matinee.training.fit import FitResult, TokenizedSplit, fit
from matinee.training.head import start_head

__all__ = ["FitResult", "TokenizedSplit", "fit", "start_head"]
