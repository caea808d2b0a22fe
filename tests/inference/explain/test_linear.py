"""A linear classifier's own reasons, against its coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.inference.backends.linear import LinearPredictor
from matinee.inference.explain import explain
from matinee.inference.explain.explanation import log_odds
from matinee.inference.explain.linear import _characters, _pairs
from matinee.model.nblr import fit_nblr
from matinee.model.tfidf import fit_tfidf


@pytest.fixture(scope="module")
def predictor(tiny_rows):
    labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
    return LinearPredictor(fit_tfidf([text for text, _ in tiny_rows], labels, 2, seed=0), ("negative", "positive"))


@pytest.fixture(scope="module")
def three(tiny_rows):
    labels = np.array([index % 3 for index in range(len(tiny_rows))], dtype=np.int64)
    texts = [f"{text} {['red', 'green', 'blue'][index % 3]}" for index, (text, _) in enumerate(tiny_rows)]
    return LinearPredictor(fit_tfidf(texts, labels, 3, seed=0), ("r", "g", "b"))


@pytest.fixture(scope="module")
def nb_weighted(tiny_rows):
    labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
    return LinearPredictor(fit_nblr([text for text, _ in tiny_rows], labels, 2, seed=0), ("negative", "positive"))


TEXTS = [
    "The film was wonderful, but the plot was dreadful. Wonderful!",
    "caf&eacute; the E\u0301nding was WARM<br />",
    "\u0130 seat 4",
]


def test_each_word_gets_its_features_part(predictor):
    (found,) = explain(predictor, ["the film was wonderful, wonderful"], label="positive")
    model = predictor.model
    assert found.method == "linear"
    features = model.vectorizer.transform(["the film was wonderful, wonderful"])
    parts = features.toarray()[0] * (model.head.weight[1] - model.head.weight[0])
    part = {name: parts[column] for name, column in model.vectorizer.vocabulary_.items()}
    get = part.get
    expected = [
        get("the", 0) + get("the film", 0) / 2,
        get("film", 0) + get("the film", 0) / 2 + get("film was", 0) / 2,
        get("was", 0) + get("film was", 0) / 2 + get("was wonderful", 0) / 2,
        get("wonderful", 0) / 2 + get("was wonderful", 0) / 2 + get("wonderful wonderful", 0) / 2,
        0,
        get("wonderful", 0) / 2 + get("wonderful wonderful", 0) / 2,
    ]
    assert part["wonderful"] > 0
    np.testing.assert_allclose([word.contribution for word in found.words], expected, atol=1e-12)


@pytest.mark.parametrize("text", [*TEXTS, "", "unheard-of nonsense", "映画"])
def test_it_sums_exactly(predictor, three, nb_weighted, text):
    for each in (predictor, three, nb_weighted):
        for label, name in enumerate(each.label_names):
            (found,) = explain(each, [text], label=name)
            assert found.gap == pytest.approx(0, abs=1e-9)
            assert found.value == pytest.approx(log_odds(each.probabilities([text]), label)[0], abs=1e-9)
            assert found.base_value == pytest.approx(log_odds(each.probabilities([""]), label)[0], abs=1e-9)


def test_words_stand_where_the_text_as_given_has_them(predictor):
    text = "WONDERFUL<br /><br />caf&eacute;, \U0001f44d\U0001f3fd E\u0301NDING &amp; warm"
    (found,) = explain(predictor, [text], label="positive")
    assert found.text == text
    assert [text[word.start : word.end] for word in found.words] == [word.text for word in found.words]
    assert [word.text for word in found.words] == [
        *("WONDERFUL", "caf&eacute;", ",", "\U0001f44d\U0001f3fd", "E\u0301NDING", "&amp;", "warm"),
    ]
    counted = [word.text for word in found.words if word.contribution]
    assert counted == ["WONDERFUL", "warm"]


def test_the_word_that_decides_stands_first(three):
    (found,) = explain(three, ["the film was green and funny"])
    assert found.label == "g"
    assert max(found.words, key=lambda word: word.contribution).text == "green"


def test_characters_sum_too():
    predictor = LinearPredictor(
        fit_tfidf(["👍 👍", "👎", "👍", "👎 👎"] * 5, np.array([1, 0, 1, 0] * 5), 2, seed=0), ("-", "+")
    )
    (found,) = explain(predictor, ["👍 👍👎"], label="+")
    assert found.gap == pytest.approx(0, abs=1e-9)
    assert [word.contribution > 0 for word in found.words] == [True, True, False]


@settings(max_examples=100)
@given(text=st.text(alphabet="abc éß1'.-😀 ", max_size=30))
def test_n_grams_are_scikit_learn_s(predictor, text):
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer(analyzer="word", ngram_range=(1, 2), lowercase=False)
    assert sorted(name for name, _ in _pairs(text, words.token_pattern, 1, 2)) == sorted(words.build_analyzer()(text))
    characters = CountVectorizer(analyzer="char_wb", ngram_range=(1, 3), lowercase=False)
    assert sorted(name for name, _ in _characters(text, 1, 3)) == sorted(characters.build_analyzer()(text))
    for name, places in [*_characters(text, 1, 3)]:
        assert all(text[start:end] == name.strip(" ") for start, end in places)


def test_a_long_text_is_read_whole(predictor):
    (found,) = explain(predictor, ["the film was dreadful! " * 9_000])
    assert len(found.words) == 45_000
    assert all(word.read for word in found.words)
    assert found.gap == pytest.approx(0, abs=1e-6)
