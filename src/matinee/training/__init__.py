"""Level 4: fine-tuning with the Hugging Face Trainer: the fitted head, checkpoints, resuming, history, trackers.

Nothing heavy is imported until a name is used: a linear classifier has trackers too, and needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matinee.training.augmented import AugmentedSplit, augment_split
    from matinee.training.fit import FitResult, TokenizedSplit, fit
    from matinee.training.head import head_sample, start_head

__all__ = [
    "AugmentedSplit",
    "FitResult",
    "TokenizedSplit",
    "augment_split",
    "fit",
    "head_sample",
    "start_head",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'matinee.training' has no attribute {name!r}")
    from matinee.training.augmented import AugmentedSplit, augment_split
    from matinee.training.fit import FitResult, TokenizedSplit, fit
    from matinee.training.head import head_sample, start_head

    # All at once: importing the module `fit` has put it where the function of that name belongs.
    globals().update(AugmentedSplit=AugmentedSplit, augment_split=augment_split)
    globals().update(FitResult=FitResult, TokenizedSplit=TokenizedSplit, fit=fit)
    globals().update(head_sample=head_sample, start_head=start_head)
    return globals()[name]
