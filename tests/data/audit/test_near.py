from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pytest

from matinee.data.audit import near as near_module
from matinee.data.audit.duplicates import group_same
from matinee.data.audit.near import THRESHOLD, best_matches, join_near, near_findings, near_pairs

WORDS = [f"word{number}" for number in range(400)]


def text_of(chance, n_words=60):
    return " ".join(chance.choice(WORDS) for _ in range(n_words))


def edited(chance, text, n_changes):
    words = text.split()
    for place in chance.sample(range(len(words)), n_changes):
        words[place] = "changed"
    return " ".join(words)


def similarity_by_hand(one, other):
    a, b = (
        {tuple(words[n : n + 3]) for n in range(len(words) - 2)}
        for words in (re.findall(r"\w+", text.lower()) for text in (one, other))
    )
    return len(a & b) / len(a | b)


def find(texts):
    return near_pairs(texts, group_same(texts))


def test_every_near_pair_is_found_with_its_exact_similarity():
    chance = random.Random(0)
    texts = [text_of(chance) for _ in range(60)]
    texts += [edited(chance, text, chance.randint(1, 8)) for text in texts]
    expected = {(a, b): similarity_by_hand(texts[a], texts[b]) for a, b in itertools.combinations(range(len(texts)), 2)}
    expected = {pair: value for pair, value in expected.items() if value >= THRESHOLD}
    assert len(expected) > 10
    found = {(a, b): similarity for a, b, similarity in find(texts).pairs}
    assert found == pytest.approx(expected)


def test_unlike_texts_and_exact_copies_are_no_pairs():
    chance = random.Random(1)
    text = text_of(chance)
    assert find([text, text_of(chance), text.upper(), "", "", "good film", "bad film"]).pairs == []


def test_texts_of_emoji_or_a_word_are_compared_too():
    assert find(["😂😂😂", "🔥", "good", "good!", "!"]).pairs == [(2, 3, 1.0)]


def test_findings_name_the_row_to_drop(make_rows, by_code):
    chance = random.Random(2)
    text, other = text_of(chance), text_of(chance)
    rows = make_rows(
        (text, "x", "train"),
        (edited(chance, text, 1), "x", "train"),
        (other, "y", "train"),
        (edited(chance, other, 1), "y", "test"),
    )
    groups = group_same(rows.texts)
    near = near_pairs(rows.texts, groups)
    found = by_code(near_findings(rows, groups, near))
    assert list(found["A204"].rows) == [1]
    assert list(found["A205"].rows) == [2]
    assert found["A205"].examples[0]["near"]["id"] == "test-4"
    assert found["A205"].examples[0]["near"]["similarity"] > 0.7


def test_a_copy_in_another_split_of_a_near_pair_counts_too(make_rows):
    chance = random.Random(3)
    text = text_of(chance)
    rows = make_rows((text, "x", "train"), (edited(chance, text, 1), "x", "train"), (text, "x", "test"))
    groups = group_same(rows.texts)
    inside, across = best_matches(rows, groups, near_pairs(rows.texts, groups))
    assert set(inside) == {1}
    assert set(across) == {1}
    assert across[1][0] == 2


def test_near_duplicates_share_a_group():
    chance = random.Random(4)
    text = text_of(chance)
    texts = ["", text_of(chance), text, edited(chance, text, 1), text.upper(), edited(chance, text, 2)]
    groups = group_same(texts)
    joined = join_near(groups, near_pairs(texts, groups))
    assert joined.tolist() == [-1, 1, 2, 2, 2, 2]


def test_many_alike_texts_are_bounded_work(monkeypatch):
    monkeypatch.setattr(near_module, "_MOST_NEIGHBOURS", 10)
    checked = []
    jaccard = near_module._jaccard
    monkeypatch.setattr(near_module, "_jaccard", lambda one, other: checked.append(1) or jaccard(one, other))
    template = " ".join(WORDS[:60])
    near = find([f"{template} number {n}" for n in range(200)])
    assert near.n_crowded == 190
    # Every text but the first ones is still seen to be a near duplicate.
    assert {later for _, later, _ in near.pairs} == set(range(1, 200))
    assert len(checked) <= 200 * 10


def test_a_very_long_text_is_known_by_its_beginning():
    long = " ".join(WORDS[n % 400] + str(n // 400) for n in range(30_000))
    assert [pair[:2] for pair in find([long, long + " the end"]).pairs] == [(0, 1)]


def test_hashes_of_shingles_differ_where_the_words_do():
    known = near_module._WordHashes()
    a, b, c = (near_module._shingle_hashes(words.split(), known) for words in ("a b c d", "b a c d", "a b"))
    assert (len(a), len(b), len(c)) == (2, 2, 1)
    assert not np.isin(a, b).any()
    assert a.max() < 2**32
