"""Checkpoints: whole ones are found, few are kept, and a drive that goes away loses nothing."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch

from matinee.core import files
from matinee.core.errors import RunError, UnreachableError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.model.classifier import build_classifier
from matinee.training.checkpoints import drop_old, keep_weights_only, latest_checkpoint, load_weights
from matinee.training.fit import fit

LABELS = ("negative", "positive")
STEPS = 3  # in an epoch


@pytest.fixture(scope="module")
def splits(tokenized):
    return tokenized(0, 48), tokenized(64, 80)


def model_of(folder):
    torch.manual_seed(0)
    return build_classifier(folder, ModelSettings(), LABELS)


def fitted(folder, splits, model, **values):
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    settings = resolve(Layer({"batch_size": 16, "epochs": 3, "learning_rate": 1e-3, "patience": 0, **values})).training
    torch.manual_seed(0)
    fit(model, *splits, settings, label_names=LABELS, pad_id=0, precision="fp32", run=run)
    return run


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_encoder, splits):
    """A training that nothing happened to, with its averaged weights: its model and run."""
    model = model_of(tiny_encoder)
    return model, fitted(tmp_path_factory.mktemp("runs") / "whole", splits, model, keep_checkpoints=5)


@pytest.fixture
def checkpoints(whole, tmp_path):
    """The checkpoints of that training after steps 3 and 6: it was cut off in its third epoch."""
    folder = shutil.copytree(whole[1].checkpoints, tmp_path / "checkpoints")
    shutil.rmtree(folder / "checkpoint-9")
    # The oldest of three has lost what a resume needs.
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors"):
        shutil.copy(folder / "checkpoint-6" / name, folder / "checkpoint-3" / name)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("steps", "keep", "best", "left", "resumable"),
    [
        ([3, 6, 9], 2, 3, [3, 9], [3, 9]),
        ([3, 6, 9], 2, 9, [6, 9], [6, 9]),
        ([3, 6, 9], 2, None, [6, 9], [6, 9]),
        ([3, 6, 9], 1, 6, [6, 9], [9]),
        ([3, 6, 9], 1, 9, [9], [9]),
        ([3, 6, 9, 12], 3, 3, [3, 9, 12], [9, 12]),
        ([3, 6, 9, 12], 9, 3, [3, 6, 9, 12], [9, 12]),
        ([3, 6, 9], 4, 6, [3, 6, 9], [6, 9]),
        ([3, 6], 3, 0, [3, 6], [3, 6]),
        ([3], 2, 0, [3], [3]),
        ([99, 100], 1, 0, [100], [100]),
    ],
)
def test_the_newest_and_the_best_stay_and_what_is_not_resumed_from_keeps_weights_alone(
    tmp_path, steps, keep, best, left, resumable
):
    for step in steps:
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in (
            "model.safetensors",
            "averaged.safetensors",
            "optimizer.pt",
            "rng_state.pth",
            "trainer_state.json",
        ):
            (folder / name).write_text("x")
    drop_old(tmp_path, keep, best)
    assert {int(name.split("-")[1]) for name in names(tmp_path)} == set(left)
    for step in left:
        kept = {"averaged.safetensors", "trainer_state.json"}
        more = {"model.safetensors", "optimizer.pt", "rng_state.pth"} if step in resumable else set()
        assert set(names(tmp_path / f"checkpoint-{step}")) == kept | more


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_training_keeps_as_many_as_it_is_told(tmp_path, tiny_encoder, splits, keep, whole):
    model = model_of(tiny_encoder)
    run = fitted(tmp_path / "run", splits, model, keep_checkpoints=keep)
    steps = {int(path.name.split("-")[1]) for path in run.checkpoints.iterdir()}
    best = json.loads((run.checkpoints / f"checkpoint-{max(steps)}" / "trainer_state.json").read_text())[
        "best_global_step"
    ]
    assert {best, 9} <= steps
    assert len(steps) <= max(keep, len({best, 9}))
    assert torch.equal(weights(model), weights(whole[0]))


def test_the_newest_whole_checkpoint_is_found(checkpoints):
    assert latest_checkpoint(checkpoints) == checkpoints / "checkpoint-6"
    assert names(checkpoints) == ["checkpoint-3", "checkpoint-6"]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
)
@pytest.mark.parametrize("how", ["half", "missing", "empty"])
def test_one_that_is_not_whole_is_never_taken_for_whole(checkpoints, name, how):
    path = checkpoints / "checkpoint-6" / name
    if how == "missing":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2 if how == "half" else 0)
    assert latest_checkpoint(checkpoints) == checkpoints / "checkpoint-3"
    # What is left behind it would be taken for the newest later on.
    assert names(checkpoints) == ["checkpoint-3"]


def test_one_that_only_keeps_its_weights_is_not_resumed_from(checkpoints):
    (checkpoints / "checkpoint-3" / "optimizer.pt").unlink()
    shutil.rmtree(checkpoints / "checkpoint-6")
    assert latest_checkpoint(checkpoints) is None
    assert names(checkpoints) == []


def test_nothing_is_removed_where_it_cannot_be_told_what_is_whole(checkpoints, monkeypatch):
    read = Path.read_text

    def broken(self, *arguments, **options):
        if self.parent.name == "checkpoint-6":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", broken)
    with pytest.raises(UnreachableError, match="nothing was changed"):
        latest_checkpoint(checkpoints)
    assert names(checkpoints) == ["checkpoint-3", "checkpoint-6"]


def test_of_a_complete_run_the_weights_alone_are_left(whole, tmp_path, tiny_encoder):
    folder = shutil.copytree(whole[1].checkpoints, tmp_path / "checkpoints")
    before = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    keep_weights_only(folder)
    for checkpoint in folder.iterdir():
        assert names(checkpoint) == ["averaged.safetensors", "trainer_state.json"]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < before / 3
    assert latest_checkpoint(folder) == folder / "checkpoint-9", (
        "all that comes after training can still be done from it"
    )
    model = model_of(tiny_encoder)
    load_weights(model, folder / "checkpoint-9")


def test_damaged_weights_are_one_line_and_a_drive_that_is_away_is_not_damage(checkpoints, tiny_encoder, tmp_path):
    model = model_of(tiny_encoder)
    os.truncate(checkpoints / "checkpoint-6" / "averaged.safetensors", 100)
    with pytest.raises(RunError, match="are damaged"):
        load_weights(model, checkpoints / "checkpoint-6")
    (checkpoints / "checkpoint-6" / "averaged.safetensors").unlink()
    (checkpoints / "checkpoint-6" / "model.safetensors").unlink()
    with pytest.raises(RunError, match="are damaged"):
        load_weights(model, checkpoints / "checkpoint-6")
    checkpoints.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        load_weights(model, checkpoints / "checkpoint-6")


class Drive:
    """A folder that goes away in the middle of a training: renamed before the given step, by a hook on the model."""

    def __init__(self, folder, model, step):
        self.folder, self.elsewhere, self.step, self.n_steps = folder, folder.with_name("elsewhere"), step, 0
        model.head.register_forward_hook(self.after)

    def after(self, module, inputs, output):
        self.n_steps += module.training
        if self.n_steps == self.step and module.training:
            self.folder.rename(self.elsewhere)

    def come_back(self):
        shutil.rmtree(self.folder, ignore_errors=True)  # trackers write into what they made anew
        self.elsewhere.rename(self.folder)


def test_a_drive_that_comes_back_loses_nothing(tmp_path, tiny_encoder, splits, whole, monkeypatch, caplog):
    monkeypatch.setattr(files, "_PAUSES", (0.02,) * 500)
    model = model_of(tiny_encoder)
    drive = Drive(tmp_path / "run", model, step=5)
    warned = threading.Event()

    class Listening(logging.Handler):
        def emit(self, record):
            if "Trying again" in record.getMessage():
                warned.set()

    def bring_back():
        warned.wait(60)
        time.sleep(0.1)
        drive.come_back()

    thread = threading.Thread(target=bring_back)
    thread.start()
    handler = Listening()
    logging.getLogger("matinee").addHandler(handler)
    try:
        run = fitted(tmp_path / "run", splits, model)
    finally:
        logging.getLogger("matinee").removeHandler(handler)
        thread.join()
    assert torch.equal(weights(model), weights(whole[0]))
    assert run.read_history() == whole[1].read_history()
    messages = [record.getMessage() for record in caplog.records]
    assert sum("Trying again" in message for message in messages) == 1
    assert sum("history.jsonl cannot be written now" in message for message in messages) == 1


def test_a_drive_that_stays_away_is_a_clear_line_and_training_goes_on_once_it_is_back(
    tmp_path, tiny_encoder, splits, whole, monkeypatch
):
    monkeypatch.setattr(files, "_PAUSES", (0.01, 0.01))
    model = model_of(tiny_encoder)
    drive = Drive(tmp_path / "run", model, step=5)
    with pytest.raises(UnreachableError) as raised:
        fitted(tmp_path / "run", splits, model)
    message = str(raised.value)
    assert "could not be reached for 0 seconds: No such file or directory" in message
    assert f"`matinee train --resume {tmp_path / 'run'}` goes on from the last whole checkpoint" in message
    assert raised.value.exit_code == 2
    drive.come_back()
    assert names(tmp_path / "run" / "checkpoints") == ["checkpoint-3"]
    resumed = model_of(tiny_encoder)
    run = fitted(tmp_path / "run", splits, resumed)
    assert torch.equal(weights(resumed), weights(whole[0]))
    evaluations = [[row for row in of.read_history() if "eval_loss" in row] for of in (run, whole[1])]
    assert evaluations[0] == evaluations[1]
