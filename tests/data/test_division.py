from __future__ import annotations

import numpy as np
import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.core.types import Split
from matinee.data import hold_out_validation, load_dataset


def whole(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return Split([str(row) for row in range(len(labels))], [f"text {row}" for row in range(len(labels))], labels)


@pytest.mark.parametrize(
    ("counts", "asked", "held_out"),
    [
        ([50, 50], None, [5, 5]),
        ([150, 50], 0.2, [30, 10]),
        ([50, 50], 7, [4, 3]),
        ([5, 5, 5], None, [1, 1, 1]),  # a tenth would be two of three classes
        ([20, 20, 2], None, [2, 2, 0]),  # with two rows a class stays in train
    ],
)
def test_the_validation_texts_of_an_undivided_set(counts, asked, held_out):
    split = whole(counts)
    train, validation = hold_out_validation(split, DataSettings(validation_size=asked), seed=0)
    assert np.bincount(validation.labels, minlength=len(counts)).tolist() == held_out
    assert sorted(train.ids + validation.ids, key=int) == split.ids
    assert set(train.labels) == set(split.labels)
    assert all(split.texts[int(name)] == text for name, text in zip(validation.ids, validation.texts, strict=True))


def test_validation_texts_depend_on_the_seed_alone():
    ids = [hold_out_validation(whole([50, 50]), DataSettings(), seed)[1].ids for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("counts", [[50, 50], [5, 5, 5], [40, 3]])
def test_as_many_are_held_out_as_of_a_file(write_csv, counts):
    split = whole(counts)
    rows = [(text, f"label {label}") for text, label in zip(split.texts, split.labels, strict=True)]
    loaded = load_dataset(DataSettings(data=write_csv(rows)), seed=0)
    _, validation = hold_out_validation(split, DataSettings(), seed=0)
    assert len(validation) == len(loaded.splits["validation"])


@pytest.mark.parametrize(
    ("counts", "asked", "said"),
    [
        ([2, 2], None, "4 texts are too few to hold some out for validation: no class has 3 of them; give more"),
        ([10, 10], 300, "^300 validation texts cannot be held out of 20 rows"),
        ([10, 10], 1, "every one of 2 classes needs at least one"),
    ],
)
def test_too_few_texts_for_a_validation_split(counts, asked, said):
    with pytest.raises(DataError, match=said):
        hold_out_validation(whole(counts), DataSettings(validation_size=asked), seed=0)
