from __future__ import annotations

import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
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
        [("text 300", "bad"), ("text 201", "fair"), ("text 202", "good"), ("text 203", "fair")], "d/validation.csv"
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


def test_validation_shares_no_group_with_test(tmp_path, write_csv):
    def films(first, n):
        return [(f"text {n}", ("bad", "good")[n % 2], f"film {n // 6}") for n in range(first, first + n)]

    header = ("text", "label", "film")
    write_csv(films(0, 60), "d/train.csv", header=header)
    write_csv(films(60, 18), "d/validation.csv", header=header)
    write_csv([("new", "bad", "film 11"), ("newer", "good", "film 12")], "d/test.csv", header=header)
    dataset = load(str(tmp_path / "d"), group_column="film")
    assert set(dataset.splits["validation"].groups) == {"film 10"}
    assert dataset.about["dropped"] == {"validation text of a group in test": 12}


def test_a_label_whose_groups_are_all_held_out_cannot_be_learned(write_csv):
    rows = [(f"text {n}", ("bad", "good")[n % 2], f"film {n // 6}") for n in range(60)]
    path = write_csv([*rows, ("odd", "odd", "film 4")], header=("text", "label", "film"))
    said = "no training text has the label 'odd': its groups are all held out"
    refused = 0
    for split_seed in range(10):
        try:
            assert "odd" in texts(load(path, group_column="film", split_seed=split_seed), "train")
        except DataError as error:
            refused += said in str(error)
    assert 0 < refused < 10


def test_a_glob_is_one_dataset(tmp_path, write_csv):
    write_csv(ROWS[:45], "a.csv")
    write_csv(ROWS[45:], "b.csv")
    dataset = load(str(tmp_path / "*.csv"))
    ids = [name for split in dataset.splits.values() for name in split.ids]
    assert len(set(ids)) == 90
    assert "row-2-1" in ids


def test_rare_classes_are_warned_of(write_csv, caplog):
    dataset = load(write_csv([*ROWS, ("odd", "weird")]))
    assert "No test text has the label 'weird': too few rows have it." in caplog.text
    assert "odd" in texts(dataset, "train")


def test_the_reason_for_an_absent_label_is_the_true_one(tmp_path, write_csv, caplog):
    write_csv(ROWS, "d/train.csv")
    write_csv([(f"new {text}", label) for text, label in ROWS if label != "fair"], "d/test.csv")
    load(str(tmp_path / "d"))
    assert "No test text has the label 'fair': the dataset's own test split has none." in caplog.text
    assert "too few" not in caplog.text


def test_labels_lost_to_repeats_in_our_own_validation_are_warned_of(write_csv, caplog):
    rows = [*ROWS, *[("the same", "odd")] * 8, *[(f"odd {n}", "odd") for n in range(3)]]
    for split_seed in range(20):
        caplog.clear()
        dataset = load(write_csv(rows), split_seed=split_seed)
        if "odd" not in {dataset.label_names[label] for label in dataset.splits["validation"].labels}:
            break
    assert "with the label 'odd' of the validation split stand in test too" in caplog.text
    assert "too few rows" not in caplog.text


# -- what leaves nothing to learn from, or to choose by ----------------------------------------------------------------


def new(name):
    return [(f"{name} {text}", label) for text, label in ROWS]


def odd(*numbers):
    return [(f"odd {n}", "odd") for n in numbers]


EMPTIED = {
    "validation": (ROWS, new("a"), new("a")),
    "a label of validation": ([*ROWS, *odd(3, 4)], [*new("a"), *odd(1, 2)], [*new("b"), *odd(1, 2)]),
    "train": ([*ROWS, (" ", "bad")], ROWS[:30], ROWS[30:]),
    "a label of train": ([*ROWS, *odd(1)], new("a"), [*new("b"), *odd(1)]),
}
SAID = {
    "validation": r"all 90 texts of the validation split stand in test too: give another, or remove dev\.csv so that one",
    "a label of validation": r"all 2 texts with the label 'odd' of the validation split stand in test too: .* dev\.csv",
    "train": r"all 91 texts of the train split are empty or stand in validation or test too: .* dev\.csv and test\.csv so",
    "a label of train": "all texts with the label 'odd' of the train split stand in validation or test too: give other",
}


@pytest.mark.parametrize("what", EMPTIED)
def test_what_another_split_empties_is_named(tmp_path, write_csv, what):
    for name, rows in zip(("train", "dev", "test"), EMPTIED[what], strict=True):
        write_csv(rows, f"d/{name}.csv")
    with pytest.raises(DataError, match=SAID[what]) as raised:
        load(str(tmp_path / "d"))
    assert "\n" not in str(raised.value)


def test_the_same_text_over_and_over_cannot_be_divided(write_csv):
    with pytest.raises(DataError, match="all 2 texts of the validation split stand in test too: remove the repeated"):
        load(write_csv([("good film", "good"), ("bad film", "bad")] * 10))


# -- labels that train does not have -----------------------------------------------------------------------------------

NUMBERED = [(f"text {n}", n % 2) for n in range(60)]


def test_label_names_are_those_of_train(tmp_path, write_csv):
    write_csv(NUMBERED, "d/train.csv")
    write_csv([(f"new {n}", (0, 1, 2)[n % 3]) for n in range(30)], "d/test.csv")
    with pytest.raises(
        DataError, match=r"the test split has a label that train lacks: '2' \(10 rows\); .* add such rows"
    ):
        load(str(tmp_path / "d"))
    write_csv([("new", 0), ("newer", "x"), ("newest", "y"), ("most new", "y")], "d/test.csv")
    with pytest.raises(DataError, match=r"labels that train lacks: 'x' \(1 row\), 'y' \(2 rows\)"):
        load(str(tmp_path / "d"))


def test_a_test_split_without_labels_is_left_out(tmp_path, write_csv, caplog):
    write_csv(NUMBERED, "d/train.csv")
    write_csv([(f"new {n}", -1) for n in range(1234)], "d/test-0.csv")
    write_csv([("last", "")], "d/test-1.csv")
    dataset = load(str(tmp_path / "d"))
    assert dataset.label_names == ("0", "1")
    assert "The test split of" in caplog.text
    assert "none of its 1,235 rows has a label" in caplog.text
    assert {name.partition("-")[0] for name in dataset.splits["test"].ids} == {"train"}
    assert dataset.about["held_out"]["test"] == "random rows of train, stratified"
    assert dataset.about["left_out"] == {"test": "no row of it has a label"}
    assert dataset.about["rows_read"] == {"train": 60}


def test_minus_one_is_a_missing_label_beside_zero_and_one(tmp_path, write_csv):
    write_csv(NUMBERED, "d/train.csv")
    write_csv([("new", 0), ("newer", 1), ("newest", -1)], "d/test.csv")
    with pytest.raises(DataError, match=r"1 row has no label but -1 \(row 3; .* --missing drop"):
        load(str(tmp_path / "d"))
    dataset = load(str(tmp_path / "d"), missing="drop")
    assert (dataset.label_names, len(dataset.splits["test"])) == (("0", "1"), 2)
    assert dataset.about["dropped"] == {"no label but -1": 1}
    assert dataset.about["left_out"] == {}


def test_minus_one_in_train(write_csv, caplog):
    caplog.set_level(logging.INFO)
    assert load(write_csv([(f"text {n}", n % 3 - 1) for n in range(60)])).label_names == ("-1", "0", "1")
    assert "Label -1" in caplog.text
    path = write_csv([(f"text {n}", n % 4 - 1) for n in range(60)], "four.csv")
    with pytest.raises(DataError, match="15 rows have no label but -1"):
        load(path)
    dataset = load(path, missing="drop")
    assert dataset.label_names == ("0", "1", "2")
    assert dataset.about["dropped"] == {"no label but -1": 15}


def test_minus_one_beside_named_classes(tmp_path):
    info = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    (tmp_path / "d").mkdir()
    for name, rows in {"train": NUMBERED, "test": [("new", -1), ("newer", -1)]}.items():
        table = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
        pq.write_table(table, tmp_path / "d" / f"{name}.parquet")
    dataset = load(str(tmp_path / "d"))
    assert dataset.label_names == ("neg", "pos")
    assert dataset.about["left_out"] == {"test": "no row of it has a label"}


def test_a_label_of_rows_without_a_text_is_no_class(write_csv):
    assert load(write_csv([*ROWS, ("", "odd")]), missing="drop").label_names == ("bad", "fair", "good")


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        (ROWS, {"train_size": 1000}, "--train-size 1,000 is larger than the data: there are 90 rows"),
        (
            ROWS,
            {"train_size": 60, "validation_size": 20},
            "--train-size 60 is larger than the data: 52 texts are left after 20 for validation and 18",
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


def test_minus_one_is_a_missing_label_to_a_classifier_of_zero_and_one(write_csv):
    path = write_csv([("a", 0), ("b", -1), ("c", 1)])
    with pytest.raises(DataError, match=r"1 row has no label but -1 \(row 2;"):
        read_split(path, DataSettings(), ("0", "1"))
    assert read_split(path, DataSettings(missing="drop"), ("0", "1")).ids == ["row-1", "row-3"]
    assert read_split(path, DataSettings(), ("-1", "0", "1")).labels.tolist() == [1, 0, 2]


def test_there_is_nothing_to_evaluate_on_without_labels(tmp_path, write_csv):
    write_csv(NUMBERED, "d/train.csv")
    write_csv([("a", -1), ("b", -1)], "d/test.csv")
    with pytest.raises(DataError, match=r"no row of .*test\.csv has a label, .* another --split"):
        read_split(str(tmp_path / "d"), DataSettings(missing="drop"), ("0", "1"))


def test_evaluating_needs_no_group_column(write_csv):
    split = read_split(write_csv(ROWS), DataSettings(group_column="film"), ("bad", "fair", "good"))
    assert (len(split), split.groups) == (90, None)


def test_a_folder_gives_its_test_split(tmp_path, write_csv, caplog):
    write_csv(ROWS, "d/train.csv")
    assert len(read_split(str(tmp_path / "d"), DataSettings(), ("bad", "fair", "good"))) == 90
    assert "has no test split" in caplog.text
    write_csv(ROWS[:6], "d/test.csv")
    split = read_split(str(tmp_path / "d"), DataSettings(), ("bad", "fair", "good"))
    assert split.ids == [f"test-{n}" for n in range(1, 7)]
