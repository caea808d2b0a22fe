"""A search by workers of Ray's: the same study as by this machine's own processes, and nothing lost with a worker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

pytest.importorskip("ray")

from matinee.core.errors import SettingsError
from matinee.core.schema import Layer, resolve
from matinee.core.space import Space
from matinee.workflow import search
from matinee.workflow.cluster import Cluster
from matinee.workflow.search_ray import Searcher, _check_in_reach, _folder_here, _from_anywhere
from matinee.workflow.study_plan import Plan, StudyFolder

PROGRAM = [sys.executable, "-m", "matinee"]
SPACE = {"learning_rate": [1e-3, 1e-2], "epochs": [1, 2]}
SMALL = (
    "--validation-size",
    "16",
    "--test-size",
    "24",
    "--max-length",
    "32",
    "--precision",
    "fp32",
    "--batch-size",
    "8",
)


class Search:
    """`matinee search` over a grid of four, and the base beside it, in a process of its own."""

    def __init__(self, folder, csv, encoder, space=SPACE):
        self.study_dir = folder / "study"
        (folder / "space.yaml").write_text(yaml.safe_dump(space))
        self.command = [
            *(*PROGRAM, "search", str(csv), "--encoder", str(encoder), "--study-dir", str(self.study_dir)),
            *("--space", str(folder / "space.yaml"), "--sampler", "grid", "--no-refit", "--finalists", "0", *SMALL),
            *("--pruner", "none"),
        ]

    def start(self, *engine):
        return subprocess.Popen(
            [*self.command, *engine], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def finish(self, *engine):
        process = self.start(*engine)
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        return errors

    def trials(self):
        """Return how each complete trial ended, by its settings."""
        trials = json.loads((self.study_dir / "study.json").read_text())["trials"]
        return {json.dumps(of["params"], sort_keys=True): of["value"] for of in trials if of["state"] == "complete"}

    def n_told(self):
        try:
            return len(json.loads((self.study_dir / "study.json").read_text())["trials"])
        except (OSError, ValueError):
            return 0


@pytest.fixture(scope="module")
def alone(tmp_path_factory, tiny_csv, tiny_encoder):
    made = Search(tmp_path_factory.mktemp("alone"), tiny_csv, tiny_encoder)
    made.finish()
    return made


def worker_processes(study_dir):
    """Return the processes at work on the study of a folder, by who started them: a worker of Ray's."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = b"matinee.workflow.trials import main" in (folder / "cmdline").read_bytes()
            held = [str(path.readlink()) for path in (folder / "fd").iterdir()] if is_ours else []
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if any(path.startswith(str(study_dir)) for path in held):
            found[int(folder.name)] = parent
    return found


@pytest.mark.slow
def test_workers_of_ray_find_what_one_process_finds(alone, tmp_path, tiny_csv, tiny_encoder):
    many = Search(tmp_path, tiny_csv, tiny_encoder)
    errors = many.finish("--engine", "ray", "--workers", "2")
    assert "workers of Ray's" in errors
    # With one thread or two, sums are added up in another order.
    assert many.trials() == pytest.approx(alone.trials(), abs=1e-6)
    assert len(many.trials()) == 5
    logs = sorted(path.name for path in (many.study_dir / "workers").glob("process-*.log"))
    assert {re.match(r"process-(\d)-", name)[1] for name in logs} <= {"0", "1"}


@pytest.mark.slow
def test_a_killed_worker_of_ray_and_its_process_lose_nothing(alone, tmp_path, tiny_csv, tiny_encoder):
    many = Search(tmp_path, tiny_csv, tiny_encoder)
    process = many.start("--engine", "ray", "--workers", "2")
    try:
        deadline = time.monotonic() + 120
        while many.n_told() < 1 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        found = worker_processes(many.study_dir)
        assert found, process.communicate()[1] if process.poll() is not None else "no process is at work"
        child, parent = next(iter(found.items()))
        os.kill(parent, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        _, errors = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    assert many.trials() == pytest.approx(alone.trials(), abs=1e-6)


@pytest.mark.slow
def test_more_workers_than_there_are_cores_come_to_an_end_too(alone, tmp_path, tiny_csv, tiny_encoder):
    many = Search(tmp_path, tiny_csv, tiny_encoder)
    connected = "import ray; ray.init(address='local', num_cpus=1, include_dashboard=False, log_to_driver=False); "
    many.command[: len(PROGRAM)] = [sys.executable, "-c", connected + "from matinee.cli.main import main; main()"]
    many.finish("--engine", "ray", "--workers", "2")
    assert many.trials() == pytest.approx(alone.trials(), abs=1e-6)


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_after_their_trials_and_the_same_command_goes_on(tmp_path, tiny_csv, tiny_encoder):
    many = Search(tmp_path, tiny_csv, tiny_encoder, {"learning_rate": SPACE["learning_rate"], "epochs": [15, 16]})
    process = many.start("--engine", "ray", "--workers", "2")
    deadline = time.monotonic() + 120
    while many.n_told() < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    assert not worker_processes(many.study_dir)
    assert 1 <= many.n_told() < 5
    many.finish("--engine", "ray", "--workers", "2")
    assert len(many.trials()) == 5


@pytest.fixture
def plan(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    return Plan(
        *(folder, f"sqlite:///{folder.database}", "study", resolve(Layer({"data": "imdb"})), Space.read(SPACE, "it")),
        *("accuracy", 8, "grid", "none"),
    )


@pytest.mark.parametrize(
    "storage", ["sqlite:///study.db", "sqlite:////somewhere/study.db", "sqlite+pysqlite:///study.db"]
)
def test_a_database_file_is_out_of_reach_of_other_machines(plan, storage):
    plan = replace(plan, storage=storage)
    _check_in_reach(plan, Cluster(4, 0, n_machines=1, is_here=False))
    with pytest.raises(SettingsError, match="is a file on this machine, and the cluster has 3: name a database"):
        _check_in_reach(plan, Cluster(4, 0, n_machines=3, is_here=False))


@pytest.mark.parametrize("storage", ["postgresql://someone:secret@host/db", "journal:/mnt/shared/study.log"])
def test_what_all_machines_reach_is_no_trouble(plan, storage):
    _check_in_reach(replace(plan, storage=storage), Cluster(4, 0, n_machines=3, is_here=False))
    assert _from_anywhere(replace(plan, storage=storage)).storage == storage


def test_paths_are_absolute_for_workers_that_begin_elsewhere(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    near = replace(plan, folder=StudyFolder(Path("searches/it")))
    for storage, expected in (
        ("sqlite:///searches/it/study.db", f"sqlite:///{tmp_path}/searches/it/study.db"),
        ("journal:trials.log", f"journal:{tmp_path}/trials.log"),
    ):
        far = _from_anywhere(replace(near, storage=storage))
        assert far.storage == expected
        assert far.folder.path == tmp_path / "searches/it"
        assert _from_anywhere(far) == far


def test_a_worker_without_the_study_s_folder_keeps_its_locks_elsewhere(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _folder_here(plan).path.parent.parent.parent == tmp_path
    assert _folder_here(plan).path.is_dir()
    plan.folder.path.mkdir()
    assert _folder_here(plan) == plan.folder


def test_a_worker_that_is_stopped_before_there_is_room_for_it_starts_nothing(plan, monkeypatch):
    monkeypatch.setattr("matinee.workflow.search_ray.started", lambda *_: pytest.fail("it has started"))
    from matinee._version import __version__

    searcher = Searcher()
    searcher.interrupt()
    assert searcher.run(plan.to_json(), __version__) == (0, "")


def test_a_worker_says_what_is_wrong_with_it(plan, tmp_path):
    code, said = Searcher().run(plan.to_json(), "0.0.0")
    assert code == 2
    assert "and the search was begun with 0.0.0" in said
    from matinee._version import __version__

    code, said = Searcher().run(replace(plan, storage=f"journal:{tmp_path}/none.log").to_json(), __version__)
    assert code == 2
    assert "put it on a drive that all machines have" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "dask"}, "--engine must be one of local, ray, got 'dask'"),
        ({"workers": 2}, "--workers is for --engine ray"),
        ({"address": "auto"}, "--address is for --engine ray"),
        ({"engine": "ray", "n_jobs": 2}, "with --engine ray, say --workers"),
        ({"engine": "ray", "workers": 0}, "--workers must be at least 1, got 0"),
        ({"engine": "ray", "address": "ray://head:10001"}, "Through a Ray client or its dashboard this cannot be done"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(tiny_csv, tmp_path, options, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        search(tiny_csv, study_dir=tmp_path / "study", **options)
    assert not (tmp_path / "study").exists()
