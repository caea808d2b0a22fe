"""Attention for training on a CPU in bf16: plain matrix products over few texts at a time.

Torch's own CPU kernel never holds the attention weights, for which its backward pass computes them again, in blocks too
small for the processor's bf16 instructions. Kept in bf16 they are small, and products of a few texts stay in the cache:
forward and backward together take well under half the time (benchmarks/train_speed.py). Dropout of attention weights,
for which torch leaves its fast kernel altogether, costs a few milliseconds here.

Shape letters: B texts in a batch, A attention heads, T tokens, D width of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from matinee.model.dropout import keep_mask

if TYPE_CHECKING:
    from torch import Tensor

NAME = "matinee_cpu"

# Attention weights computed at a time: 2 million of 2 bytes each stay in a core's cache.
_WEIGHTS_AT_A_TIME = 2_000_000


class _Attention(torch.autograd.Function):
    """softmax(scale · QKᵀ + bias) V (Vaswani et al. 2017, section 3.2.1), with its weights kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float, dropout: float
    ) -> Tensor:
        """Return the context vectors.

        Shape:
            query, key, value - (B, A, T, D)
            bias - (B, 1, T or 1, T), added to the scores; None where nothing is masked
            output - (B, T, A, D)
        """
        output = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
        kept: list[Tensor | None] = []
        for rows in _chunks(query):
            scores = torch.matmul(query[rows] * scale, key[rows].transpose(2, 3))
            if bias is not None:
                scores += bias[rows]
            weights = torch._softmax(scores, -1, half_to_float=False)
            mask = keep_mask(weights, dropout) if dropout else None
            output[rows].transpose(1, 2).copy_(torch.matmul(weights if mask is None else weights * mask, value[rows]))
            kept += [weights, mask]
        ctx.save_for_backward(query, key, value, *kept)
        ctx.scale = scale
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        by_query, by_key, by_value = (torch.empty_like(part) for part in (query, key, value))
        for rows, weights, mask in zip(_chunks(query), kept[::2], kept[1::2], strict=True):
            gradient = gradients[0][rows].transpose(1, 2)
            dropped = weights if mask is None else weights * mask
            by_value[rows] = torch.matmul(dropped.transpose(2, 3), gradient)
            by_weights = torch.matmul(gradient, value[rows].transpose(2, 3))
            if mask is not None:
                by_weights *= mask
            by_scores = torch._softmax_backward_data(by_weights, weights, -1, weights.dtype)
            by_query[rows] = torch.matmul(by_scores, key[rows]).mul_(ctx.scale)
            by_key[rows] = torch.matmul(by_scores.transpose(2, 3), query[rows]).mul_(ctx.scale)
        return by_query, by_key, by_value, None, None, None


def _chunks(query: Tensor) -> list[slice]:
    n_texts, n_heads, n_tokens, _ = query.shape
    size = max(1, _WEIGHTS_AT_A_TIME // (n_heads * n_tokens * n_tokens))
    return [slice(start, min(start + size, n_texts)) for start in range(0, n_texts, size)]


def cpu_attention(
    module: nn.Module,  # noqa: ARG001 - the shape of an attention function of transformers
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,  # noqa: ARG001 - as above
) -> tuple[Tensor, None]:
    """Compute attention as transformers asks for it.

    Shape:
        query, key, value - (B, A, T, D)
        attention_mask - (B, 1, T, T), 0 where a token may be seen and very negative where not; or None
        output - (B, T, A, D)
    """
    if query.dtype != torch.bfloat16 and not dropout:
        # Torch's kernel is the faster one here: predictions in float32 of a classifier that is trained with dropout.
        context = nn.functional.scaled_dot_product_attention(query, key, value, attention_mask, scale=scaling)
        return context.transpose(1, 2), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    # Every token of a text sees the same tokens, so that one row of the mask stands for all.
    bias = None if attention_mask is None else attention_mask[:, :, :1].to(query.dtype)
    return _Attention.apply(query, key, value, bias, scale, dropout), None  # type: ignore[no-untyped-call]


AttentionInterface.register(NAME, cpu_attention)
AttentionMaskInterface.register(NAME, eager_mask)
