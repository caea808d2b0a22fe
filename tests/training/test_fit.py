"""Fine-tuning: what the settings say is what happens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.training import TokenizedSplit, fit, start_head

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def splits(tiny_encoder, tiny_rows):
    preparation = prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=48))
    ids = preparation.encode([text for text, _ in tiny_rows])
    labels = np.array([LABELS.index(label) for _, label in tiny_rows], dtype=np.int64)
    return TokenizedSplit(ids[:64], labels[:64]), TokenizedSplit(ids[64:96], labels[64:96])


def model_of(folder, **values):
    torch.manual_seed(0)
    return build_classifier(folder, ModelSettings(**values), LABELS)


def run_in(folder):
    run = RunFolder(folder)
    run.create(overwrite=False)
    run.checkpoints.mkdir()
    return run


def fitted(tmp_path, encoder, splits, name="run", model=None, **values):
    settings = resolve(Layer({"precision": "fp32", "batch_size": 16, "epochs": 2, "learning_rate": 1e-3, **values}))
    model = model or model_of(encoder)
    torch.manual_seed(0)
    run = run_in(tmp_path / name)
    result = fit(model, *splits, settings.training, label_names=LABELS, pad_id=0, precision="fp32", run=run)
    return model, result, run


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_it_learns(tmp_path, tiny_encoder, splits):
    _, result, run = fitted(tmp_path, tiny_encoder, splits, epochs=10, learning_rate=5e-3)
    losses = [row["eval_loss"] for row in result.history if "eval_loss" in row]
    assert losses[-1] < 0.75 * losses[0]
    assert json.loads(run.history.read_text().splitlines()[0])["epoch"] == 0
    assert result.n_steps == 40


def test_history_has_a_row_per_epoch_with_training_and_validation_scores(tmp_path, tiny_encoder, splits):
    _, result, _ = fitted(tmp_path, tiny_encoder, splits)
    rows = [row for row in result.history if "eval_loss" in row]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert "train_accuracy" not in rows[0]
    assert all(0 <= row["train_accuracy"] <= 1 and 0 <= row["train_f1"] <= 1 for row in rows[1:])
    assert not any("runtime" in name or "flos" in name for row in result.history for name in row)


def test_the_best_epoch_s_weights_are_kept(tmp_path, tiny_encoder, splits):
    model, result, _ = fitted(tmp_path, tiny_encoder, splits, epochs=4, learning_rate=0.05)
    rows = [row for row in result.history if "eval_loss" in row and row["epoch"] > 0]
    best = min(rows, key=lambda row: row["eval_loss"])
    assert result.kept_epoch == best["epoch"]
    ids, mask = (torch.from_numpy(part) for part in _padded(splits[1].ids))
    with torch.no_grad():
        loss = model.eval()(ids, mask, labels=torch.from_numpy(splits[1].labels)).loss
    assert loss.item() == pytest.approx(best["eval_loss"], abs=1e-4)


def test_patience_stops_early(tmp_path, tiny_encoder, splits):
    _, result, _ = fitted(tmp_path, tiny_encoder, splits, epochs=30, learning_rate=0.3, patience=1)
    assert result.n_steps < 30 * 4


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_accumulated_batches_are_one_large_batch(tmp_path, tiny_encoder, splits, pooling):
    values = {"pooling": pooling, "head": "random", "dropout": 0.0, "attention_dropout": 0.0}
    one, _, _ = fitted(tmp_path, tiny_encoder, splits, "one", model_of(tiny_encoder, **values), batch_size=32, epochs=1)
    many = model_of(tiny_encoder, **values)
    many, result, _ = fitted(
        tmp_path, tiny_encoder, splits, "many", many, batch_size=8, gradient_accumulation=4, epochs=1
    )
    assert result.n_steps == 2
    before = weights(model_of(tiny_encoder, **values))
    change = (weights(one) - before).abs().max()
    assert (weights(one) - weights(many)).abs().max() < 0.02 * change


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path, tiny_encoder, splits):
    one, _, _ = fitted(tmp_path, tiny_encoder, splits, "one", seed=1)
    same, _, _ = fitted(tmp_path, tiny_encoder, splits, "same", seed=1)
    other, _, _ = fitted(tmp_path, tiny_encoder, splits, "other", seed=2)
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


def test_event_files_are_written(tmp_path, tiny_encoder, splits):
    _, _, run = fitted(tmp_path, tiny_encoder, splits)
    assert sum(path.stat().st_size for path in run.tensorboard.glob("events.out.tfevents.*")) > 500


def test_the_fitted_head_starts_better_than_chance(tiny_encoder, splits):
    model = model_of(tiny_encoder)
    train, validation = splits
    ids = {"train": train.ids, "validation": validation.ids}
    baseline = start_head(model, ids, train.labels, pad_id=0, precision="fp32", seed=0)
    said = baseline.probabilities["validation"]
    assert (said.argmax(axis=1) == validation.labels).mean() > 0.6
    tensors = [torch.from_numpy(part) for part in _padded(validation.ids)]
    with torch.no_grad():
        logits = model.eval()(*tensors).logits
    np.testing.assert_allclose(torch.softmax(logits, dim=-1).numpy(), said, atol=1e-5)


def _padded(ids):
    from matinee.tokens import pad

    return pad(ids, 0)
