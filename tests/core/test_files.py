from __future__ import annotations

import errno
import json
import os
import stat
import time

import pytest

from matinee.core import files
from matinee.core.errors import StorageError, UnreachableError
from matinee.core.files import atomic_path, file_sha256, storage_errors, write_json, write_jsonl, write_text


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "half"
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_an_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:  # noqa: PT012 - the error comes from inside
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_others_may_read_it_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "file.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_refused_writes_are_one_line(tmp_path, number):
    with pytest.raises(StorageError, match="Cannot write") as raised, storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(raised.value)


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_json_is_readable_and_strict(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "ä": "ö"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"b": 1, "ä": "ö"}
    assert "ö" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


def test_jsonl_has_one_object_a_line(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": "a\nb"}, {"text": "c"}])
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [
        {"text": "a\nb"},
        {"text": "c"},
    ]


def test_sha256(tmp_path):
    write_text(tmp_path / "a", "abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EACCES])
def test_work_is_done_again_until_the_drive_answers(tmp_path, monkeypatch, number):
    monkeypatch.setattr(files, "_PAUSES", (0.0,) * 4)
    errors = [OSError(number, os.strerror(number)), RuntimeError(f"written by Rust (os error {number})")]

    def work():
        if errors:
            raise errors.pop()
        return "done"

    assert files.patiently(work, tmp_path, "") == "done"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError(errno.EROFS, "ro"), ValueError("other")])
def test_waiting_is_not_for_what_it_does_not_mend(tmp_path, monkeypatch, error):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waited"))

    def work():
        raise error

    with pytest.raises(type(error)):
        files.patiently(work, tmp_path, "")


def test_what_torch_cannot_write_is_looked_into(tmp_path, monkeypatch):
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
    assert files.why_away(error, tmp_path) is None, "a file can be written here, so it was for want of space"
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    assert files.why_away(error, tmp_path) == os.strerror(errno.EIO)
    assert files.why_away(error, tmp_path / "gone") == os.strerror(errno.ENOENT)
    wrapped = StorageError("Cannot write")
    wrapped.__cause__ = OSError(errno.EACCES, "no")
    assert files.why_away(wrapped, tmp_path) == os.strerror(errno.EACCES)


def test_a_folder_that_is_not_there_is_not_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PAUSES", (0.0, 0.0))
    gone = tmp_path / "gone"
    with pytest.raises(UnreachableError, match="No such file or directory. Do this."):
        files.patiently(gone.mkdir, gone, "Do this.")
    assert not gone.exists()
