from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.core.errors import DataError
from matinee.data.split import (
    allocate,
    asked_size,
    block_holdout,
    group_holdout,
    random_holdout,
    stratified_sample,
)

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def labelled(draw, smallest=5):
    counts = draw(st.lists(st.integers(smallest, 60), min_size=2, max_size=5))
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(draw(SEEDS)).permutation(labels)


def assert_disjoint(partition, n_rows, *, whole=True):
    rows = np.concatenate([partition.train, partition.validation, partition.test])
    assert len(np.unique(rows)) == len(rows)
    assert rows.min() >= 0
    assert rows.max() < n_rows
    assert not whole or len(rows) == n_rows


def assert_proportional(labels, rows):
    counts = np.bincount(labels)
    share = len(rows) * counts / counts.sum()
    assert np.all(np.abs(np.bincount(labels[rows], minlength=len(counts)) - share) <= 1 + 1e-9)


@given(labelled(), SEEDS, st.data())
def test_a_sample_is_exact_and_proportional(labels, seed, data):
    n = data.draw(st.integers(labels.max() + 1, len(labels)))
    rows = stratified_sample(labels, n, np.random.default_rng(seed))
    assert len(np.unique(rows)) == len(rows) == n
    assert rows.tolist() == sorted(rows)
    assert set(labels[rows]) == set(labels)
    if n * np.bincount(labels).min() >= len(labels):  # else a class owes its only row to the lower bound
        assert_proportional(labels, rows)
    assert rows.tolist() == stratified_sample(labels, n, np.random.default_rng(seed)).tolist()


def test_samples_that_cannot_be_drawn():
    labels = np.array([0, 0, 1])
    with pytest.raises(DataError, match=r"4 texts were asked for, but only 3 of 3"):
        stratified_sample(labels, 4, np.random.default_rng(0))
    with pytest.raises(DataError, match="2 classes needs at least one"):
        stratified_sample(labels, 1, np.random.default_rng(0))


@given(labelled(), st.integers(0, 2**31), st.data())
def test_a_random_holdout_is_disjoint_exact_and_proportional(labels, seed, data):
    n_classes = labels.max() + 1
    n_test = data.draw(st.integers(n_classes, len(labels) // 3 + 1))
    n_validation = data.draw(st.integers(n_classes, len(labels) // 3 + 1))
    partition = random_holdout(labels, n_validation, n_test, seed)
    assert_disjoint(partition, len(labels))
    assert (len(partition.test), len(partition.validation)) == (n_test, n_validation)
    for rows in (partition.train, partition.validation, partition.test):
        assert set(labels[rows]) == set(labels)
    if n_test * np.bincount(labels).min() >= len(labels):
        assert_proportional(labels, partition.test)
    again = random_holdout(labels, n_validation, n_test, seed)
    assert partition.test.tolist() == again.test.tolist()


@given(labelled(), SEEDS)
def test_the_test_rows_do_not_depend_on_the_validation_size(labels, seed):
    n = int(labels.max()) + 1
    sizes = [random_holdout(labels, n_validation, n, seed).test.tolist() for n_validation in (n, n + 1)]
    assert sizes[0] == sizes[1]


def test_rare_classes_stay_in_train():
    labels = np.array([0] * 20 + [1] * 20 + [2] * 2 + [3])
    partition = random_holdout(labels, 4, 8, 0)
    assert set(labels[partition.test]) == set(labels[partition.validation]) == {0, 1}
    assert set(labels[partition.train]) == {0, 1, 2, 3}


def test_three_rows_of_a_class_are_one_in_each_part():
    labels = np.array([0] * 100 + [1] * 3)
    partition = random_holdout(labels, 10, 10, 0)
    assert [int((labels[rows] == 1).sum()) for rows in (partition.train, partition.validation, partition.test)] == [
        1,
        1,
        1,
    ]


def test_holdouts_larger_than_the_data():
    with pytest.raises(DataError, match="90 test and 90 validation texts cannot be held out of 100 rows"):
        random_holdout(np.array([0, 1] * 50), 90, 90, 0)
    with pytest.raises(DataError, match="cannot be held out of 4 rows"):
        random_holdout(np.array([0, 0, 1, 1]), 1, 1, 0)
    with pytest.raises(DataError, match="^90 validation texts cannot be held out of 20 rows"):
        random_holdout(np.array([0, 1] * 10), 90, 0, 0)


@given(st.integers(60, 200), st.integers(60, 200), st.integers(0, 9), st.integers(1, 5))
def test_blocks_keep_their_distance(n_first, n_second, seed, gap):
    labels = np.repeat([0, 1], [n_first, n_second])
    partition = block_holdout(labels, 12, 20, seed, gap)
    assert_disjoint(partition, len(labels), whole=False)
    assert (len(partition.test), len(partition.validation)) == (20, 12)
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        place = {row: i for i, row in enumerate(rows)}
        parts = [
            [place[row] for row in part if labels[row] == label]
            for part in (partition.train, partition.validation, partition.test)
        ]
        for i, one in enumerate(parts):
            for other in parts[i + 1 :]:
                assert min(abs(a - b) for a in one for b in other) > gap


def test_seed_zero_takes_the_last_rows():
    labels = np.repeat([0, 1], 50)
    partition = block_holdout(labels, 4, 10, 0, 3)
    assert partition.test.tolist() == [*range(45, 50), *range(95, 100)]
    assert partition.validation.tolist() == [*range(40, 42), *range(90, 92)]
    assert partition.train.tolist() == [*range(37), *range(50, 87)]
    assert block_holdout(labels, 4, 10, 1, 3).test.tolist() != partition.test.tolist()


def test_blocks_of_one_kind_only():
    labels = np.repeat([0, 1], 50)
    partition = block_holdout(labels, 10, 0, 0, 3)
    assert (len(partition.test), len(partition.validation), len(partition.train)) == (0, 10, 84)


@settings(max_examples=50)
@given(st.integers(10, 60), st.integers(0, 1000), st.integers(2, 40))
def test_groups_never_straddle(n_groups, seed, largest):
    rng = np.random.default_rng(seed)
    groups = [f"film {g}" for g in range(n_groups) for _ in range(rng.integers(1, largest))]
    labels = rng.integers(0, 3, len(groups))
    n = max(1, len(groups) // 5)
    partition = group_holdout(labels, groups, n, n, seed)
    assert_disjoint(partition, len(groups))
    names = [{groups[row] for row in part} for part in (partition.train, partition.validation, partition.test)]
    assert all(names)
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert abs(len(partition.test) - n) <= largest + 3
    assert partition.test.tolist() == group_holdout(labels, groups, n, n, seed).test.tolist()


def test_groups_are_about_stratified():
    rng = np.random.default_rng(0)
    groups = [str(g) for g in range(300) for _ in range(10)]
    labels = np.repeat(rng.integers(0, 2, 300), 10)
    test = group_holdout(labels, groups, 300, 600, 0).test
    assert len(test) == 600
    assert abs(labels[test].mean() - labels.mean()) < 0.02


def test_too_few_groups():
    with pytest.raises(DataError, match="2 different values, and 3 splits"):
        group_holdout(np.array([0, 1, 0, 1]), ["a", "a", "b", "b"], 1, 1, 0)
    with pytest.raises(DataError, match="more than the 4 rows can spare"):
        group_holdout(np.array([0, 1, 0, 1]), list("abcd"), 2, 2, 0)


@given(st.data())
def test_allocation_keeps_its_bounds_and_its_sum(data):
    counts = np.array(data.draw(st.lists(st.integers(0, 1000), min_size=1, max_size=8)))
    high = np.array([data.draw(st.integers(0, int(count))) for count in counts])
    low = np.array([data.draw(st.integers(0, min(3, int(most)))) for most in high])
    n = data.draw(st.integers(int(low.sum()), int(high.sum())))
    shares = allocate(counts, n, low, high)
    assert shares.sum() == n
    assert np.all(shares >= low)
    assert np.all(shares <= high)


def test_sizes():
    assert asked_size(200, 1000, 0.1) == 200
    assert asked_size(0.25, 1000, 0.1) == 250
    assert asked_size(None, 1000, 0.1) == 100
    assert asked_size(0.001, 10, 0.1) == 1
