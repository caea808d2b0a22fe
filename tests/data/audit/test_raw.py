from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data.audit import read_raw
from matinee.data.sources import find


def read(data, **settings):
    settings = DataSettings(data=str(data), **settings)
    return read_raw(find(settings), settings)


def test_rows_that_would_stop_a_training_are_read(write_csv):
    raw = read(write_csv([("good", "a"), ("", "b"), ("bad", ""), ("good", "a"), ("", "")]))
    assert raw.rows.texts == ["good", "", "bad", "good", ""]
    assert [raw.rows.label(row) for row in range(5)] == ["a", "b", None, "a", None]
    assert raw.rows.ids == [f"row-{n}" for n in range(1, 6)]
    assert raw.rows.split_names == ("all",)
    assert raw.problem is None


def test_ids_are_those_of_the_loader(write_csv, tmp_path):
    from matinee.data import load_dataset

    for name, n in (("test", 6), ("train-1", 12), ("train-2", 12), ("validation", 6)):
        write_csv([(f"{name} {row}", "ab"[row % 2]) for row in range(n)], name=f"data/{name}.csv")
    raw = read(tmp_path / "data")
    loaded = load_dataset(DataSettings(data=str(tmp_path / "data")), seed=0)
    texts = {name: text for split in loaded.splits.values() for name, text in zip(split.ids, split.texts, strict=True)}
    assert dict(zip(raw.rows.ids, raw.rows.texts, strict=True)) == texts
    assert raw.rows.split_names == ("train", "validation", "test")
    assert [(part.split, part.n_rows) for part in raw.parts] == [
        ("train", 12),
        ("train", 12),
        ("validation", 6),
        ("test", 6),
    ]


def test_a_file_without_labels_is_read(tmp_path):
    (tmp_path / "texts.csv").write_text("text,id\none,1\ntwo,2\n")
    raw = read(tmp_path / "texts.csv")
    assert (raw.columns.label, raw.problem.code) == (None, "A102")
    assert (raw.rows.labels == -1).all()


@pytest.mark.parametrize(
    ("labels", "code"),
    [(["", "", ""], "A102"), (["0.25", "0.5", "0.75"], "A103"), (["a", "a", "a"], "A103"), (["a", "b", "a"], None)],
)
def test_labels_that_are_no_classes_are_a_finding(labels, code, write_csv):
    raw = read(write_csv([(f"text {n}", label) for n, label in enumerate(labels)]))
    assert (raw.problem and raw.problem.code) == code


def test_minus_one_beside_numbers_is_no_label(write_csv):
    raw = read(write_csv([("a", 0), ("b", 1), ("c", -1), ("d", 2), ("e", 0)]))
    assert raw.rows.label_names == ("0", "1", "2")
    assert raw.rows.labels.tolist() == [0, 1, -1, 2, 0]


def test_labels_keep_their_names_and_order(tmp_path):
    features = {"label": {"names": ["worse", "better"], "_type": "ClassLabel"}}
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())]).with_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1, 0]}, schema=schema), tmp_path / "x.parquet")
    raw = read(tmp_path / "x.parquet")
    assert raw.rows.label_names == ("worse", "better")
    assert raw.rows.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("text,label\n", "no rows"),
        ("", "is empty"),
        ("id,label\n1,a\n", "--text-column"),
        ('text,label\n"never closed,a\n', "quoting"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_line(content, part, tmp_path):
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(DataError, match=part):
        read(tmp_path / "bad.csv")


def test_a_named_label_column_must_be_there(write_csv):
    with pytest.raises(DataError, match="no column 'lable'"):
        read(write_csv([("a", "x")]), label_column="lable")


def test_a_label_that_is_a_list_is_one_line(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "a", "label": ["b"]}\n')
    with pytest.raises(DataError, match="row 1: column 'label' holds a list"):
        read(tmp_path / "x.jsonl")
