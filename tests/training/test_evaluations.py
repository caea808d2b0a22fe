"""Within long epochs, too, there are evaluations and checkpoints: where, how many, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.model.classifier import build_classifier
from matinee.training import fit, head_sample
from matinee.training.callbacks import ProgressCallback
from matinee.training.evaluations import TEXTS_BETWEEN, Evaluations
from matinee.training.head import HEAD_TEXTS
from matinee.training.trainer import FineTuner

LABELS = ("negative", "positive")


def evaluations_of(n_train, **values):
    return Evaluations.of(resolve(Layer(values)).training, n_train)


@pytest.mark.parametrize(("n_train", "expected"), [(20, 1), (5000, 1), (5001, 2), (22_000, 5), (25_000, 5)])
def test_long_epochs_are_evaluated_within(n_train, expected):
    assert evaluations_of(n_train, batch_size=32).per_epoch == expected


def test_there_are_no_more_than_steps():
    found = evaluations_of(40, batch_size=16, evaluations_per_epoch=10)
    assert (found.per_epoch, found.within_epoch) == (3, (1, 2))


@given(st.integers(1, 60_000), st.integers(1, 64), st.integers(1, 4), st.none() | st.integers(1, 50))
def test_they_share_an_epoch_evenly(n_train, batch_size, accumulated, asked):
    values = {"batch_size": batch_size, "gradient_accumulation": accumulated, "evaluations_per_epoch": asked}
    found = evaluations_of(n_train, **values)
    steps = -(-n_train // (batch_size * accumulated))
    marks = [*found.within_epoch, steps]
    assert len(marks) == found.per_epoch == len(set(marks))
    gaps = np.diff([0, *marks])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1
    for epoch in (0, 1, 7):
        texts = [found.n_texts(epoch * steps + mark) for mark in marks]
        assert sum(texts) == n_train
        assert [mark for mark in range(1, steps + 1) if found.is_within_epoch(epoch * steps + mark)] == marks[:-1]
        assert asked or max(texts) <= TEXTS_BETWEEN + batch_size * accumulated


@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 4))
def test_what_is_left_is_what_was_not_there_yet(per_epoch, steps, epochs):
    found = Evaluations(texts=steps, texts_per_step=1, per_epoch=min(per_epoch, steps))
    marks = [*found.within_epoch, steps]
    for step in range(epochs * steps + 1):
        done = sum(1 for each in range(1, step + 1) if (each - 1) % steps + 1 in marks)
        assert found.n_left(epochs, step / steps) == epochs * found.per_epoch - done


@pytest.fixture(scope="module")
def splits(tokenized):
    return tokenized(0, 64), tokenized(64, 104)


def fitted(folder, encoder, splits, **values):
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    values = {"batch_size": 4, "epochs": 2, "learning_rate": 1e-3, "dropout": 0.1, "patience": 0, **values}
    settings = resolve(Layer(values))
    torch.manual_seed(0)
    model = build_classifier(encoder, settings.model, LABELS)
    torch.manual_seed(0)
    result = fit(model, *splits, settings.training, label_names=LABELS, pad_id=0, precision="fp32", run=run)
    return result, torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def rows_of(result):
    return [row for row in result.history if "eval_loss" in row]


def test_the_history_has_all_of_them_with_training_scores(tmp_path, tiny_encoder, splits):
    result, _ = fitted(tmp_path / "run", tiny_encoder, splits, evaluations_per_epoch=3)
    rows = rows_of(result)
    assert [row["step"] for row in rows] == [0, 6, 11, 16, 22, 27, 32]
    assert [round(row["epoch"], 3) for row in rows] == [0, 0.375, 0.688, 1, 1.375, 1.688, 2]
    assert ["train_accuracy" in row for row in rows] == [False] + [True] * 6


def test_a_share_of_an_epoch_ends_with_one_evaluation(tmp_path, tiny_encoder, splits):
    result, _ = fitted(tmp_path / "run", tiny_encoder, splits, epochs=1.5, evaluations_per_epoch=2)
    assert [row["epoch"] for row in rows_of(result)] == [0, 0.5, 1, 1.5]


def test_they_change_nothing_but_what_can_be_kept(tmp_path, tiny_encoder, splits):
    values = {"selection_metric": "log_loss", "learning_rate": 1e-4}
    once, weights = fitted(tmp_path / "once", tiny_encoder, splits, **values)
    often, others = fitted(tmp_path / "often", tiny_encoder, splits, **values, evaluations_per_epoch=4)
    assert torch.equal(weights, others)
    ends = [row["eval_loss"] for row in rows_of(often) if row["epoch"] == int(row["epoch"])]
    assert ends == [row["eval_loss"] for row in rows_of(once)]
    assert once.kept_epoch == often.kept_epoch == 2


@pytest.mark.parametrize("accumulated", [1, 3])
def test_a_part_of_an_epoch_can_be_kept(tmp_path, tiny_encoder, splits, accumulated):
    values = {"selection_metric": "log_loss", "learning_rate": 0.05, "warmup_ratio": 0, "averaging": 0}
    values["gradient_accumulation"] = accumulated
    result, _ = fitted(tmp_path / "run", tiny_encoder, splits, evaluations_per_epoch=4, **values)
    best = min(rows_of(result)[1:], key=lambda row: row["eval_loss"])
    assert best["epoch"] != int(best["epoch"]), "a rate as high as this overshoots within the first epoch"
    assert result.kept_epoch == best["epoch"]


def test_patience_is_in_epochs_and_stops_within_one(tmp_path, tiny_encoder, splits):
    values = {"learning_rate": 0.3, "averaging": 0, "epochs": 9, "patience": 1, "warmup_ratio": 0}
    result, _ = fitted(tmp_path / "run", tiny_encoder, splits, evaluations_per_epoch=4, **values)
    rows = rows_of(result)[1:]
    best = max(range(len(rows)), key=lambda n: (rows[n]["eval_accuracy"], -n))
    assert len(rows) == best + 1 + 4
    assert result.n_steps < 9 * 16
    assert len({row["step"] for row in rows}) == len(rows)


def killed_at(step):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise SystemExit

    return on_step_end


@pytest.mark.parametrize("step", [7, 12, 16, 23])
def test_killed_and_resumed_within_an_epoch_it_is_an_uninterrupted_one(
    tmp_path, tiny_encoder, splits, monkeypatch, step
):
    values = {"evaluations_per_epoch": 3, "averaging": 0.5, "patience": 2, "learning_rate": 0.01}
    expected, weights = fitted(tmp_path / "whole", tiny_encoder, splits, **values)
    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_step_end", killed_at(step))
        with pytest.raises(SystemExit):
            fitted(tmp_path / "cut", tiny_encoder, splits, **values)
    torch.randn(7)  # whatever happened meanwhile
    begun = []
    monkeypatch.setattr(FineTuner, "training_step", counting(FineTuner.training_step, begun))
    result, others = fitted(tmp_path / "cut", tiny_encoder, splits, **values)
    assert torch.equal(weights, others)
    assert result.kept_epoch == expected.kept_epoch
    assert rows_of(result) == rows_of(expected)
    resumed_from = max(mark for mark in (6, 11, 16, 22) if mark < step)
    assert len(begun) == expected.n_steps - resumed_from


def counting(function, calls):
    def counted(self, *args, **kwargs):
        calls.append(1)
        return function(self, *args, **kwargs)

    return counted


def test_checkpoints_stay_as_few_as_asked_for(tmp_path, tiny_encoder, splits):
    fitted(tmp_path / "run", tiny_encoder, splits, evaluations_per_epoch=8, keep_checkpoints=2)
    assert len(list((tmp_path / "run" / "checkpoints").glob("checkpoint-*"))) <= 2


class TestHeadSample:
    def test_few_texts_are_all_read(self):
        assert head_sample(np.arange(HEAD_TEXTS) % 2, seed=0).tolist() == list(range(HEAD_TEXTS))

    def test_of_many_a_stratified_sample_by_the_seed(self):
        labels = (np.arange(4 * HEAD_TEXTS) % 10 == 0).astype(np.int64)
        rows = head_sample(labels, seed=0)
        assert len(rows) == len(set(rows.tolist())) == HEAD_TEXTS
        assert labels[rows].sum() == HEAD_TEXTS / 10
        assert rows.tolist() == sorted(rows) == head_sample(labels, seed=0).tolist()
        assert rows.tolist() != head_sample(labels, seed=1).tolist()
