"""When a training is evaluated and saved: after each epoch, and within long ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matinee.core.settings import TrainingSettings

# Texts between two evaluations at most, where nobody says. With 25,000 reviews an epoch takes half an hour on two cores: a
# training that is killed loses six minutes, and reading 1,000 validation texts five times makes it a twelfth longer.
TEXTS_BETWEEN = 5_000


@dataclass(frozen=True)
class Evaluations:
    """The steps after which a training is evaluated.

    Attributes:
        texts: Of an epoch.
        texts_per_step: Learned from in a step, accumulated batches together.
        per_epoch: How many there are in an epoch, the one at its end included.
    """

    texts: int
    texts_per_step: int
    per_epoch: int

    @classmethod
    def of(cls, settings: TrainingSettings, n_train: int) -> Evaluations:
        """Return what the settings ask for: of texts between two at most `TEXTS_BETWEEN` where they say nothing."""
        texts_per_step = settings.batch_size * settings.gradient_accumulation
        asked = settings.evaluations_per_epoch or math.ceil(n_train / TEXTS_BETWEEN)
        return cls(n_train, texts_per_step, max(1, min(asked, math.ceil(n_train / texts_per_step))))

    @cached_property
    def within_epoch(self) -> tuple[int, ...]:
        """Steps of an epoch, counted from its beginning, after which it is evaluated; its last one is left out."""
        steps = math.ceil(self.texts / self.texts_per_step)
        return tuple(-(-number * steps // self.per_epoch) for number in range(1, self.per_epoch))

    def is_within_epoch(self, step: int) -> bool:
        """Return whether training is evaluated after a step that is not the last one of an epoch."""
        return self._in_epoch(step) in self.within_epoch

    def n_texts(self, step: int) -> int:
        """Return how many texts are learned from between the evaluation before a step and the one after it.

        Args:
            step: Counted from the beginning of training; 0 is before the first one.
        """
        if not step:
            return 0
        here = self._in_epoch(step)
        before = max((mark for mark in self.within_epoch if mark < here), default=0)
        return min(here * self.texts_per_step, self.texts) - before * self.texts_per_step

    def n_texts_of_step(self, step: int) -> int:
        """Return how many texts are learned from in a step, counted from 1: fewer in the last one of an epoch."""
        before = (self._in_epoch(step) - 1) * self.texts_per_step
        return min(self.texts_per_step, self.texts - before)

    def n_left(self, epochs: float, epoch: float) -> int:
        """Return how many evaluations there still are.

        Args:
            epochs: How long training is.
            epoch: How many of these are over.
        """
        # A share of an epoch may lie a hair beside the number that it stands for.
        total = math.ceil(round(epochs * self.per_epoch, 6))
        return max(total - math.floor(round(epoch * self.per_epoch, 6)), 0)

    def _in_epoch(self, step: int) -> int:
        return (step - 1) % math.ceil(self.texts / self.texts_per_step) + 1
