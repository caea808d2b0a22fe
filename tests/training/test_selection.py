"""Which epoch is kept: by any metric, in its right direction, the fitted head among them; and a resume with everything on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from types import SimpleNamespace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
import transformers

from matinee.core.errors import InterruptedTrainingError, SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import TrainingSettings
from matinee.evaluation import METRICS
from matinee.model.classifier import build_classifier
from matinee.model.features import frozen_features
from matinee.training import fit, start_head
from matinee.training.callbacks import PatienceCallback, ProgressCallback
from matinee.training.selection import check_selection, logged_name, n_counted
from matinee.training.trainer import training_arguments
from matinee.workflow.train import train

LABELS = ("negative", "positive")
THREE = ("bad", "so-so", "good")
BALANCED = np.arange(12) % 2


def test_the_setting_names_every_metric():
    assert set(get_args(get_type_hints(TrainingSettings)["selection_metric"])) == set(METRICS)


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_chooses_in_its_own_direction(tmp_path, metric):
    settings = resolve(Layer({"selection_metric": metric})).training
    arguments = training_arguments(settings, RunFolder(tmp_path), 32, "fp32", throwaway=False)
    assert arguments.greater_is_better == (metric not in {"log_loss", "brier", "ece"})
    assert arguments.metric_for_best_model == logged_name(metric)
    worse_is_lower = arguments.greater_is_better
    patience = PatienceCallback(2, metric, higher_is_better=worse_is_lower)
    better, worse = (0.9, 0.1) if worse_is_lower else (0.1, 0.9)
    assert stops(patience, metric, [better, worse, worse]) == [False, False, True]
    patience = PatienceCallback(2, metric, higher_is_better=worse_is_lower)
    assert stops(patience, metric, [worse, better, worse]) == [False, False, False]


def stops(callback, metric, scores, first_step=1):
    """Return after which of some evaluations training is stopped."""
    asked = []
    for step, score in enumerate(scores, start=first_step):
        control = SimpleNamespace(should_training_stop=False)
        callback.on_evaluate(None, SimpleNamespace(global_step=step), control, metrics={f"eval_{metric}": score})
        asked.append(control.should_training_stop)
    return asked


def test_patience_does_not_count_what_was_there_before_the_first_step():
    callback = PatienceCallback(2, "accuracy", higher_is_better=True)
    assert stops(callback, "accuracy", [0.9, 0.5, 0.6, 0.7], first_step=0) == [False] * 4


@pytest.mark.parametrize(
    ("metric", "n_labels", "counted"),
    [
        ("accuracy", 2, 12),
        ("f1", 2, 12),
        ("recall", 2, 6),
        ("precision", 2, 6),
        ("recall", 3, 12),
        ("recall_weighted", 3, 12),
        ("roc_auc", 2, None),
        ("log_loss", 2, None),
        ("brier", 2, None),
        ("ece", 2, None),
        ("f1_weighted", 3, None),
    ],
)
def test_a_standard_error_is_that_of_a_share_of_texts(metric, n_labels, counted):
    assert n_counted(metric, BALANCED, n_labels) == counted


@pytest.mark.parametrize(
    ("metric", "labels", "names", "problem"),
    [
        ("f1", [0, 0], LABELS, "the positive label 'positive', and there are none"),
        ("recall", [0, 0], LABELS, "the positive label 'positive'"),
        ("roc_auc", [1, 1], LABELS, "the label 'negative'"),
        ("roc_auc", [0, 2, 2], THREE, "the label 'so-so'"),
        ("f1_weighted", [0, 1], LABELS, "is for more than two labels: take f1"),
    ],
)
def test_a_metric_that_the_validation_texts_leave_open_is_refused(metric, labels, names, problem):
    with pytest.raises(SettingsError, match=f"--selection-metric {metric} .*{problem}"):
        check_selection(metric, np.array(labels), names)


@pytest.mark.parametrize("metric", [name for name, of in METRICS.items() if not of.only_above_two_labels])
def test_a_metric_that_is_defined_is_taken(metric):
    check_selection(metric, BALANCED, LABELS)
    check_selection("accuracy", np.zeros(4, dtype=np.int64), LABELS)
    check_selection("f1", np.array([0, 2]), THREE)


@pytest.fixture(scope="module")
def splits(tokenized):
    return tokenized(0, 64), tokenized(64, 104)


class Training:
    """A fitted head and a fine-tuning in one folder, begun again from the encoder each time."""

    def __init__(self, folder, encoder, splits, **values):
        values = {"batch_size": 16, "epochs": 3, "learning_rate": 1e-3, "patience": 0, **values}
        self.settings = resolve(Layer(values))
        self.encoder, self.splits, self.run = encoder, splits, RunFolder(folder)
        self.run.create(overwrite=False)
        self.run.checkpoints.mkdir()

    def go(self):
        """Return (model, head's weights at the start, result)."""
        train, validation = self.splits
        transformers.set_seed(0)
        model = build_classifier(self.encoder, self.settings.model, LABELS)
        if self.settings.model.head == "fitted":
            start_head(model, frozen_features(model, train.ids, 0, "fp32"), train.labels, seed=0)
        start = {name: weight.clone() for name, weight in model.state_dict().items()}
        transformers.set_seed(0)
        result = fit(
            model,
            train,
            validation,
            self.settings.training,
            label_names=LABELS,
            pad_id=0,
            precision="fp32",
            run=self.run,
            start_is_candidate=self.settings.training.keep_fitted_head,
        )
        return model, start, result


def same(model, weights):
    return all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())


RUINOUS = {"learning_rate": 0.3, "averaging": 0, "keep_fitted_head": True, "warmup_ratio": 0}


@pytest.mark.parametrize("metric", ["accuracy", "brier"])
def test_the_fitted_head_is_kept_where_every_epoch_is_worse(tmp_path, tiny_encoder, splits, metric):
    training = Training(tmp_path / "run", tiny_encoder, splits, **RUINOUS, selection_metric=metric)
    model, start, result = training.go()
    assert result.kept_epoch == 0.0
    assert same(model, start)
    scores = [row[f"eval_{metric}"] for row in result.history if "eval_loss" in row]
    assert (max if metric == "accuracy" else min)(scores) == scores[0]
    # Cut off after training: nothing is trained again, and the same is kept.
    model, start, again = training.go()
    assert same(model, start)
    assert (again.kept_epoch, again.n_steps) == (0.0, result.n_steps)


def test_of_equals_a_fine_tuned_epoch_is_kept(tmp_path, tiny_encoder, splits):
    training = Training(tmp_path / "run", tiny_encoder, splits, keep_fitted_head=True, learning_rate=1e-8)
    _, _, result = training.go()
    assert result.kept_epoch == 3


def test_without_being_asked_for_it_is_no_candidate(tmp_path, tiny_encoder, splits):
    training = Training(tmp_path / "run", tiny_encoder, splits, **{**RUINOUS, "keep_fitted_head": False})
    _, _, result = training.go()
    assert result.kept_epoch > 0


def test_it_changes_what_is_kept_and_nothing_else(tmp_path, tiny_encoder, splits):
    values = {**RUINOUS, "epochs": 6, "patience": 2}
    _, _, kept = Training(tmp_path / "kept", tiny_encoder, splits, **values).go()
    _, _, plain = Training(tmp_path / "plain", tiny_encoder, splits, **{**values, "keep_fitted_head": False}).go()
    assert kept.history == plain.history
    assert kept.kept_epoch == 0 < plain.kept_epoch


def test_any_metric_can_choose(tmp_path, tiny_encoder, splits):
    _, _, result = Training(
        tmp_path / "run", tiny_encoder, splits, learning_rate=0.03, selection_metric="brier", keep_fitted_head=False
    ).go()
    rows = [row for row in result.history if "eval_brier" in row and row["epoch"] > 0]
    assert result.kept_epoch == min(rows, key=lambda row: row["eval_brier"])["epoch"]


EVERYTHING = {
    "pooling": "attention",
    "multi_sample_dropout": 2,
    "reinit_layers": 1,
    "layer_decay": 0.8,
    "loss": "focal",
    "label_smoothing": 0.1,
    "sampling": "balanced",
    "r_drop": 0.5,
    "augment": ["mixup"],
    "selection_metric": "f1",
    "keep_fitted_head": True,
    "averaging": 0.5,
    "patience": 2,
    "batch_size": 5,
    "gradient_accumulation": 3,
    "dropout": 0.2,
}


@pytest.mark.parametrize("is_killed", [False, True])
def test_with_everything_on_a_resumed_training_is_an_uninterrupted_one(
    tmp_path, tiny_encoder, splits, monkeypatch, is_killed
):
    whole = Training(tmp_path / "whole", tiny_encoder, splits, **EVERYTHING)
    model, _, expected = whole.go()
    cut = Training(tmp_path / "cut", tiny_encoder, splits, **EVERYTHING)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_step_end", killed_at(8) if is_killed else interrupted_at(8))
        with pytest.raises(SystemExit if is_killed else InterruptedTrainingError):
            cut.go()
    torch.randn(7)  # whatever happened meanwhile
    again, _, result = cut.go()
    assert same(again, model.state_dict())
    assert evaluations(result) == evaluations(expected)
    assert result.kept_epoch == expected.kept_epoch
    shutil.rmtree(tmp_path / "whole")


def killed_at(step):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise SystemExit

    return on_step_end


def interrupted_at(step):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_step_end


def evaluations(result):
    """Return the validation rows; scores on training texts are missing in an epoch that was resumed half-way."""
    rows = [row for row in result.history if "eval_loss" in row]
    return [{name: value for name, value in row.items() if not name.startswith("train_")} for row in rows]


def test_patience_goes_on_counting_after_a_resume(tmp_path, tiny_encoder, splits, monkeypatch):
    values = {**RUINOUS, "epochs": 9, "patience": 3, "keep_fitted_head": False}
    _, _, expected = Training(tmp_path / "whole", tiny_encoder, splits, **values).go()
    assert expected.n_steps < 9 * 4
    cut = Training(tmp_path / "cut", tiny_encoder, splits, **values)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_step_end", killed_at(expected.n_steps - 1))
        with pytest.raises(SystemExit):
            cut.go()
    _, _, result = cut.go()
    assert result.n_steps == expected.n_steps


@pytest.mark.parametrize("head", ["fitted", "random"])
def test_a_run_may_keep_the_fitted_head_but_no_random_one(tmp_path, tiny_csv, tiny_encoder, head):
    sizes = {
        "train_size": 48,
        "validation_size": 24,
        "test_size": 24,
        "epochs": 2,
        "max_length": 48,
        "precision": "fp32",
    }
    run = train(
        tiny_csv,
        encoder=str(tiny_encoder),
        run_dir=tmp_path / "run",
        head=head,
        pooling="attention",
        **RUINOUS,
        **sizes,
    )
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert (metrics["kept_epoch"] == 0) == (head == "fitted")
    if head == "fitted":
        assert metrics["test"]["accuracy"]["value"] == metrics["frozen_features"]["accuracy"]["value"]
    assert "head.safetensors" in (run.path / "model" / "README.md").read_text()
    assert (run.path / "report.html").is_file()
