"""Streams of rows over several files, their shards, and the types of their columns."""

from __future__ import annotations

import datetime as dt
import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data import arrow, streaming
from matinee.data.streaming import find_inputs, fingerprint, open_stream, read_ahead


@pytest.fixture
def files(tmp_path):
    """Three files of 5, 3 and 4 rows, the fourth row of the first one bad."""
    (tmp_path / "a.csv").write_text("text,n\na1,1\na2,2\na3,3\n,4\na5,5\n")
    (tmp_path / "b.jsonl").write_text('{"text": "b1", "n": 1}\n{"text": "b2", "tags": ["x"]}\n{"text": "b3", "n": 2}\n')
    pq.write_table(pa.table({"text": ["c1", "c2", "c3", "c4"], "n": [1, 2, 3, None]}), tmp_path / "c.parquet")
    return [tmp_path / name for name in ("a.csv", "b.jsonl", "c.parquet")]


def shards_of(files, most_rows, **where):
    return list(open_stream(files, DataSettings()).shards(most_rows, **where))


@pytest.mark.parametrize("most_rows", [1, 2, 5, 8, 100])
def test_shards_hold_every_row_once_in_order(files, most_rows):
    shards = shards_of(files, most_rows)
    texts = [text for shard in shards for text in shard.texts]
    assert texts == ["a1", "a2", "a3", "a5", "b1", "b2", "b3", "c1", "c2", "c3", "c4"]
    assert [row.row for shard in shards for row in shard.rejected] == [4]
    assert [shard.number for shard in shards] == list(range(-(-12 // most_rows)))
    assert all(len(shard.texts) + len(shard.rejected) <= most_rows for shard in shards)
    assert all(shard.table.column("text").to_pylist() == shard.texts for shard in shards)


@pytest.mark.parametrize("most_rows", [1, 3, 5])
def test_from_any_shard_on_the_rest_is_the_same(files, most_rows):
    shards = shards_of(files, most_rows)
    for done, shard in enumerate(shards, start=1):
        rest = shards_of(files, most_rows, first=done, after=shard.end)
        assert [(s.number, s.texts, s.rejected, s.end) for s in rest] == [
            (s.number, s.texts, s.rejected, s.end) for s in shards[done:]
        ]
        assert all(one.table.equals(other.table) for one, other in zip(rest, shards[done:], strict=True))


def test_long_rows_make_shorter_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "SHARD_CHARACTERS", 100)
    (tmp_path / "a.txt").write_text("x" * 60 + "\n" + "y" * 60 + "\nz\n")
    assert [len(shard.texts) for shard in shards_of([tmp_path / "a.txt"], 100)] == [2, 1]


def test_columns_of_different_kinds_become_json(files):
    stream = open_stream(files, DataSettings())
    assert stream.schema.names == ["text", "n", "tags"]
    rows = [row for shard in stream.shards(4) for row in arrow.plain_rows(shard.table)]
    assert [row["n"] for row in rows] == ["1", "2", "3", "5", 1, None, 2, 1, 2, 3, None]
    assert [row["tags"] for row in rows if row["tags"]] == [["x"]]


def test_parquet_types_are_kept(tmp_path):
    table = pa.table(
        {
            "text": ["a", "b"],
            "day": pa.array([dt.date(2024, 1, 2), None]),
            "at": pa.array([1, 2], pa.timestamp("ns", "UTC")),
            "tags": pa.array([["x"], []], pa.list_(pa.string())),
            "code": pa.array(["p", "q"]).dictionary_encode(),
            "small": pa.array([1, 2], pa.int8()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        expected = file.schema_arrow
    (shard,) = shards_of([tmp_path / "a.parquet"], 10)
    assert shard.table.schema.types == expected.types
    assert shard.table.column("at").equals(table.column("at"))
    plain = list(arrow.plain_rows(shard.table))
    assert plain[0]["day"] == "2024-01-02"
    assert plain[0]["tags"] == ["x"]
    assert plain[0]["at"].startswith("1970-01-01 00:00:00.000000001")


def test_json_kinds():
    kinds = {
        "bool": [True, None],
        "int64": [1, -2],
        "double": [1, 2.5],
        "string": ["a", None],
    }
    for expected, values in kinds.items():
        field = arrow.json_field("c", {arrow.kind_of(value) for value in values})
        assert (str(field.type), arrow.is_json(field)) == (expected, False)
    for values in ([1, "a"], [[1]], [{"a": 1}], [2**70], [True, 2]):
        assert arrow.is_json(arrow.json_field("c", {arrow.kind_of(value) for value in values}))


LONG = 2**53 + 1  # no double holds it


def column_of(paths):
    """Return the type of the column `n` of files together, and its values as they would stand in JSON."""
    stream = open_stream(paths, DataSettings())
    rows = [row for shard in stream.shards(2) for row in arrow.plain_rows(shard.table)]
    assert [row["text"] for row in rows] == [f"t{n}" for n in range(len(rows))]
    return str(stream.schema.field("n").type), [row["n"] for row in rows]


def json_lines(path, values, start=0):
    lines = [json.dumps({"text": f"t{n}", "n": value}) for n, value in enumerate(values, start=start)]
    path.write_text("\n".join(lines))
    return path


def parquet(path, values, start=0, **options):
    texts = [f"t{n}" for n in range(start, start + len(values))]
    pq.write_table(pa.table({"text": texts, "n": values}), path, **options)
    return path


@pytest.mark.parametrize(
    ("values", "kind"),
    [([LONG, 0.5], "string"), ([1, 0.5], "double"), ([LONG, 1, None], "int64"), ([-LONG, LONG], "int64")],
)
def test_whole_numbers_of_json_lose_no_digit(tmp_path, values, kind):
    assert column_of([json_lines(tmp_path / "a.jsonl", values)]) == (kind, values)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (pa.array([LONG]), pa.array([0.5]), "string"),
        (pa.array([0.5]), pa.array([LONG, None]), "string"),
        (pa.array([3, -4, None]), pa.array([0.5]), "double"),
        (pa.array([None], pa.int64()), pa.array([0.5]), "double"),
        (pa.array([2**24 + 1], pa.int32()), pa.array([0.5], pa.float32()), "double"),
        (pa.array([LONG]), pa.array([7], pa.int32()), "int64"),
        (pa.array([LONG, 2**63], pa.uint64()), pa.array([0.5]), "string"),
    ],
)
def test_whole_numbers_of_parquet_files_lose_no_digit(tmp_path, one, other, kind):
    paths = [parquet(tmp_path / "a.parquet", one), parquet(tmp_path / "b.parquet", other, start=len(one))]
    assert column_of(paths) == (kind, one.to_pylist() + other.to_pylist())


def test_whole_numbers_without_statistics_are_not_rounded(tmp_path):
    paths = [
        parquet(tmp_path / "a.parquet", [1], write_statistics=False),
        parquet(tmp_path / "b.parquet", [0.5], start=1),
    ]
    assert column_of(paths) == ("string", [1, 0.5])


def test_files_of_json_lines_with_whole_numbers_and_others(tmp_path):
    paths = [json_lines(tmp_path / "a.jsonl", [LONG]), json_lines(tmp_path / "b.jsonl", [0.5], start=1)]
    assert column_of(paths) == ("string", [LONG, 0.5])


def test_decimals_beside_floats_keep_their_digits(tmp_path):
    exact = decimal.Decimal("12345678901234567890.12")
    paths = [parquet(tmp_path / "a.parquet", [exact]), parquet(tmp_path / "b.parquet", [0.5], start=1)]
    assert column_of(paths) == ("string", [str(exact), 0.5])


def test_a_time_that_no_common_type_holds_is_one_line(tmp_path):
    late = pa.array([32_503_680_000_000_000], pa.timestamp("us"))  # the year 3000
    paths = [
        parquet(tmp_path / "a.parquet", late),
        parquet(tmp_path / "b.parquet", pa.array([1], pa.timestamp("ns")), start=1),
    ]
    with pytest.raises(DataError, match="Column 'n' is timestamp.*Give it one type in all files"):
        column_of(paths)


def test_json_text_is_always_json():
    assert arrow.json_text({"a": [float("nan"), 1]}) == '{"a": [null, 1]}'
    assert arrow.json_text("\ud83d") == '"\\ud83d"'


def test_inputs_are_found_once_and_never_the_output(tmp_path):
    for name in ("a.csv", "b.csv", "out.csv"):
        (tmp_path / name).write_text("text\nx\n")
    glob, output = f"{tmp_path}/*.csv", [tmp_path / "out.csv"]
    assert find_inputs([str(tmp_path / "b.csv"), glob], output) == [tmp_path / "b.csv", tmp_path / "a.csv"]
    with pytest.raises(DataError, match="input and output at once"):
        find_inputs([str(tmp_path / "out.csv")], output)
    with pytest.raises(DataError, match="no file to read"):
        find_inputs([f"{tmp_path}/o*.csv"], output)
    with pytest.raises(DataError, match="No file matches"):
        find_inputs([f"{tmp_path}/*.parquet"], output)


def test_an_output_in_the_folder_of_the_inputs_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("text\nx\n")
    with pytest.raises(DataError, match="lies in the output .*data. Input and output must not share a folder"):
        find_inputs([f"{tmp_path}/data/*.csv"], [tmp_path / "data"])


def test_every_table_needs_the_text_column_of_the_first(tmp_path):
    (tmp_path / "a.csv").write_text("review,n\nx,1\n")
    (tmp_path / "b.csv").write_text("text,n\nx,1\n")
    with pytest.raises(DataError, match=r"b\.csv has no column 'review'"):
        open_stream([tmp_path / "a.csv", tmp_path / "b.csv"], DataSettings())


def test_a_file_is_known_again_by_its_beginning(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    before = fingerprint(path)
    assert fingerprint(path) == before
    path.write_text("two")
    assert fingerprint(path)["start"] != before["start"]


def test_reading_ahead_keeps_order_and_errors():
    assert list(read_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]

    def broken():
        yield 1
        raise DataError("no more")

    read = read_ahead(broken())
    assert next(read) == 1
    with pytest.raises(DataError, match="no more"):
        next(read)
