"""A moving average of the weights: the last stretch of training as one classifier."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from matinee.training.checkpoints import AVERAGED, load_weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor, nn


class WeightAverage(TrainerCallback):  # type: ignore[misc]
    """Exponential moving average of the weights, updated after each step (Polyak & Juditsky 1992; Izmailov et al. 2018).

    A single step's weights carry the noise of its few texts; their average does not, and is less overconfident
    (docs/lab.md). Saved with each checkpoint, so that a resumed training has the same average as an uninterrupted one.

    Args:
        model: Whose weights are averaged.
        horizon: Steps over which an old step's share falls to 1/e.
    """

    def __init__(self, model: nn.Module, horizon: float) -> None:
        self.model = model
        self.share = 1 / horizon
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the new weights in, all at once: one by one they would keep an accelerator waiting for longer than the average takes."""
        current = self._current()
        if self.weights:
            torch._foreach_lerp_(list(self.weights.values()), [current[name] for name in self.weights], self.share)
        else:
            self.weights = {name: weight.clone() for name, weight in current.items()}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have the model use the average, then its own weights again."""
        own = {name: weight.clone() for name, weight in self._current().items()} if self.weights else {}
        self._give(self.weights)
        try:
            yield
        finally:
            self._give(own)

    def save(self, checkpoint: Path) -> None:
        """Write the average beside the weights."""
        from safetensors.torch import save_model

        if self.weights:
            with self.in_use():
                save_model(self.model, str(checkpoint / AVERAGED))

    def load(self, checkpoint: Path) -> None:
        """Go on with the average of a checkpoint."""
        if (checkpoint / AVERAGED).is_file():
            own = {name: weight.clone() for name, weight in self._current().items()}
            load_weights(self.model, checkpoint)
            self.weights = {name: weight.clone() for name, weight in self._current().items()}
            self._give(own)

    def _current(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.model.named_parameters() if weight.requires_grad}

    @torch.no_grad()
    def _give(self, weights: dict[str, Tensor]) -> None:
        for name, weight in self._current().items():
            if name in weights:
                weight.copy_(weights[name])
