"""Shares of texts: their intervals, their differences, and what to believe after looking at many."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from matinee.evaluation.intervals import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)

SIGNIFICANT = 0.05
"""A p-value below this is called a difference."""

Interval = dict[str, float]
"""`value`, `low` and `high`, 95 %."""


def wilson(part: float, whole: float) -> Interval:
    """Return the share `part / whole` with Wilson's score interval (Wilson 1927).

    It needs no resampling and holds its level down to a handful of texts (Brown, Cai and DasGupta 2001). The numbers need
    not be whole: dependent texts count for fewer.

    Raises:
        ValueError: `whole` is below 1, or `part` does not lie between 0 and `whole`.
    """
    if not 0 <= part <= whole or whole < 1:
        raise ValueError(f"{part} of {whole} is no share")
    share, spread = part / whole, _Z**2 / whole
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / whole + spread / (4 * whole))
    # Rounding must not push an end past the share, as it would for 0 of n and n of n.
    return {"value": share, "low": min(max(0.0, centre - half), share), "high": max(min(1.0, centre + half), share)}


def newcombe(part: int, whole: int, other_part: int, other_whole: int) -> Interval:
    """Return `part / whole - other_part / other_whole`, of two sets of texts that share none, with its interval.

    Hybrid score interval without continuity correction (Newcombe 1998, "Interval estimation for the difference", method 10).

    Raises:
        ValueError: One of the two is no share.
    """
    one, other = wilson(part, whole), wilson(other_part, other_whole)
    difference = one["value"] - other["value"]
    below = math.hypot(one["value"] - one["low"], other["high"] - other["value"])
    above = math.hypot(one["high"] - one["value"], other["value"] - other["low"])
    return {"value": difference, "low": max(-1.0, difference - below), "high": min(1.0, difference + above)}


def fisher_exact(part: int, whole: int, other_part: int, other_whole: int) -> float:
    """Return the two-sided p-value of Fisher's exact test that two sets of texts have the same share.

    The total probability of all tables with these margins that are no likelier than the one seen (Agresti 2013, section 3.5.1).
    """
    total = part + other_part
    inside = np.arange(max(0, total - other_whole), min(whole, total) + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, whole + other_whole + 1)))])

    def log_ways(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(log_factorial[n] - log_factorial[k] - log_factorial[n - k])

    log_p = log_ways(whole, inside) + log_ways(other_whole, total - inside)
    log_p -= log_ways(whole + other_whole, np.array(total))
    seen = log_p[part - inside[0]]
    return min(1.0, float(np.exp(log_p[log_p <= seen + 1e-7]).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for having been looked at together (Holm 1979).

    Calling every value below 0.05 a difference is then wrong even once with a chance of at most 5 %, whatever else is true.

    Returns:
        As many values, in the same order, none below the one given.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    values: list[float] = adjusted.tolist()
    return values
