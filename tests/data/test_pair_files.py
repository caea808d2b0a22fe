"""Files of originals and edits."""

import json
from pathlib import Path

import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data.pair_files import read_pairs

NAMES = ("negative", "positive")
HEADER = ("text", "label", "pair")


def read(path, pair_column="pair", **more):
    settings = DataSettings(
        **{key: more.pop(key) for key in ("text_column", "label_column", "encoding") if key in more}
    )
    return read_pairs(Path(path), settings, pair_column, NAMES, **more)


def test_rows_are_read_in_order(write_csv):
    read_ = read(write_csv([("good", "positive", "1"), ("not good", "negative", "1.0")], header=HEADER))
    assert read_.split.texts == ["good", "not good"]
    assert read_.split.labels.tolist() == [1, 0]
    assert read_.pairs == ["1", "1"]
    assert read_.split.ids == ["row-1", "row-2"]
    assert read_.is_edit is None


def test_capitals_of_a_label_may_differ(write_csv):
    path = write_csv(
        [("a", "Positive", "x"), ("b", "NEGATIVE", "x")], header=("Text", "Sentiment", "batch_id"), name="p.tsv"
    )
    Path(path).write_text(Path(path).read_text().replace(",", "\t"))
    assert read(path, "batch_id").split.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("original", "edit"), [("0", "1"), ("original", "Edit"), ("False", "True"), ("orig", "revised")]
)
def test_a_column_tells_edits(original, edit, write_csv):
    rows = [("b", "negative", "1", edit), ("a", "positive", "1", original)]
    assert read(write_csv(rows, header=(*HEADER, "kind")), edit_column="kind").is_edit == [True, False]


def test_json_lines_will_do(tmp_path):
    rows = [
        {"text": "été 🎬", "label": "positive", "pair": 7, "edited": False},
        {"text": "", "label": "x", "pair": None},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(rows[0]) + "\n", encoding="utf-8")
    found = read(path, edit_column="edited")
    assert (found.split.texts, found.pairs, found.is_edit) == (["été 🎬"], ["7"], [False])


@pytest.mark.parametrize(
    ("rows", "header", "more", "part"),
    [
        ([("a", "positive", "1")], ("text", "label", "pairs"), {}, "Did you mean 'pairs'"),
        ([("a", "positive", "1")], HEADER, {"edit_column": "edit"}, "--edit-column"),
        ([("a", "positive", "1")], ("x", "label", "pair"), {}, "--text-column"),
        ([("a", "postive", "1")], HEADER, {}, "Did you mean 'positive'"),
        ([("a", "positive", "1"), ("", "positive", "1")], HEADER, {}, "no text (row 2"),
        ([("a", "", "1")], HEADER, {}, "no label (row 1"),
        ([("a", "positive", "")], HEADER, {}, "no pair (row 1"),
        (
            [("a", "positive", "1", "maybe")],
            (*HEADER, "edit"),
            {"edit_column": "edit"},
            "row 1: column 'edit' holds 'maybe'",
        ),
        ([], HEADER, {}, "holds no rows"),
    ],
)
def test_a_mistake_is_named(rows, header, more, part, write_csv):
    with pytest.raises(DataError) as error:
        read(write_csv(rows, header=header), **more)
    assert part in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no file"):
        read(tmp_path / "nowhere.csv")


def test_labels_that_only_capitals_tell_apart_are_not_guessed(write_csv):
    with pytest.raises(DataError, match="does not know the label 'YES'"):
        read_pairs(Path(write_csv([("a", "YES", "1")], header=HEADER)), DataSettings(), "pair", ("yes", "Yes"))
