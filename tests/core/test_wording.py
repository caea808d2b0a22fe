from __future__ import annotations

import pytest

from matinee.core.wording import duration_in_words, rate_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "5 seconds"),
        (41, "40 seconds"),
        (57, "55 seconds"),
        (58, "1 minute"),
        (100, "1.5 minutes"),
        (4 * 60 + 20, "4.5 minutes"),
        (7 * 60 + 20, "7 minutes"),
        (89 * 60, "89 minutes"),
        (90 * 60, "1.5 hours"),
        (2 * 3600, "2 hours"),
        (30 * 3600, "30 hours"),
    ],
)
def test_durations_are_no_more_exact_than_they_can_be_known(seconds, words):
    assert duration_in_words(seconds) == words


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0.314, "0.31"), (2, "2"), (2.49, "2.5"), (9.96, "10"), (47.4, "47"), (1234.5, "1,200"), (98_765, "99,000")],
)
def test_rates_have_two_digits(rate, words):
    assert rate_in_words(rate) == words
