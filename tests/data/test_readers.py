from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core.errors import DataError
from matinee.data.readers import open_table

ROWS = [('Fine, "really" fine\nand long', "pos"), ("schlecht – sehr", "neg"), ("", "neg")]


def write(path, rows, columns=("text", "label")):
    """Write rows in the format of the ending, by other means than matinee's."""
    if path.suffix == ".parquet":
        pq.write_table(
            pa.table({name: list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}), path
        )
    elif path.suffix in {".jsonl", ".ndjson"}:
        lines = (json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1), encoding="utf-8")
    else:
        mark = {".csv": ",", ".tsv": "\t"}[path.suffix]
        quoted = (mark.join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in [columns, *rows])
        path.write_text("\r\n".join(quoted) + "\r\n", encoding="utf-8", newline="")
    return path


def read(path, encoding="utf-8", columns=("text", "label")):
    return list(open_table(path, encoding).rows(columns))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path, ending):
    path = write(tmp_path / f"rows{ending}", ROWS)
    table = open_table(path)
    assert table.columns == ("text", "label")
    assert list(table.rows(["text", "label"])) == ROWS
    assert list(table.rows(["label"])) == [(label,) for _, label in ROWS]
    assert list(table.rows(["text", "label"])) == ROWS  # a second time


def test_rows_of_one_value(tmp_path):
    table = open_table(write(tmp_path / "rows.csv", [("a", "x"), ("b", "y"), ("c", "x")], ("text", "source")))
    assert list(table.where("source", "x").rows(["text"])) == [("a",), ("c",)]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,b\n", encoding="utf-8-sig")
    assert read(tmp_path / "a.csv") == [("a", "b")]


def test_another_encoding(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nschön,b\n", encoding="latin-1")
    assert read(tmp_path / "a.csv", "latin-1") == [("schön", "b")]
    (tmp_path / "b.csv").write_text("text,label\nschön,b\n", encoding="utf-16")
    assert read(tmp_path / "b.csv", "utf-16") == [("schön", "b")]


def test_blank_lines_are_no_rows_and_big_fields_are_read(tmp_path):
    (tmp_path / "a.csv").write_text(f"text,label\n\n{'x' * 5_000_000},b\n\n")
    assert [len(text) for text, _ in read(tmp_path / "a.csv")] == [5_000_000]


def test_a_key_that_a_record_lacks_is_none(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b", "label": 1}\n')
    assert read(tmp_path / "a.jsonl") == [("a", None), ("b", 1)]


def test_json_lines_named_json(tmp_path):
    (tmp_path / "a.json").write_text('{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n')
    assert read(tmp_path / "a.json") == [("a", 0), ("b", 1)]


def test_half_an_emoji_becomes_a_replacement(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "half \\ud83d", "label": 1}\n{"text": "\\ud83d\\ude00", "label": 1}\n')
    assert read(tmp_path / "a.jsonl") == [("half \ufffd", 1), ("😀", 1)]


def test_parquet_from_the_hub_says_its_class_names(tmp_path):
    info = {
        "info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}}
    }
    table = pa.table({"text": ["a"], "label": [1]}).replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, tmp_path / "a.parquet")
    assert open_table(tmp_path / "a.parquet").label_names == {"label": ("neg", "pos")}


def test_parquet_dictionaries_and_many_batches(tmp_path):
    table = pa.table(
        {"text": [str(n) for n in range(9000)], "label": pa.array(["a", "b", "c"] * 3000).dictionary_encode()}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [(str(n), "abc"[n % 3]) for n in range(9000)]


BROKEN = {
    "empty.csv": (b"", "is empty"),
    "header.jsonl": (b"\n\n", "holds no rows"),
    "latin.csv": (
        "text,label\na,b\nschön,b\n".encode("latin-1"),
        r"line 3, byte 4: byte 0xf6 is not UTF-8; .*--encoding latin-1",
    ),
    "wide.csv": ("text,label\n".encode("utf-16"), "encoded as UTF-16; pass --encoding utf-16"),
    "nul.csv": (b"te\0xt,label\na,b\n", "NUL bytes"),
    "late-nul.csv": (b"text,label\n" + b"aaaaaaa,b\n" * 1000 + b"a\0,b\n", "line 1002: holds a NUL byte"),
    "ragged.csv": (b"text,label\na,b\nno, quotes,b\n", "line 3: 3 fields, but the header has 2"),
    "short.csv": (b"text,label\na\n", "line 2: 1 fields, but the header has 2"),
    "open.csv": (b'text,label\n"never closed,b\nx,y\n', "line 3: broken quoting"),
    "twice.csv": (b"text,text,label\na,b,c\n", "two columns are named 'text'"),
    "semicolon.csv": (b"text;label\na;b\n", "separated by commas"),
    "broken.jsonl": (b'{"text": "a", "label": 1}\n{"text": \n', "line 2: not valid JSON"),
    "list.jsonl": (b'{"text": "a", "label": 1}\n["a", 1]\n', "line 2: expected a JSON object .* got a list"),
    "broken.json": (b'[{"text": "a"},', "not valid JSON"),
    "numbers.json": (b"[1, 2]", "row 1: expected a JSON object, got a number"),
    "nothing.json": (b"[]", "holds no rows"),
    "broken.parquet": (b"PAR1 and then nothing", "not a complete Parquet file"),
    "table.xlsx": (b"x", r"ending '\.xlsx'; matinee reads \.csv"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_give_one_clear_line(tmp_path, name):
    data, said = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=said) as raised:
        read(tmp_path / name)
    assert "\n" not in str(raised.value)
    assert name in str(raised.value)


def test_a_truncated_parquet_file(tmp_path):
    whole = write(tmp_path / "a.parquet", [("a" * 100, "b")] * 1000)
    (tmp_path / "b.parquet").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(DataError, match="not a complete Parquet file"):
        read(tmp_path / "b.parquet")


def test_damaged_parquet_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(n) for n in range(5000)], "label": [1] * 5000}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[100:2000] = b"\xff" * 1900
    path.write_bytes(data)
    with pytest.raises(DataError, match="is damaged") as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_missing_files_folders_and_encodings(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        open_table(tmp_path / "gone.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        open_table(tmp_path / "folder.csv")
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"Unknown --encoding 'uft-8'\. Did you mean 'utf-8'"):
        open_table(tmp_path / "a.csv", "uft-8")


def test_a_header_that_looks_like_data(tmp_path):
    (tmp_path / "a.csv").write_text("I liked this film very much indeed,1\nNo,0\n")
    assert open_table(tmp_path / "a.csv").headerless
    (tmp_path / "b.csv").write_text("my text,my label\nNo,0\n")
    assert not open_table(tmp_path / "b.csv").headerless
