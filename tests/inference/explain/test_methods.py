"""Which method, which label, and what an explanation says."""

from __future__ import annotations

import json
import logging

import pytest

from matinee.core.errors import DataError, SettingsError
from matinee.inference.explain import choose_method, explain, methods


def test_auto_takes_what_fits_best(lexicon, transformer, monkeypatch, caplog):
    assert choose_method(lexicon({})) == "occlusion"
    assert choose_method(transformer()) == "integrated_gradients"
    monkeypatch.setattr(methods, "is_installed", lambda: False)
    with caplog.at_level(logging.INFO, logger="matinee"):
        assert choose_method(transformer()) == "occlusion"
    assert 'pip install "matinee[explain]"' in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "oclusion"}, "Did you mean 'occlusion'"),
        ({"method": "integrated_gradients"}, "needs a PyTorch classifier; for this classifier take occlusion"),
        ({"method": "linear"}, "needs a linear classifier"),
        ({"label": "goood"}, "Did you mean 'good'"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(lexicon, arguments, message):
    with pytest.raises(SettingsError, match=message) as caught:
        explain(lexicon({}), ["text"], **arguments)
    assert "\n" not in str(caught.value)


def test_texts_must_be_texts(lexicon):
    with pytest.raises(DataError, match="texts must be strings"):
        explain(lexicon({}), ["a", 3])


def test_the_label_given_is_explained_and_the_answer_is_named(lexicon):
    (found,) = explain(lexicon({"splendid": 3.0}), ["splendid"], label="bad")
    assert (found.label, found.predicted) == ("bad", "good")
    assert found.probability == pytest.approx(0.0474, abs=1e-4)
    assert found.words[0].contribution == pytest.approx(-3)


def test_the_threshold_decides_which_label_is_explained(lexicon):
    predictor = lexicon({"splendid": 1.0})
    predictor.threshold = 0.9
    (found,) = explain(predictor, ["splendid"])
    assert found.label == found.predicted == "bad"


def test_sentences_are_the_sums_of_their_words(lexicon):
    (found,) = explain(lexicon({"splendid": 3.0, "dull": -1.0, "odd": -0.5}), ["A splendid odd start. A dull end."])
    assert [(sentence.text, round(sentence.contribution, 6)) for sentence in found.sentences] == [
        ("A splendid odd start.", 2.5),
        ("A dull end.", -1.0),
    ]


def test_json_is_plain_and_whole(bag):
    (found,) = explain(bag, ["The film <b>was</b> warm. " * 40])
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["n_read"] == sum(word["read"] for word in plain["words"]) < plain["n_words"] == len(plain["words"])
    assert plain["total"] == pytest.approx(sum(word["contribution"] for word in plain["words"]))
    assert plain["value"] - plain["base_value"] == pytest.approx(plain["total"] + plain["gap"])
    assert set(plain["words"][0]) == {"text", "start", "end", "contribution", "read"}
    assert (plain["unit"], plain["sums"]) == ("log-odds", True)
    assert f"{found.total:+.3f}" in found.promise
