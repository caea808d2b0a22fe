"""What a proof counts, and what it lets pass."""

from __future__ import annotations

import json

import numpy as np
import pytest

from matinee.core.errors import RunError
from matinee.core.types import Predictions
from matinee.exporting import Limits
from matinee.exporting.proof import (
    ODD_TEXTS,
    HeldOut,
    beyond,
    check_against,
    compare_answers,
    prove,
    split_rows,
    take_rows,
)

NAMES = ("negative", "positive")


class Fake:
    """Says of a text what it is told to, and counts how many it was asked about."""

    label_names = NAMES
    threshold: float | None = None

    def __init__(self, positive):
        self.positive, self.asked = positive, 0

    def probabilities(self, texts):
        self.asked += len(texts)
        positive = np.array([self.positive(text) for text in texts])
        return np.column_stack([1 - positive, positive])


def said(positive, labels=None, threshold=None):
    positive = np.asarray(positive, dtype=float)
    names = [f"t{n}" for n in range(len(positive))]
    truth = None if labels is None else np.asarray(labels, dtype=np.int64)
    return Predictions(names, names, np.column_stack([1 - positive, positive]), NAMES, truth, threshold)


def test_gaps_flips_and_accuracy_are_counted():
    before, after = said([0.9, 0.6, 0.2, 0.4], [1, 1, 0, 1]), said([0.8, 0.45, 0.2, 0.4], [1, 1, 0, 1])
    found = compare_answers(before, after, Limits())
    assert found["gap"] == {"largest": pytest.approx(0.15), "mean": pytest.approx(0.25 / 4)}
    assert found["flips"] == {"n": 1, "share": 0.25, "limit": 0.01}
    assert (found["accuracy"]["reference"], found["accuracy"]["candidate"]) == (0.75, 0.5)
    change = found["accuracy"]["change"]
    assert change["low"] <= change["value"] == -0.25 <= change["high"]
    assert beyond(found) == ["25.0 % of its labels differ (limit 1 %)", "its accuracy is 25.0 points lower (limit 0.5)"]


def test_a_flip_is_about_the_threshold_that_the_classifier_decides_by():
    before, after = said([0.25, 0.6], threshold=0.3), said([0.35, 0.4], threshold=0.3)
    assert compare_answers(before, after, Limits())["flips"]["n"] == 1


def test_without_labels_nothing_is_said_of_accuracy_and_a_cascade_may_flip():
    found = compare_answers(said([0.9, 0.1]), said([0.1, 0.9]), Limits(flips=None))
    assert found["accuracy"] is None
    assert beyond(found) == []


def test_being_at_the_limit_is_within_it():
    before = said(np.linspace(0.51, 0.99, 200), np.ones(200))
    after = said([0.4, 0.4, *np.linspace(0.51, 0.99, 200)[2:]], np.ones(200))
    assert beyond(compare_answers(before, after, Limits(accuracy=0.01, flips=0.01))) == []


def test_an_answer_that_is_no_number_is_broken():
    with pytest.raises(RunError, match="its answers to 1 of 2 texts are no numbers"):
        compare_answers(said([0.5, 0.5]), said([0.5, np.nan]), Limits())


def test_stored_answers_are_believed_where_new_ones_agree():
    stored = said(np.linspace(0, 1, 100))
    by_name = dict(zip(stored.texts, stored.probabilities[:, 1], strict=True))
    predictor = Fake(lambda text: by_name[text] + 1e-5)
    np.testing.assert_array_equal(check_against(predictor, stored).probabilities, stored.probabilities)
    assert predictor.asked == 32


def test_stored_answers_of_another_model_are_made_anew(caplog):
    predictor = Fake(lambda text: 0.25)
    found = check_against(predictor, said(np.linspace(0, 1, 100)))
    np.testing.assert_array_equal(found.probabilities[:, 1], 0.25)
    assert "100 texts are predicted anew" in caplog.text


def test_the_proof_is_json_and_says_what_was_asked():
    texts = said(np.linspace(0, 1, 40), np.arange(40) >= 20)
    by_name = dict(zip(texts.texts, texts.probabilities[:, 1], strict=True))
    reference = Fake(lambda text: by_name.get(text, 0.9))
    candidate = Fake(lambda text: by_name.get(text, 0.2))
    proof = json.loads(json.dumps(prove(reference, candidate, HeldOut("test", texts), Limits(), "It"), allow_nan=False))
    assert proof["passed"] is True
    assert proof["held_out"] == {"split": "test", "n": 40, "n_labelled": 40}
    assert proof["odd"] == {"n": len(ODD_TEXTS), "largest_gap": pytest.approx(0.7), "flips": len(ODD_TEXTS)}
    assert proof["texts_per_second"] > 0 < proof["reference_texts_per_second"]


def test_beyond_a_limit_it_raises_and_says_by_how_much():
    texts = said(np.linspace(0, 1, 40))
    with pytest.raises(
        RunError, match=r"It does not say the same as torch fp32: of 40 held-out texts, 50\.0 % of its labels differ"
    ):
        prove(Fake(lambda text: 0.9), Fake(lambda text: 0.9), HeldOut("test", texts), Limits(), "It")


def test_texts_that_are_too_few_to_show_it_are_said_to_be(caplog):
    def proved(n):
        texts = said(np.full(n, 0.9), np.ones(n))
        order = {text: row for row, text in enumerate(texts.texts)}
        candidate = Fake(lambda text: 0.9 if order.get(text, 1) % 10 else 0.1)
        return prove(Fake(lambda text: 0.9), candidate, HeldOut("test", texts), Limits(0.15, 0.15), "It")

    proof = proved(10)
    low = proof["accuracy"]["change"]["low"]
    assert low < -0.15
    assert caplog.messages == [
        f"10 texts cannot show that the accuracy falls by at most 15 points: the change may be as low as {100 * low:.1f}."
    ]
    caplog.clear()
    assert proved(1_000)["accuracy"]["change"]["value"] == pytest.approx(-0.1)
    assert caplog.messages == []


def test_the_proof_holds_the_number_format_that_it_was_made_in():
    reference, texts = Fake(lambda text: 0.9), HeldOut("test", said(np.full(20, 0.9)))
    fast, cascade = Fake(lambda text: 0.9), Fake(lambda text: 0.9)
    fast.computed_in, cascade.encoder = "bf16", fast
    formats = [prove(reference, each, texts, Limits(), "It")["computed_in"] for each in (reference, fast, cascade)]
    assert formats == ["f32", "bf16", "bf16"]


def test_odd_texts_hold_what_breaks_things():
    assert "" in ODD_TEXTS
    assert max(len(text.split()) for text in ODD_TEXTS) >= 50_000
    assert not any("\0" in text for text in ODD_TEXTS)
    assert all(any(low <= ord(c) <= high for text in ODD_TEXTS for c in text) for low, high in SCRIPTS.values())


SCRIPTS = {
    "Arabic": (0x600, 0x6FF),
    "Hindi": (0x900, 0x97F),
    "Chinese": (0x4E00, 0x9FFF),
    "emoji": (0x1F300, 0x1FAFF),
    "control": (1, 8),
}


def test_many_texts_are_thinned_evenly_and_a_split_loses_none():
    many = said(np.linspace(0, 1, 101), np.zeros(101))
    assert take_rows(many, 101) is many
    assert take_rows(many, 11).ids == [f"t{n}" for n in range(0, 101, 10)]
    first, rest = split_rows(many, 10)
    assert len(first) == 10
    assert sorted(first.ids + rest.ids) == sorted(many.ids)
    assert rest.labels is not None
