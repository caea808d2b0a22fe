"""A training that is cut off goes on to the same weights, bit for bit: real processes, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.numpy import load_file

from matinee.model.precision import choose_precision

pytestmark = pytest.mark.slow

# Slow enough that a signal finds it under way: 64 texts in batches of 4 are 16 steps an epoch.
SETTINGS = (
    *("--train-size", "64", "--validation-size", "16", "--test-size", "16", "--epochs", "4", "--batch-size", "4"),
    *("--max-length", "48", "--learning-rate", "1e-3", "--precision", "fp32", "--dropout", "0.1"),
)


class Training:
    """`matinee train` in a process of its own."""

    def __init__(self, folder, csv, encoder):
        self.run_dir = folder
        self.new = ["train", str(csv), "--encoder", str(encoder), "--run-dir", str(folder), *SETTINGS]

    def start(self, *arguments):
        command = [sys.executable, "-c", "from matinee.cli.main import main; main()", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, *arguments):
        process = self.start(*(arguments or self.new))
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return output

    def resume(self):
        return self.finish("train", "--resume", str(self.run_dir))

    def cut_off(self, when, number):
        """Start, send a signal once `when()` holds, and return (exit code, standard error)."""
        process = self.start(*self.new)
        deadline = time.monotonic() + 240
        while not when() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        assert process.poll() is None, f"it was over before the signal: {process.communicate()[1]}"
        os.kill(process.pid, number)
        return process.wait(timeout=120), process.communicate()[1]

    def steps(self):
        """Return the last step in the history; it is rewritten as training goes."""
        try:
            rows = (self.run_dir / "history.jsonl").read_text().splitlines()
        except OSError:
            return -1
        return json.loads(rows[-1])["step"] if rows else -1

    def has_checkpoint(self, number):
        return len(list(self.run_dir.glob("checkpoints/checkpoint-*/trainer_state.json"))) >= number

    def weights(self):
        return {
            f"{path.name}/{name}": array.tobytes()
            for path in sorted((self.run_dir / "model").glob("*.safetensors"))
            for name, array in load_file(path).items()
        }

    def evaluations(self):
        """Return the history's validation rows."""
        rows = [json.loads(line) for line in (self.run_dir / "history.jsonl").read_text().splitlines()]
        return [row for row in rows if "eval_loss" in row]

    def results(self):
        return json.loads((self.run_dir / "metrics.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, tiny_csv, tiny_encoder):
    training = Training(tmp_path_factory.mktemp("runs") / "whole", tiny_csv, tiny_encoder)
    training.finish()
    return training


@pytest.fixture
def training(tmp_path, tiny_csv, tiny_encoder):
    return Training(tmp_path / "cut", tiny_csv, tiny_encoder)


def same(one, other):
    assert one.weights() == other.weights()
    assert len(one.weights()) > 10
    assert one.results() == other.results()
    assert (one.run_dir / "manifest.json").is_file()


def test_killed_in_the_middle_and_resumed(training, uninterrupted):
    code, _ = training.cut_off(lambda: training.has_checkpoint(1) and training.steps() >= 24, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (training.run_dir / "manifest.json").exists()
    training.resume()
    same(training, uninterrupted)
    assert training.evaluations() == uninterrupted.evaluations()


def test_killed_before_the_first_checkpoint_and_resumed(training, uninterrupted):
    training.cut_off(lambda: training.steps() >= 2, signal.SIGKILL)
    training.resume()
    same(training, uninterrupted)


def test_a_half_written_checkpoint_is_thrown_away(training, uninterrupted):
    training.cut_off(lambda: training.has_checkpoint(2), signal.SIGKILL)
    newest = max(training.run_dir.glob("checkpoints/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    state = newest / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    training.resume()
    same(training, uninterrupted)


def test_ctrl_c_saves_stops_and_says_how_to_go_on(training, uninterrupted):
    code, errors = training.cut_off(lambda: training.steps() >= 20, signal.SIGINT)
    assert code == 130
    assert f"matinee train --resume {training.run_dir}" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert training.has_checkpoint(1)
    training.resume()
    same(training, uninterrupted)


def test_ctrl_c_before_training_leaves_a_run_to_resume(training, uninterrupted):
    code, errors = training.cut_off((training.run_dir / "data.json").exists, signal.SIGINT)
    assert code == 130, errors
    assert f"matinee train --resume {training.run_dir}" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    training.resume()
    same(training, uninterrupted)


def test_a_run_that_moved_is_resumed(training, uninterrupted, tmp_path):
    training.cut_off(lambda: training.has_checkpoint(2), signal.SIGKILL)
    training.run_dir = training.run_dir.rename(tmp_path / "moved")
    training.resume()
    same(training, uninterrupted)


def finished_but_cut_off(training):
    """Make a whole run look as if it had been killed between the end of training and the end of the run."""
    for name in ("manifest.json", "metrics.json", "predictions.parquet"):
        (training.run_dir / name).unlink()
    shutil.rmtree(training.run_dir / "model")


@pytest.mark.parametrize(
    "more",
    [(), ("--patience", "1", "--learning-rate", "0.2", "--epochs", "8"), ("--epochs", "1.5")],
    ids=["all steps", "stopped early", "a share of an epoch"],
)
def test_a_training_that_was_over_is_not_taken_up_again(tmp_path, tiny_csv, tiny_encoder, more):
    training = Training(tmp_path / "run", tiny_csv, tiny_encoder)
    training.new += more
    training.finish()
    weights, results, history = training.weights(), training.results(), training.evaluations()
    finished_but_cut_off(training)
    training.resume()
    assert training.weights() == weights
    assert training.results() == results
    assert training.evaluations() == history


def test_killed_with_accumulated_gradients_and_resumed(tmp_path, tiny_csv, tiny_encoder):
    whole, cut = (Training(tmp_path / name, tiny_csv, tiny_encoder) for name in ("whole", "cut"))
    for training in (whole, cut):
        training.new += ("--gradient-accumulation", "3", "--epochs", "6")
    whole.finish()
    cut.cut_off(lambda: cut.has_checkpoint(1) and cut.steps() >= 8, signal.SIGINT)
    cut.resume()
    same(cut, whole)


EVERYTHING = (
    *("--freeze", "1", "--augment", "swap:0.2", "--augment", "delete", "--augment", "mixup", "--batch-tokens", "128"),
    *("--long", "windows", "--max-length", "16", "--max-windows", "3", "--window-pooling", "attention"),
    *("--pooling", "attention", "--multi-sample-dropout", "2", "--r-drop", "0.5", "--label-smoothing", "0.1"),
    *("--loss", "focal", "--class-weights", "balanced", "--layer-decay", "0.8", "--averaging", "0.5"),
    *("--gradient-accumulation", "3", "--gradient-checkpointing", "--attention-dropout", "0.1", "--epochs", "6"),
    *("--selection-metric", "f1", "--keep-checkpoints", "1"),
)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_killed_with_every_feature_on_and_resumed(tmp_path, tiny_csv, tiny_encoder, precision):
    if precision == "bf16" and choose_precision("auto", torch.device("cpu")) != "bf16":
        pytest.skip("this processor has no bf16")
    whole, cut = (Training(tmp_path / name, tiny_csv, tiny_encoder) for name in ("whole", "cut"))
    for training in (whole, cut):
        training.new += (*EVERYTHING, "--precision", precision)
    whole.finish()
    cut.cut_off(lambda: cut.has_checkpoint(1) and cut.steps() >= 8, signal.SIGKILL)
    cut.resume()
    same(cut, whole)
    assert cut.evaluations() == whole.evaluations()


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, tiny_csv, tiny_encoder):
    """A limit on the size of files stands in for a full disk: torch and safetensors meet it in their own ways."""
    training = Training(tmp_path / "run", tiny_csv, tiny_encoder)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
        "from matinee.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *training.new, "--quiet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "Cannot write" in line
    assert "Free some room" in line
    assert not training.run_dir.exists()


def test_data_that_changed_meanwhile_is_refused(tmp_path, tiny_csv, tiny_encoder):
    own = tmp_path / "reviews.csv"
    own.write_text(tiny_csv.read_text())
    training = Training(tmp_path / "cut", own, tiny_encoder)
    training.cut_off(lambda: training.steps() >= 2, signal.SIGKILL)
    own.write_text(own.read_text().replace("wonderful", "marvellous"))
    process = training.start("train", "--resume", str(training.run_dir))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "no longer what it was" in errors
