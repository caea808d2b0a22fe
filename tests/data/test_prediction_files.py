from __future__ import annotations

import csv
import io
import json
import sys

import pyarrow.parquet as pq
import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data import check_output, read_texts, write_records

RECORDS = [
    {"text": 'He said: "no",\nthen\tleft', "label": "bad", "score": 0.75, "probabilities": {"bad": 0.75, "good": 0.25}},
    {"text": "schön", "label": "good", "score": 0.5, "probabilities": {"bad": 0.5, "good": 0.5}},
]
FLAT = [
    {
        "text": 'He said: "no",\nthen\tleft',
        "label": "bad",
        "score": 0.75,
        "probability_bad": 0.75,
        "probability_good": 0.25,
    },
    {"text": "schön", "label": "good", "score": 0.5, "probability_bad": 0.5, "probability_good": 0.5},
]


def stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_one_text_a_line(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\r\n\nthree\u2028still three".encode())
    read = read_texts(str(tmp_path / "a.txt"), DataSettings())
    assert read.texts == ["one", "", "three\u2028still three"]
    assert read.ids == ["row-1", "row-2", "row-3"]


def test_standard_input_reads_like_a_text_file(monkeypatch):
    stdin(monkeypatch, "one\r\n\nschön\n".encode())
    assert read_texts("-", DataSettings()).texts == ["one", "", "schön"]
    stdin(monkeypatch, "schön\n".encode("latin-1"))
    assert read_texts("-", DataSettings(encoding="latin-1")).texts == ["schön"]


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "is empty"), (b"sch\xf6n\n", "byte 4: not utf-8; pass the right --encoding")]
)
def test_bad_standard_input(monkeypatch, data, said):
    stdin(monkeypatch, data)
    with pytest.raises(DataError, match=said):
        read_texts("-", DataSettings())


def test_a_table_needs_no_labels(tmp_path):
    (tmp_path / "a.csv").write_text("id,review\n1,fine\n2,bad\n")
    assert read_texts(str(tmp_path / "a.csv"), DataSettings()).texts == ["fine", "bad"]
    assert read_texts(str(tmp_path / "a.csv"), DataSettings(text_column="id")).texts == ["1", "2"]


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_rows_without_a_text_keep_their_place(tmp_path, missing, caplog):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": null}\n{"text": "c"}\n{"text": ""}\n{"id": 5}\n')
    read = read_texts(str(tmp_path / "a.jsonl"), DataSettings(missing=missing))
    assert (read.texts, read.ids) == (["a", "", "c", "", ""], [f"row-{row}" for row in range(1, 6)])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "3 rows have no text (row 2, 4, 5; " in caplog.text
    assert "--missing" not in caplog.text


def test_several_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    read = read_texts(str(tmp_path / "*.txt"), DataSettings())
    assert (read.texts, read.ids) == (["a", "b"], ["row-1-1", "row-2-1"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.txt", "There is no file"),
        ("a.docx", r"matinee reads \.txt"),
        ("empty.txt", "holds no texts"),
        ("lists.jsonl", "got a list"),
    ],
)
def test_inputs_that_cannot_be_read(tmp_path, name, said):
    (tmp_path / "a.docx").write_text("x")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "lists.jsonl").write_text('{"text": ["a"]}\n')
    with pytest.raises(DataError, match=said):
        read_texts(str(tmp_path / name), DataSettings())


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_json_lines_out(tmp_path, ending):
    write_records(tmp_path / f"out{ending}", RECORDS)
    lines = (tmp_path / f"out{ending}").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == RECORDS


@pytest.mark.parametrize(("ending", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_delimited_out(tmp_path, ending, delimiter):
    write_records(tmp_path / f"out{ending}", RECORDS)
    with (tmp_path / f"out{ending}").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=delimiter, strict=True))
    assert rows == [{key: str(value) for key, value in row.items()} for row in FLAT]


def test_parquet_out(tmp_path):
    write_records(tmp_path / "out.parquet", RECORDS)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == FLAT


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_what_is_written_can_be_read(tmp_path, ending):
    write_records(tmp_path / f"out{ending}", RECORDS)
    assert read_texts(str(tmp_path / f"out{ending}"), DataSettings()).texts == [record["text"] for record in RECORDS]


def test_outputs_are_checked_before_the_work(tmp_path):
    with pytest.raises(DataError, match=r"ending '\.xlsx' is unknown; known are \.jsonl"):
        check_output(tmp_path / "out.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="it is a folder"):
        check_output(tmp_path / "folder.csv")
    check_output(tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
