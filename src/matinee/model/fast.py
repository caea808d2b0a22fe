"""The same classifier computed faster: what suits the machine, put in place for a while and taken out again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from matinee.model.classifier import MeanPooledClassifier
from matinee.model.dropout import ByteDropout
from matinee.model.packing import NAME as PACKED
from matinee.model.packing import has_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

# Architectures whose attention transformers computes through its interface, so that ours can take its place.
_INTERFACED = {"bert", "distilbert", "roberta", "xlm-roberta", "camembert", "electra"}


@contextmanager
def fast_kernels(model: Any, precision: str, kernels: str = "auto") -> Iterator[list[str]]:
    """Have `model` computed as it is fastest: by our own kernels on a CPU, without padding on an accelerator in bf16.

    Args:
        model: A classifier; it is changed, and as it was after the block.
        precision: `"fp32"` or `"bf16"`.
        kernels: `"torch"` leaves all to torch, and pads.

    Yields:
        What was chosen, a few words each; empty where nothing is done.
    """
    if kernels == "torch":
        yield []
    elif next(model.parameters()).device.type == "cpu":
        with _own_kernels(model, precision) as chosen:
            yield chosen
    elif packing_pays(model, precision):
        with packed_texts(model):
            yield ["texts packed without padding"]
    else:
        yield []


@contextmanager
def packed_texts(model: MeanPooledClassifier) -> Iterator[None]:
    """Have a classifier read its texts in one row, without padding, in the block."""
    before = _attention_of(model)
    model.encoder.set_attn_implementation(PACKED)
    model.packed = True
    try:
        yield
    finally:
        model.packed = False
        model.encoder.set_attn_implementation(before)


def packing_pays(model: Any, precision: str) -> bool:
    """Return whether a classifier on an accelerator can read texts in one row: torch's kernel for it knows bf16 and no dropout."""
    return (
        precision == "bf16"
        and isinstance(model, MeanPooledClassifier)
        and _is_interfaced(model)
        and not _attention_dropout(model)
        and has_kernel(model.config)
    )


@contextmanager
def _own_kernels(model: Any, precision: str) -> Iterator[list[str]]:
    replaced = _replace_dropout(model)
    chosen = ["byte-drawn dropout"] if any(module.p for _, _, module in replaced) else []
    before = _attention_of(model)
    if _is_interfaced(model) and (precision == "bf16" or _attention_dropout(model)):
        # In fp32, torch's is the faster one, unless dropout drives it off its fast kernel.
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


def _is_interfaced(model: Any) -> bool:
    """Return whether torch's attention is what computes the model, and ours can take its place."""
    return getattr(getattr(model, "config", None), "model_type", None) in _INTERFACED and _attention_of(model) == "sdpa"


def _attention_dropout(model: Any) -> float:
    names = ("attention_probs_dropout_prob", "attention_dropout")
    return max(getattr(model.config, name, 0.0) or 0.0 for name in names)


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
