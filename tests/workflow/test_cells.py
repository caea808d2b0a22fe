"""Cells in processes of their own: what is measured, what is left, and what becomes of one that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matinee.core.interruption import interrupts_held
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.types import Predictions
from matinee.evaluation import read_predictions
from matinee.workflow.cells import Cell, _seconds_of_predicting, _why, read_result, run_apart
from matinee.workflow.fitting import seconds_of_learning
from matinee.workflow.train import train

SMALL = {"train_size": 24, "validation_size": 12, "test_size": 24, "max_length": 32, "batch_size": 8, "track": None}
PROGRAM = "import sys; from matinee.workflow.cells import main; sys.exit(main())"


@pytest.fixture
def cell(tiny_csv, tiny_encoder, tmp_path):
    """Make a cell of the tiny encoder, or of another one."""

    def make(encoder=None, **more):
        values = {"data": str(tiny_csv), "encoder": encoder or str(tiny_encoder), "epochs": 1, **SMALL, **more}
        settings = json.loads(json.dumps(resolve(Layer(values)).flat()))
        return Cell(encoder or "tiny", 24, 0, tmp_path / "cells" / "tiny-24-0", settings)

    return make


def run(cell, watched=lambda said: None, **how):
    return run_apart(cell, **{"offline": True, "keep_model": False, **how}, watched=watched)


def children():
    """Return the ids of this process's children."""
    tasks = Path(f"/proc/{os.getpid()}/task")
    return [int(number) for task in tasks.iterdir() for number in (task / "children").read_text().split()]


def end_when(word, number):
    """Send a signal to the cell's process once it has said a word."""
    sent = []

    def watched(said):
        if word in said and not sent:
            for child in children():
                os.kill(child, number)
            sent.append(said)

    return watched


def test_a_cell_is_measured_and_its_model_dropped(cell):
    said = []
    one = cell()
    result = run(one, said.append)
    folder = RunFolder(one.folder)
    assert result["state"] == "complete"
    scores = json.loads(folder.metrics.read_text())["test"]
    for name in ("accuracy", "f1", "log_loss", "ece"):
        assert result[name] == {key: scores[name][key] for key in ("value", "low", "high")}
    assert result["training_seconds"] == pytest.approx(
        sum(result["seconds"][stage] for stage in ("tokenising", "fitted head", "fine-tuning", "calibrating")), abs=0.05
    )
    assert result["texts_per_second"] > 0
    assert 100 < result["peak_memory_mb"] < 20_000
    assert result["model_mb"] > 0.1
    assert result["process_seconds"] > result["training_seconds"]
    data = json.loads(folder.data.read_text())["splits"]
    assert result["fingerprints"] == {name: data[name]["fingerprint"] for name in ("train", "test")}
    assert not folder.model.exists()
    assert not folder.checkpoints.exists()
    assert not any(path.exists() for path in (folder.analysis, folder.report, folder.figures))
    ((key, kept),) = read_predictions(folder.predictions).items()
    assert key == ("test", "classifier")
    assert isinstance(kept, Predictions)
    assert set(kept.texts) == {""}
    assert float((kept.predicted == kept.labels).mean()) == result["accuracy"]["value"]
    assert kept.token_lengths.min() > 0
    folder.check_complete()
    assert not any("model/" in name for name in folder.read_json(folder.manifest)["files"])
    assert read_result(one) == result
    assert not one.log.exists()
    assert any(said)


def test_a_linear_one_has_a_speed_too_and_may_keep_its_model(cell):
    one = cell("nblr")
    result = run(one, keep_model=True)
    assert result["state"] == "complete"
    assert result["texts_per_second"] > 0
    assert result["training_seconds"] == pytest.approx(result["seconds"]["fitting"], abs=0.01)
    folder = RunFolder(one.folder)
    assert folder.model.is_dir()
    assert folder.report.is_file()
    assert all(read_predictions(folder.predictions)["test", "classifier"].texts)


class Clock:
    """Time that passes only while something is predicted: the first time long, for all that has to be loaded."""

    def __init__(self, monkeypatch, seconds, *, n_texts=100, each=0.001):
        self.now, self.asked, self.each, self.seconds = 0.0, [], each, seconds
        self.test = Predictions(["0"] * n_texts, [""] * n_texts, np.ones((n_texts, 1)), ("a",))
        monkeypatch.setattr("matinee.workflow.cells.time.perf_counter", lambda: self.now)

    def predict(self, texts):
        self.now += self.each * len(texts) if self.asked else 60.0
        self.asked.append(len(texts))


def test_what_is_over_soon_is_timed_warm_and_for_long_enough(monkeypatch):
    run_ = Clock(monkeypatch, {"predicting": 0.4})
    assert _seconds_of_predicting(run_) == pytest.approx(0.1)
    assert run_.asked[0] < 100
    assert sum(run_.asked[1:]) >= 500


def test_of_many_texts_some_are_timed(monkeypatch):
    run_ = Clock(monkeypatch, {}, n_texts=10_000)
    assert _seconds_of_predicting(run_) == pytest.approx(10.0)
    assert sum(run_.asked) < 3000


def test_what_took_long_is_believed(monkeypatch):
    run_ = Clock(monkeypatch, {"predicting": 7.0})
    assert _seconds_of_predicting(run_) == 7.0
    assert run_.asked == []


def test_one_that_is_killed_is_a_failed_cell_and_can_be_run_again(cell):
    one = cell("tfidf")
    result = run(one, end_when("Dataset", signal.SIGKILL))
    assert (result["state"], result["accuracy"]) == ("failed", None)
    assert result["reason"] == "it was killed (SIGKILL): most likely memory ran out"
    assert read_result(one) == result
    assert "Dataset" in one.log.read_text()
    assert run(one)["state"] == "complete"


def test_what_a_person_can_put_right_is_the_reason(cell):
    result = run(cell(max_length=4096))
    assert result["state"] == "failed"
    assert result["reason"].startswith("--max-length must be at most 512")
    assert result["kind"] == "SettingsError"


@pytest.mark.slow
def test_ctrl_c_lets_it_stop_at_a_safe_place_and_it_is_taken_up_again(cell):
    one = cell(epochs=400, learning_rate=1e-5, patience=0)

    def press(said):
        if said.startswith("Epoch 1"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), interrupts_held():
        run(one, press)
    folder = RunFolder(one.folder)
    assert folder.is_run
    assert not folder.is_complete
    assert list(folder.checkpoints.glob("checkpoint-*"))
    assert read_result(one) is None
    (folder.path / "config.yaml").write_text(folder.config.read_text().replace("epochs: 400.0", "epochs: 10.0"))
    result = run(one)
    assert result["state"] == "complete"
    assert result["training_seconds"] is None  # nobody knows how long all of it took
    assert not folder.checkpoints.exists()


def test_an_unfinished_run_that_cannot_be_gone_on_with_is_started_anew(cell):
    one = cell("tfidf")
    folder = RunFolder(one.folder)
    train(**{**one.settings, "test_size": 20}, run_dir=folder.path)
    folder.manifest.unlink()
    folder.config.write_text("encoder: [")
    assert run(one)["state"] == "complete"
    assert len(read_predictions(folder.predictions)["test", "classifier"]) == 24


@pytest.mark.slow
def test_a_cell_ends_with_whoever_waits_for_it(cell):
    one = cell(epochs=1000, patience=0)
    job = {
        "folder": str(one.folder), "result": str(one.result), "settings": one.settings, "about": one.about(),
        "offline": True, "keep_model": False,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    for line in process.stderr:
        if line.startswith("Epoch 1:"):
            break
    process.stdin.close()
    for _ in process.stderr:
        pass
    process.stderr.close()
    assert process.wait() == 1
    assert not one.result.exists()


def test_how_a_process_ended_in_words(tmp_path):
    log = tmp_path / "log"
    log.write_text("one\nTwo went wrong.\n")
    assert _why(-15, "", log) == ("it was killed (SIGTERM)", "")
    assert _why(3, "", log) == ("its process ended with 3: Two went wrong.", "")
    assert _why(3, "", tmp_path / "none")[0] == "its process ended with 3: nothing was said"
    assert _why(1, 'noise\n{"error": "no room", "kind": "StorageError"}\n', log) == ("no room", "StorageError")
    assert _why(1, "noise\n17\n", log)[0] == "its process ended with 1: Two went wrong."


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (
            {
                "tokenising": 1.0,
                "fitted head": 2.0,
                "frozen baseline": 40.0,
                "fine-tuning": 3.0,
                "calibrating": 4.0,
                "baseline": 50.0,
                "report": 60.0,
            },
            10.0,
        ),
        ({"baseline": 5.0, "fitting": 7.0}, 7.0),
        ({"baseline": 5.0}, 4.5),
        ({"baseline": 0.1}, 0.0),
        ({"report": 3.0}, None),
    ],
)
def test_what_counts_as_training(seconds, expected):
    assert seconds_of_learning(seconds, predicting=0.5) == expected
