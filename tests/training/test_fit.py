"""Fine-tuning: what the settings say is what happens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerState

from matinee.core.errors import DataError, SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.model.classifier import build_classifier
from matinee.model.features import frozen_features
from matinee.training import TokenizedSplit, fit, start_head
from matinee.training.callbacks import LaterIfAsGoodCallback

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def splits(tokenized):
    return tokenized(0, 64), tokenized(64, 96)


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
    _, result, run = fitted(tmp_path, tiny_encoder, splits, epochs=10, learning_rate=5e-3, patience=0)
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
    overshooting = {"epochs": 4, "learning_rate": 0.05, "selection_metric": "log_loss"}
    model, result, _ = fitted(tmp_path, tiny_encoder, splits, **overshooting)
    rows = [row for row in result.history if "eval_loss" in row and row["epoch"] > 0]
    best = min(rows, key=lambda row: row["eval_loss"])
    assert best["epoch"] < 4, "a rate as high as this overshoots; were the last epoch the best, this would show nothing"
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


def test_the_fitted_head_starts_better_than_chance(tiny_encoder, splits):
    model = model_of(tiny_encoder)
    train, validation = splits
    features = [frozen_features(model, of.ids, 0, "fp32") for of in (train, validation)]
    said = start_head(model, features[0], train.labels, seed=0).probabilities(features[1])
    assert (said.argmax(axis=1) == validation.labels).mean() > 0.6
    tensors = [torch.from_numpy(part) for part in _padded(validation.ids)]
    with torch.no_grad():
        logits = model.eval()(*tensors).logits
    np.testing.assert_allclose(torch.softmax(logits, dim=-1).numpy(), said, atol=1e-5)


def _padded(ids):
    from matinee.tokens import pad

    return pad(ids, 0)


def test_a_throwaway_training_keeps_nothing_to_resume_from(tmp_path, tiny_encoder, splits):
    settings = resolve(Layer({"precision": "fp32", "epochs": 2}))
    run = run_in(tmp_path / "run")
    fit(
        model_of(tiny_encoder),
        *splits,
        settings.training,
        label_names=LABELS,
        pad_id=0,
        precision="fp32",
        run=run,
        throwaway=True,
    )
    assert not list(run.checkpoints.glob("*/optimizer.pt"))
    assert not run.history.exists()
    assert not run.tensorboard.exists()


def test_a_share_of_an_epoch(tmp_path, tiny_encoder, splits):
    _, result, _ = fitted(tmp_path, tiny_encoder, splits, epochs=1.5)
    assert (result.n_steps, result.history[-1]["epoch"]) == (6, 1.5)


def test_warming_up_all_the_way_is_a_share_and_not_one_step(tmp_path, tiny_encoder, splits):
    _, result, _ = fitted(tmp_path, tiny_encoder, splits, warmup_ratio=1, learning_rate=1e-3)
    rates = [row["learning_rate"] for row in result.history if "learning_rate" in row]
    assert rates == sorted(rates)


def test_a_diverging_training_is_recorded_and_told(tmp_path, tiny_encoder, splits):
    model = model_of(tiny_encoder)
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    with pytest.raises(DataError):
        fitted(tmp_path, tiny_encoder, splits, model=model)


def test_f1_cannot_choose_where_nothing_is_positive(tmp_path, tiny_encoder, splits):
    train, validation = splits
    negative = TokenizedSplit(validation.ids, np.zeros_like(validation.labels))
    with pytest.raises(SettingsError, match="--selection-metric f1 needs validation texts"):
        fitted(tmp_path, tiny_encoder, (train, negative), selection_metric="f1")


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.80, 0.85, 0.84], 3),
        ([0.80, 0.85, 0.70], 2),
        ([0.90, 0.80, 0.80], 1),
        ([0.85, 0.815, 0.82], 3),
        ([0.70, 0.80, 0.90], 3),
        ([0.9] * 3, 3),
    ],
)
def test_of_epochs_that_cannot_be_told_apart_the_latest_is_kept(scores, kept):
    callback, state = LaterIfAsGoodCallback("accuracy", 200), TrainerState()
    for step, score in enumerate(scores, start=1):
        state.global_step = step
        callback.on_evaluate(None, state, None, metrics={"eval_accuracy": score})
        if state.best_metric is None or score > state.best_metric:  # what the Trainer does next
            state.best_metric, state.best_global_step = score, step
    assert state.best_global_step == kept


def test_the_latest_of_equals_is_kept_by_a_real_training(tmp_path, tiny_encoder, splits):
    model, result, run = fitted(tmp_path, tiny_encoder, splits, epochs=3, learning_rate=1e-8)
    scores = {row["eval_accuracy"] for row in result.history if "eval_loss" in row}
    assert len(scores) == 1
    assert result.kept_epoch == 3
    saved = load_file(run.checkpoints / "checkpoint-12" / "model.safetensors")
    torch.testing.assert_close(saved["head.weight"], model.head.weight)
