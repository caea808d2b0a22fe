from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data.audit import Judged, Request, audit_rows, read_raw, write_fixed
from matinee.data.readers import open_table
from matinee.data.sources import find

LONG = " ".join(f"word{n}" for n in range(60))


def fix(data, output, judge=None, encoding="utf-8", **request):
    settings = DataSettings(data=str(data), encoding=encoding)
    raw = read_raw(find(settings), settings)
    audit = audit_rows(raw.rows, "x", judge=judge or (lambda rows, groups: "no"), tokens="no", problem=raw.problem)
    return write_fixed(raw, audit, Request(output, **request))


def rows_of(path):
    table = open_table(path)
    return list(table.rows(table.columns))


def changes_of(fixed):
    return [json.loads(line) for line in fixed.changes.read_text(encoding="utf-8").splitlines()]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_kind_of_row_is_dropped_changed_or_kept_for_its_reason(write_csv, tmp_path):
    rows = [
        *(
            ("fine", "a"),
            ("Fine ", "a"),
            ("", "a"),
            ("torn", "a"),
            ("torn", "b"),
            ("cafÃ© <b>noir</b>", "b"),
            ("café noir", "b"),
        ),
        *((LONG, "a"), (LONG + " more", "a"), ("unlabelled", "")),
    ]
    source = write_csv(rows)
    before = Path(source).read_bytes()
    fixed = fix(source, tmp_path / "clean.csv")
    assert rows_of(tmp_path / "clean.csv") == [
        ("fine", "a"),
        ("café noir", "b"),
        (LONG, "a"),
        (LONG + " more", "a"),
        ("unlabelled", ""),
    ]
    assert [(row["id"], row["action"], row["reason"]) for row in changes_of(fixed)] == [
        ("row-2", "dropped", "exact-duplicates"),
        ("row-3", "dropped", "empty-texts"),
        ("row-4", "dropped", "conflicting-labels"),
        ("row-5", "dropped", "conflicting-labels"),
        ("row-6", "changed", "repaired"),
        ("row-7", "dropped", "exact-duplicates"),
        ("row-9", "kept", "near-duplicates"),
    ]
    changed = changes_of(fixed)[4]
    assert (changed["text"], changed["text_after"]) == ("cafÃ© <b>noir</b>", "café noir")
    assert (changed["file"], changed["row"], changed["label"]) == ("reviews.csv", 6, "b")
    assert [row.get("same_as") for row in changes_of(fixed) if row["reason"] == "exact-duplicates"] == [
        "row-1",
        "row-6",
    ]
    assert fixed.dropped == {"exact-duplicates": 2, "conflicting-labels": 2, "empty-texts": 1}
    assert (fixed.n_before, fixed.n_after, fixed.changed, fixed.listed) == (10, 5, 1, {"near-duplicates": 1})
    assert Path(source).read_bytes() == before
    assert names_in(tmp_path) == ["clean.changes.jsonl", "clean.csv", "reviews.csv"]


def test_fixing_a_copy_again_changes_nothing(write_csv, tmp_path):
    rows = [
        ("it\x92s <i>so</i> good", "a"),
        ("it’s so good", "a"),
        ("a&nbsp;b", "b"),
        ("a b", "a"),
        ("c", "b"),
    ]
    fix(write_csv(rows), tmp_path / "clean.csv")
    again = fix(tmp_path / "clean.csv", tmp_path / "again.csv")
    assert (again.n_before, again.n_after, again.changed) == (2, 2, 0)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "clean.csv").read_bytes()
    assert changes_of(again) == []


def test_copies_are_dropped_from_the_split_that_matters_less(write_csv, tmp_path):
    for name, texts in (("train", "abcd"), ("validation", "bcef"), ("test", "cfg")):
        write_csv([(text, "xy"[n % 2]) for n, text in enumerate(texts)], name=f"data/{name}.csv")
    write_csv([("z", "x")], name="data/notes.csv")
    fixed = fix(tmp_path / "data", tmp_path / "out" / "clean")
    left = {
        name: [row[0] for row in rows_of(tmp_path / "out" / "clean" / f"{name}.csv")]
        for name in ("train", "validation", "test")
    }
    assert left == {"train": ["a", "d"], "validation": ["b", "e"], "test": ["c", "f", "g"]}
    assert fixed.dropped == {"texts-in-two-splits": 4}
    assert names_in(tmp_path / "out") == ["clean", "clean.changes.jsonl"]
    assert names_in(tmp_path / "out" / "clean") == ["test.csv", "train.csv", "validation.csv"]


def test_near_duplicates_and_label_errors_are_dropped_if_asked(write_csv, tmp_path):
    source = write_csv([(LONG, "a"), (LONG + " more", "a"), *((f"text {n}", "ab"[n % 2]) for n in range(8))])

    def judge(rows, groups):
        answers = rows.labels.copy()
        answers[4] = 1 - answers[4]
        return Judged("a friend", np.arange(len(rows)), np.eye(2)[answers] * 0.8 + 0.1)

    kept = fix(source, tmp_path / "kept.csv", judge)
    assert (kept.n_after, kept.listed) == (10, {"near-duplicates": 1, "likely-label-errors": 1})
    (near, error) = changes_of(kept)
    assert (near["near"], near["similarity"] > 0.9) == ("row-1", True)
    assert (error["id"], error["label"], error["suggested"], error["quality"]) == (
        "row-5",
        "a",
        "b",
        pytest.approx(0.1),
    )
    dropped = fix(source, tmp_path / "less.csv", judge, drop_near_duplicates=True, drop_label_errors=True)
    assert dropped.dropped == {"near-duplicates": 1, "likely-label-errors": 1}
    assert len(rows_of(tmp_path / "less.csv")) == 8


def test_of_two_near_duplicates_one_stays(write_csv, tmp_path):
    source = write_csv([(LONG, "a"), (LONG + " more", "a"), (LONG + " still more", "a"), ("other", "b")])
    fix(source, tmp_path / "less.csv", drop_near_duplicates=True)
    assert [row[0] for row in rows_of(tmp_path / "less.csv")] == [LONG, "other"]


def test_what_is_ignored_is_left_as_it_is(write_csv, tmp_path):
    source = write_csv([("a<br>b", "x"), ("a", "x"), ("a", "x"), ("", "y"), ("cafÃ©", "y")])
    fixed = fix(source, tmp_path / "clean.csv", ignore=["html", "A201", "empty-texts", "mojibake"])
    assert rows_of(tmp_path / "clean.csv") == rows_of(tmp_path / "reviews.csv")
    assert changes_of(fixed) == []


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "ndjson", "json", "parquet"])
def test_every_format_keeps_its_other_columns(ending, tmp_path):
    records = [
        {"id": 7, "text": "one, two\n<br>three", "label": "a", "more": {"deep": [1, None]}},
        {"id": 8, "text": "same", "label": "b", "more": None},
        {"id": 9, "text": "same", "label": "b", "more": {"deep": []}},
    ]
    source, copy = tmp_path / f"x.{ending}", tmp_path / f"y.{ending}"
    if ending in {"csv", "tsv"}:
        with source.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="," if ending == "csv" else "\t").writerows(
                [list(records[0]), *(list(record.values()) for record in records)]
            )
    elif ending == "parquet":
        pq.write_table(pa.Table.from_pylist(records).replace_schema_metadata({"kept": "yes"}), source)
    elif ending == "json":
        source.write_text(json.dumps(records))
    else:
        source.write_text("\n\n".join(map(json.dumps, records)))
    fixed = fix(source, copy)
    assert (fixed.n_after, fixed.changed) == (2, 1)
    expected = rows_of(source)[:2]
    column = open_table(source).columns.index("text")
    first = [*expected[0]]
    first[column] = "one, two\nthree"
    assert rows_of(copy) == [tuple(first), expected[1]]
    if ending == "parquet":
        assert pq.read_schema(copy).metadata == {b"kept": b"yes"}
        assert pq.read_schema(copy).types == pq.read_schema(source).types
    if ending == "json":
        assert json.loads(copy.read_text())[1] == records[1]


def test_keys_that_only_later_records_have_are_kept(tmp_path):
    lines = [json.dumps({"text": f"text {n}", "label": n % 2}) for n in range(120)]
    (tmp_path / "x.jsonl").write_text("\n".join([*lines, '{"text": "last", "label": 1, "note": "rare"}']))
    fix(tmp_path / "x.jsonl", tmp_path / "y.jsonl")
    assert json.loads((tmp_path / "y.jsonl").read_text().splitlines()[-1])["note"] == "rare"


def test_another_encoding_becomes_utf_8(tmp_path):
    (tmp_path / "x.csv").write_bytes("text,label\ntrès bon,a\nfür mich,b\n".encode("latin-1"))
    fix(tmp_path / "x.csv", tmp_path / "y.csv", encoding="latin-1")
    assert rows_of(tmp_path / "y.csv") == [("très bon", "a"), ("für mich", "b")]


def test_several_files_become_a_folder(write_csv, tmp_path):
    for number in (1, 2):
        write_csv([("same", "a"), (f"text {number}", "b")], name=f"in/part{number}.csv")
    fix(tmp_path / "in" / "part*.csv", tmp_path / "clean")
    assert [row[0] for name in names_in(tmp_path / "clean") for row in rows_of(tmp_path / "clean" / name)] == [
        "same",
        "text 1",
        "text 2",
    ]


@pytest.mark.parametrize("there", ["clean.csv", "clean.changes.jsonl"])
def test_nothing_is_overwritten(there, write_csv, tmp_path):
    source = write_csv([("a", "x"), ("b", "y")])
    (tmp_path / there).write_text("mine")
    with pytest.raises(DataError, match="never overwritten"):
        fix(source, tmp_path / "clean.csv")
    assert (tmp_path / there).read_text() == "mine"
    assert names_in(tmp_path) == sorted([there, "reviews.csv"])


def test_the_source_itself_is_never_the_output(write_csv, tmp_path):
    with pytest.raises(DataError, match="never overwritten"):
        fix(write_csv([("a", "x"), ("b", "y")]), tmp_path / "reviews.csv")


def test_a_copy_has_the_ending_of_its_source(write_csv, tmp_path):
    with pytest.raises(DataError, match=r"must end in \.csv"):
        fix(write_csv([("a", "x"), ("b", "y")]), tmp_path / "clean.parquet")


def test_a_split_is_never_emptied(write_csv, tmp_path):
    with pytest.raises(DataError, match="would drop every row of the file"):
        fix(write_csv([("a", "x"), ("a", "y")]), tmp_path / "clean.csv")
    write_csv([("a", "x"), ("b", "y")], name="data/train.csv")
    write_csv([("a", "x"), ("b", "y")], name="data/test.csv")
    with pytest.raises(DataError, match="every row of the train split"):
        fix(tmp_path / "data", tmp_path / "clean")
    assert names_in(tmp_path) == ["data", "reviews.csv"]


def test_columns_without_names_cannot_be_told_apart(tmp_path):
    (tmp_path / "x.csv").write_text(",text,,label\n1,a,2,x\n1,b,2,y\n")
    with pytest.raises(DataError, match="name them"):
        fix(tmp_path / "x.csv", tmp_path / "y.csv")


def test_a_source_that_changed_meanwhile_leaves_nothing(write_csv, tmp_path):
    source = write_csv([("a", "x"), ("b", "y")])
    settings = DataSettings(data=source)
    raw = read_raw(find(settings), settings)
    audit = audit_rows(raw.rows, "x", judge=lambda rows, groups: "no", tokens="no")
    write_csv([("a", "x"), ("b", "y"), ("c", "x")])
    with pytest.raises(DataError, match="has changed while it was read: it had 2 rows, now 3"):
        write_fixed(raw, audit, Request(tmp_path / "clean.csv"))
    assert names_in(tmp_path) == ["reviews.csv"]
