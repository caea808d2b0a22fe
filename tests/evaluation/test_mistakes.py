"""Mistakes: which are listed, in which order, and how much of them; and the nearest texts against a naive search."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import matinee.evaluation.mistakes as module
from matinee.core.errors import DataError
from matinee.core.types import Predictions
from matinee.evaluation.mistakes import mistakes, nearest_texts
from matinee.evaluation.slices import find_slices

NAMES = ("bad", "good")


def said(positive, labels, texts=None, threshold=None):
    positive = np.asarray(positive, dtype=float)
    ids = [f"test-{i}" for i in range(len(positive))]
    texts = texts or [f"text {i}" for i in range(len(positive))]
    labels = None if labels is None else np.asarray(labels, dtype=np.int64)
    return Predictions(ids, texts, np.column_stack([1 - positive, positive]), NAMES, labels, threshold)


def ids_of(rows):
    return [row["id"] for row in rows]


def test_the_surest_and_the_closest_mistakes():
    #                    right  wrong  wrong  right  wrong  right
    found = mistakes(said([0.99, 0.55, 0.95, 0.20, 0.10, 0.51], [1, 0, 0, 0, 1, 1]))
    assert found["n"] == 3
    assert ids_of(found["kinds"]["confident"]) == ["test-2", "test-4", "test-1"]
    assert ids_of(found["kinds"]["uncertain"]) == ["test-1", "test-4", "test-2"]
    assert ids_of(found["all"]) == ["test-2", "test-4", "test-1"]


def test_a_row_says_what_there_is_to_say():
    texts = ["Not a good film?", "fine"]
    found = mistakes(said([0.75, 0.9], [0, 1], texts), slices=find_slices(texts))
    (row,) = found["kinds"]["confident"]
    assert row == {
        "id": "test-0",
        "label": "bad",
        "predicted": "good",
        "score": 0.75,
        "slices": ["words:2", "negation", "question"],
        "text": "Not a good film?",
        "probabilities": {"bad": 0.25, "good": 0.75},
    }
    (short,) = found["all"]
    assert short == {key: value for key, value in row.items() if key != "probabilities"}


def test_n_bounds_each_kind_and_not_the_short_list():
    found = mistakes(said([0.55, *np.linspace(0.6, 0.9, 30)], [1, *[0] * 30]), n=4)
    assert [len(rows) for rows in found["kinds"].values()] == [4, 4, 4]
    assert len(found["all"]) == found["n"] == 30


def test_the_short_list_is_bounded_and_keeps_the_surest(monkeypatch):
    monkeypatch.setattr(module, "MOST_LISTED", 5)
    found = mistakes(said(np.linspace(0.6, 0.9, 30), [0] * 30))
    assert ids_of(found["all"]) == [f"test-{i}" for i in (29, 28, 27, 26, 25)]
    assert (found["n"], found["n_left_out"]) == (30, 25)


def test_texts_are_shortened():
    texts = ["x" * 1_000_000, "y" * 1_000]
    found = mistakes(said([0.9, 0.8], [0, 0], texts))
    long, short = found["kinds"]["confident"]
    assert (len(long["text"]), long["cut"]) == (20_000, True)
    assert (len(short["text"]), "cut" in short) == (1_000, False)
    assert {len(row["text"]) for row in found["all"]} == {300}


def test_with_a_threshold_a_tie_lies_at_the_threshold():
    # With 0.3: the last two are answered "good", and wrongly.
    found = mistakes(said([0.05, 0.29, 0.31, 0.52], [0, 1, 0, 0], threshold=0.3), n=3)
    assert found["n"] == 3
    assert ids_of(found["kinds"]["uncertain"]) == ["test-1", "test-2", "test-3"]
    rows = {row["id"]: row for row in found["kinds"]["uncertain"]}
    assert (rows["test-2"]["predicted"], rows["test-2"]["score"]) == ("good", pytest.approx(0.31))
    assert found["near_tie"] == {"n": 3, "wrong": 3}


def test_near_ties_count_right_answers_too():
    found = mistakes(said([0.51, 0.52, 0.47, 0.99], [1, 0, 0, 0]), n=3)
    assert found["near_tie"] == {"n": 3, "wrong": 1}


class TestMislabelled:
    #          usual for "good": 0.8                 wrong and sure  wrong, not sure
    POSITIVE = (0.90, 0.70, 0.80, 0.10, 0.15, 0.20, 0.97, 0.95, 0.65)
    LABELS = (1, 1, 1, 0, 0, 0, 0, 0, 0)

    def test_confident_and_wrong(self):
        found = mistakes(said(self.POSITIVE, self.LABELS))
        assert ids_of(found["kinds"]["mislabelled"]) == ["test-6", "test-7"]
        assert found["n_suspected"] == 2
        assert found["mislabelled_by"] == "classifier"
        assert "baseline_score" not in found["kinds"]["mislabelled"][0]

    def test_the_baseline_must_agree_and_ranks_with_it(self):
        agreeing = said([0.8, 0.6, 0.7, 0.1, 0.1, 0.1, 0.75, 0.99, 0.99], self.LABELS)
        found = mistakes(said(self.POSITIVE, self.LABELS), tfidf=agreeing)
        assert ids_of(found["kinds"]["mislabelled"]) == ["test-7", "test-6"]
        assert found["kinds"]["mislabelled"][0]["baseline_score"] == pytest.approx(0.99)
        assert found["mislabelled_by"] == "classifier and baseline"
        contradicting = said([0.8, 0.6, 0.7, 0.1, 0.1, 0.1, 0.3, 0.99, 0.99], self.LABELS)
        unsure = said([0.8, 0.6, 0.7, 0.1, 0.1, 0.1, 0.55, 0.99, 0.99], self.LABELS)
        for baseline in (contradicting, unsure):
            found = mistakes(said(self.POSITIVE, self.LABELS), tfidf=baseline)
            assert ids_of(found["kinds"]["mislabelled"]) == ["test-7"]

    def test_flipped_labels_come_out_on_top(self):
        generator = np.random.default_rng(0)
        true = generator.integers(2, size=600)
        flipped = generator.permutation(600)[:30]
        labels = true.copy()
        labels[flipped] ^= 1

        def classifier(skill):
            logits = generator.normal(size=600) + skill * (2 * true - 1)
            return said(1 / (1 + np.exp(-2 * logits)), labels)

        found = mistakes(classifier(2.0), tfidf=classifier(1.3), n=15)
        hits = {f"test-{i}" for i in flipped} & set(ids_of(found["kinds"]["mislabelled"]))
        assert len(hits) >= 13  # by chance: less than one

    def test_a_label_that_no_text_has_suspects_nobody(self):
        found = mistakes(said([0.99, 0.98], [0, 0]))
        assert found["n"] == 2
        assert found["kinds"]["mislabelled"] == []

    def test_the_baseline_must_speak_of_the_same_texts(self):
        with pytest.raises(DataError, match="other texts"):
            mistakes(said([0.9], [0]), tfidf=said([0.9, 0.1], [0, 1]))


def test_many_labels():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(5), size=200)
    labels = generator.integers(5, size=200)
    predictions = Predictions(
        [str(i) for i in range(200)], ["text"] * 200, probabilities, tuple("abcde"), labels.astype(np.int64)
    )
    found = mistakes(predictions)
    two = np.sort(probabilities, axis=1)
    margins = (two[:, -1] - two[:, -2])[predictions.predicted != labels]
    closest = [row["probabilities"] for row in found["kinds"]["uncertain"]]
    measured = [float(np.diff(np.sort(list(each.values()))[-2:])[0]) for each in closest]
    assert measured == pytest.approx(sorted(margins)[:20])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_no_mistakes_no_texts_no_labels():
    assert mistakes(said([0.9, 0.1], [1, 0]))["n"] == 0
    empty = mistakes(said([], []))
    assert (empty["n"], empty["all"]) == (0, [])
    unlabelled = mistakes(said([0.9], None))
    assert "labels" in unlabelled["reason"]
    assert unlabelled["kinds"] == {"confident": [], "uncertain": [], "mislabelled": []}


def test_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="diverged"):
        mistakes(said([np.nan, 0.3], [0, 1]))


class TestNearestTexts:
    @given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 5), st.integers(1, 8), st.integers(0, 2**32 - 1))
    def test_it_is_the_naive_search(self, n_queries, n_pool, width, k, seed):
        generator = np.random.default_rng(seed)
        queries, pool = generator.normal(size=(n_queries, width)), generator.normal(size=(n_pool, width))
        places, similarities = nearest_texts(queries, pool, k)
        assert places.shape == similarities.shape == (n_queries, min(k, n_pool))
        for query, near, found in zip(queries, places, similarities, strict=True):
            naive = [float(query @ one / (np.linalg.norm(query) * np.linalg.norm(one))) for one in pool]
            np.testing.assert_allclose(found, sorted(naive, reverse=True)[:k], atol=1e-12)
            np.testing.assert_allclose([naive[i] for i in near], found, atol=1e-12)
            assert len(set(near.tolist())) == len(near)

    def test_blocks_change_nothing(self, monkeypatch):
        generator = np.random.default_rng(0)
        queries, pool = generator.normal(size=(7, 16)), generator.normal(size=(503, 16))
        whole = nearest_texts(queries, pool, 5)
        monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * 16 * 10)
        blocks = nearest_texts(queries, pool, 5)
        np.testing.assert_array_equal(whole[0], blocks[0])
        np.testing.assert_allclose(whole[1], blocks[1], atol=1e-12)

    def test_single_precision_and_lengths_make_no_difference(self):
        generator = np.random.default_rng(0)
        pool = generator.normal(size=(50, 8)).astype(np.float32)
        places, similarities = nearest_texts(pool[:3] * 1000, pool, 1)
        assert places[:, 0].tolist() == [0, 1, 2]
        np.testing.assert_allclose(similarities, 1, atol=1e-6)
        assert similarities.max() <= 1

    def test_zeros_are_like_nothing(self):
        places, similarities = nearest_texts(np.zeros((1, 2)), np.eye(2), 2)
        assert sorted(places[0].tolist()) == [0, 1]
        assert similarities.tolist() == [[0.0, 0.0]]
        assert nearest_texts(np.eye(2), np.zeros((1, 2)))[1].tolist() == [[0.0], [0.0]]

    def test_nothing_asked_and_nothing_to_choose_from(self):
        assert nearest_texts(np.empty((0, 4)), np.ones((3, 4)), 2)[0].shape == (0, 2)
        assert nearest_texts(np.ones((2, 4)), np.empty((0, 4)))[0].shape == (2, 0)

    @pytest.mark.parametrize(
        ("queries", "pool", "k"),
        [
            (np.ones((1, 2)), np.ones((1, 3)), 1),
            (np.ones(2), np.ones((1, 2)), 1),
            (np.ones((1, 2)), np.ones((1, 2)), 0),
            (np.array([[np.nan, 1.0]]), np.ones((1, 2)), 1),
            (np.ones((1, 2)), np.array([[np.inf, 1.0]]), 1),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, queries, pool, k):
        with pytest.raises(ValueError, match=r"expected vectors of one width|not a number"):
            nearest_texts(queries, pool, k)
