"""The run folder: never overwritten unasked, never taken for whole when it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from matinee.core.errors import RunError
from matinee.core.run import RunFolder
from matinee.core.settings import Settings


@pytest.fixture
def unfinished(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create(overwrite=False)
    run.write_config(Settings())
    return run


@pytest.fixture
def complete(unfinished):
    (unfinished.path / "metrics.json").write_text("{}")
    unfinished.finish({"fine-tuning": 1.25})
    return unfinished


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    run = RunFolder(tmp_path / "a" / "b")
    run.create(overwrite=False)
    assert run.path.is_dir()
    assert not run.is_complete


def test_settings_survive_the_folder(unfinished):
    assert unfinished.read_config() == Settings()


def test_the_manifest_lists_files_and_comes_last(complete):
    manifest = json.loads(complete.manifest.read_text())
    assert set(manifest["files"]) == {"config.yaml", "metrics.json"}
    assert manifest["files"]["metrics.json"]["bytes"] == 2
    assert manifest["seconds"] == {"fine-tuning": 1.2}
    assert complete.is_complete


@pytest.mark.parametrize("kind", ["complete", "unfinished"])
def test_an_existing_run_stays_unless_overwritten(kind, request):
    run = request.getfixturevalue(kind)
    with pytest.raises(RunError, match="--overwrite"):
        run.create(overwrite=False)
    assert run.config.is_file()
    run.create(overwrite=True)
    assert not list(run.path.iterdir())


def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.docx").write_text("three years of work")
    with pytest.raises(RunError, match="never overwritten"):
        RunFolder(tmp_path).create(overwrite=True)
    assert (tmp_path / "thesis.docx").is_file()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "run").create(overwrite=True)


def test_only_a_complete_run_can_be_used(complete, unfinished, tmp_path):
    complete.check_complete()
    for path, part in ((tmp_path / "nothing", "no run folder"), (tmp_path, "not a run folder")):
        with pytest.raises(RunError, match=part):
            RunFolder(path).check_complete()


def test_only_an_unfinished_run_can_be_resumed(unfinished, tmp_path):
    unfinished.check_unfinished()
    with pytest.raises(RunError, match=f"not complete.*--resume {unfinished.path}"):
        unfinished.check_complete()
    with pytest.raises(RunError, match="no run to resume"):
        RunFolder(tmp_path / "nothing").check_unfinished()
    unfinished.finish({})
    with pytest.raises(RunError, match="nothing to resume"):
        unfinished.check_unfinished()


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "\x00"])
def test_a_damaged_config_is_one_line(unfinished, content):
    unfinished.config.write_text(content)
    with pytest.raises(RunError, match="damaged"):
        unfinished.read_config()


def test_what_a_kill_left_behind_is_swept_and_never_listed(unfinished):
    (unfinished.path / ".model-x1y2").mkdir()
    (unfinished.path / ".model-x1y2" / "model.safetensors").write_bytes(b"half")
    (unfinished.path / ".history-abc.jsonl").write_text("{")
    unfinished.finish({})
    assert set(json.loads(unfinished.manifest.read_text())["files"]) == {"config.yaml"}
    unfinished.sweep()
    assert {path.name for path in unfinished.path.iterdir()} == {"config.yaml", "manifest.json"}


def test_two_processes_cannot_train_into_one_folder(unfinished):
    code = (
        "import sys; from pathlib import Path; from matinee.core.run import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked():\n    pass"
    )
    with unfinished.locked():
        done = subprocess.run(
            [sys.executable, "-c", code, os.fspath(unfinished.path)], capture_output=True, text=True, check=False
        )
    assert "RunError: Another process is training into" in done.stderr
    with unfinished.locked():
        pass
