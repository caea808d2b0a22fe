"""predictions.parquet: what goes in comes out, others can read it, and nothing else is taken for it."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core.errors import RunError
from matinee.evaluation import read_predictions, write_predictions


def assert_same(one, other):
    assert (one.ids, one.texts, one.label_names) == (other.ids, other.texts, other.label_names)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert one.probabilities.dtype == other.probabilities.dtype
    if one.labels is None:
        assert other.labels is None
    else:
        np.testing.assert_array_equal(one.labels, other.labels)
        assert other.labels.dtype == np.int64


@pytest.fixture
def parts(random_predictions):
    names = ("sehr gut 👍", "", "text")
    test = random_predictions(7, 3, names=names)
    return {
        ("test", "classifier"): replace(test, texts=["", "a\nb", "naïve", "\x00", "🎬", " x ", "y" * 9000]),
        ("test", "tfidf"): random_predictions(7, 3, seed=1, names=names),
        ("validation", "classifier"): random_predictions(4, 3, seed=2, names=names),
        ("other", "classifier"): replace(test, labels=None),
    }


def test_round_trip_is_exact(tmp_path, parts):
    path = tmp_path / "run" / "split=test" / "predictions.parquet"
    write_predictions(path, parts)
    back = read_predictions(path)
    assert list(back) == list(parts)
    for key, predictions in parts.items():
        assert_same(predictions, back[key])
    assert [file.name for file in path.parent.iterdir()] == ["predictions.parquet"]


def test_round_trip_keeps_empty_parts(tmp_path, make_predictions, random_predictions):
    empty = make_predictions(np.empty((0, 2)), [])
    parts = {("test", "classifier"): empty, ("test", "tfidf"): random_predictions(3)}
    write_predictions(tmp_path / "p.parquet", parts)
    back = read_predictions(tmp_path / "p.parquet")
    assert_same(empty, back["test", "classifier"])


def test_columns_are_plain(tmp_path, make_predictions):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, {("test", "classifier"): make_predictions([0.25, 0.75], [1, 1], ["bad", "good"])})
    rows = pq.read_table(path).to_pylist()
    assert rows[0] == {
        "id": "test-0",
        "split": "test",
        "predictor": "classifier",
        "text": "text 0",
        "label": "good",
        "predicted": "bad",
        "score": 0.75,
        "probability_bad": 0.75,
        "probability_good": 0.25,
    }
    assert json.loads(pq.read_schema(path).metadata[b"matinee.label_names"]) == ["bad", "good"]


def test_same_values_same_bytes(tmp_path, parts):
    for name in ("a", "b"):
        write_predictions(tmp_path / name, parts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_lone_surrogates_are_replaced(tmp_path, random_predictions):
    predictions = replace(random_predictions(2), texts=["a\ud800b", "fine 🎬"])
    write_predictions(tmp_path / "p.parquet", {("test", "classifier"): predictions})
    assert read_predictions(tmp_path / "p.parquet")["test", "classifier"].texts == ["a\ufffdb", "fine 🎬"]


def test_label_names_must_agree(tmp_path, random_predictions):
    parts = {("test", "a"): random_predictions(3, names=["x", "y"]), ("test", "b"): random_predictions(3)}
    with pytest.raises(ValueError, match="share their label names"):
        write_predictions(tmp_path / "p.parquet", parts)
    with pytest.raises(ValueError, match="share their label names"):
        write_predictions(tmp_path / "p.parquet", {})
    assert not list(tmp_path.iterdir())


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _foreign(path):
    pq.write_table(pa.table({"a": [1, 2]}), path)


def _lacks_a_column(path):
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["text"]), path)


def _unknown_label(path):
    table = pq.read_table(path)
    place = table.schema.get_field_index("label")
    pq.write_table(table.set_column(place, "label", pa.array(["elsewhere"] * len(table))), path)


@pytest.mark.parametrize(
    "spoil", [_truncate, _foreign, _lacks_a_column, _unknown_label, lambda path: path.write_text("text,label\n")]
)
def test_a_foreign_or_broken_file_is_one_line(tmp_path, random_predictions, spoil):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, {("test", "classifier"): random_predictions(5)})
    spoil(path)
    with pytest.raises(RunError, match="not a predictions file of matinee") as caught:
        read_predictions(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(RunError, match=r"No predictions at .*missing\.parquet"):
        read_predictions(tmp_path / "missing.parquet")


def test_groups_and_token_lengths_come_back_where_they_are_known(tmp_path, random_predictions):
    known = replace(random_predictions(3), groups=["a", "b", "a"], token_lengths=np.array([3, 700, 12], dtype=np.int64))
    unknown = random_predictions(3, seed=1)
    write_predictions(tmp_path / "p.parquet", {("test", "classifier"): known, ("test", "tfidf"): unknown})
    back = read_predictions(tmp_path / "p.parquet")
    assert back["test", "classifier"].groups == ["a", "b", "a"]
    assert back["test", "classifier"].token_lengths.tolist() == [3, 700, 12]
    assert back["test", "tfidf"].groups is None
    assert back["test", "tfidf"].token_lengths is None


def test_a_file_without_groups_has_no_column_for_them(tmp_path, random_predictions):
    write_predictions(tmp_path / "p.parquet", {("test", "classifier"): random_predictions(3)})
    assert not {"group", "tokens"} & set(pq.read_table(tmp_path / "p.parquet").column_names)
