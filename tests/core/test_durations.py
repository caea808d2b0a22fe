"""Durations as a person writes them."""

from __future__ import annotations

import pytest

from matinee.core.durations import measured_in_words, parse_duration
from matinee.core.errors import SettingsError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (90, 90), (0.5, 0.5), ("90", 90), ("90s", 90), ("90m", 5400), ("2h", 7200), ("1.5 H", 5400),
     ("1h 30m", 5400), ("1d", 86400), (" 2h30m ", 9000)],
)  # fmt: skip
def test_it_is_read(value, seconds):
    assert parse_duration(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "2 weeks", "h", "-5", 0, "0m", float("inf"), "nan", [1]])
def test_it_is_refused_with_what_is_expected(value):
    with pytest.raises(SettingsError, match="--timeout must be seconds, or a time such as 90m or 2h"):
        parse_duration(value)


def test_what_was_measured_is_not_rounded_like_a_guess():
    said = [measured_in_words(seconds) for seconds in (0.042, 7.46, 90, 7200)]
    assert said == ["0.04 s", "7.5 s", "1.5 minutes", "2 hours"]
