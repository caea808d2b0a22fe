"""The order of the training texts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from matinee.training.sampler import LengthWindowSampler

LENGTHS = [(n * 7919) % 250 + 5 for n in range(1000)]


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=300),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_every_text_comes_once_an_epoch(lengths, batch_size, seed):
    sampler = LengthWindowSampler(lengths, batch_size, seed)
    assert sorted(sampler) == list(range(len(lengths)))
    assert len(sampler) == len(lengths)


def test_the_order_depends_on_seed_and_epoch_alone():
    sampler = LengthWindowSampler(LENGTHS, 16, seed=1)
    first = list(sampler)
    sampler.epoch = 1
    second = list(sampler)
    sampler.epoch = 0
    assert list(sampler) == first != second
    assert list(LengthWindowSampler(LENGTHS, 16, seed=2)) != first


def test_batches_are_of_like_length_and_in_no_order_of_length():
    order = list(LengthWindowSampler(LENGTHS, 16, seed=0))
    batches = [[LENGTHS[row] for row in order[at : at + 16]] for at in range(0, 1000, 16)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert padded < 1.15 * sum(LENGTHS)
    longest = [max(batch) for batch in batches]
    half = len(longest) // 2
    assert abs(sum(longest[:half]) / half - sum(longest[half:]) / (len(longest) - half)) < 60


def test_the_batch_that_is_not_full_comes_last():
    order = list(LengthWindowSampler(LENGTHS[:100], 16, seed=0))
    spread = [
        max(LENGTHS[row] for row in batch) - min(LENGTHS[row] for row in batch) for batch in (order[:16], order[96:])
    ]
    assert max(spread) < 80


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=200),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_balanced_each_label_comes_as_often_and_so_does_each_of_its_texts(labels, batch_size, seed):
    labels = np.array(labels)
    lengths = [(n * 7919) % 250 + 5 for n in range(len(labels))]
    order = np.array(list(LengthWindowSampler(lengths, batch_size, seed, labels)))
    assert len(order) == len(labels)
    counts = np.bincount(labels[order], minlength=5)[np.unique(labels)]
    assert counts.max() - counts.min() <= 1
    for label in np.unique(labels):
        times = np.bincount(order, minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1


def test_balanced_labels_are_drawn_anew_each_epoch_and_depend_on_seed_and_epoch_alone():
    labels = np.array([0] * 900 + [1] * 100)
    sampler = LengthWindowSampler(LENGTHS, 16, 1, labels)
    first = list(sampler)
    sampler.epoch = 1
    assert set(sampler) != set(first)
    sampler.epoch = 0
    assert list(sampler) == first


def test_labels_that_are_balanced_already_are_every_text_once():
    assert sorted(LengthWindowSampler(LENGTHS, 16, 0, np.arange(1000) % 4)) == list(range(1000))
