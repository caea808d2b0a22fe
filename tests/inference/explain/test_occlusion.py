"""Leaving words out."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.inference.backends.linear import LinearPredictor
from matinee.inference.explain import explain
from matinee.model.tfidf import fit_tfidf


def figures(explanation):
    return {word.text: round(word.contribution, 6) for word in explanation.words}


def test_it_finds_the_word_that_the_answer_rests_on(lexicon):
    (found,) = explain(lexicon({"splendid": 3.0, "dull": -1.0}), ["A splendid, if at times dull, film."])
    assert (found.label, found.method, found.sums) == ("good", "occlusion", False)
    assert figures(found) == {
        **dict.fromkeys(["A", ",", "if", "at", "times", "film", "."], 0),
        "splendid": 3.0,
        "dull": -1.0,
    }
    assert "need not sum" in found.promise


def test_a_doubled_word_shows_why_it_does_not_sum(lexicon):
    class Either(lexicon):
        def probabilities(self, texts):
            good = np.array([0.9 if "good" in text or "fine" in text else 0.1 for text in texts])
            return np.column_stack([1 - good, good])

    (found,) = explain(Either({}), ["good and fine"], label="good")
    assert [word.contribution for word in found.words] == [0, 0, 0]
    assert found.gap == pytest.approx(2 * np.log(9))


def test_of_a_long_text_groups_come_first_and_the_strongest_words_by_themselves(lexicon):
    words = [f"w{n}" for n in range(1_000)]
    words[123], words[777] = "splendid", "dull"
    predictor = lexicon({"splendid": 5.0, "dull": -2.0})
    (found,) = explain(predictor, [" ".join(words)], most_passes=200)
    assert predictor.n_texts <= 1 + 2 + 200
    # The answer, both ends, two batches of groups, two of words.
    assert predictor.n_calls == 6
    assert found.words[123].contribution == pytest.approx(5)
    assert found.words[777].contribution == pytest.approx(-2)
    assert sum(abs(word.contribution) > 1e-9 for word in found.words) == 2
    assert "groups" in found.how


def test_a_megabyte_is_bounded(tiny_rows):
    labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
    predictor = LinearPredictor(fit_tfidf([text for text, _ in tiny_rows], labels, 2, seed=0), ("negative", "positive"))
    text = "the film was dreadful! " * 45_000
    n_texts = 0
    inner = predictor.probabilities

    def counted(texts):
        nonlocal n_texts
        n_texts += len(texts)
        return inner(texts)

    predictor.probabilities = counted
    (found,) = explain(predictor, [text], method="occlusion")
    assert n_texts <= 25
    assert len(found.words) == 225_000


def test_only_what_is_read_is_left_out(transformer):
    predictor = transformer()
    text = " ".join(f"seat {n}" for n in range(200)) + " wonderful"
    (found,) = explain(predictor, [text], method="occlusion")
    unread = [word for word in found.words if not word.read]
    assert len(unread) > 100
    assert all(word.contribution == 0 for word in unread)
    said = predictor.probabilities([text])[0]
    assert found.value == pytest.approx(float(np.log(said.max() / said.min())), abs=1e-3)


@pytest.mark.parametrize("text", ["", "<b></b>"])
def test_no_words(lexicon, text):
    (found,) = explain(lexicon({}, bias=1.0), [text])
    assert (found.words, found.value, found.base_value) == ((), pytest.approx(1.0), pytest.approx(1.0))


def test_script_text_is_but_words(lexicon):
    (found,) = explain(lexicon({"alert": 2.0}), ["<script>alert(1)</script>"])
    assert figures(found)["alert"] == 2.0
