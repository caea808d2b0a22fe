"""Learning rates by layer: the depth of every parameter in every family of encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from matinee.core.errors import SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.model.classifier import MeanPooledClassifier, build_classifier
from matinee.model.layers import parameter_depths, reinitialise_layers
from matinee.training import TokenizedSplit, fit
from matinee.training.optimizer import layerwise_groups

LABELS = ("negative", "positive")
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
DISTIL = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 16}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
KINDS = ["bert", "distilbert", "roberta", "mpnet", "modernbert", "electra"]
# By parts of names: what lies below all layers and above them.
BELOW = ("embeddings", "relative_attention_bias")
ABOVE = ("pooler", "final_norm", "classifier", "pre_classifier", "head.")


def config_of(kind):
    return AutoConfig.for_model(
        kind, vocab_size=60, num_labels=2, **SPECIAL, **(DISTIL if kind == "distilbert" else SIZES)
    )


def models(kind):
    """Return (classifier, encoder) with mean pooling and with the architecture's own head."""
    torch.manual_seed(0)
    encoder = AutoModel.from_config(config_of(kind))
    own = AutoModelForSequenceClassification.from_config(config_of(kind))
    return [(MeanPooledClassifier(encoder, 2, 0.1, "attention"), encoder), (own, own.base_model)]


def depth_by_name(name):
    number = next((int(part) for part in name.split(".") if part.isdigit()), None)
    if number is not None and (".layer." in name or "layers." in name):
        return 2 - number
    if any(part in name for part in BELOW):
        return 3
    assert any(part in name for part in ABOVE) or name == "query", name
    return 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_the_depth_that_its_name_says(kind):
    for model, encoder in models(kind):
        depths = parameter_depths(model, encoder)
        assert depths == {name: depth_by_name(name) for name, _ in model.named_parameters()}
        assert set(depths.values()) == {0, 1, 2, 3}


def test_an_encoder_whose_layers_are_not_known_is_named():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(SettingsError, match="--layer-decay cannot be used with Sequential"):
        parameter_depths(model, model)


def test_each_layer_learns_at_a_share_of_the_rate_of_the_one_above():
    model, encoder = models("bert")[0]
    encoder.embeddings.requires_grad_(requires_grad=False)
    decayed = {name for name, _ in model.named_parameters() if "bias" not in name and "LayerNorm" not in name}
    groups = layerwise_groups(model, decayed, learning_rate=0.1, weight_decay=0.01, layer_decay=0.5)
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups)
    for name, parameter in model.named_parameters():
        if "embeddings" in name:
            assert id(parameter) not in of
            continue
        group = of[id(parameter)]
        assert group["lr"] == pytest.approx(0.1 * 0.5 ** depth_by_name(name))
        assert group["weight_decay"] == (0.01 if name in decayed else 0.0)
    assert groups[0]["lr"] == 0.1, "the first group's rate is the one that is logged"


@pytest.mark.parametrize("kind", KINDS)
def test_reinitialised_layers_are_new_and_the_others_are_not(kind):
    _, encoder = models(kind)[0]
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(7.0)
    torch.manual_seed(5)
    reinitialise_layers(encoder, 2)
    for name, parameter in encoder.named_parameters():
        is_new = "embeddings" not in name and (".layer." in name or "layers." in name) and depth_by_name(name) < 2
        assert (parameter != 7.0).all() == is_new, name
        if is_new and parameter.ndim == 2:
            assert parameter.std() < 0.1
    first = torch.cat([parameter.flatten() for parameter in encoder.parameters()])
    torch.manual_seed(5)
    reinitialise_layers(encoder, 2)
    assert torch.equal(first, torch.cat([parameter.flatten() for parameter in encoder.parameters()]))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_more_new_layers_than_there_are_is_refused(tiny_encoder, pooling):
    head = "random" if pooling == "cls" else "fitted"
    build_classifier(tiny_encoder, ModelSettings(pooling=pooling, head=head, reinit_layers=2), LABELS)
    with pytest.raises(SettingsError, match="--reinit-layers must be at most 2, the layers of this encoder, got 3"):
        build_classifier(tiny_encoder, ModelSettings(pooling=pooling, head=head, reinit_layers=3), LABELS)


@pytest.fixture(scope="module")
def splits():
    chance = np.random.default_rng(0)
    ids = [chance.integers(5, 60, size=10).astype(np.int32) for _ in range(48)]
    labels = np.arange(48) % 2
    return TokenizedSplit(ids[:32], labels[:32]), TokenizedSplit(ids[32:], labels[32:])


def change(folder, encoder, splits, **values):
    """Train for an epoch, and return by depth how far weights moved at most, and the history."""
    settings = resolve(Layer({"averaging": 0, "warmup_ratio": 0, "weight_decay": 0, "learning_rate": 1e-3, **values}))
    torch.manual_seed(0)
    model = build_classifier(encoder, settings.model, LABELS)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    run = RunFolder(folder)
    run.create(overwrite=False)
    run.checkpoints.mkdir()
    kept = {"label_names": LABELS, "pad_id": 0, "precision": "fp32", "run": run}
    result = fit(model, *splits, settings.training, **kept)
    moved = {}
    for name, depth in parameter_depths(model, model.encoder).items():
        far = (dict(model.named_parameters())[name] - before[name]).abs().max().item()
        moved[depth] = max(moved.get(depth, 0), far)
    return moved, result.history


def test_a_training_moves_lower_layers_less(tmp_path, tiny_encoder, splits):
    # One step of Adam moves every weight by about its learning rate.
    one_step = {"epochs": 1, "batch_size": 32}
    moved, history = change(tmp_path / "decayed", tiny_encoder, splits, layer_decay=0.1, **one_step)
    assert moved == {depth: pytest.approx(1e-3 * 0.1**depth, rel=0.02) for depth in range(3)}
    assert next(row["learning_rate"] for row in history if "learning_rate" in row) == pytest.approx(1e-3)
    same, _ = change(tmp_path / "same", tiny_encoder, splits, **one_step)
    assert same == {depth: pytest.approx(1e-3, rel=0.02) for depth in range(3)}


def test_frozen_layers_stay_where_they_are_and_the_others_keep_their_rates(tmp_path, tiny_encoder, splits):
    moved, _ = change(tmp_path / "run", tiny_encoder, splits, layer_decay=0.1, epochs=1, batch_size=32, freeze="1")
    assert moved == {0: pytest.approx(1e-3, rel=0.02), 1: 0, 2: 0}
