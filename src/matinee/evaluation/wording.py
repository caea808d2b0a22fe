"""Shares and differences as sentences say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def percent(share: float) -> str:
    """Return a share in percent: `12 %`, and with one digit below ten, `4.0 %`."""
    rounded = round(100 * share, 1)
    return f"{rounded:.1f} %" if 0 < rounded < 10 else f"{rounded:.0f} %"


def points(difference: Mapping[str, float]) -> str:
    """Return a difference of shares with its interval: `+3.0 points [-4.1, +10.2]`."""
    value, low, high = (f"{100 * difference[end]:+.1f}" for end in ("value", "low", "high"))
    return f"{value} points [{low}, {high}]"
