"""Shares, their differences, and Holm's correction against scipy, textbooks and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from matinee.evaluation.proportions import fisher_exact, holm, newcombe, wilson

shares = st.integers(1, 400).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole)))


@given(shares)
def test_wilson_is_scipy_s(share):
    part, whole = share
    found, expected = wilson(part, whole), stats.binomtest(part, whole).proportion_ci(method="wilson")
    assert found["value"] == part / whole
    assert (found["low"], found["high"]) == (
        pytest.approx(expected.low, abs=1e-9),
        pytest.approx(expected.high, abs=1e-9),
    )
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1


@given(shares, shares)
def test_fisher_is_scipy_s(one, other):
    table = [[one[0], one[1] - one[0]], [other[0], other[1] - other[0]]]
    assert fisher_exact(*one, *other) == pytest.approx(stats.fisher_exact(table).pvalue, abs=1e-9)


def test_fisher_with_many_texts():
    expected = stats.fisher_exact([[4_500, 500], [17_400, 2_600]]).pvalue
    assert fisher_exact(4_500, 5_000, 17_400, 20_000) == pytest.approx(expected, rel=1e-6)
    assert fisher_exact(0, 10_000, 10_000, 10_000) == 0.0


# Newcombe 1998, table II, method 10: examples (a), (d), (e), (g) and (h).
@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_s_own_examples(counts, low, high):
    found = newcombe(*counts)
    assert found["value"] == counts[0] / counts[1] - counts[2] / counts[3]
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_newcombe_turned_round_is_the_same_with_the_other_sign():
    one, other = newcombe(30, 40, 100, 400), newcombe(100, 400, 30, 40)
    assert one["low"] == pytest.approx(-other["high"])
    assert one["high"] == pytest.approx(-other["low"])


def test_newcombe_covers_as_often_as_it_says():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(2_000):
        found = newcombe(int(generator.binomial(60, 0.8)), 60, int(generator.binomial(900, 0.9)), 900)
        covered += found["low"] <= -0.1 <= found["high"]
    # 95 % nominal; two thousand simulations have a standard error of half a point.
    assert 1_860 <= covered <= 1_950


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_is_the_naive_procedure(p_values):
    adjusted = holm(p_values)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        assert adjusted[place] == pytest.approx(largest)


def test_holm_s_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(("part", "whole"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(part, whole):
    with pytest.raises(ValueError, match=f"{part} of {whole} is no share"):
        wilson(part, whole)
