from __future__ import annotations

import json

import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data import load_dataset, read_split

ROWS = [(f"text {n}", ("bad", "fair", "good")[n % 3]) for n in range(90)]


def load(data, seed=0, **settings):
    return load_dataset(DataSettings(data=data, **settings), seed=seed)


def texts(dataset, split):
    return dataset.splits[split].texts


def test_a_csv_of_three_classes_needs_no_flag(write_csv):
    dataset = load(write_csv(ROWS))
    assert dataset.label_names == ("bad", "fair", "good")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 63, "validation": 9, "test": 18}
    assert all(set(split.labels) == {0, 1, 2} for split in dataset.splits.values())
    names = dict(ROWS)
    for split in dataset.splits.values():
        assert [dataset.label_names[label] for label in split.labels] == [names[text] for text in split.texts]
        assert [ROWS[int(name.removeprefix("row-")) - 1][0] for name in split.ids] == split.texts


def test_sizes_are_exact(write_csv):
    dataset = load(write_csv(ROWS), train_size=30, validation_size=6, test_size=12)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 30, "validation": 6, "test": 12}
    assert dataset.about["splits"]["train"]["labels"] == {"bad": 10, "fair": 10, "good": 10}
    assert len(load(write_csv(ROWS), train_size=30).splits["validation"]) == 6  # a fifth of it
    assert len(load(write_csv(ROWS), test_size=0.5, validation_size=0.1, train_size=0.5).splits["train"]) == 18


def test_holdouts_depend_on_the_split_seed_alone(write_csv):
    path = write_csv(ROWS)
    one, two = load(path, 0, train_size=30), load(path, 1, train_size=30)
    other = load(path, 0, train_size=30, split_seed=1)
    for split in ("validation", "test"):
        assert texts(one, split) == texts(two, split)
        assert texts(one, split) != texts(other, split)
    assert texts(one, "train") != texts(two, "train")
    again = load(path, 0, train_size=30)
    assert one.about == again.about


def test_what_happened_is_told(write_csv):
    rows = [
        *ROWS,
        ("TEXT 0 ", "bad"),
        ("text 1<br />", "fair"),
        (" \t", "good"),
        ("&nbsp;", "good"),
        ("", "good"),
        ("x", ""),
    ]
    dataset = load(write_csv(rows), missing="drop", split_seed=3)
    about = json.loads(json.dumps(dataset.about, allow_nan=False))
    dropped = about["dropped"]
    assert dropped["no text"] == dropped["no label"] == 1
    kept = sum(split["n"] for split in about["splits"].values())
    assert about["rows_read"] == {"train": 94}
    assert kept + sum(dropped.values()) == len(rows)
    assert about["columns"] == {"text": "text", "label": "label", "group": None}
    assert about["held_out"]["test"] == "random rows of train, stratified"
    assert about["source"] == "file"


def test_texts_in_two_splits_are_dropped_from_train(tmp_path, write_csv):
    write_csv([*ROWS, ("Text 200", "bad"), ("text   300", "bad")], "d/train.csv")
    write_csv(
        [("text 300", "bad"), ("text 201", "fair"), ("text 202", "good"), ("text 203", "good")], "d/validation.csv"
    )
    write_csv([("text 200", "bad"), ("TEXT 201", "fair"), ("text 204", "good")], "d/test.csv")
    dataset = load(str(tmp_path / "d"))
    assert len(dataset.splits["train"]) == 90
    assert texts(dataset, "validation") == ["text 300", "text 202", "text 203"]
    assert len(dataset.splits["test"]) == 3
    assert dataset.about["dropped"] == {
        "training text also in validation or test": 2,
        "validation text also in test": 1,
    }
    assert dataset.about["held_out"] == dict.fromkeys(("validation", "test"), "the dataset's own split")


def test_train_size_counts_what_is_left_after_dropping(tmp_path, write_csv):
    write_csv([*ROWS, *ROWS[:3], (" ", "bad")], "d/train.csv")
    write_csv(ROWS[:3], "d/test.csv")
    dataset = load(str(tmp_path / "d"), train_size=60, validation_size=3)
    assert len(dataset.splits["train"]) == 60
    assert dataset.about["dropped"]["empty training text"] == 1


def test_own_splits_are_sampled_where_a_size_is_given(tmp_path, write_csv):
    for name in ("train", "validation", "test"):
        write_csv([(f"{name} {text}", label) for text, label in ROWS], f"d/{name}.csv")
    dataset = load(str(tmp_path / "d"), validation_size=9, test_size=0.5)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 90, "validation": 9, "test": 45}
    assert dataset.about["held_out"]["validation"] == "a stratified sample of the dataset's own split"
    with pytest.raises(DataError, match=r"--test-size 91 is larger than the dataset's own test split of 90"):
        load(str(tmp_path / "d"), test_size=91)


def test_groups_never_stand_in_two_splits(write_csv):
    rows = [(f"text {n}", ("bad", "good")[n % 2], f"film {n // 6}") for n in range(120)]
    dataset = load(write_csv(rows, header=("text", "label", "film")), group_column="film")
    groups = [set(split.groups) for split in dataset.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20
    assert dataset.about["held_out"]["test"] == "whole groups of 'film' from train"


def test_groups_of_the_datasets_own_test_leave_train(tmp_path, write_csv):
    rows = [(f"text {n}", ("bad", "good")[n % 2], f"film {n // 6}") for n in range(60)]
    write_csv(rows, "d/train.csv", header=("text", "label", "film"))
    write_csv([("new", "bad", "film 0"), ("newer", "good", "film 0")], "d/test.csv", header=("text", "label", "film"))
    dataset = load(str(tmp_path / "d"), group_column="film")
    assert "film 0" not in dataset.splits["train"].groups
    assert dataset.about["dropped"]["training text of a group in validation or test"] > 0


def test_the_positive_label_is_the_last(write_csv):
    rows = [(f"text {n}", ("ham", "spam")[n % 2]) for n in range(20)]
    dataset = load(write_csv(rows), positive_label="ham")
    assert dataset.label_names == ("spam", "ham")
    assert all(
        (label == 1) == (int(text.split()[1]) % 2 == 0)
        for text, label in zip(texts(dataset, "train"), dataset.splits["train"].labels, strict=True)
    )


def test_a_glob_is_one_dataset(tmp_path, write_csv):
    write_csv(ROWS[:45], "a.csv")
    write_csv(ROWS[45:], "b.csv")
    dataset = load(str(tmp_path / "*.csv"))
    ids = [name for split in dataset.splits.values() for name in split.ids]
    assert len(set(ids)) == 90
    assert "row-2-1" in ids


def test_rare_classes_are_warned_of(write_csv, caplog):
    dataset = load(write_csv([*ROWS, ("odd", "weird")]))
    assert "No test text has the label 'weird'" in caplog.text
    assert "odd" in texts(dataset, "train")


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        (
            ROWS,
            {"train_size": 1000},
            r"--train-size 1,000 is larger than the data: 52 texts are left after 20 for validation and 18",
        ),
        (
            ROWS,
            {"train_size": 2, "validation_size": 3},
            "--train-size: 2 texts were asked for, but every one of 3 classes",
        ),
        (ROWS, {"test_size": 89}, "cannot be held out of 90 rows"),
        ([("a", "x"), ("b", "x")], {}, "every row has the label 'x'"),
        ([], {}, "holds no rows"),
        ([*ROWS, ("a", ""), ("b", " ")], {}, r"2 rows have no label \(row 91, 92; .* --missing drop"),
        ([*ROWS, ("", "bad")], {}, r"1 row has no text \(row 91;"),
        ([*ROWS, *[("a", "")] * 7], {}, r"7 rows have no label \(row 91, 92, 93, 94, 95, …;"),
        ([(f"text {n}", f"{n / 7:.3f}") for n in range(90)], {}, "holds numbers such as .*, not classes"),
        ([(f"text {n}", f"label {n}") for n in range(90)], {}, "90 different values in 90 rows"),
        (ROWS, {"text_column": "txt"}, "no column 'txt'"),
        (ROWS, {"positive_label": "good"}, "two classes"),
    ],
)
def test_bad_data_is_one_clear_line(write_csv, rows, settings, said):
    if settings.get("train_size") == 1000:
        settings = {**settings, "validation_size": 20}
    with pytest.raises(DataError, match=said) as raised:
        load(write_csv(rows), **settings)
    assert "\n" not in str(raised.value)


# -- labelled data for `matinee evaluate` -----------------------------------------------------------------------------


def test_labels_are_those_of_the_classifier(write_csv):
    split = read_split(write_csv(ROWS), DataSettings(), ("good", "bad", "fair", "unused"))
    assert split.labels[:3].tolist() == [1, 2, 0]
    assert len(split) == 90


def test_one_class_is_enough_to_evaluate(write_csv):
    assert read_split(write_csv([("a", "bad")]), DataSettings(), ("bad", "good")).labels.tolist() == [0]


def test_unknown_labels_are_listed(write_csv):
    with pytest.raises(DataError, match=r"does not know: 'fair', 'great'\. It knows 'bad', 'good'"):
        read_split(write_csv([("a", "bad"), ("b", "fair"), ("c", "great")]), DataSettings(), ("bad", "good"))


def test_a_folder_gives_its_test_split(tmp_path, write_csv, caplog):
    write_csv(ROWS, "d/train.csv")
    assert len(read_split(str(tmp_path / "d"), DataSettings(), ("bad", "fair", "good"))) == 90
    assert "has no test split" in caplog.text
    write_csv(ROWS[:6], "d/test.csv")
    split = read_split(str(tmp_path / "d"), DataSettings(), ("bad", "fair", "good"))
    assert split.ids == [f"test-{n}" for n in range(1, 7)]
