"""Texts laid end to end in one row, without padding, for an accelerator.

A batch's padding is work: with 256 tokens at most and reviews of like length together it is a twentieth of all tokens,
without such batches a fifth to a third. In a row there is none of it, and attention runs text by text in torch's kernel
for inputs of any length (Dao 2023, "FlashAttention-2"), which no mask slows down. All else in an encoder looks at one
token at a time and needs no telling. Pooling is given the padded form back, so that there is one of it.

Shape letters: B texts in a batch, T tokens of the longest one, N tokens of all, A attention heads, D width of a head,
H hidden size.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from torch import Tensor

NAME = "matinee_packed"

# Architectures that count positions from behind the padding index, as fairseq does.
_COUNT_FROM_PADDING = {"roberta", "xlm-roberta", "mpnet", "camembert"}

# The kernel's: a head's width is a multiple of the first, and at most the second.
_WIDTHS = (8, 256)


def first_position(config: Any) -> int:
    """Return which of an encoder's positions is that of a text's first token."""
    return int(config.pad_token_id) + 1 if config.model_type in _COUNT_FROM_PADDING else 0


def has_kernel(config: Any) -> bool:
    """Return whether torch has attention for texts of any length, on its accelerator and for heads as wide as these."""
    step, most = _WIDTHS
    width = config.hidden_size // config.num_attention_heads
    return (
        torch.version.cuda is not None
        and bool(find_spec("torch.nn.attention.varlen"))
        and (width % step == 0 and width <= most)
    )


def is_native(device: torch.device) -> bool:
    """Return whether products are computed in bf16 now, which the accelerator's kernel needs; a CPU takes any numbers."""
    return device.type == "cpu" or torch.is_autocast_enabled(device.type)


def packed_states(encoder: Any, inputs: Tensor, attention_mask: Tensor) -> Tensor:
    """Return what an encoder puts out for texts that it reads in one row; 0 where there is padding.

    The encoder's attention must be the one of this module.

    Shape:
        inputs - token ids (B, T), or embeddings (B, T, H)
        attention_mask - (B, T); padding is on the right
        output - (B, T, H)
    """
    n_texts, length = attention_mask.shape
    places = attention_mask.flatten().nonzero().squeeze(1)
    ends = attention_mask.sum(dim=1).cumsum(dim=0)
    offsets = nn.functional.pad(ends, (1, 0)).to(torch.int32)
    row = inputs.flatten(0, 1).index_select(0, places).unsqueeze(0)
    # transformers hands these on to attention functions, by the names that FlashAttention has for them.
    where = {"cu_seq_lens_q": offsets, "cu_seq_lens_k": offsets, "max_length_q": length, "max_length_k": length}
    states = encoder(
        **{"inputs_embeds" if inputs.is_floating_point() else "input_ids": row},
        position_ids=(places % length + first_position(encoder.config)).unsqueeze(0),
        **where,
    ).last_hidden_state[0]
    padded: Tensor = states.new_zeros(n_texts * length, states.shape[-1]).index_copy(0, places, states)
    return padded.view(n_texts, length, -1)


def attend(query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int) -> Tensor:
    """Return the context vectors of tokens that see their own text, all of it and nothing else.

    Shape:
        query, key, value - (N, A, D)
        offsets - where each text begins, and N: (B + 1,), int32
        output - (N, A, D)
    """
    if not query.is_cuda:
        return attend_one_by_one(query, key, value, offsets)
    from torch.nn.attention.varlen import varlen_attn

    return cast("Tensor", varlen_attn(query, key, value, offsets, offsets, longest, longest))


def attend_one_by_one(query: Tensor, key: Tensor, value: Tensor, offsets: Tensor) -> Tensor:
    """Return what `attend` returns, from one call of torch's attention for each text: what the kernel is held against."""
    sizes = offsets.diff().tolist()
    texts = zip(*(torch.split(part.transpose(0, 1), sizes, dim=1) for part in (query, key, value)), strict=True)
    contexts = [nn.functional.scaled_dot_product_attention(*(part.unsqueeze(0) for part in text)) for text in texts]
    return torch.cat(contexts, dim=2).squeeze(0).transpose(0, 1)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute attention as transformers asks for it: of texts in a row, or, where it does not say so, of a padded batch.

    All architectures that it is for scale by the root of a head's width, which is what torch does by itself.

    Shape:
        query, key, value - (1, A, N, D); padded (B, A, T, D)
        output - (1, N, A, D); padded (B, T, A, D)
    """
    if cu_seq_lens_q is None:
        padded: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return padded
    if dropout:
        raise NotImplementedError("attention of packed texts has no dropout")
    query, key, value = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
    return attend(query, key, value, cu_seq_lens_q, max_length_q).unsqueeze(0), None


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
