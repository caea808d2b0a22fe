"""Level 1: texts to token ids and back into batches. No torch: serving from an exported folder must work without it."""

from matinee.tokens.batching import LENGTH_STEP, length_batches, pad
from matinee.tokens.preparation import TextPreparation

__all__ = ["LENGTH_STEP", "TextPreparation", "length_batches", "pad"]
