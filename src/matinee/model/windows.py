"""From what a classifier says of each window of a long text to what it says of the text.

A window is an input like any other, so that every classifier can read windows; only the logits are pooled. Shape letters:
B texts, W windows of all of them, T tokens, K labels, H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import SequenceClassifierOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from matinee.tokens.windows import Windows

ATTENTION = "attention"

# Tokens, padding included, that a training step on windows computes at once where nobody says otherwise: a batch of 32
# texts of 256. With minilm in bf16 on a CPU they take 1.9 GB (16,128 tokens 3.7 GB); all of a batch's long texts at once,
# 16 of 8 windows of 384 tokens, would take 11 GB.
TOKENS_AT_ONCE = 8_192


@dataclass
class WindowOutput(SequenceClassifierOutput):  # type: ignore[misc]
    """What a classifier says of windows that are weighed: `scores`, shape (W,), beside the logits."""

    scores: Tensor | None = None


def window_rows(output: Any) -> Tensor:
    """Return what a classifier says of each window in a form that can be cut and joined.

    Shape:
        output - (W, K), the logits; (W, K + 1), with the scores last, where windows are weighed
    """
    logits: Tensor = output.logits
    scores = getattr(output, "scores", None)
    return logits if scores is None else torch.cat([logits, scores.unsqueeze(1).to(logits.dtype)], dim=1)


def pool_windows(rows: Tensor, counts: Sequence[int], pooling: str) -> Tensor:
    """Return the logits of each text. Those of a text with one window are that window's, to the bit.

    Args:
        rows: What `window_rows` returns, all windows of the first text first.
        counts: Windows of each text.
        pooling: `"mean"`; `"max"`, of each label by itself; or `"attention"`, a mean weighted by the softmax of the scores
            (Ilse, Tomczak & Welling 2018, "Attention-based Deep Multiple Instance Learning", section 2.4).

    Shape:
        output - (B, K)
    """
    how = _POOLINGS[pooling]
    if len(rows) == len(counts):
        return rows[:, :-1] if pooling == ATTENTION else rows
    return torch.stack([how(part) for part in torch.split(rows, list(counts))])


def pool_features(features: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the mean of each text's windows' features, shape (B, H).

    A linear head makes the same logits of it as the mean of the windows' logits: mean and head can change places.
    """
    if len(features) == len(counts):
        return features
    sums = np.add.reduceat(features, np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts[:, None], dtype=np.float32)


def reading_windows(model: nn.Module, windows: Windows | None, tokens_at_once: int | None = None) -> Callable[..., Any]:
    """Return `model` as a function of texts with windows, which takes `n_windows`, shape (B,), too; else `model` itself.

    Args:
        model: A classifier of inputs.
        windows: How texts were laid out; None where they were truncated.
        tokens_at_once: Most tokens, padding included, that are computed at once; no fewer than those of a window.
    """
    return model if windows is None else partial(_read, model, windows.pooling, tokens_at_once or TOKENS_AT_ONCE)


def add_window_query(model: Any) -> None:
    """Have a classifier with a head of ours weigh windows, at first all alike: its answers are those of the mean."""
    model.window_query = nn.Parameter(torch.zeros_like(model.head.weight[0]))


def _read(
    model: nn.Module, pooling: str, tokens_at_once: int, *, n_windows: Tensor, **inputs: Tensor
) -> SequenceClassifierOutput:
    """Return the logits of texts.

    Shape:
        n_windows - (B,)
        inputs - (W, T), (W, T, H)
        logits - (B, K)
    """
    rows = _rows(model, inputs, tokens_at_once)
    return SequenceClassifierOutput(logits=pool_windows(rows, n_windows.tolist(), pooling))


def _rows(model: nn.Module, inputs: dict[str, Tensor], tokens_at_once: int) -> Tensor:
    """Return `window_rows` of all windows, computed in slices where they are too many: a text's loss needs all of its own.

    Only the last slice's activations are kept for the backward pass; it computes those of the others anew (Chen et al.
    2016, "Training Deep Nets with Sublinear Memory Cost"), with the same dropout.
    """
    n_windows, n_tokens = inputs["attention_mask"].shape
    size = max(1, tokens_at_once // n_tokens)
    slices = [{name: of[at : at + size] for name, of in inputs.items()} for at in range(0, n_windows, size)]
    if not torch.is_grad_enabled():
        return torch.cat([_run(model, part) for part in slices])
    rows = [checkpoint(_run, model, part, use_reentrant=False) for part in slices[:-1]]
    return torch.cat([*rows, _run(model, slices[-1])])


def _run(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    return window_rows(model(**inputs))


def _mean(rows: Tensor) -> Tensor:
    return rows.mean(dim=0)


def _max(rows: Tensor) -> Tensor:
    return rows.amax(dim=0)


def _attention(rows: Tensor) -> Tensor:
    return rows[:, -1].softmax(dim=0) @ rows[:, :-1]


_POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {"mean": _mean, "max": _max, ATTENTION: _attention}
