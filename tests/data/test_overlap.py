from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from matinee.core.errors import DataError
from matinee.core.types import Split
from matinee.data import count_seen, write_seen


def split(*texts):
    return Split([str(row) for row in range(len(texts))], list(texts), np.zeros(len(texts), dtype=np.int64))


def test_texts_that_were_trained_on_are_known_again(tmp_path):
    write_seen(tmp_path / "seen.parquet", ["A good film.", "A bad film.", "Neither."])
    evaluated = split("a  GOOD film.<br />", "A bad film.", "A bad film.", "Another film.")
    assert count_seen(tmp_path / "seen.parquet", evaluated) == 3
    assert count_seen(tmp_path / "seen.parquet", split("Another film.")) == 0
    assert count_seen(tmp_path / "seen.parquet", split()) == 0


def test_texts_with_nothing_in_them_are_not_known(tmp_path):
    write_seen(tmp_path / "seen.parquet", ["", " ", "film"])
    assert count_seen(tmp_path / "seen.parquet", split("", "<br />", "film")) == 1


def test_the_file_holds_eight_bytes_a_text_and_no_text(tmp_path):
    write_seen(tmp_path / "seen.parquet", [*(f"film {n}" for n in range(5000))])
    column = pq.read_table(tmp_path / "seen.parquet").column("digest")
    assert len(set(column.to_pylist())) == 5000
    assert {len(digest) for digest in column.to_pylist()} == {8}
    assert (tmp_path / "seen.parquet").stat().st_size < 5000 * 9
    assert b"film" not in (tmp_path / "seen.parquet").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["seen.parquet"]


def test_without_a_file_nothing_was_seen(tmp_path):
    assert count_seen(tmp_path / "seen.parquet", split("a film")) == 0


def test_a_damaged_file_is_one_clear_line(tmp_path):
    (tmp_path / "seen.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a complete Parquet file"):
        count_seen(tmp_path / "seen.parquet", split("a film"))


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    write_seen(tmp_path / "seen.parquet", ["a film"])
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *_arguments, **_settings: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_seen(tmp_path / "seen.parquet", ["another"])
    assert count_seen(tmp_path / "seen.parquet", split("a film")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["seen.parquet"]
