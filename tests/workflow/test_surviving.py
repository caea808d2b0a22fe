"""What becomes of a run whose machine, drive or settings let it down."""

from __future__ import annotations

import json
import logging
import shutil
from itertools import pairwise

import pytest
import torch

from matinee.core import files
from matinee.core.errors import InterruptedTrainingError, SettingsError, TrainingError, UnreachableError
from matinee.model.classifier import MeanPooledClassifier
from matinee.training.trackers import Trackers
from matinee.workflow import resume, train

SMALL = {"epochs": 2, "max_length": 48, "learning_rate": 5e-3, "test_size": 24, "validation_size": 16, "train_size": 32}


@pytest.fixture
def small(tiny_csv, tiny_encoder):
    return {"data": tiny_csv, "encoder": str(tiny_encoder), **SMALL}


@pytest.fixture(scope="module")
def run(tiny_csv, tiny_encoder, tmp_path_factory):
    return train(tiny_csv, encoder=str(tiny_encoder), run_dir=tmp_path_factory.mktemp("runs") / "whole", **SMALL)


def at_step(monkeypatch, step, act):
    """Have `act(output)` change what the head says at a training step, counted over the whole training."""
    features, n_steps = MeanPooledClassifier.features, []

    def counted(self, *arguments, **options):
        found = features(self, *arguments, **options)
        n_steps.extend([1] * self.training)
        return act(found) if self.training and len(n_steps) >= step else found

    monkeypatch.setattr(MeanPooledClassifier, "features", counted)


def test_a_complete_run_keeps_the_weights_of_its_checkpoints_alone(run):
    checkpoints = list((run.path / "checkpoints").iterdir())
    assert len(checkpoints) == 2
    left = {path.name for checkpoint in checkpoints for path in checkpoint.iterdir()}
    assert left == {"model.safetensors", "trainer_state.json"}


def test_a_drive_that_stays_away_leaves_the_run_as_it_is(small, run, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PAUSES", (0.01,))
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"

    def go_away(found):
        if folder.exists() and not elsewhere.exists():
            folder.rename(elsewhere)
        return found

    with monkeypatch.context() as patched:
        at_step(patched, 1, go_away)
        with pytest.raises(UnreachableError, match="goes on from the last whole checkpoint"):
            train(run_dir=folder, **small)
    shutil.rmtree(folder, ignore_errors=True)
    elsewhere.rename(folder)
    assert resume(folder).metrics == run.metrics


def test_a_loss_that_is_no_number_ends_a_run_and_keeps_its_checkpoint(small, tmp_path, monkeypatch):
    at_step(monkeypatch, 3, lambda found: found * float("nan"))
    with pytest.raises(TrainingError, match="At step 3 of 4 the loss is nan.*Lower --learning-rate"):
        train(run_dir=tmp_path / "run", precision="fp32", **small)
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-2" / "model.safetensors").is_file()


def test_ctrl_c_while_trackers_take_their_files_says_that_the_run_is_complete(small, run, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trackers, "artifacts", interrupted)
    with pytest.raises(InterruptedTrainingError, match="is complete"):
        train(run_dir=tmp_path / "run", **small)
    assert (tmp_path / "run" / "manifest.json").is_file()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == run.metrics


def test_texts_of_a_word_are_pointed_out(tiny_encoder, tmp_path, caplog):
    path = tmp_path / "ratings.csv"
    characters = "abcdefghijklmnopqrstuvwxyz0123456789!#%&()*+-./:;<=>?@[]^_{|}"
    rows = [f'"{one} {other}",{"pn"[n % 2]}' for n, (one, other) in enumerate(pairwise(characters))]
    path.write_text("\n".join(["text,label", *rows]))
    with caplog.at_level(logging.WARNING, logger="matinee"):
        train(path, encoder=str(tiny_encoder), run_dir=tmp_path / "run", epochs=1)
    (line,) = [record.getMessage() for record in caplog.records if "shorter than" in record.getMessage()]
    assert line == (
        "All 42 training texts are shorter than 3 tokens (the longest has 2): there is little to learn from. "
        "Is --text-column the right one?"
    )


def test_bf16_that_the_machine_lacks_is_refused_before_anything_is_made(small, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.raises(SettingsError, match="--precision bf16: this machine has no arithmetic for it"):
        train(run_dir=tmp_path / "run", precision="bf16", **small)
    assert not (tmp_path / "run").exists()
