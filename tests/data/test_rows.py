"""Rows of files that must not stop a job: bad ones are set aside, and any tail can be read alone."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data import rows as rows_module
from matinee.data.rows import Rejected, Row, open_rows

CSV = b"\n".join(
    [
        b"id,text,label",
        b"1,good,a",
        b'2,"two\nlines, one field",b',
        b"3,",
        b"",
        b"4,,a",
        b'5,"never closed,a',
        b'6,"fine",b',
        b"7,tr\xe8s bon,a",
        b"8,a\x00b,c",
        b"9,last,a",
    ]
)
JSONL = b"\n".join(
    [
        b'{"text": "good", "n": 1}',
        b"",
        b'{"text": "bad", "n": ',
        b'{"text": ["a"], "n": 2}',
        b'{"n": 3}',
        b"[1]",
        b'{"text": "tr\xe8s"}',
        b'{"text": 5, "n": null}',
    ]
)
LIST = b'[\n{"text": "one"}, {"text": "t,w]o", "more": {"a": [1, 2]}},\n 7, {"text": "three"}\n]\n'


def opened(path, content, **settings):
    path.write_bytes(content)
    return open_rows(path, DataSettings(**settings))


def kept(file, after=0):
    return [(row.number, row.text) for row in file.rows(after) if isinstance(row, Row)]


def rejected(file, after=0):
    return {row.row: row.reason for row in file.rows(after) if isinstance(row, Rejected)}


def test_a_csv_loses_only_its_bad_rows(tmp_path):
    file = opened(tmp_path / "r.csv", CSV)
    assert kept(file) == [(1, "good"), (2, "two\nlines, one field"), (6, "fine"), (9, "last")]
    assert rejected(file) == {
        3: "2 fields, but the header has 3",
        4: "no text",
        5: "a quote is opened and not closed, or closed too early",
        7: "byte 0xe8 is not UTF-8",
        8: "holds a NUL byte",
    }
    by_row = {row.row: row for row in file.rows() if isinstance(row, Rejected)}
    assert by_row[5].content == '5,"never closed,a'
    assert by_row[7].content == "7,tr\\xe8s bon,a"
    assert by_row[7].file == str(tmp_path / "r.csv")


def test_a_quote_that_is_never_closed_costs_its_own_line_alone(tmp_path):
    lines = ["text,n", '"open,0', *(f"plain {n},{n}" for n in range(50))]
    file = opened(tmp_path / "r.csv", "\n".join(lines).encode())
    assert list(rejected(file)) == [1]
    assert kept(file) == [(n + 2, f"plain {n}") for n in range(50)]


def test_json_lines_lose_only_their_bad_ones(tmp_path):
    file = opened(tmp_path / "r.jsonl", JSONL)
    assert kept(file) == [(1, "good"), (7, "5")]
    found = rejected(file)
    assert list(found) == [2, 3, 4, 5, 6]
    assert "not valid JSON" in found[2]
    assert found[3] == "expected a text, got a list"
    assert found[4] == "no text"
    assert "expected a JSON object" in found[5]
    assert found[6] == "byte 0xe8 is not UTF-8"


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_json_list_is_read_in_pieces_of_any_size(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(rows_module, "_JSON_PIECE", piece)
    file = opened(tmp_path / "r.json", LIST)
    assert kept(file) == [(1, "one"), (2, "t,w]o"), (4, "three")]
    assert "got a number" in rejected(file)[3]


@pytest.mark.parametrize(
    ("content", "element"),
    [
        (b'[{"text": "one"}, {"text": "tw', 2),
        (b'[{"text": "one"}, {"text": oops}, {"text": "three"}]', 2),
        (b'[{"text": "one"}, {"text": "two"}', 2),
        (b'[{"text": "one"}]\n[{"text": "two"}]', 2),
    ],
)
def test_a_json_list_that_breaks_off_is_an_error_before_anything_is_read(tmp_path, content, element):
    with pytest.raises(DataError, match=f"its list is broken, nothing from element {element} on can be read"):
        opened(tmp_path / "r.json", content)


def test_a_line_end_in_a_string_of_a_json_list_costs_its_element_alone(tmp_path):
    file = opened(tmp_path / "r.json", b'[{"text": "one"}, {"text": "tw\no"}, {"text": "three"}]')
    assert kept(file) == [(1, "one"), (3, "three")]
    assert "not valid JSON" in rejected(file)[2]


def test_lines_of_a_text_file_are_texts(tmp_path):
    file = opened(tmp_path / "r.txt", b"one\r\n\n  two\nthr\xffee\nfour")
    assert kept(file) == [(1, "one"), (3, "  two"), (5, "four")]
    assert rejected(file) == {2: "no text", 4: "byte 0xff is not UTF-8"}


def test_another_encoding(tmp_path):
    assert kept(opened(tmp_path / "r.csv", "text,n\ntrès,1\n".encode("latin-1"), encoding="latin-1")) == [(1, "très")]
    assert kept(opened(tmp_path / "u.csv", "text,n\ntrès,1\n".encode("utf-16"), encoding="utf-16")) == [(1, "très")]


def test_a_line_that_is_far_too_long_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "LONGEST", 100)
    for name, before in (("r.txt", b""), ("r.csv", b"text,n\n"), ("r.jsonl", b'{"text": "a"}\n')):
        file = opened(
            tmp_path / name, before + b"x" * 1000 + b"\n" + (b'{"text": "b"}\n' if name == "r.jsonl" else b"y,1\n")
        )
        assert len(rejected(file)) == 1, name
        assert len(kept(file)) == 1 + (name == "r.jsonl")


def test_parquet_keeps_rows_in_row_groups_and_names_bad_ones(tmp_path):
    path = tmp_path / "r.parquet"
    table = pa.table({"text": ["a", None, "c", "d", "", "f", "g"], "n": list(range(7))})
    pq.write_table(table, path, row_group_size=3)
    file = open_rows(path, DataSettings())
    assert kept(file) == [(1, "a"), (3, "c"), (4, "d"), (6, "f"), (7, "g")]
    assert rejected(file) == {2: "no text", 5: "no text"}
    (first, *_) = [row for row in file.rows() if isinstance(row, Rejected)]
    assert json.loads(first.content) == {"text": None, "n": 1}


def test_parquet_strings_that_are_not_utf_8_are_set_aside(tmp_path):
    column = pa.array([b"fine", b"tr\xe8s"], pa.binary())
    broken = pa.StringArray.from_buffers(2, column.buffers()[1], column.buffers()[2])
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"text": broken}), path)
    file = open_rows(path, DataSettings())
    assert kept(file) == [(1, "fine")]
    assert rejected(file) == {2: "not UTF-8"}


def test_a_damaged_parquet_file_gives_what_can_be_read(tmp_path):
    path = tmp_path / "r.parquet"
    table = pa.table({"text": [f"text {n} " * 20 for n in range(4000)]})
    pq.write_table(table, path, row_group_size=1000, compression="zstd", use_dictionary=False)
    with pq.ParquetFile(path) as whole:
        place = whole.metadata.row_group(2).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[place + 40 : place + 400] = bytes(360)
    path.write_bytes(content)
    file = open_rows(path, DataSettings())
    assert [number for number, _ in kept(file)] == [*range(1, 2001), *range(3001, 4001)]
    assert list(rejected(file)) == list(range(2001, 3001))
    assert "damaged" in rejected(file)[2001]
    assert list(rejected(file, after=2500)) == list(range(2501, 3001))


@pytest.mark.parametrize("becomes", ["nothing", "half"])
def test_a_parquet_file_that_goes_away_is_not_called_damaged(tmp_path, becomes):
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c", "d"]}), path, row_group_size=2)
    rows = open_rows(path, DataSettings()).rows()
    assert next(rows).text == "a"
    content = path.read_bytes()
    path.unlink()
    if becomes == "half":
        path.write_bytes(content[: len(content) // 2])
    assert next(rows).text == "b"
    with pytest.raises(DataError, match=r"r\.parquet could not be read on: .*The same command goes on"):
        next(rows)


@pytest.mark.parametrize("error", [pa.ArrowMemoryError("malloc of size 9 failed"), OSError(5, "Input/output error")])
def test_what_may_be_read_another_time_is_not_called_damaged(tmp_path, monkeypatch, error):
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    file = open_rows(path, DataSettings())

    def fails(_group):
        raise error

    monkeypatch.setattr(file, "_batches", fails)
    with pytest.raises(DataError, match="could not be read on: .*(failed|output error)"):
        list(file.rows())


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.json", "r.txt", "r.parquet"])
def test_any_tail_can_be_read_alone(tmp_path, name):
    path = tmp_path / name
    if name == "r.parquet":
        pq.write_table(pa.table({"text": ["a", None, "c", "d", "e"]}), path, row_group_size=2)
    else:
        path.write_bytes({"r.csv": CSV, "r.jsonl": JSONL, "r.json": LIST, "r.txt": b"a\n\nb\nc"}[name])
    file = open_rows(path, DataSettings())
    whole = [(type(item), item[:2] if isinstance(item, Row) else item) for item in file.rows()]
    for after in range(len(whole) + 2):
        assert [(type(i), i[:2] if isinstance(i, Row) else i) for i in file.rows(after)] == whole[after:]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("r.docx", b"x", "ending"),
        ("r.csv", b"", "is empty"),
        ("r.csv", b"id,label\n1,a\n", "--text-column"),
        ("r.csv", b"tr\xe8s,text\na,b\n", "column names"),
        ("r.csv", b"\x00\x01\x02", "NUL"),
        ("r.jsonl", b"nothing\nhere\n", "no JSON objects"),
        ("r.parquet", b"PAR1 but not", "Parquet"),
    ],
)
def test_a_file_that_is_none_is_named_before_anything_is_read(tmp_path, name, content, part):
    with pytest.raises(DataError, match=part):
        opened(tmp_path / name, content)


def test_a_column_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"text": [[1.0, 2.0]]}), path)
    with pytest.raises(DataError, match="holds list<.*not texts"):
        open_rows(path, DataSettings())
