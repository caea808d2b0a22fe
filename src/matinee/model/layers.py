"""An encoder's layers, whatever its architecture calls them: BERT, DistilBERT, RoBERTa, MPNet, ModernBERT and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from matinee.core.errors import SettingsError
from matinee.model.quiet import quiet_transformers


def encoder_layers(base: nn.Module, setting: str) -> nn.ModuleList:
    """Return the layers of an encoder without its head, the lowest first.

    Raises:
        SettingsError: They are not known; `setting` is the one that needs them.
    """
    found = next((module for module in base.modules() if isinstance(module, nn.ModuleList)), None)
    if found is None:
        raise SettingsError(
            f"--{setting} cannot be used with {type(base).__name__}: its layers are not known. Leave it out."
        )
    return found


def parameter_depths(model: nn.Module, base: nn.Module) -> dict[str, int]:
    """Return by name how many layers lie between each parameter of a classifier and its topmost layer.

    0 for the topmost layer and all that comes after it, the head too; the number of layers for the embeddings, among which
    those of relative positions are.

    Args:
        model: The classifier.
        base: Its encoder, without a head.
    """
    layers = encoder_layers(base, "layer-decay")
    depths = {id(parameter): depth for depth, layer in enumerate(reversed(layers)) for parameter in layer.parameters()}
    embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    # What else belongs to the embeddings (their norm, a projection) says so in its name, as of transformers 5.
    embeddings |= {id(p) for name, p in base.named_parameters() if "embed" in name and id(p) not in depths}
    return {name: len(layers) if id(p) in embeddings else depths.get(id(p), 0) for name, p in model.named_parameters()}


def keep_layers(base: Any, n_layers: int) -> None:
    """Take layers out of an encoder until `n_layers` are left, evenly spread, the lowest and the topmost among them.

    A student that starts from every other layer of its teacher's encoder (Sanh et al. 2019, "DistilBERT", section 3; of
    twelve layers 0, 2, 4, 7, 9, 11 as in their code). The configuration says so, so that the encoder can be saved.

    Raises:
        SettingsError: The encoder has fewer layers, or layers that are not known.
    """
    layers = encoder_layers(base, "layers")
    if n_layers > len(layers):
        raise SettingsError(f"--layers must be at most {len(layers)}, the layers of this encoder, got {n_layers}.")
    kept = np.linspace(0, len(layers) - 1, n_layers).round().astype(int).tolist()
    for place in reversed(range(len(layers))):
        if place not in kept:
            del layers[place]
    config = base.config
    config.num_hidden_layers = n_layers
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        config.layer_types = [kinds[place] for place in kept]


def reinitialise_layers(base: Any, n_layers: int) -> None:
    """Give the topmost layers of an encoder fresh weights, as its configuration would have them made.

    The topmost layers are bent to pretraining's own task (Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning",
    section 5). Random numbers come from torch's own generator.

    Raises:
        SettingsError: The encoder has fewer layers.
    """
    layers = encoder_layers(base, "reinit-layers")
    if n_layers > len(layers):
        raise SettingsError(
            f"--reinit-layers must be at most {len(layers)}, the layers of this encoder, got {n_layers}."
        )
    with quiet_transformers():
        # A whole new encoder: weights may be scaled by the number of layers, as ModernBERT's are.
        fresh = encoder_layers(AutoModel.from_config(base.config, dtype=torch.float32), "reinit-layers")
    for old, new in list(zip(layers, fresh, strict=True))[len(layers) - n_layers :]:
        old.load_state_dict(new.state_dict())
