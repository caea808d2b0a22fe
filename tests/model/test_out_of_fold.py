from __future__ import annotations

import numpy as np
import pytest

from matinee.model.out_of_fold import out_of_fold_probabilities


def labelled(rows):
    names = sorted({label for _, label in rows})
    return [text for text, _ in rows], np.array([names.index(label) for _, label in rows])


def test_probabilities_of_unseen_texts_are_good_and_sum_to_one(tiny_rows):
    texts, labels = labelled(tiny_rows)
    probabilities = out_of_fold_probabilities(texts, labels, 2, np.arange(len(texts)), seed=0)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(texts)))
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.9


def test_a_text_is_never_judged_by_its_own_copy():
    """Each text's only evidence is its own word; its copy, with the same label, must not give it away."""
    texts = [f"word{n} word{n}" for n in range(40)] * 2
    labels = np.tile(np.arange(40) % 2, 2)
    together = out_of_fold_probabilities(texts, labels, 2, np.tile(np.arange(40), 2), seed=0)
    apart = out_of_fold_probabilities(texts, labels, 2, np.arange(80), seed=0)
    assert np.abs(together - 0.5).max() < 0.1
    assert (apart.argmax(axis=1) == labels).mean() > 0.6
    assert together[:40] == pytest.approx(together[40:])


def test_a_wrong_label_does_not_get_into_its_own_answer(tiny_rows):
    texts, labels = labelled(tiny_rows)
    wrong = labels.copy()
    wrong[7] = 1 - wrong[7]
    probabilities = out_of_fold_probabilities(texts, wrong, 2, np.arange(len(texts)), seed=0)
    assert probabilities[7].argmax() == labels[7]


@pytest.mark.parametrize("characters", ["😂🔥", "好坏", "ab"])
def test_texts_without_words_are_learned_from_by_characters(characters):
    texts = [" ".join(characters[n % 2] * (n // 2 + 1)) for n in range(40)]
    labels = np.arange(40) % 2
    probabilities = out_of_fold_probabilities(texts, labels, 3, np.arange(40), seed=0)
    assert (probabilities.argmax(axis=1) == labels).all()
    assert not probabilities[:, 2].any()


def test_it_is_repeatable(tiny_rows):
    texts, labels = labelled(tiny_rows)
    one, two, other = (
        out_of_fold_probabilities(texts, labels, 2, np.arange(len(texts)), seed=seed) for seed in (3, 3, 4)
    )
    assert (one == two).all()
    assert (one != other).any()
