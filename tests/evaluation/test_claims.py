"""The claim that sarcasm and ambiguity cause the mistakes: told apart from chance, rarity and too few texts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from matinee.core.types import Predictions
from matinee.evaluation.claims import CLAIMED, causes
from matinee.evaluation.slices import Slice


def claims_of(wrong, masks, names=("negative", "positive")):
    """Test the claim on made-up texts: which are wrong, and which are in each slice."""
    wrong = np.asarray(wrong, dtype=bool)
    positive = np.where(wrong, 0.1, 0.9)
    n = len(wrong)
    said = Predictions(
        [str(i) for i in range(n)],
        [""] * n,
        np.column_stack([1 - positive, positive]),
        names,
        np.ones(n, dtype=np.int64),
    )
    slices = {name: Slice("", "cue", np.asarray(mask, dtype=bool)) for name, mask in masks.items()}
    section = causes(said, slices)
    return section, {claim["name"]: claim for claim in section["claims"]}


def first(n, of):
    return np.arange(of) < n


def test_a_frequent_cause_holds():
    wrong = np.concatenate([first(60, 200), first(80, 800)])
    _, claims = claims_of(wrong, {"mixed-sentiment": first(200, 1000)})
    claim = claims["mixed-sentiment"]
    assert claim["holds"] is True
    assert claim["share_of_texts"] == 0.2
    assert claim["share_of_mistakes"]["value"] == pytest.approx(60 / 140)
    assert claim["error_rate"]["value"] == pytest.approx(0.3)
    assert claim["error_rate_elsewhere"] == pytest.approx(0.1)
    assert claim["difference"]["low"] > 0.1
    assert claim["sentence"] == (
        "Texts with words of both praise and blame (ambiguous) are 20 % of the texts and 43 % of the mistakes; their error rate is 30 % "
        "against 10 % elsewhere (difference +20.0 points [+13.7, +26.9], adjusted p = 1.6e-11): the claim holds."
    )


def test_chance_is_no_evidence():
    wrong = np.concatenate([first(6, 40), first(115, 960)])
    _, claims = claims_of(wrong, {"sarcasm": first(40, 1000)})
    assert claims["sarcasm"]["holds"] is False
    assert claims["sarcasm"]["sentence"].startswith(
        "Texts with cues of sarcasm are 4.0 % of the texts and 5.0 % of the mistakes; their error rate is 15 % against 12 % elsewhere "
        "(difference +3.0 points [-5.2, +17.2], adjusted p = 0.62"
    )
    assert claims["sarcasm"]["sentence"].endswith(": no evidence for the claim.")


def test_harder_but_rare_is_no_common_cause():
    wrong = np.concatenate([first(20, 40), first(480, 3960)])
    _, claims = claims_of(wrong, {"sarcasm": first(40, 4000)})
    assert claims["sarcasm"]["p_adjusted"] < 0.001
    assert claims["sarcasm"]["holds"] is False
    assert "harder, but too few" in claims["sarcasm"]["sentence"]


def test_easier_texts_speak_against_it():
    wrong = np.concatenate([first(10, 500), first(100, 500)])
    _, claims = claims_of(wrong, {"contrast": first(500, 1000)})
    assert claims["contrast"]["holds"] is False
    assert "easier than the others, so the claim does not hold" in claims["contrast"]["sentence"]


def test_too_few_texts_or_mistakes_leave_it_open():
    _, claims = claims_of(first(100, 1000), {"sarcasm": first(29, 1000), "contrast": first(980, 1000)})
    assert claims["sarcasm"]["holds"] is claims["contrast"]["holds"] is None
    assert claims["sarcasm"]["sentence"] == "Texts with cues of sarcasm: 29 of 1,000, too few on one side to tell."
    _, claims = claims_of(first(9, 1000), {"contrast": first(500, 1000)})
    assert claims["contrast"]["holds"] is None
    assert "there are 9 mistakes in all, too few to tell" in claims["contrast"]["sentence"]


def test_p_values_are_adjusted_for_the_slices_tested():
    wrong = np.concatenate([first(60, 200), first(80, 800)])
    masks = {"mixed-sentiment": first(200, 1000), "contrast": np.arange(1000) % 2 == 0, "sarcasm": first(3, 1000)}
    _, claims = claims_of(wrong, masks)
    assert claims["mixed-sentiment"]["p_adjusted"] == pytest.approx(2 * claims["mixed-sentiment"]["p"])
    assert claims["sarcasm"]["p_adjusted"] is None


@pytest.mark.parametrize(
    ("names", "has_note"),
    [
        (("negative", "positive"), False),
        (("Neg", "Pos"), False),
        (("bad", "good"), False),
        (("ham", "spam"), True),
        (("0", "1"), True),
        (("business", "good"), True),
    ],
)
def test_of_other_tasks_the_cues_may_say_little_and_the_note_says_so(names, has_note):
    section, claims = claims_of(first(100, 1000), {"contrast": first(500, 1000)}, names)
    assert (section["note"] is not None) is has_note
    assert claims["contrast"]["holds"] is not None


def test_it_is_plain_json_in_the_order_of_the_claim():
    masks = {name: np.arange(400) % (k + 2) == 0 for k, name in enumerate(reversed(CLAIMED))}
    section, _ = claims_of(first(50, 400), {**masks, "question": first(100, 400)})
    assert [claim["name"] for claim in section["claims"]] == list(CLAIMED)
    assert json.loads(json.dumps(section, allow_nan=False)) == section


def test_without_labels_there_is_a_reason():
    said = Predictions(["a"], ["b"], np.array([[0.4, 0.6]]), ("negative", "positive"))
    section = causes(said, {})
    assert section["claims"] == []
    assert "labels" in section["reason"]


def test_no_texts():
    section, claims = claims_of([], {"contrast": []})
    assert claims["contrast"]["holds"] is None
    assert json.dumps(section, allow_nan=False)
