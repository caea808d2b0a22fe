"""Explanations: a signed contribution for every word, by integrated gradients, coefficients or occlusion, and whether to trust them."""

from matinee.inference.explain.explanation import Explanation, Sentence, Word
from matinee.inference.explain.faithfulness import faithfulness
from matinee.inference.explain.methods import METHODS, choose_method, explain

__all__ = [
    "METHODS",
    "Explanation",
    "Sentence",
    "Word",
    "choose_method",
    "explain",
    "faithfulness",
]
