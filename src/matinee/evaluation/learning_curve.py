"""How accuracy grows with the number of labelled texts, and what more of them would bring.

Errors of classifiers fall with the number of training texts about as a power law with a floor: `error(n) = a + b * n**-c` (Cortes et
al. 1993; Viering and Loog 2022, "The Shape of Learning Curves"). It describes what was measured well, and the near
future as far as the curve goes on as it did: an extrapolation, whose interval knows the noise of what was measured and nothing
of a bend beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.evaluation.intervals import LEVEL, resample_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_SIZES = 3
"""A law with three numbers in it cannot be read off fewer points."""

FURTHEST = 4
"""Beyond this many times the largest size measured, an extrapolation is called a guess."""

STEEPEST = 2.0
"""Largest exponent `c`."""

_GRID, _ZOOM, _N_ZOOMS = 100, 21, 2


@dataclass(frozen=True)
class PowerLaw:
    """`error(n) = a + b * n**-c`.

    Attributes:
        a: The floor: the error with endless labels, at least 0.
        b: At least 0.
        c: How fast the error falls, above 0 and at most `STEEPEST`.
    """

    a: float
    b: float
    c: float

    def error(self, n: float) -> float:
        """Return the share of texts answered wrong after `n` training texts, 0 to 1."""
        return float(np.clip(self.a + self.b * n**-self.c, 0.0, 1.0))


def fit_power_law(sizes: Sequence[int], errors: Sequence[float], weights: Sequence[float] | None = None) -> PowerLaw:
    """Return the power law nearest to some errors, by weighted least squares under `a >= 0`, `b >= 0`, `0 < c <= 2`.

    For a given exponent the rest is a line with two bounds, solved exactly; the exponent is searched for on a grid that is
    narrowed twice. So there is no start to choose, and nothing that fails to converge.

    Args:
        sizes: Numbers of training texts, three or more different ones.
        errors: The share of test texts answered wrong after each.
        weights: How much each counts; the same where not given.

    Raises:
        ValueError: There are fewer than three sizes.
    """
    return PowerLaw(*map(float, _fit(np.asarray(sizes), np.asarray([errors], dtype=np.float64), weights)[0]))


def learning_curve(
    correct: Mapping[int, NDArray[np.bool_]], more: Sequence[int] | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """Return the learning curve of one way to train, and what more labels would bring, with 95 % intervals.

    The intervals come from resamples of what was measured: test texts, which all sizes share, and within each size its seeds
    (Efron and Tibshirani 1993, chapter 8). A few seeds drawn with replacement spread too little, by (n - 1) / n: that is made up
    for. Sizes with a single seed count as if another seed changed nothing: of those an interval is for other test texts alone.

    Args:
        correct: By number of training texts: whether each training answers each test text right, shape (n_seeds, n_texts); the
            texts are the same in all.
        more: Numbers of labels beyond the largest size to ask about; 500, as many again, and three times as many where not given.
        seed: Of the resamples.

    Returns:
        `fit` (`a`, `b`, `c`) or None with a `reason`, and `ahead`: for each of `more` the `size` that it leads to, the
        `accuracy` there, the `gain` over the curve's own value at the largest size, and whether it `is_guess`. A law cannot
        fall, so that no gain is below 0: `flat_fits` says whether more labels may as well have brought nothing so far.
    """
    sizes = sorted(correct)
    if len(sizes) < FEWEST_SIZES:
        there = {0: "there is none", 1: "there is one", 2: "there are two"}[len(sizes)]
        return {
            "fit": None,
            "reason": f"a curve takes three sizes or more, and {there}",
            "flat_fits": False,
            "ahead": [],
        }
    tables = [correct[size] for size in sizes]
    errors = np.array([[1 - float(table.mean()) for table in tables]])
    resampled = _resampled_errors(tables, seed)
    # Half a text is the least that a size may be unsure of: where every resample agrees, a weight would be endless.
    spread = np.maximum(resampled.std(axis=0), 0.5 / tables[0].shape[1])
    weights = (spread**-2).tolist()
    law = PowerLaw(*map(float, _fit(np.array(sizes), errors, weights)[0]))
    laws = _fit(np.array(sizes), resampled, weights)
    steps = sorted(set(more or (500, sizes[-1], 3 * sizes[-1])))
    return {
        "fit": {"a": law.a, "b": law.b, "c": law.c},
        "reason": None,
        "flat_fits": _flat_fits(np.array(sizes), errors[0], resampled, weights),
        "ahead": [_ahead(law, laws, sizes[-1], step) for step in steps],
    }


def _flat_fits(sizes: NDArray[Any], errors: Floats, resampled: Floats, weights: Sequence[float]) -> bool:
    """Return whether a line through the errors, which is free to rise, may as well be level: its 95 % interval holds 0.

    Args:
        sizes: Shape (n_sizes,).
        errors: Shape (n_sizes,).
        resampled: Shape (n_resamples, n_sizes).
        weights: Of each size.
    """
    weight = np.asarray(weights) / sum(weights)
    x = np.log(sizes.astype(np.float64))
    x = (x - weight @ x) * weight
    return bool(np.quantile(resampled @ x, 0.5 + LEVEL / 2) >= 0 or errors @ x >= 0)


def _ahead(law: PowerLaw, laws: Floats, largest: int, more: int) -> dict[str, Any]:
    size = largest + more
    there, here = _errors(laws, size), _errors(laws, largest)
    return {
        "more": more,
        "size": size,
        "accuracy": _interval(1 - law.error(size), 1 - there),
        "gain": _interval(law.error(largest) - law.error(size), here - there),
        "is_guess": size > FURTHEST * largest,
    }


def _interval(value: float, resampled: Floats) -> dict[str, float]:
    low, high = np.quantile(resampled, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def _errors(laws: Floats, n: int) -> Floats:
    """Return the error of each law, shape (n_laws,), after `n` training texts."""
    a, b, c = laws.T
    return np.asarray(np.clip(a + b * float(n) ** -c, 0.0, 1.0))


def _resampled_errors(tables: Sequence[NDArray[np.bool_]], seed: int, n_resamples: int = 1000) -> Floats:
    """Return the mean error of each size on each resample, shape (n_resamples, n_sizes)."""
    generator, n_texts = np.random.default_rng([seed, 1]), tables[0].shape[1]
    blocks = []
    for weights in resample_weights(n_texts, n_resamples, seed):
        columns = []
        for table in tables:
            n_seeds = len(table)
            by_seed = 1 - table.astype(np.float64) @ weights / n_texts
            mean = by_seed.mean(axis=0)
            drawn = generator.integers(n_seeds, size=(n_seeds, by_seed.shape[1]))
            swing = np.take_along_axis(by_seed, drawn, axis=0).mean(axis=0) - mean
            columns.append(mean + swing * (n_seeds / (n_seeds - 1)) ** 0.5 if n_seeds > 1 else mean)
        blocks.append(np.column_stack(columns))
    return np.asarray(np.clip(np.concatenate(blocks), 0.0, 1.0))


def _fit(sizes: NDArray[Any], errors: Floats, weights: Sequence[float] | None) -> Floats:
    """Return `a`, `b` and `c` for each row of errors, shape (n_rows, 3).

    Args:
        sizes: Shape (n_sizes,).
        errors: Shape (n_rows, n_sizes).
        weights: Of each size.
    """
    if len(set(sizes.tolist())) < FEWEST_SIZES:
        raise ValueError(f"a power law takes {FEWEST_SIZES} sizes, got {len(set(sizes.tolist()))}")
    weight = np.ones(len(sizes)) if weights is None else np.asarray(weights, dtype=np.float64)
    weight = weight / weight.sum()
    # In units of the smallest size, so that no power under- or overflows.
    smallest = float(sizes.min())
    scaled = sizes / smallest
    step = STEEPEST / _GRID
    exponents = np.broadcast_to(np.linspace(step, STEEPEST, _GRID), (len(errors), _GRID))
    best = _best(scaled, errors, weight, exponents)
    for _ in range(_N_ZOOMS):
        exponents = best[:, 2:] + np.linspace(-step, step, _ZOOM)
        step /= (_ZOOM - 1) / 2
        best = _best(scaled, errors, weight, np.clip(exponents, 1e-3, STEEPEST))
    a, b, c = best.T
    return np.column_stack([a, b * smallest**c, c])


def _best(sizes: Floats, errors: Floats, weight: Floats, exponents: Floats) -> Floats:
    """Return the best of some exponents, with its `a` and `b`, for each row, shape (n_rows, 3).

    Args:
        sizes: Shape (n_sizes,), the smallest is 1.
        errors: Shape (n_rows, n_sizes).
        weight: Shape (n_sizes,), they sum to 1.
        exponents: Shape (n_rows, n_exponents).
    """
    x = sizes ** -exponents[:, :, None]  # (rows, exponents, sizes)
    y = errors[:, None, :]
    mean_x, mean_y = x @ weight, y @ weight
    spread = (x**2) @ weight - mean_x**2
    slope = ((x * y) @ weight - mean_x * mean_y) / spread
    floor = mean_y - slope * mean_x
    without_floor = ((x * y) @ weight) / ((x**2) @ weight)
    # Of a line with two bounds the best within them is the free one, or lies on a bound.
    b = np.where(slope < 0, 0.0, np.where(floor < 0, without_floor, slope))
    a = np.where(slope < 0, mean_y, np.where(floor < 0, 0.0, floor))
    misfit = ((a[:, :, None] + b[:, :, None] * x - y) ** 2) @ weight
    chosen = misfit.argmin(axis=1)[:, None]
    return np.column_stack([np.take_along_axis(each, chosen, axis=1)[:, 0] for each in (a, b, exponents)])
