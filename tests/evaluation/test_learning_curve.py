"""Learning curves: laws that are known are found, and the intervals hold what they promise."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.evaluation.learning_curve import PowerLaw, fit_power_law, learning_curve

SIZES = (200, 1000, 5000)


def answers(chance, law, *, sizes=SIZES, n_seeds=3, n_texts=500, spread=0.005):
    """Return answers of trainings whose errors follow a law, give or take the seed; some texts are harder in all of them."""
    hardness = chance.normal(size=n_texts)
    found = {}
    for size in sizes:
        rows = []
        for _ in range(n_seeds):
            error = float(np.clip(law.error(size) + spread * chance.normal(), 0.005, 0.7))
            felt = np.sqrt(0.7) * hardness + np.sqrt(0.3) * chance.normal(size=n_texts)
            rows.append(felt < NormalDist().inv_cdf(1 - error))
        found[size] = np.stack(rows)
    return found


@settings(max_examples=40)
@given(a=st.floats(0, 0.2), b=st.floats(0.5, 5), c=st.floats(0.05, 1.9), factor=st.sampled_from([1, 7, 100]))
def test_a_law_without_noise_is_found(a, b, c, factor):
    law = PowerLaw(a, b, c)
    sizes = [factor * n for n in (10, 30, 100, 400)]
    errors = [law.a + law.b * n**-law.c for n in sizes]
    found = fit_power_law(sizes, errors)
    for n, error in zip(sizes, errors, strict=True):
        assert found.a + found.b * n**-found.c == pytest.approx(error, abs=2e-3)


def test_its_numbers_are_those_of_the_law():
    law = PowerLaw(0.05, 2.0, 0.5)
    found = fit_power_law([100, 400, 1600, 6400], [law.error(n) for n in (100, 400, 1600, 6400)])
    assert (found.a, found.b, found.c) == pytest.approx((0.05, 2.0, 0.5), rel=0.02)


def test_an_error_that_grows_is_a_flat_curve():
    found = fit_power_law([10, 100, 1000], [0.1, 0.2, 0.3])
    assert found.b == 0
    assert found.error(10) == found.error(10_000) == pytest.approx(0.2)


def test_a_heavy_point_is_met_more_closely():
    sizes, errors = [10, 100, 1000, 10_000], [0.4, 0.35, 0.2, 0.19]
    light, heavy = (fit_power_law(sizes, errors, [1, 1, 1, weight]).error(10_000) for weight in (1, 1000))
    assert abs(heavy - 0.19) < abs(light - 0.19)


def test_two_sizes_are_no_curve():
    with pytest.raises(ValueError, match="3 sizes"):
        fit_power_law([10, 20, 20], [0.3, 0.2, 0.2])
    for sizes, words in (((200, 1000), "there are two"), ((200,), "there is one"), ((), "there is none")):
        found = learning_curve(answers(np.random.default_rng(0), PowerLaw(0, 1, 0.3), sizes=sizes))
        assert (found["fit"], found["ahead"]) == (None, [])
        assert words in found["reason"]
        assert found["flat_fits"] is False


class TestAhead:
    def test_what_is_asked_where_nothing_is(self):
        found = learning_curve(answers(np.random.default_rng(0), PowerLaw(0.05, 2, 0.45)))
        assert [(row["more"], row["size"]) for row in found["ahead"]] == [(500, 5500), (5000, 10_000), (15_000, 20_000)]
        assert not any(row["is_guess"] for row in found["ahead"])
        assert found["reason"] is None

    def test_far_beyond_the_largest_size_is_a_guess(self):
        found = learning_curve(answers(np.random.default_rng(0), PowerLaw(0.05, 2, 0.45)), [15_000, 15_001])
        assert [row["is_guess"] for row in found["ahead"]] == [False, True]

    def test_500_more_of_few_is_a_guess_too(self):
        found = learning_curve(answers(np.random.default_rng(0), PowerLaw(0.05, 2, 0.45), sizes=(20, 40, 80)))
        assert {row["more"]: row["is_guess"] for row in found["ahead"]} == {80: False, 240: False, 500: True}

    def test_more_labels_never_harm_and_more_of_them_bring_more(self):
        rows = learning_curve(answers(np.random.default_rng(1), PowerLaw(0.05, 2, 0.45)), [100, 1000, 10_000])["ahead"]
        gains = [row["gain"]["value"] for row in rows]
        assert gains == sorted(gains)
        assert all(0 <= row["gain"]["low"] <= row["gain"]["value"] <= row["gain"]["high"] for row in rows)
        assert all(0 <= row["accuracy"]["low"] <= row["accuracy"]["high"] <= 1 for row in rows)

    def test_the_same_answers_give_the_same_curve(self):
        correct = answers(np.random.default_rng(2), PowerLaw(0.05, 2, 0.45))
        assert learning_curve(correct) == learning_curve(dict(reversed(correct.items())))

    def test_its_intervals_hold_the_truth(self):
        chance, law, n = np.random.default_rng(3), PowerLaw(0.06, 2.0, 0.45), 60
        held = []
        for number in range(n):
            (row,) = learning_curve(answers(chance, law), [5000], seed=number)["ahead"]
            gain, accuracy = law.error(5000) - law.error(10_000), 1 - law.error(10_000)
            held.append(
                (row["gain"]["low"] <= gain <= row["gain"]["high"])
                + (row["accuracy"]["low"] <= accuracy <= row["accuracy"]["high"])
            )
        assert sum(held) / (2 * n) > 0.9

    @pytest.mark.parametrize("right", [True, False])
    def test_all_right_or_all_wrong_is_no_error(self, right):
        found = learning_curve({size: np.full((2, 30), right) for size in SIZES})
        assert found["ahead"][0]["accuracy"]["value"] == float(right)


class TestFlat:
    """No gain is below 0, so that whether labels have brought anything so far is another question."""

    @pytest.mark.parametrize(("law", "is_flat"), [(PowerLaw(0.2, 0, 0.3), True), (PowerLaw(0.05, 2, 0.45), False)])
    def test_whether_labels_have_brought_anything(self, law, is_flat):
        chance = np.random.default_rng(5)
        found = [learning_curve(answers(chance, law), [500], seed=n)["flat_fits"] for n in range(20)]
        assert sum(found) >= 17 if is_flat else not any(found)

    def test_errors_that_grow_are_flat(self):
        easy = np.arange(400) / 400
        found = learning_curve({size: easy[None] < share for size, share in zip(SIZES, (0.9, 0.8, 0.7), strict=True)})
        assert found["flat_fits"] is True
        assert found["ahead"][0]["gain"]["low"] == 0
