"""Trackers: what one promises, each against its own kind of store, and what becomes of training when one fails."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
import urllib.request
import warnings
from contextlib import suppress

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

import matinee
from matinee.core import hub
from matinee.core.errors import InterruptedTrainingError, NotAvailableError, SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.training.trackers import TRACKERS, Trackers, check_trackers, tracked
from matinee.training.trackers.mlflow import MLflow
from matinee.training.trackers.tensorboard import TensorBoard
from matinee.training.trackers.wandb import WeightsAndBiases

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU"
    b"\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)
ROWS = [
    {"step": 0, "epoch": 0.0, "eval_loss": 0.7},
    {"step": 8, "epoch": 0.5, "loss": 0.6},
    {"step": 16, "epoch": 1.0, "loss": 0.5},
    {"step": 16, "epoch": 1.0, "eval_loss": 0.55},
    {"step": 24, "epoch": 1.5, "loss": 0.4},
    {"step": 32, "epoch": 2.0, "loss": 0.3},
    {"step": 32, "epoch": 2.0, "eval_loss": 0.45},
]
POINTS = {(row["step"], name, row[name]) for row in ROWS for name in ("loss", "eval_loss") if name in row}


@pytest.fixture
def settings():
    return resolve(Layer({"data": "reviews.csv", "epochs": 2, "track": ["tensorboard"]}))


@pytest.fixture
def run(tmp_path):
    """A complete run's folder, as trackers see it."""
    run = RunFolder(tmp_path / "a-run")
    run.create(overwrite=False)
    for folder in (run.checkpoints, run.figures, run.model):
        folder.mkdir()
    (run.figures / "loss.png").write_bytes(PNG)
    (run.model / "weights.safetensors").write_bytes(b"weights")
    run.report.write_text("<p>a report</p>")
    return run


def add_checkpoint(run, step):
    """Add one that needs no optimizer's state, for it says that training was over."""
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir()
    save_file({"weight": np.zeros(1)}, folder / "model.safetensors")
    state = {"global_step": step, "max_steps": step, "stateful_callbacks": {}}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def log_rows(trackers, run, rows):
    """Log as a training does: the history first, which is rewritten as a whole."""
    for row in rows:
        before = [old for old in run.read_history() if (old["step"], set(old)) != (row["step"], set(row))]
        run.write_history([*(old for old in before if old["step"] <= row["step"]), row])
        trackers.log(row["step"], row)


def curves(kept):
    """Return what was kept, each time that it was; `epoch` may stand in several rows of a step."""
    return sorted(point for point in kept["points"] if point[1] != "epoch")


class TrackerContract:
    """Subclasses give `factory`, and `kept(run)`: a dict of settings, points, files, runs and status."""

    def test_it_is_registered(self):
        assert self.factory in TRACKERS.values()

    def test_settings_curves_and_results_are_kept(self, run, settings):
        tracker = self.factory()
        tracker.open(run, settings)
        log_rows(tracker_of(tracker), run, ROWS)
        tracker.log(32, {"test_accuracy": 0.875})
        tracker.artifacts(run)
        tracker.close("finished")
        kept = self.kept(run)
        assert kept["settings"]["epochs"] == "2.0"
        assert kept["settings"]["data"] == "reviews.csv"
        assert set(kept["settings"]) == set(settings.flat())
        assert curves(kept) == sorted([*POINTS, (32, "test_accuracy", 0.875)])
        assert "figures/loss.png" in kept["files"]
        if kept["takes_files"]:
            assert {"model/weights.safetensors", "report.html"} <= kept["files"]
        assert kept["status"] in ("finished", None)

    def test_a_training_that_goes_on_is_the_same_run_and_nothing_stands_twice(self, run, settings):
        killed = self.factory()
        killed.open(run, settings)
        log_rows(tracker_of(killed), run, ROWS[:5])  # on to step 24, with a checkpoint at 16
        self.kill(killed)
        add_checkpoint(run, 16)
        again = self.factory()
        again.open(run, settings)
        log_rows(tracker_of(again), run, ROWS[4:])
        again.close("finished")
        kept = self.kept(run)
        assert kept["runs"] == 1
        assert curves(kept) == sorted(POINTS)

    def test_one_killed_before_its_first_checkpoint_starts_over(self, run, settings):
        killed = self.factory()
        killed.open(run, settings)
        log_rows(tracker_of(killed), run, ROWS[:2])
        self.kill(killed)
        again = self.factory()
        again.open(run, settings)
        log_rows(tracker_of(again), run, ROWS)
        again.close("finished")
        kept = self.kept(run)
        assert kept["runs"] == 1
        assert curves(kept) == sorted(POINTS)

    @pytest.mark.parametrize("status", ["failed", "interrupted"])
    def test_how_it_ended(self, run, settings, status):
        tracker = self.factory()
        tracker.open(run, settings)
        tracker.close(status)
        assert self.kept(run)["status"] in (status, None)

    def kill(self, tracker):
        """Leave the tracker as a killed process does."""

    def settle(self):
        """Wait for what goes on beside the tracker."""

    def test_the_environment_is_left_as_it_was(self, run, settings):
        before = dict(os.environ)
        tracker = self.factory()
        tracker.open(run, settings)
        tracker.log(1, {"loss": 1.0})
        tracker.artifacts(run)
        tracker.close("finished")
        self.settle()
        assert dict(os.environ) == before


def tracker_of(tracker):
    return Trackers({"it": tracker})


class TestTensorBoard(TrackerContract):
    factory = TensorBoard

    def kill(self, tracker):
        tracker._events.close()

    def kept(self, run):
        from tensorboardX.proto.event_pb2 import SessionLog

        settings, points, files = {}, [], set()
        for event in self.events(run):
            if event.session_log.status == SessionLog.START:  # TensorBoard's own rule
                points = [point for point in points if point[0] < event.step]
            for value in event.summary.value:
                if value.tag == "settings/text_summary":
                    recipe = yaml.safe_load(textwrap.dedent(value.tensor.string_val[0].decode()))
                    settings |= {name: str(setting) for name, setting in recipe.items()}
                elif value.HasField("image"):
                    assert value.image.encoded_image_string[1:4] == b"PNG"
                    assert value.image.width == value.image.height == 1 or run.is_complete
                    files.add(f"{value.tag}.png")
                else:
                    name = value.tag.removeprefix("train/").replace("/", "_")
                    points.append((event.step, name, round(value.simple_value, 6)))
        return {
            "settings": settings,
            "points": points,
            "files": files,
            "runs": 1,
            "status": None,
            "takes_files": False,
        }

    def events(self, run):
        """Read the files as TFRecords: length, its checksum, data, its checksum."""
        from tensorboardX.proto.event_pb2 import Event

        for path in sorted(run.tensorboard.iterdir()):
            data, at = path.read_bytes(), 0
            while at < len(data):
                (length,) = struct.unpack_from("<Q", data, at)
                yield Event.FromString(data[at + 12 : at + 12 + length])
                at += 16 + length

    def test_a_linear_classifier_has_no_event_files(self, run):
        tracker = TensorBoard()
        tracker.open(run, resolve(Layer({"data": "reviews.csv", "encoder": "tfidf"})))
        tracker.log(0, {"test_accuracy": 1.0})
        tracker.artifacts(run)
        tracker.close("finished")
        assert not run.tensorboard.exists()

    def test_a_disk_that_is_full_is_an_error_at_once(self, run, settings):
        tracker = TensorBoard()
        tracker.open(run, settings)
        tracker._events.close()
        with pytest.raises(ValueError, match="closed file"):  # tensorboardX's own writer waits for ever in its tenth
            tracker.log(1, {"loss": 1.0})


@pytest.fixture
def own_mlflow(tmp_path, monkeypatch):
    """No address but what the test gives, and a working folder of its own."""
    pytest.importorskip("mlflow")
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class MLflowContract(TrackerContract):
    factory = MLflow

    def client(self):
        raise NotImplementedError

    def kept(self, run):
        client = self.client()
        run_id = json.loads(run.tracker("mlflow").read_text())["run_id"]
        found = client.get_run(run_id)
        history = [m for name in found.data.metrics for m in client.get_metric_history(run_id, name)]
        files, folders = set(), [None]
        while folders:
            for file in client.list_artifacts(run_id, folders.pop()):
                folders.append(file.path) if file.is_dir else files.add(file.path)
        assert found.info.run_name == run.path.name
        return {
            "settings": found.data.params,
            "points": [(m.step, m.key, m.value) for m in history],
            "files": files,
            "runs": len(client.search_runs([found.info.experiment_id])),
            "status": {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}[found.info.status],
            "takes_files": True,
        }


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """An empty SQLite store, made once: making the tables takes a second or two."""
    mlflow = pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("store")
    with warnings.catch_warnings(action="ignore"):
        mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


@pytest.mark.slow
@pytest.mark.usefixtures("own_mlflow")
class TestMLflowLocal(MLflowContract):
    @pytest.fixture(autouse=True)
    def _store(self, empty_store, tmp_path):
        shutil.copy(empty_store, tmp_path / "mlflow.db")
        self.address = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def client(self):
        from mlflow import MlflowClient

        return MlflowClient(self.address)

    def test_a_run_that_moved_with_its_user_finds_its_store(self, run, settings, tmp_path, monkeypatch):
        first = MLflow()
        first.open(run, settings)
        first.close("interrupted")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        again = MLflow()
        again.open(run, settings)
        again.close("finished")
        assert self.kept(run)["status"] == "finished"
        assert not list(elsewhere.iterdir())

    def test_nothing_is_printed(self, run, settings, capfd):
        tracker = MLflow()
        tracker.open(run, settings)
        tracker.log(1, {"loss": 1.0})
        tracker.close("finished")
        assert capfd.readouterr() == ("", "")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """`mlflow server` in a process group of its own, on a SQLite file."""

    def __init__(self, folder):
        self.address = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", self.address.rpartition(":")[2]]
        command += [
            "--backend-store-uri",
            f"sqlite:///{folder / 'server.db'}",
            "--artifacts-destination",
            str(folder / "files"),
        ]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.log = (folder / "server.log").open("wb")
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def wait(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the server does not answer: see {self.log.name}")

    def send(self, number):
        os.killpg(self.process.pid, number)

    def stop(self):
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("mlflow")
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("own_mlflow")
class TestMLflowServer(MLflowContract):
    @pytest.fixture(autouse=True)
    def _address(self, server, own_mlflow, monkeypatch, request):
        self.address = server.address
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)

    def client(self):
        from mlflow import MlflowClient

        return MlflowClient(self.address)

    def test_a_server_that_hangs_is_left_alone_and_gets_the_rest_later(
        self, run, settings, server, monkeypatch, caplog
    ):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        trackers = tracker_of(MLflow())
        trackers.open(run, settings)
        log_rows(trackers, run, ROWS[:2])
        server.send(signal.SIGSTOP)
        try:
            log_rows(trackers, run, ROWS[2:])
        finally:
            server.send(signal.SIGCONT)
        trackers.close("finished")
        (line,) = warnings_in(caplog)
        assert line.startswith("Tracker it failed, training goes on without it: ")
        monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
        again = MLflow()
        again.open(run, settings)
        again.close("finished")
        assert curves(self.kept(run)) == sorted(POINTS)

    def test_the_address_stays_out_of_the_run_folder(self, run, settings, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", self.address.replace("//", "//me:secret@"))
        tracker = MLflow()
        tracker.open(run, settings)
        tracker.close("finished")
        assert list(json.loads(run.tracker("mlflow").read_text())) == ["run_id"]


@pytest.fixture
def own_wandb(tmp_path, monkeypatch):
    """No account, no folder of the user's."""
    wandb = pytest.importorskip("wandb")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / f"wandb-{name.lower()}"))
    wandb.teardown()  # it reads its environment once
    yield
    wandb.teardown()


def wandb_records(path):
    """Read a run's file: after 7 bytes of its own, LevelDB's log format, in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(record)
            record = b""


@pytest.mark.slow
@pytest.mark.usefixtures("own_wandb")
class TestWeightsAndBiases(TrackerContract):
    factory = WeightsAndBiases

    def kill(self, tracker):
        tracker._run.finish(exit_code=1)  # one process can hold a run once
        time.sleep(1.1)  # its folder is named by the second

    def settle(self):
        import wandb

        wandb.teardown()

    def kept(self, run):
        self.settle()
        kept = {"settings": {}, "points": [], "files": set(), "status": None, "takes_files": True}
        ids = set()
        for path in sorted(run.path.parent.glob("wandb/offline-run-*/run-*.wandb")):
            for record in wandb_records(path):
                kind = record.WhichOneof("record_type")
                if kind == "run":
                    ids.add(record.run.run_id)
                    assert record.run.project == "matinee"
                    values = {item.key: json.loads(item.value_json) for item in record.run.config.update}
                    kept["settings"] |= {name: str(value) for name, value in values.items() if name != "_wandb"}
                elif kind == "history":
                    kept["points"] += self.points(record.history)
                elif kind == "artifact":
                    kept["files"] |= {entry.path for entry in record.artifact.manifest.contents}
                elif kind == "exit":
                    kept["status"] = {0: "finished", 1: "failed", 255: "interrupted"}[record.exit.exit_code]
        assert ids == {json.loads(run.tracker("wandb").read_text())["run_id"]}
        return {**kept, "runs": len(ids)}

    def points(self, history):
        row = {item.nested_key[0]: json.loads(item.value_json) for item in history.item if len(item.nested_key) == 1}
        return [(row["_step"], name, value) for name, value in row.items() if not name.startswith("_")]

    def test_an_address_that_is_dead_costs_one_line(self, run, settings, monkeypatch, caplog):
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
        trackers = tracker_of(WeightsAndBiases())
        trackers.open(run, settings)
        log_rows(trackers, run, ROWS)
        trackers.artifacts(run)
        trackers.close("finished")
        (line,) = warnings_in(caplog)
        assert line.startswith("Tracker it failed, training goes on without it: ")

    def test_nothing_is_printed(self, run, settings, capfd):
        tracker = WeightsAndBiases()
        tracker.open(run, settings)
        tracker.log(1, {"loss": 1.0})
        tracker.artifacts(run)
        tracker.close("finished")
        assert capfd.readouterr() == ("", "")


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.slow
@pytest.mark.usefixtures("own_mlflow")
def test_an_mlflow_address_that_is_dead_costs_one_line(run, settings, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    trackers = tracker_of(MLflow())
    trackers.open(run, settings)
    log_rows(trackers, run, ROWS)
    trackers.close("failed")
    (line,) = warnings_in(caplog)
    assert line.startswith("Tracker it failed, training goes on without it: ")
    assert "127.0.0.1" in line
    assert "secret" not in line
    assert "\n" not in line


@pytest.mark.slow
@pytest.mark.usefixtures("own_mlflow")
def test_offline_no_server_is_reached(run, settings, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example.com")
    with hub.offline(True):
        tracker_of(MLflow()).open(run, settings)
    (line,) = warnings_in(caplog)
    assert line.endswith("NotAvailableError: --offline forbids reaching tracking.example.com")


@pytest.mark.slow
@pytest.mark.usefixtures("own_wandb")
def test_offline_an_account_is_not_used(run, settings, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    tracker = WeightsAndBiases()
    with hub.offline(True):
        tracker.open(run, settings)
    tracker.close("finished")
    assert TestWeightsAndBiases().kept(run)["runs"] == 1


class Recorder:
    """Keeps what it is told; raises in the method named."""

    package = "json"
    made: list = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, fails_in=None, error=None):
        self.fails_in, self.error, self.calls = fails_in, error, []
        self.made.append(self)

    def open(self, run, settings):
        self._do("open", settings.training.epochs)

    def log(self, step, metrics):
        self._do("log", step, metrics)

    def artifacts(self, run):
        self._do("artifacts", run.report.is_file(), run.is_complete)

    def close(self, status):
        self._do("close", status)

    def _do(self, *call):
        self.calls.append(call)
        if call[0] == self.fails_in:
            raise self.error or RuntimeError("broken\nby design")


@pytest.fixture
def recorders(monkeypatch):
    monkeypatch.setattr(Recorder, "made", [])
    return Recorder.made


@pytest.mark.parametrize("method", ["open", "log", "artifacts", "close"])
def test_one_that_fails_is_told_of_once_and_left_alone(run, settings, caplog, recorders, method):
    broken, sound = Recorder(method), Recorder()
    trackers = Trackers({"broken": broken, "sound": sound})
    trackers.open(run, settings)
    for row in ROWS:
        trackers.log(row["step"], row)
    trackers.artifacts(run)
    trackers.close("finished")
    assert warnings_in(caplog) == ["Tracker broken failed, training goes on without it: RuntimeError: broken"]
    assert [call[0] for call in broken.calls].count(method) == 1
    assert broken.calls[-1][0] == method
    assert [call[0] for call in sound.calls] == ["open", *["log"] * len(ROWS), "artifacts", "close"]


def test_ctrl_c_is_not_a_failure_of_the_tracker(run, settings, recorders):
    with pytest.raises(KeyboardInterrupt):
        Trackers({"it": Recorder("open", KeyboardInterrupt())}).open(run, settings)


def test_only_finite_numbers_are_handed_on(recorders):
    tracker = Recorder()
    tracker_of(tracker).log(3, {"step": 3, "loss": float("nan"), "n": 2, "ok": True, "word": "x", "x": None, "y": -1.5})
    assert tracker.calls == [("log", 3, {"n": 2.0, "y": -1.5})]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "finished"),
        (KeyboardInterrupt(), "interrupted"),
        (InterruptedTrainingError(""), "interrupted"),
        (ValueError(""), "failed"),
    ],
    ids=["nothing", "Ctrl-C", "stopped", "failed"],
)
def test_how_the_training_ended_is_handed_on(run, settings, recorders, monkeypatch, error, status):
    monkeypatch.setitem(TRACKERS, "tensorboard", Recorder)
    with suppress(BaseException), tracked(run, settings):
        if error is not None:
            raise error
    assert recorders[0].calls[-1] == ("close", status)


def test_an_unknown_one_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match=r"There is no tracker 'mlfow'. Did you mean 'mlflow'\? Known: tensorboard"):
        check_trackers(["tensorboard", "mlfow"])


def test_without_its_package_one_line_says_what_to_install(monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr("matinee.training.trackers.find_spec", lambda name: None if name == "mlflow" else found(name))
    with pytest.raises(NotAvailableError, match=r'needs the package mlflow: pip install "matinee\[mlflow\]"') as error:
        check_trackers(["mlflow"])
    assert error.value.exit_code == 2


@pytest.mark.parametrize("given", [None, "none", ("none",), ["none"]])
def test_none_is_none(given):
    assert resolve(Layer({"track": given})).tracking.track is None


SMALL = {"train_size": 48, "validation_size": 16, "test_size": 16, "epochs": 2, "batch_size": 8, "max_length": 48}
SMALL |= {"learning_rate": 1e-3, "precision": "fp32"}


def weights(path):
    return {file.name: file.read_bytes() for file in sorted((path / "model").glob("*.safetensors"))}


def test_a_training_tells_all_and_ends_the_same_without(
    tmp_path, tiny_csv, tiny_encoder, recorders, monkeypatch, caplog
):
    """Whatever trackers do, one that fails among them: same weights, same results."""

    class Broken(Recorder):
        def __init__(self):
            super().__init__("log")

    monkeypatch.setitem(TRACKERS, "mlflow", Recorder)
    monkeypatch.setitem(TRACKERS, "wandb", Broken)
    values = {**SMALL, "encoder": str(tiny_encoder)}
    watched = matinee.train(tiny_csv, run_dir=tmp_path / "watched", track=["tensorboard", "mlflow", "wandb"], **values)
    sound, broken = recorders
    assert warnings_in(caplog).count("Tracker wandb failed, training goes on without it: RuntimeError: broken") == 1
    assert [call[0] for call in broken.calls] == ["open", "log"]

    history = RunFolder(watched.path).read_history()
    logged = [call for call in sound.calls if call[0] == "log"]
    numbers = [({name: value for name, value in row.items() if name != "step"}, row["step"]) for row in history]
    assert [(metrics, step) for _, step, metrics in logged[:-1]] == numbers
    assert logged[-1][1] == history[-1]["step"]
    assert logged[-1][2]["test_accuracy"] == watched.metrics["test"]["accuracy"]["value"]
    assert sound.calls[0] == ("open", 2.0)
    assert sound.calls[-2:] == [("artifacts", True, True), ("close", "finished")]
    assert sum(file.stat().st_size for file in (watched.path / "tensorboard").iterdir()) > 10_000

    bare = matinee.train(tiny_csv, run_dir=tmp_path / "bare", track="none", **values)
    assert not (bare.path / "tensorboard").exists()
    assert weights(bare.path) == weights(watched.path)
    assert bare.metrics == watched.metrics


def test_the_command_line_refuses_before_anything_is_spent(tmp_path, tiny_csv):
    from matinee.cli.main import run as command

    folder = tmp_path / "run"
    assert command(["train", str(tiny_csv), "--run-dir", str(folder), "--track", "wandbb"]) == 2
    assert not folder.exists()


@pytest.mark.slow
def test_killed_and_resumed_with_all_trackers(tmp_path, tiny_csv, tiny_encoder, empty_store, own_mlflow, own_wandb):
    """A real process, SIGKILL, `--resume`: one run each, the whole history once."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    folder = tmp_path / "run"
    command = [sys.executable, "-c", "from matinee.cli.main import main; main()", "train"]
    flags = [str(tiny_csv), "--encoder", str(tiny_encoder), "--run-dir", str(folder), "--epochs", "4"]
    flags += ["--train-size", "64", "--validation-size", "16", "--test-size", "16", "--batch-size", "4"]
    flags += ["--max-length", "48", "--track", "tensorboard", "--track", "mlflow", "--track", "wandb"]
    process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    run, deadline = RunFolder(folder), time.monotonic() + 240

    def steps():
        with suppress(Exception):
            return run.read_history()[-1]["step"]
        return -1

    while steps() < 24 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()[1]
    process.kill()
    process.communicate()
    ids = [json.loads(run.tracker(name).read_text())["run_id"] for name in ("mlflow", "wandb")]
    done = subprocess.run([*command, "--resume", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(run.tracker(name).read_text())["run_id"] for name in ("mlflow", "wandb")] == ids

    rows = run.read_history()
    expected = sorted((row["step"], name) for row in rows for name in row if name not in ("step", "epoch"))
    tensorboard, local = TestTensorBoard(), TestMLflowLocal()
    local.address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for kept in (tensorboard.kept(run), local.kept(run), TestWeightsAndBiases().kept(run)):
        assert [(step, name) for step, name, _ in curves(kept) if not name.startswith("test_")] == expected
    assert local.kept(run)["runs"] == 1
    assert {"report.html", "model/model.safetensors"} <= local.kept(run)["files"]
