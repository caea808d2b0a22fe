"""Lower layers that stay as they are, and what they say of each text, computed once for all epochs.

The lower layers of an encoder change least in fine-tuning (Lee, Tang & Lin 2019, "What Would Elsa Do?"). Frozen ones
need no backward pass; without dropout what they put out is the same in every epoch, so that they need no second forward
pass either.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from matinee.core.errors import SettingsError
from matinee.core.progress import progress
from matinee.model.fast import fast_kernels, transformer_of
from matinee.model.layers import encoder_layers, parameter_depths
from matinee.model.precision import autocast
from matinee.tokens import LENGTH_STEP, length_batches, pad

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

ALL = "all"


def freeze(model: Any, how: str | None) -> int:
    """Freeze what the setting `freeze` names: `embeddings`, or a number of layers and the embeddings below them.

    Frozen layers have no dropout, whose noise would only hide what they say.

    Returns:
        The number of frozen layers.

    Raises:
        SettingsError: The encoder has fewer layers, or layers that are not known.
    """
    if how is None:
        return 0
    base = transformer_of(model).base_model
    layers = encoder_layers(base, "freeze")
    n_frozen = n_frozen_layers(how, len(layers))
    if n_frozen and hasattr(base, "embeddings_project"):
        raise SettingsError(
            f"--freeze {n_frozen} cannot be used with {type(base).__name__}, whose embeddings have a width of their own: take embeddings."
        )
    depths = parameter_depths(base, base)
    for name, parameter in base.named_parameters():
        # Embeddings of relative positions lie deepest, though upper layers read them too: frozen states depend on them.
        if depths[name] >= len(layers) - n_frozen:
            parameter.requires_grad_(requires_grad=False)
    for part in (base.embeddings, *layers[:n_frozen]) if n_frozen else ():
        for module in part.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    return n_frozen


def n_frozen_layers(how: str | None, n_layers: int) -> int:
    """Return how many layers the setting `freeze` names; 0 where it names none, or the embeddings alone.

    Raises:
        SettingsError: The encoder has fewer.
    """
    n_frozen = int(how) if how is not None and how.isdigit() else 0
    if n_frozen > n_layers:
        raise SettingsError(
            f"--freeze must be at most {n_layers}, the layers of this encoder, got {n_frozen}; `all` stops after the fitted head."
        )
    return n_frozen


def lower_states(
    model: Any, n_frozen: int, ids: Sequence[NDArray[np.int32]], pad_id: int, precision: str, kernels: str = "auto"
) -> list[Tensor]:
    """Return what the frozen layers put out for each text.

    Shape:
        each of the output - (T, H) for a text of T tokens; bfloat16 if that is the precision, else float32
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    device = next(model.parameters()).device
    states: list[Tensor] = [torch.empty(0)] * len(ids)
    longest, done = max((len(row) for row in ids), default=0), 0
    was_training = model.training
    model.eval()
    with (
        torch.no_grad(),
        _caught(model, n_frozen) as run,
        fast_kernels(model, precision, kernels),
        autocast(device, precision),
        progress("Reading with the frozen layers", len(ids), "texts") as bar,
    ):
        for batch in length_batches([len(row) for row in ids]):
            padded = pad([ids[i] for i in batch], pad_id, multiple=LENGTH_STEP, at_most=longest)
            output = run(*(torch.from_numpy(part).to(device) for part in padded)).to("cpu", dtype)
            for row, state in zip(batch, output, strict=True):
                states[row] = state[: len(ids[row])].clone()
            done += len(batch)
            bar.update(done)
    model.train(was_training)
    return states


def states_bytes(model: Any, ids: Sequence[NDArray[np.int32]], precision: str) -> float:
    """Return how much memory `lower_states` takes."""
    width = transformer_of(model).config.hidden_size
    return float(sum(len(row) for row in ids) * width * (2 if precision == "bf16" else 4))


@contextmanager
def upper_layers_only(model: Any, n_frozen: int) -> Iterator[None]:
    """Have `model` begin above its frozen layers: it is given `inputs_embeds`, which are what they put out, for `input_ids`.

    Its parameters are those of the upper layers alone within the block.
    """
    base = transformer_of(model).base_model
    embeddings, layers = base.embeddings, encoder_layers(base, "freeze")
    owner, name = _owner(base, layers)
    base.embeddings = _Given()
    setattr(owner, name, layers[n_frozen:])
    try:
        yield
    finally:
        base.embeddings = embeddings
        setattr(owner, name, layers)


class _Given(nn.Module):
    """Stands where the embeddings were and hands on what it is given."""

    def forward(
        self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor | None:
        del input_ids
        return inputs_embeds


class _Caught(Exception):  # noqa: N818 - no error: it ends a forward pass half-way
    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


@contextmanager
def _caught(model: Any, n_frozen: int) -> Iterator[Any]:
    """Give a function that runs the model up to its last frozen layer and returns what that puts out."""
    base = transformer_of(model).base_model

    def catch(module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG001 - the shape of a hook
        raise _Caught(output[0] if isinstance(output, tuple) else output)

    def run(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        try:
            base(input_ids=input_ids, attention_mask=attention_mask)
        except _Caught as caught:
            return caught.output
        raise AssertionError("the frozen layers were not reached")

    hook = encoder_layers(base, "freeze")[n_frozen - 1].register_forward_hook(catch)
    try:
        yield run
    finally:
        hook.remove()


def _owner(base: Any, layers: nn.ModuleList) -> tuple[nn.Module, str]:
    """Return the module that holds the encoder's layers, and under which name."""
    return next((owner, name) for owner in base.modules() for name, child in owner.named_children() if child is layers)
