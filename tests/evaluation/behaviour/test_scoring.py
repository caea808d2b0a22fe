import json

import numpy as np
import pytest

from matinee.core.errors import DataError
from matinee.core.types import Predictions
from matinee.evaluation.behaviour import Case, score_cases, texts_to_ask
from matinee.evaluation.behaviour.scoring import family_interval
from matinee.evaluation.proportions import wilson


def scored(answers, cases, praise):
    (row,) = score_cases(cases, answers(texts_to_ask(cases), praise.__getitem__))
    return row


def test_texts_are_asked_once_and_in_order():
    cases = [
        Case("names", "f", "b", before="a"),
        Case("typos", "f", "c", before="a"),
        Case("plain-short", "f", "b", (1,)),
    ]
    assert texts_to_ask(cases) == ["a", "b", "c"]
    assert texts_to_ask([]) == []


def test_nothing_asked_is_nothing_scored(answers):
    assert score_cases([], answers([], lambda _: 0.5)) == []


def test_a_label_must_be_among_the_right_ones(answers):
    cases = [Case("plain-short", "f1", "good", (1,)), Case("plain-short", "f2", "bad", (0,))]
    row = scored(answers, cases, {"good": 0.4, "bad": 0.3})
    assert (row["n"], row["failures"], row["rate"]["value"], row["families"]) == (2, 1, 0.5, 2)
    assert row["worst"] == [{"text": "good", "expected": "positive", "predicted": "negative", "score": 0.6}]
    assert row["parts"] == {"templates": {"n": 2, "failures": 1}}


def test_an_answer_must_stay_right_or_wrong(answers):
    cases = [Case("names", "f1", "Tom", before="Ann"), Case("names", "f2", "Tim", before="Ann", own=True)]
    row = scored(answers, cases, {"Ann": 0.9, "Tom": 0.51, "Tim": 0.49})
    assert row["failures"] == 1
    (worst,) = row["worst"]
    assert (worst["text"], worst["expected"], worst["predicted"], worst["changed_from"]) == (
        "Tim",
        "positive, as before",
        "negative",
        "Ann",
    )
    assert row["parts"] == {"templates": {"n": 1, "failures": 0}, "own_texts": {"n": 1, "failures": 1}}


@pytest.mark.parametrize(("after", "failures"), [(0.75, 0), (0.71, 0), (0.69, 1), (1.0, 0)])
def test_a_probability_may_fall_by_the_tolerance(after, failures, answers):
    row = scored(answers, [Case("intensifiers", "f", "very", (1,), "plain")], {"plain": 0.8, "very": after})
    assert row["failures"] == failures
    if failures:
        assert row["worst"][0]["expected"] == "positive no less likely than before, 0.700 or more"
        assert row["worst"][0]["predicted"] == "positive"


def test_a_chosen_threshold_decides():
    said = Predictions(["a"], ["good"], np.array([[0.7, 0.3]]), ("negative", "positive"), threshold=0.25)
    (row,) = score_cases([Case("plain-short", "f", "good", (1,))], said)
    assert row["failures"] == 0


def test_the_worst_are_the_surest_of_different_families(answers):
    cases = [Case("plain-short", family, f"{family} {p}", (1,)) for family in ("f", "g") for p in (1, 2, 3)]
    praise = {"f 1": 0.1, "f 2": 0.2, "f 3": 0.3, "g 1": 0.4, "g 2": 0.45, "g 3": 0.9}
    row = scored(answers, cases, praise)
    assert [one["text"] for one in row["worst"]] == ["f 1", "g 1", "f 2"]


def test_rows_are_plain_json(answers):
    cases = [Case("names", "f", "<script>", before="a"), Case("typos", "f", "🎬 é", before="a")]
    rows = score_cases(cases, answers(texts_to_ask(cases), lambda text: 0.9 if text == "a" else 0.1))
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_a_classifier_that_diverged_is_named():
    said = Predictions(["a"], ["good"], np.array([[np.nan, np.nan]]), ("negative", "positive"))
    with pytest.raises(DataError, match="diverged"):
        score_cases([Case("plain-short", "f", "good", (1,))], said)


class TestInterval:
    def test_families_of_one_give_wilsons_interval(self):
        failed = [True] * 3 + [False] * 17
        low, high = family_interval(failed, [str(i) for i in range(20)])
        expected = wilson(3, 20)
        assert (low, high) == pytest.approx((expected["low"], expected["high"]), abs=0.01)

    def test_families_that_fail_as_one_count_as_one(self):
        failed, families = [True] * 10 + [False] * 30, [str(i // 10) for i in range(40)]
        expected = wilson(1, 4)
        assert family_interval(failed, families) == pytest.approx((expected["low"], expected["high"]))

    def test_in_between_they_count_by_how_much_families_differ(self):
        # Of four families of ten 0, 4, 4 and 0 fail: a rate of 0.2 with a variance of 4/3 * 16 / 40^2, that of 12 cases.
        failed = [case < n for n in (0, 4, 4, 0) for case in range(10)]
        expected = wilson(2.4, 12)
        ends = family_interval(failed, [str(i // 10) for i in range(40)])
        assert ends == pytest.approx((expected["low"], expected["high"]))

    @pytest.mark.parametrize("bad", [True, False])
    def test_where_all_are_alike_the_families_count(self, bad):
        low, high = family_interval([bad] * 60, [str(i % 12) for i in range(60)])
        expected = wilson(12 * bad, 12)
        assert (low, high) == pytest.approx((expected["low"], expected["high"]))

    def test_one_family_tells_as_much_as_one_case(self):
        low, high = family_interval([True, False], ["a", "a"])
        assert low < 0.1
        assert high > 0.9

    def test_simulated_coverage(self):
        # 12 families of 5, correlation 0.5 within a family: Wilson's interval over cases covers about 0.73.
        generator = np.random.default_rng(0)
        families = [str(i // 5) for i in range(60)]
        rate, covered, n_trials = 0.3, 0, 400
        for _ in range(n_trials):
            of_family = generator.beta(rate, 1 - rate, size=12).repeat(5)
            low, high = family_interval((generator.random(60) < of_family).tolist(), families)
            covered += low <= rate <= high
        assert 0.9 < covered / n_trials < 0.98
