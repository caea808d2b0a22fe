from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matinee.core.cache import cache_folder, cached, fetched_once
from matinee.core.errors import StorageError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_environment_chooses_the_folder(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("MATINEE_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/matinee")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "matinee"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "matinee"


def test_make_runs_once(cache):
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "file").write_text("x")

    assert cached("thing") is None
    assert fetched_once("thing", make) == cache / "thing"
    assert fetched_once("thing", make) == cached("thing")
    assert len(calls) == 1
    assert (cache / "thing" / "file").read_text() == "x"


def test_a_failed_attempt_leaves_nothing(cache):
    def make(folder):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched_once("thing", make)
    assert cached("thing") is None
    assert list((cache / "partial").iterdir()) == []


def test_what_a_killed_attempt_left_is_swept(cache):
    stale = cache / "partial" / "thing" / "half"
    stale.parent.mkdir(parents=True)
    stale.write_text("x")
    folder = fetched_once("thing", lambda folder: (folder / "whole").write_text("y") and None)
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_a_full_disk_is_one_line():
    def make(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="no space left"):
        fetched_once("thing", make)


def test_a_file_in_the_way_is_one_line(cache):
    cache.write_text("not a folder")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        fetched_once("thing", lambda folder: None)


_SLOW_MAKE = """
import sys, time
from matinee.core.cache import fetched_once
def make(folder):
    (folder / "half").write_text("x")
    print("begun", flush=True)
    time.sleep(float(sys.argv[1]))
    (folder / "whole").write_text("y")
print(sorted(path.name for path in fetched_once("thing", make).iterdir()), flush=True)
"""


def _start(seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _SLOW_MAKE, str(seconds)], stdout=subprocess.PIPE, text=True)


def test_two_processes_make_it_once():
    first, second = _start(0.5), _start(0.5)
    said = [process.communicate(timeout=30)[0].split("\n", 1) for process in (first, second)]
    assert sorted(lines[0] for lines in said) == ["['half', 'whole']", "begun"]
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_killed_process_frees_the_lock_and_leaves_nothing_complete():
    process = _start(60)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.communicate()
    assert cached("thing") is None
    begun = time.monotonic()
    fetched_once("thing", lambda folder: None)
    assert time.monotonic() - begun < 5
