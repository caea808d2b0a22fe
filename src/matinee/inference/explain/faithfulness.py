"""Whether explanations can be trusted: does the answer change when the words they name are taken out?

Comprehensiveness and sufficiency as ERASER defines them: DeYoung et al. 2020, "ERASER: A Benchmark to Evaluate
Rationalized NLP Models", section 4, averaged over five shares of the words (their "AOPC").
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matinee.inference.explain.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from matinee.inference.explain.explanation import Explanation
    from matinee.inference.predictor import Predictor

BINS = (0.01, 0.05, 0.10, 0.20, 0.50)
# Of fewer texts, that nothing was shown says nothing.
FEWEST_TEXTS = 10


class _Measured(NamedTuple):
    """How far a label's probability falls for one order of the words, averaged over the bins."""

    comprehensiveness: float
    sufficiency: float


def faithfulness(
    predictor: Predictor, explanations: Iterable[Explanation], *, seed: int = 0, n_random_orders: int = 1
) -> dict[str, Any]:
    """Measure explanations against random orders of the same words.

    Comprehensiveness is by how much the label's probability falls when the words ranked highest are deleted (higher is
    better), sufficiency by how much it falls when they alone are kept (lower is better), both averaged over 1, 5, 10, 20
    and 50 % of the words that the predictor reads. Each text takes 11 passes, and 10 more for each random order.

    Args:
        predictor: What was explained.
        explanations: Of any texts, each measured before the next one is asked for; those with fewer than two words that
            were read are left out.
        seed: Of the random orders.
        n_random_orders: Random orders of each text; their mean is what the explanation is compared with.

    Returns:
        `n` texts, `method`, `comprehensiveness` and `sufficiency` as `{"value", "low", "high"}` (95 %, Student's t over
        texts), `comprehensiveness_random` and `sufficiency_random`, `gain` (both differences with intervals, above 0
        where the explanation is better than chance), `faithful` (True if both gains are above 0 beyond chance, False if
        neither is, None if one is or the texts are fewer than ten), `n_random_orders`, `n_forward_passes`, `sentence`. With
        no text `{"n": 0, "reason": ...}`.
    """
    generator = np.random.default_rng(seed)
    explained: list[_Measured] = []
    by_chance: list[NDArray[np.float64]] = []
    method, n_passes = "", 0
    for explanation in explanations:
        words = np.flatnonzero([word.read for word in explanation.words])
        if len(words) < 2:
            continue
        contributions = np.array([word.contribution for word in explanation.words])
        orders = [words[np.argsort(-contributions[words], kind="stable")]]
        orders += [generator.permutation(words) for _ in range(n_random_orders)]
        first, *others = _measure(predictor, explanation, orders)
        explained.append(first)
        by_chance.append(np.mean(others, axis=0))
        method, n_passes = explanation.method, n_passes + 1 + 2 * len(BINS) * len(orders)
    if not explained:
        return {"n": 0, "reason": "There is no text with at least two words to measure explanations on."}
    return {
        "n": len(explained),
        "method": method,
        **_summary(np.array(explained), np.array(by_chance)),
        "n_random_orders": n_random_orders,
        "n_forward_passes": n_passes,
    }


def _measure(predictor: Predictor, explanation: Explanation, orders: Sequence[NDArray[np.int64]]) -> list[_Measured]:
    """Return what becomes of the label's probability for each order of the words, best first."""
    places = np.array([(word.start, word.end) for word in explanation.words], dtype=np.int64)
    read = np.array([word.read for word in explanation.words])
    reading = Reading(explanation.text, places, read)
    texts = [explanation.text if read.all() else reading.with_words(read)]
    for order in orders:
        for share in BINS:
            top = np.zeros(len(read), dtype=np.bool_)
            top[order[: ceil(share * len(order))]] = True
            texts += [reading.with_words(read & ~top), reading.with_words(top)]
    label = predictor.label_names.index(explanation.label)
    said = predictor.probabilities(texts)[:, label]
    falls = (said[0] - said[1:]).reshape(len(orders), len(BINS), 2).mean(axis=1)
    return [_Measured(*map(float, fall)) for fall in falls]


def _summary(explained: NDArray[np.float64], by_chance: NDArray[np.float64]) -> dict[str, Any]:
    """Return means with intervals; both arrays have shape (n_texts, 2)."""
    comprehensiveness, sufficiency = (_mean(explained[:, column]) for column in (0, 1))
    gains = {
        "comprehensiveness": _mean(explained[:, 0] - by_chance[:, 0], least=-2.0, largest=2.0),
        "sufficiency": _mean(by_chance[:, 1] - explained[:, 1], least=-2.0, largest=2.0),
    }
    better = [gain["low"] is not None and gain["low"] > 0 for gain in gains.values()]
    n, chance = len(explained), by_chance.mean(axis=0)
    undecided = any(better) or n < FEWEST_TEXTS
    return {
        "comprehensiveness": comprehensiveness,
        "comprehensiveness_random": float(chance[0]),
        "sufficiency": sufficiency,
        "sufficiency_random": float(chance[1]),
        "gain": gains,
        "faithful": True if all(better) else None if undecided else False,
        "sentence": f"{_figures(n, explained.mean(axis=0), chance)} {_verdict(n, *better)}",
    }


def _figures(n: int, explained: NDArray[np.float64], chance: NDArray[np.float64]) -> str:
    without, alone, without_random, random_alone = (
        f"falls by {fall:.3f}" if fall >= 0 else f"rises by {-fall:.3f}" for fall in (*explained, *chance)
    )
    return (
        f"On {n:,} {'text' if n == 1 else 'texts'}, the probability of the label {without} on average without the words "
        f"ranked highest, and {without_random} without random ones; with those words alone it {alone}, with random ones "
        f"alone it {random_alone}."
    )


def _verdict(n: int, comprehensive: bool, sufficient: bool) -> str:
    if comprehensive and sufficient:
        return "Both are better than chance: these words are what the classifier goes by."
    if n < FEWEST_TEXTS:
        return "So few texts do not tell whether that is better than chance."
    if comprehensive:
        return "Only the first is better than chance: the classifier goes by these words, among others."
    if sufficient:
        return "Only the second is better than chance: these words would do, but the classifier does not need them."
    return "Neither is clearly better than chance: do not trust these explanations."


def _mean(values: NDArray[np.float64], *, least: float = -1.0, largest: float = 1.0) -> dict[str, float | None]:
    """Return the mean over texts with a 95 % interval by Student's t; no interval below three texts."""
    value, n = float(values.mean()), len(values)
    if n < 3:
        return {"value": value, "low": None, "high": None}
    from scipy.special import stdtrit  # here, so that explanations are made where no scipy is

    margin = float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / sqrt(n)
    return {"value": value, "low": max(least, value - margin), "high": min(largest, value + margin)}
