"""A whole training on texts in one row learns what one on padded texts does."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager

import pytest
import torch

from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.model.classifier import build_classifier
from matinee.model.fast import packed_texts
from matinee.model.precision import best_device
from matinee.training import fit

LABELS = ("negative", "positive")


def fitted(folder, encoder, tokenized, precision="fp32", **values):
    run = RunFolder(folder)
    run.create(overwrite=False)
    run.checkpoints.mkdir()
    given = {"batch_size": 16, "epochs": 2, "learning_rate": 1e-3, "precision": precision, **values}
    torch.manual_seed(0)
    model = build_classifier(encoder, ModelSettings(dropout=0.0), LABELS).to(best_device())
    splits = tokenized(0, 60), tokenized(60, 96)
    settings = resolve(Layer(given)).training
    result = fit(model, *splits, settings, label_names=LABELS, pad_id=0, precision=precision, run=run)
    return torch.cat([parameter.detach().flatten().cpu() for parameter in model.parameters()]), result.history


def losses(history):
    return [row[name] for row in history for name in ("loss", "eval_loss") if name in row]


@pytest.mark.parametrize(
    "values",
    [{}, {"freeze": "1"}, {"batch_tokens": 300}, {"gradient_accumulation": 2}],
    ids=["plain", "frozen", "in pieces", "accumulated"],
)
def test_training_and_its_evaluations_are_the_same(tmp_path, tiny_encoder, tokenized, monkeypatch, values):
    padded, history = fitted(tmp_path / "padded", tiny_encoder, tokenized, kernels="torch", **values)
    packed = []

    @contextmanager
    def everywhere(model, precision, kernels):
        with packed_texts(model):
            assert kernels == "auto"
            packed.append(precision)
            yield ["packed"]

    # The room hands out the function by the name of its module.
    monkeypatch.setattr(sys.modules["matinee.training.fit"], "fast_kernels", everywhere)
    ours, our_history = fitted(tmp_path / "packed", tiny_encoder, tokenized, **values)
    assert packed == ["fp32"]
    start = build_start(tiny_encoder)
    # AdamW makes a step of a gradient of next to nothing, whichever sign rounding gives it: the norm tells, not the largest.
    assert (ours - padded).norm() < 0.01 * (padded - start).norm()
    assert losses(our_history) == pytest.approx(losses(history), abs=1e-4)
    assert len(losses(history)) > 4


def build_start(encoder):
    torch.manual_seed(0)
    model = build_classifier(encoder, ModelSettings(dropout=0.0), LABELS)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.gpu
def test_on_a_gpu_texts_are_packed_unless_torch_is_asked_for(tmp_path, tiny_encoder, tokenized, caplog):
    with caplog.at_level(logging.INFO):
        _, packed = fitted(tmp_path / "packed", tiny_encoder, tokenized, "bf16")
    assert "texts packed without padding" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        _, padded = fitted(tmp_path / "padded", tiny_encoder, tokenized, "bf16", kernels="torch")
    assert "Computing on cuda in bf16" in caplog.text
    assert "packed" not in caplog.text
    assert losses(packed) == pytest.approx(losses(padded), abs=0.03)
