"""`torchrun -m matinee train`: a run like any other, by two processes; killed, stopped and resumed by another number."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "matinee")
# fmt: off
ACCELERATE = (
    sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
    "--mixed_precision", "bf16", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "matinee",
)
# fmt: on
ALONE = (sys.executable, "-m", "matinee")

# 65 texts leave one for the last of 9 steps, 17 do not divide either.
SETTINGS = (
    *("--train-size", "65", "--validation-size", "17", "--test-size", "16", "--epochs", "4", "--batch-size", "8"),
    *("--max-length", "48", "--learning-rate", "1e-3", "--precision", "fp32", "--dropout", "0"),
)


class Training:
    """`matinee train` by some processes."""

    def __init__(self, folder, csv, encoder, *settings):
        self.run_dir = folder
        self.new = ["train", str(csv), "--encoder", str(encoder), "--run-dir", str(folder), *SETTINGS, *settings]
        self.again = ["train", "--resume", str(folder)]

    def start(self, launcher, *arguments):
        return subprocess.Popen(
            [*launcher, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def finish(self, launcher, *arguments):
        """Run to the end; return standard output and error."""
        process = self.start(launcher, *arguments)
        output, errors = outcome(process, 240)
        assert process.returncode == 0, errors
        return output, errors

    def cut_off(self, launcher, signal_):
        """Start, call `signal_(process)` once there is a checkpoint and a step after it, return (exit code, standard error)."""
        process = self.start(launcher, *self.new)
        try:
            deadline = time.monotonic() + 120
            while self.steps() < 11 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            assert process.poll() is None
            signal_(process)
        finally:
            _, errors = outcome(process, 60)
        return process.returncode, errors

    def history(self):
        return [json.loads(line) for line in (self.run_dir / "history.jsonl").read_text().splitlines()]

    def steps(self):
        """Return the last step in the history; it is rewritten as training goes."""
        try:
            return self.history()[-1]["step"]
        except (OSError, IndexError):
            return -1

    def scores(self):
        return json.loads((self.run_dir / "metrics.json").read_text())["test"]

    def weights(self):
        return load_file(self.run_dir / "model" / "model.safetensors")

    def is_complete(self):
        return (self.run_dir / "manifest.json").is_file()

    def n_processes(self):
        return json.loads((self.run_dir / "environment.json").read_text())["processes"]


def outcome(process, seconds):
    """Return standard output and error of a process that ends in time; one that does not is stopped, with all that it started."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # torchrun gives each of its processes a session of its own, and ends them when it is asked to end.
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=60)
        raise


def process_of(process, rank):
    """Return the id of the process of a rank that torchrun started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            started = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == process.pid and f"RANK={rank}".encode() in started:
            return int(folder.name)
    raise AssertionError(f"torchrun has no process {rank}")


@pytest.fixture(scope="module")
def one(tmp_path_factory, tiny_csv, tiny_encoder):
    training = Training(tmp_path_factory.mktemp("runs") / "one", tiny_csv, tiny_encoder)
    training.finish(ALONE, *training.new)
    return training


@pytest.fixture
def training(tmp_path, tiny_csv, tiny_encoder):
    return Training(tmp_path / "run", tiny_csv, tiny_encoder)


def alike(ours, theirs):
    """Both are complete, took the same steps to the same losses, and say the same of the test texts."""
    assert ours.is_complete()
    assert [row.keys() for row in ours.history()] == [row.keys() for row in theirs.history()]
    for row, other in zip(ours.history(), theirs.history(), strict=True):
        for key, value in other.items():
            assert row[key] == pytest.approx(value, rel=1e-3, abs=1e-4), (row["step"], key)
    for name in ("accuracy", "log_loss", "brier"):
        assert ours.scores()[name]["value"] == pytest.approx(theirs.scores()[name]["value"], abs=1e-4)
    for name, values in theirs.weights().items():
        np.testing.assert_allclose(ours.weights()[name], values, rtol=1e-3, atol=2e-4)


def test_two_processes_leave_the_run_of_one(training, one):
    output, errors = training.finish(TORCHRUN, *training.new)
    alike(training, one)
    assert (one.n_processes(), training.n_processes()) == (1, 2)
    files = [sorted(p.relative_to(t.run_dir) for p in t.run_dir.rglob("*") if p.is_file()) for t in (training, one)]
    unnamed = [[path for path in of if "tensorboard" not in path.parts] for of in files]
    assert unnamed[0] == unnamed[1]
    # The second process says nothing: each line comes once.
    assert output.count("Run folder:") == errors.count("Epoch 3: validation") == errors.count("Computing on") == 1
    assert "2 processes with" in errors
    assert not [line for line in errors.splitlines() if "process 1" in line]


def test_accelerate_launches_it_too_in_the_precision_that_matinee_was_told(training, one):
    output, _ = training.finish(ACCELERATE, *training.new)
    alike(training, one)
    assert training.n_processes() == 2
    assert output.count("Run folder:") == 1


def test_the_second_process_stays_out_of_a_linear_training(tmp_path, tiny_csv):
    training = Training(tmp_path / "run", tiny_csv, "tfidf")
    output, _ = training.finish(TORCHRUN, *training.new)
    assert training.is_complete()
    assert output.count("Run folder:") == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_killed_and_resumed_by_one(training, one, rank):
    began = time.monotonic()
    code, errors = training.cut_off(TORCHRUN, lambda process: os.kill(process_of(process, rank), signal.SIGKILL))
    assert code != 0
    assert time.monotonic() - began < 180, "the other process waited for it"
    assert "a bug in matinee" not in errors
    assert not training.is_complete()
    training.finish(ALONE, *training.again)
    alike(training, one)
    assert training.n_processes() == 1


def test_one_killed_and_resumed_by_two(training, one):
    code, _ = training.cut_off(ALONE, lambda process: process.kill())
    assert code == -signal.SIGKILL
    training.finish(TORCHRUN, *training.again)
    alike(training, one)
    assert training.n_processes() == 2


def test_ctrl_c_stops_both_after_the_same_step_and_two_go_on_to_the_same_weights(tmp_path, tiny_csv, tiny_encoder):
    dropped = ("--dropout", "0.1", "--attention-dropout", "0.1")
    whole = Training(tmp_path / "whole", tiny_csv, tiny_encoder, *dropped)
    cut = Training(tmp_path / "cut", tiny_csv, tiny_encoder, *dropped)
    whole.finish(TORCHRUN, *whole.new)
    code, errors = cut.cut_off(TORCHRUN, lambda process: process.send_signal(signal.SIGINT))
    assert code != 0
    assert errors.count("the state is saved. Continue with `matinee train --resume") == 1
    cut.finish(TORCHRUN, *cut.again)
    assert whole.weights().keys() == cut.weights().keys()
    assert all((values == whole.weights()[name]).all() for name, values in cut.weights().items())
    assert whole.scores() == cut.scores()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch-size", "15"], "--batch-size must be a multiple of the number of processes, 2, got 15"),
        (["--learning-rate", "-1"], "--learning-rate"),
    ],
)
def test_what_is_wrong_is_said_once(training, arguments, said):
    process = training.start(TORCHRUN, *training.new, *arguments)
    _, errors = outcome(process, 120)
    lines = [line for line in errors.splitlines() if line.startswith("matinee:")]
    assert process.returncode != 0
    assert len(lines) == 1
    assert said in lines[0]
    assert not training.run_dir.exists()


def run_script(folder, text, *arguments):
    """Have two processes run a Python script; return exit code, standard output and error."""
    script = folder / "script.py"
    script.write_text(text)
    process = subprocess.Popen(
        [*TORCHRUN[:-2], str(script), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    output, errors = outcome(process, 120)
    return process.returncode, output, errors


TWICE = """
import sys, matinee

csv, folder = sys.argv[1:]
for name in "ab":
    matinee.train(csv, encoder="tfidf", test_size=24, run_dir=f"{folder}/{name}")
"""


def test_a_script_that_trains_twice_is_told_so_and_does_not_wait(tmp_path, tiny_csv):
    code, _, errors = run_script(tmp_path, TWICE, tiny_csv, tmp_path)
    assert code != 0
    assert "2 processes train together once for each launch" in errors
    assert (tmp_path / "a" / "manifest.json").is_file()
    assert not (tmp_path / "b").exists()


CATCHES = """
import gc, os, sys, time
from pathlib import Path
import matinee
from matinee.core.errors import StorageError, TrainingError
from matinee.core.ranks import is_helper
from matinee.training.trainer import FineTuner

csv, encoder, folder, what = sys.argv[1:]
compute_piece, evaluate = FineTuner.compute_piece, FineTuner.evaluate


def piece(trainer, *given):
    loss = compute_piece(trainer, *given)
    if trainer.state.global_step == 12:
        if what == "the first has no disk" and not is_helper():
            raise StorageError("No space left.")
        if what == "no number" and is_helper():
            return loss * float("nan")
        if what == "a gradient runs over" and is_helper():
            next(weight.grad for weight in trainer.model.parameters() if weight.grad is not None).fill_(float("inf"))
    return loss


def scores(trainer, *given, **more):
    if what == "the second has no memory to evaluate" and is_helper() and trainer.state.global_step:
        raise TrainingError("Out of memory while evaluating.")
    return evaluate(trainer, *given, **more)


FineTuner.compute_piece, FineTuner.evaluate = piece, scores
gc.disable()
note = Path(folder, "helper")
if is_helper():
    note.write_text(str(os.getpid()))
try:
    data = csv if what != "no data" else folder + "/nowhere.csv"
    matinee.train(data, encoder=encoder, train_size=65, validation_size=17, test_size=16, epochs=2, batch_size=8,
                  precision="fp32", run_dir=folder + "/run")
except matinee.MatineeError as error:
    kept = error
    print("caught:", error, flush=True)
deadline = time.monotonic() + 60
while Path("/proc", note.read_text(), "environ").exists() and time.monotonic() < deadline:
    time.sleep(0.05)
print("alone:", time.monotonic() < deadline, flush=True)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no number", "In process 1: At step 13 of 18 the loss is nan: training cannot go on. Lower --learning-rate"),
        ("a gradient runs over", "At step 13 of 18 the gradients are not finite: training cannot go on. Lower --learn"),
        ("the first has no disk", "No space left."),
        ("no data", "nowhere.csv"),
    ],
)
def test_a_script_that_catches_the_error_goes_on_in_its_first_process_alone(
    tmp_path, tiny_csv, tiny_encoder, what, said
):
    code, output, errors = run_script(tmp_path, CATCHES, tiny_csv, tiny_encoder, tmp_path, what)
    assert code == 0, errors
    caught, alone = output.splitlines()
    assert said in caught
    assert alone == "alone: True"
    assert "Traceback" not in errors


def test_what_the_first_process_cannot_know_the_second_says_and_its_script_does_not_go_on(
    tmp_path, tiny_csv, tiny_encoder
):
    what = "the second has no memory to evaluate"
    code, output, errors = run_script(tmp_path, CATCHES, tiny_csv, tiny_encoder, tmp_path, what)
    assert code != 0
    assert errors.count("matinee: process 1: Out of memory while evaluating.") == 1
    assert output.count("caught:") <= 1
    assert "caught: Out of memory" not in output


def test_other_commands_are_refused_in_a_line(training, tiny_csv):
    process = training.start(TORCHRUN, "search", str(tiny_csv), "--run-dir", str(training.run_dir))
    _, errors = outcome(process, 120)
    lines = [line for line in errors.splitlines() if line.startswith("matinee:")]
    assert process.returncode != 0
    assert len(lines) == 1
    assert "matinee search cannot be launched as 2 processes" in lines[0]
