"""The same classifier computed faster: what suits the machine, put in place for a while and taken out again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from matinee.model.classifier import MeanPooledClassifier
from matinee.model.dropout import ByteDropout

if TYPE_CHECKING:
    from collections.abc import Iterator

# Architectures whose attention transformers computes through its interface, so that ours can take its place.
_INTERFACED = {"bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra"}


@contextmanager
def fast_kernels(model: Any, precision: str) -> Iterator[list[str]]:
    """Have `model` computed by our own kernels on a CPU; on an accelerator torch's own are the best there are.

    Args:
        model: A classifier; it is changed, and as it was after the block.
        precision: `"fp32"` or `"bf16"`.

    Yields:
        What was chosen, a few words each; empty where nothing is done.
    """
    if next(model.parameters()).device.type != "cpu":
        yield []
        return
    replaced = _replace_dropout(model)
    chosen = ["byte-drawn dropout"] if any(module.p for _, _, module in replaced) else []
    before = _attention_of(model)
    if _own_attention_pays(model, precision):
        from matinee.model.attention import NAME

        transformer_of(model).set_attn_implementation(NAME)
        chosen.append("attention in chunks")
    try:
        yield chosen
    finally:
        for parent, name, module in replaced:
            setattr(parent, name, module)
        if before != _attention_of(model):
            transformer_of(model).set_attn_implementation(before)


def _own_attention_pays(model: Any, precision: str) -> bool:
    """Return whether our attention is the faster one: in bf16, and where dropout drives torch off its fast kernel."""
    config = getattr(model, "config", None)
    if getattr(config, "model_type", None) not in _INTERFACED or _attention_of(model) != "sdpa":
        return False
    dropout = max(getattr(config, name, 0.0) or 0.0 for name in ("attention_probs_dropout_prob", "attention_dropout"))
    return precision == "bf16" or dropout > 0


def transformer_of(model: Any) -> Any:
    """Return the part that is transformers' own."""
    return model.encoder if isinstance(model, MeanPooledClassifier) else model


def _attention_of(model: Any) -> str:
    return str(getattr(getattr(model, "config", None), "_attn_implementation", None))


def _replace_dropout(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Put our dropout in the place of torch's; return where which module was."""
    found: list[tuple[nn.Module, str, nn.Module]] = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Dropout
    ]
    for parent, name, child in found:
        assert isinstance(child, nn.Dropout)  # noqa: S101 - narrows a type
        setattr(parent, name, ByteDropout(child.p).train(child.training))
    return found
