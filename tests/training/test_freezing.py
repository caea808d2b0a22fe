"""Training above frozen layers."""

from __future__ import annotations

import sys

import pytest
import torch

from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.model.classifier import build_classifier
from matinee.training import fit

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def splits(tokenized):
    return tokenized(0, 64), tokenized(64, 96)


FIT_MODULE = sys.modules[fit.__module__]  # `matinee.training.fit` is the function


def train(folder, encoder, splits, pooling="mean", dropout=0.0, **values):
    settings = resolve(Layer({"batch_size": 16, "epochs": 2, "learning_rate": 1e-3, "averaging": 0.5, **values}))
    torch.manual_seed(0)
    head = "random" if pooling == "cls" else "fitted"
    model = build_classifier(encoder, ModelSettings(pooling=pooling, head=head, dropout=dropout), LABELS)
    run = RunFolder(folder)
    run.create(overwrite=False)
    run.checkpoints.mkdir()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    torch.manual_seed(0)
    result = fit(model, *splits, settings.training, label_names=LABELS, pad_id=0, precision="fp32", run=run)
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    return model, result, moved


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_frozen_layers_stay_and_the_others_move(tmp_path, tiny_encoder, splits, pooling):
    model, result, moved = train(tmp_path / "run", tiny_encoder, splits, pooling, freeze="1")
    assert result.n_steps == 8
    layers = {name.split("layer.")[1][0] for name in moved if ".layer." in name}
    assert layers == {"1"}
    assert not any("embeddings" in name for name in moved)
    assert any(name.startswith(("head.", "classifier.")) for name in moved)
    assert len(dict(model.named_parameters())) > len(moved), "the frozen layers are part of the model again"


def test_states_kept_in_memory_or_computed_anew_train_alike(tmp_path, tiny_encoder, splits, monkeypatch):
    kept, _, _ = train(tmp_path / "kept", tiny_encoder, splits, freeze="1")
    monkeypatch.setattr(FIT_MODULE, "_MOST_STATES", 0)
    anew, _, _ = train(tmp_path / "anew", tiny_encoder, splits, freeze="1")
    for (name, one), other in zip(kept.named_parameters(), anew.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=5e-4, rtol=5e-3, msg=name)


def test_frozen_embeddings(tmp_path, tiny_encoder, splits):
    _, _, moved = train(tmp_path / "run", tiny_encoder, splits, freeze="embeddings")
    assert moved
    assert not any("embeddings" in name for name in moved)
