"""Changed copies of texts: what each operation promises, and what all of them do."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matinee.core.errors import SettingsError
from matinee.core.text import clean
from matinee.data.augment import OPERATIONS, Augmentations, Augmenter, Known, examples

ALIKE = {"good": ("fine", "great"), "film": ("movie",), "straße": ("gasse",)}
WORD = st.sampled_from(["good", "film", "film,", "(good)", "Film", "don't", "…", "a", "straße", "👍", "映画"])
WORDS = st.lists(WORD, min_size=1, max_size=60)
STRENGTHS = st.floats(0.01, 1)
SEEDS = st.integers(0, 10_000)
# One test of the contract runs for several operations.
for_each = settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])


def known_of(words, room=10):
    """Return what operations may know: as many tokens for each word as it has letters, four at most."""
    return Known(np.array([min(len(word), 4) for word in words]), room, ALIKE)


class OperationContract:
    """What every operation promises. Subclasses name one."""

    name: str

    def change(self, words, strength, seed, **known):
        return OPERATIONS[self.name](words, strength, np.random.default_rng(seed), known_of(words, **known))

    @for_each
    @given(WORDS, STRENGTHS, SEEDS)
    def test_no_text_becomes_empty_and_the_words_given_stay(self, words, strength, seed):
        given_words = list(words)
        changed = self.change(words, strength, seed)
        assert changed
        assert all(changed)
        assert words == given_words

    @for_each
    @given(WORDS, STRENGTHS, SEEDS)
    def test_the_same_chance_makes_the_same_words(self, words, strength, seed):
        assert self.change(words, strength, seed) == self.change(words, strength, seed)

    def test_other_chances_make_other_words(self):
        words = ["a", "good", "film", "is", "a", "film", "in", "which", "good", "people", "watch", "a", "good", "film"]
        made = [tuple(self.change(words, 0.5, seed)) for seed in range(20)]
        assert len(set(made)) > 5

    def test_it_has_a_default_strength(self):
        assert 0 < Augmentations.parse([self.name]).operations[self.name] <= 1


class TestWindow(OperationContract):
    name = "window"

    @given(WORDS, SEEDS, st.integers(4, 80))
    def test_it_is_one_of_the_full_windows(self, words, seed, room):
        """Compare with a plain search of all of them."""
        n_tokens = known_of(words).n_tokens.tolist()
        changed = self.change(words, 1.0, seed, room=room)
        if sum(n_tokens) <= room:
            assert changed == words
            return
        windows = []
        for start in range(len(words)):
            if sum(n_tokens[start:]) < room:
                break
            end = start
            while end < len(words) and sum(n_tokens[start : end + 1]) <= room:
                end += 1
            windows.append(words[start:end])
        assert changed in windows

    def test_every_full_window_comes_up(self):
        words = [f"{n:04}" for n in range(12)]
        starts = Counter(self.change(words, 1.0, seed, room=16)[0] for seed in range(900))
        assert set(starts) == {f"{n:04}" for n in range(9)}
        assert min(starts.values()) > 60

    def test_a_word_longer_than_the_room_is_kept_alone(self):
        assert self.change(["film", "good"], 1.0, 0, room=3) in (["film"], ["good"])

    def test_its_strength_is_how_often(self):
        words = ["good"] * 20
        n = sum(len(self.change(words, 0.3, seed)) < 20 for seed in range(500))
        assert 110 < n < 190

    def test_where_nobody_counted_texts_stay_whole(self):
        words = ["good"] * 500
        assert OPERATIONS["window"](words, 1.0, np.random.default_rng(0), Known()) == words


class TestSynonym(OperationContract):
    name = "synonym"

    @given(WORDS, STRENGTHS, SEEDS)
    def test_words_change_into_those_alike_and_signs_stay(self, words, strength, seed):
        changed = self.change(words, strength, seed)
        assert len(changed) == len(words)
        for before, after in zip(words, changed, strict=True):
            if before != after:
                word = re.sub(r"\W", "", before)
                assert after in {before.replace(word, other) for other in ALIKE[word]}

    def test_its_strength_is_the_share_of_all_words(self):
        words = ["good", "a", "film", "a", "a"] * 200
        n = sum(one != other for one, other in zip(words, self.change(words, 0.1, 0), strict=True))
        assert 70 < n < 130

    def test_capitalised_words_may_be_names_and_stay(self):
        assert self.change(["Film", "GOOD"], 1.0, 0) == ["Film", "GOOD"]


class TestSwap(OperationContract):
    name = "swap"

    @given(WORDS, STRENGTHS, SEEDS)
    def test_the_words_are_the_same_ones(self, words, strength, seed):
        assert Counter(self.change(words, strength, seed)) == Counter(words)

    @given(st.integers(1, 60), STRENGTHS, SEEDS)
    def test_words_change_places_two_and_two(self, n_words, strength, seed):
        words = [str(n) for n in range(n_words)]
        changed = self.change(words, strength, seed)
        for place, word in enumerate(changed):
            assert changed[int(word)] == str(place)

    def test_its_strength_is_the_share_that_moves(self):
        words = [str(n) for n in range(1000)]
        n = sum(one != other for one, other in zip(words, self.change(words, 0.1, 0), strict=True))
        assert 70 < n < 130


class TestDelete(OperationContract):
    name = "delete"

    @given(WORDS, STRENGTHS, SEEDS)
    def test_what_is_left_is_in_order(self, words, strength, seed):
        rest = iter(words)
        assert all(word in rest for word in self.change(words, strength, seed))

    def test_its_strength_is_the_share_that_goes(self):
        assert 870 < len(self.change(["good"] * 1000, 0.1, 0)) < 930

    def test_one_word_stays_whatever_happens(self):
        words = [str(n) for n in range(9)]
        left = [self.change(words, 1.0, seed) for seed in range(200)]
        assert {len(each) for each in left} == {1}
        assert {each[0] for each in left} == set(words)


def test_every_operation_keeps_the_contract():
    assert {contract.name for contract in OperationContract.__subclasses__()} == set(OPERATIONS)


class TestSetting:
    def test_names_and_strengths(self):
        asked = Augmentations.parse(("mixup:0.4", "delete:0.25", "window"))
        assert asked.operations == {"window": 1.0, "delete": 0.25}
        assert list(asked.operations) == ["window", "delete"]
        assert asked.mixup == 0.4
        assert asked.names == ["window:1", "delete:0.25", "mixup:0.4"]

    @pytest.mark.parametrize("nothing", [None, ()])
    def test_nothing(self, nothing):
        asked = Augmentations.parse(nothing)
        assert (asked.operations, asked.mixup, asked.names) == ({}, None, [])

    def test_mixup_s_default(self):
        assert 0 < Augmentations.parse(["mixup"]).mixup < 1

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("delte", "--augment: there is no augmentation 'delte'. Did you mean 'delete'? There are window, delete, "),
            ("", "there is no augmentation ''"),
            ("delete:", "the strength must be a number above 0 and at most 1; without one it is 0.1"),
            ("delete:0", "--augment delete:0: the strength"),
            ("delete:1.01", "above 0 and at most 1"),
            ("swap:-0.1", "above 0 and at most 1"),
            ("synonym:nan", "above 0 and at most 1"),
            ("window:much", "--augment window:much: the strength"),
            ("mixup:inf", "above 0 and at most 10"),
        ],
    )
    def test_wrong_ones_are_refused(self, name, words):
        with pytest.raises(SettingsError) as error:
            Augmentations.parse(["window:0.5", name] if not name.startswith("window") else [name])
        assert words in str(error.value)
        assert "\n" not in str(error.value)

    def test_one_named_twice_is_refused(self):
        with pytest.raises(SettingsError, match="named twice"):
            Augmentations.parse(["delete:0.1", "delete:0.2"])


TEXT = "It was<br />a good film &amp; a good cast, said the good people of the film club at the film."


class TestAugmenter:
    everything = Augmenter(dict.fromkeys(OPERATIONS, 0.3), seed=1, room=12, alike=ALIKE)

    @given(st.text(max_size=80), STRENGTHS, SEEDS, st.integers(0, 9), st.integers(0, 500))
    def test_any_text_stays_a_text(self, text, strength, seed, epoch, row):
        augmenter = Augmenter(dict.fromkeys(OPERATIONS, strength), seed, 8, ALIKE)
        n_tokens = np.array([len(word) for word in clean(text).split()], dtype=np.int64)
        changed = augmenter.augment(text, epoch=epoch, row=row, n_tokens=n_tokens)
        assert bool(clean(changed)) == bool(clean(text))
        assert augmenter.augment(text, epoch=epoch, row=row, n_tokens=n_tokens) == changed

    def test_seed_epoch_and_row_make_the_difference(self):
        one = self.everything
        other = Augmenter(one.operations, seed=2, room=12, alike=ALIKE)
        made = {(who.seed, epoch, row): who.augment(TEXT, epoch=epoch, row=row)
                for who in (one, other) for epoch in range(3) for row in range(3)}  # fmt: skip
        assert len(set(made.values())) == len(made)

    def test_what_nothing_changes_is_not_even_cleaned(self):
        assert Augmenter({"window": 1.0}, 0, room=99).augment(TEXT, epoch=0, row=0) == TEXT

    def test_tags_and_entities_are_no_words(self):
        changed = Augmenter({"swap": 1.0}, 0).augment(TEXT, epoch=0, row=0)
        assert Counter(changed.split()) == Counter(clean(TEXT).split())
        assert "<" not in changed


class TestExamples:
    def test_five_from_everywhere(self):
        texts = [f"text {n}" for n in range(100)]
        found = examples([f"train-{n}" for n in range(100)], texts, lambda row: texts[row] + " x")
        assert [row["id"] for row in found] == ["train-0", "train-20", "train-40", "train-60", "train-80"]
        assert found[1] == {"id": "train-20", "before": "text 20", "after": "text 20 x"}

    @pytest.mark.parametrize(("n_changed", "n_examples"), [(0, 0), (2, 2), (7, 5)])
    def test_texts_that_did_not_change_are_none(self, n_changed, n_examples):
        texts = [f"text {n}" for n in range(23)]
        found = examples(
            texts, texts, lambda row: texts[row] + " x" if row % 3 == 1 and row < 3 * n_changed else texts[row]
        )
        assert len(found) == n_examples
        assert all(row["before"] != row["after"] for row in found)

    def test_of_no_texts(self):
        assert examples([], [], lambda row: "x") == []
