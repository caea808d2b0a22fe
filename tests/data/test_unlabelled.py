"""Texts without labels: what is read of them, and what must not be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from matinee.core.errors import DataError, NotAvailableError
from matinee.core.settings import DataSettings
from matinee.data import DATASETS, load_dataset, load_unlabelled
from matinee.data.readers import open_table
from matinee.data.sources.found import Found

ROWS = [(f"text {n}", ("bad", "good")[n // 200]) for n in range(400)]
GAP = 5


@dataclass(frozen=True)
class Films:
    """A named dataset whose neighbouring rows are alike."""

    path: str

    def find(self):
        return Found("films", "package-mirror", {"train": [open_table(self.path)]}, gap=GAP, named=True)


@pytest.fixture
def films(write_csv, tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.setitem(DATASETS, "films", Films(Path(write_csv(ROWS, "films.csv"))))
    return DataSettings(data="films", train_size=20, validation_size=20, test_size=40)


def unlabelled(source, own, *, seed=0, reading=None, **options):
    dataset = load_dataset(own, seed=seed)
    return dataset, load_unlabelled(str(source), dataset, own, reading=reading or DataSettings(), **options)


def numbers(texts):
    return {int(text.split()[1]) for text in texts}


@pytest.mark.parametrize("split_seed", [0, 1])
def test_of_the_run_s_own_dataset_nothing_near_a_hold_out_is_taken(films, split_seed):
    own = DataSettings(**{**vars(films), "split_seed": split_seed})
    dataset, found = unlabelled("films", own)
    held_out = numbers(dataset.splits["validation"].texts) | numbers(dataset.splits["test"].texts)
    train, rest = numbers(dataset.splits["train"].texts), numbers(found.texts)
    assert not rest & (train | held_out)
    # Rows of one label that are neighbours of a held-out one, as far as blocks keep them apart.
    near = {(n // 200, n + d) for n in held_out for d in range(-GAP, GAP + 1) if (n + d) // 200 == n // 200}
    assert not {(n // 200, n) for n in rest} & near
    n_near = 400 - len(held_out) - len(train) - len(rest)
    assert n_near >= 2 * 2 * GAP
    assert found.about["left_out"] == {
        "also a training text": 20,
        "held out, next to what is held out, or dropped from train": 60 + n_near,
    }
    assert found.about["rows"] == 400


def test_labels_make_no_difference_to_what_is_drawn(write_csv):
    own = DataSettings(data=write_csv(ROWS[::4]), test_size=10)
    one, other = ([(f"new {n}", label(n)) for n in range(50)] for label in (lambda n: n % 2, lambda n: "nonsense"))
    drawn = [unlabelled(write_csv(rows, "new.csv"), own, size=20, seed=3)[1].texts for rows in (one, other)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 20
    assert drawn[0] == sorted(drawn[0], key=lambda text: int(text.split()[1]))


def test_what_stands_in_a_split_is_left_out_and_counted(write_csv, caplog):
    own = DataSettings(data=write_csv(ROWS[::4]), test_size=10, validation_size=10)
    dataset = load_dataset(own, seed=0)
    test, train = dataset.splits["test"].texts[0], dataset.splits["train"].texts[0]
    rows = [
        (f"<b>{test.upper()}</b> ", ""),
        (train, "good"),
        ("something new", ""),
        ("Something  NEW", "bad"),
        (" &nbsp; ", ""),
        ("", "good"),
        ("another one", ""),
    ]
    with caplog.at_level("WARNING", logger="matinee"):
        found = load_unlabelled(write_csv(rows, "new.csv"), dataset, own, reading=DataSettings())
    assert found.texts == ["something new", "another one"]
    assert found.ids == ["unlabelled-row-3", "unlabelled-row-7"]
    assert found.about["rows"] == 7
    assert found.about["left_out"] == {
        "also a training text": 1,
        "also a validation or test text": 1,
        "empty": 1,
        "no text": 1,
        "repeated": 1,
    }
    assert "stand in the validation or test split" in caplog.text


def test_groups_of_the_hold_outs_are_left_out(write_csv):
    header = ("text", "label", "film")
    rows = [(f"text {n}", ("bad", "good")[n % 2], f"film {n // 10}") for n in range(200)]
    own = DataSettings(data=write_csv(rows, header=header), group_column="film", train_size=40)
    dataset, rest = unlabelled(own.data, own)
    held_out = {group for name in ("validation", "test") for group in dataset.splits[name].groups}
    assert len(rest) > 50
    assert not {f"film {n // 10}" for n in numbers(rest.texts)} & held_out
    new = [(f"text {n}", "", f"film {n // 10}") for n in range(200, 400)] + [("of a held-out film", "", min(held_out))]
    other = load_unlabelled(write_csv(new, "new.csv", header), dataset, own, reading=DataSettings())
    assert other.about["left_out"] == {"of a group in validation or test": 1}
    assert len(other) == 200


def test_a_text_file_and_a_named_column(write_csv, tmp_path):
    own = DataSettings(data=write_csv(ROWS[::4]))
    (tmp_path / "lines.txt").write_text("one\n\ntwo\none\n", encoding="utf-8")
    assert unlabelled(tmp_path / "lines.txt", own)[1].texts == ["one", "two"]
    odd = write_csv([("1", "three"), ("2", "four")], "odd.csv", ("n", "words"))
    with pytest.raises(DataError, match="--text-column"):
        unlabelled(odd, own)
    assert unlabelled(odd, own, reading=DataSettings(text_column="words"))[1].texts == ["three", "four"]


def test_nothing_left_is_one_line(write_csv):
    own = DataSettings(data=write_csv(ROWS[::4]))
    with pytest.raises(DataError, match=r"holds no text to learn from besides the run's own \(70 also a training text"):
        unlabelled(own.data, own)
    with pytest.raises(DataError, match="--unlabelled-size 10 is larger than the data: 2 texts"):
        unlabelled(write_csv([("a", ""), ("b", "")], "new.csv"), own, size=10)
    with pytest.raises(DataError, match="There is no file"):
        unlabelled("nowhere.csv", own)
    with pytest.raises(NotAvailableError):
        unlabelled("somebody/something", own)


def test_the_fingerprint_tells_texts_and_their_order(write_csv):
    own = DataSettings(data=write_csv(ROWS[::4]))
    prints = [
        unlabelled(write_csv([(text, "") for text in texts], "new.csv"), own)[1].about["fingerprint"]
        for texts in (["a", "b"], ["b", "a"], ["a", "c"], ["ab", "c"], ["a", "b"])
    ]
    assert prints[0] == prints[-1]
    assert len(set(prints)) == 4
