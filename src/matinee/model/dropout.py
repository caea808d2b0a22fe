"""Dropout whose mask costs little on a CPU: a random byte per activation, eight to a draw.

Torch draws a number for each activation, one after the other, and spends a tenth of a training step on that
(benchmarks/train_speed.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_BYTE = 256
_DRAWN = 8


def keep_mask(like: Tensor, probability: float) -> Tensor:
    """Return 0 with the given probability and 1 / (1 - probability) otherwise, in the shape and type of `like`.

    The probability is rounded to a byte's: 0.1 becomes 26 / 256. Random bytes come from torch's own generator.
    """
    n_dropped = round(probability * _BYTE)
    drawn = torch.empty(-(-like.numel() // _DRAWN), dtype=torch.int64).random_(-(2**63), None)
    bytes_ = drawn.view(torch.int8)[: like.numel()].view(like.shape)
    # Written into a tensor of the target type at once: a comparison to bool, and its use, take ten times as long.
    kept = torch.empty(like.shape, dtype=like.dtype)
    return torch.ge(bytes_, n_dropped - _BYTE // 2, out=kept).mul_(_BYTE / (_BYTE - n_dropped))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activations: Tensor, probability: float) -> Tensor:
        mask = keep_mask(activations, probability)
        ctx.save_for_backward(mask)
        return activations * mask

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradients[0] * mask, None


class ByteDropout(nn.Module):
    """Sets activations to zero with a probability and scales the others up (Srivastava et al. 2014), while training.

    Args:
        p: The probability, as `torch.nn.Dropout` calls it.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, activations: Tensor) -> Tensor:
        """Return activations of the same shape."""
        if not self.training or round(self.p * _BYTE) == 0:
            return activations
        dropped: Tensor = _Dropout.apply(activations, self.p)  # type: ignore[no-untyped-call]
        return dropped
