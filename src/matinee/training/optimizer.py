"""Learning rates by layer, for the optimiser."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from matinee.model.fast import transformer_of
from matinee.model.layers import parameter_depths

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import nn


def layerwise_groups(
    model: nn.Module, decayed: Collection[str], *, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return parameter groups whose learning rate falls from layer to layer, those of the head first.

    Layers near the input hold what is general in language, and should move less: the rate of a layer is that of the one
    above it times the decay (Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?", section 5.3.3). Frozen
    parameters are left out.

    Args:
        model: A classifier.
        decayed: Names of the parameters that get weight decay.
        learning_rate: Of the head and the topmost layer.
        weight_decay: Of the parameters that get any.
        layer_decay: Rate of a layer as a share of the rate of the layer above it.
    """
    depths = parameter_depths(model, transformer_of(model).base_model)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[depths[name], name not in decayed].append(parameter)
    return [
        {
            "params": groups[depth, is_spared],
            "lr": learning_rate * layer_decay**depth,
            "weight_decay": 0.0 if is_spared else weight_decay,
        }
        for depth, is_spared in sorted(groups)
    ]
