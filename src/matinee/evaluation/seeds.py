"""What several trainings say of an accuracy: intervals that hold for other seeds and other test texts alike.

Every training with another seed answers the same test texts, so that the answers form a table of seeds by texts. Its mean moves with
both: other texts are harder or easier, another seed draws other training texts and starts elsewhere. An interval from the texts
alone is too narrow, one from a few seeds' accuracies alone forgets that they share their texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.evaluation.comparison import mcnemar_p
from matinee.evaluation.intervals import LEVEL, unseen_share
from matinee.evaluation.proportions import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class _Mean:
    """The mean of a table of seeds by texts, its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float

    def margin(self) -> float:
        """Return half the width of the 95 % interval."""
        from scipy.stats import t

        return self.error * float(t.ppf(0.5 + LEVEL / 2, self.freedom))

    def p(self) -> float:
        """Return the two-sided p-value of a true mean of 0."""
        from scipy.stats import t

        return float(2 * t.sf(abs(self.value) / self.error, self.freedom))


def accuracy_over_seeds(correct: NDArray[np.bool_]) -> dict[str, float]:
    """Return the mean accuracy of several trainings with a 95 % interval, and the lowest and the highest of them.

    One training has Wilson's interval, which says nothing of other seeds. For more see `_crossed`.

    Args:
        correct: Whether each training answers each test text right, shape (n_seeds, n_texts).

    Returns:
        `mean`, `low`, `high`, `min`, `max`.
    """
    by_seed = correct.mean(axis=1)
    mean = float(by_seed.mean())
    low, high = _accuracy_interval(correct, mean)
    return {
        "mean": mean,
        "low": min(max(0.0, low), mean),
        "high": max(min(1.0, high), mean),
        "min": float(by_seed.min()),
        "max": float(by_seed.max()),
    }


def _accuracy_interval(correct: NDArray[np.bool_], mean: float) -> tuple[float, float]:
    n_seeds, n_texts = correct.shape
    crossed = _crossed(correct.astype(np.float64)) if n_seeds > 1 and n_texts > 1 else None
    if crossed is None or crossed.error == 0:
        share = wilson(mean * n_texts, n_texts)
        return share["low"], share["high"]
    return mean - crossed.margin(), mean + crossed.margin()


def gain_over_seeds(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, Any]:
    """Return how much more accurate one way to train is than another, over the seeds of both, and the chance of that being luck.

    The seeds are pairs (the same training texts), and so are the texts. What is asked is whether one way is better on average over
    seeds: not whether the mean of its probabilities is, which is an ensemble that nobody will use, and not whether one of its
    trainings beat one of the other's. The differences in being right form a table of seeds by texts; see `_crossed`. With one
    seed there is McNemar's test, which is about these two trainings and says nothing of other seeds.

    Args:
        first: Whether each training of one way answers each test text right, shape (n_seeds, n_texts).
        second: The same of the other way, with the same seeds and texts in the same order.

    Returns:
        `gain` (`value`, `low`, `high`: accuracy of the first less that of the second, as shares) and `p_value`, not corrected.

    Raises:
        ValueError: The two tables differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"the tables must have the same seeds and texts, got {first.shape} and {second.shape}")
    differences = first.astype(np.float64) - second
    n_seeds, n_texts = differences.shape
    value, unseen = float(differences.mean()), unseen_share(n_texts)
    if not differences.any() or n_texts < 2:
        return {
            "gain": {"value": value, "low": max(-1.0, value - unseen), "high": min(1.0, value + unseen)},
            "p_value": 1.0,
        }
    if n_seeds == 1:
        return _of_one_seed(differences[0])
    crossed = _crossed(differences)
    if crossed.error == 0:  # the same difference on every text
        return {
            "gain": {"value": value, "low": max(-1.0, value - unseen), "high": min(1.0, value + unseen)},
            "p_value": 0.0,
        }
    margin = crossed.margin()
    gain = {"value": value, "low": max(-1.0, value - margin), "high": min(1.0, value + margin)}
    return {"gain": gain, "p_value": crossed.p()}


def _of_one_seed(differences: NDArray[np.float64]) -> dict[str, Any]:
    n_texts, value = len(differences), float(differences.mean())
    margin = _Mean(value, float(differences.std(ddof=1)) / n_texts**0.5, n_texts - 1).margin()
    low, high = max(-1.0, value - margin), min(1.0, value + margin)
    p = mcnemar_p(int((differences > 0).sum()), int((differences < 0).sum()))
    if p >= 1 - LEVEL:  # of few texts the normal interval is too sure
        low, high = min(low, 0.0), max(high, 0.0)
    return {"gain": {"value": value, "low": low, "high": high}, "p_value": p}


def _crossed(values: NDArray[np.float64]) -> _Mean:
    """Return the mean of a table of seeds by texts, both of which are samples of many more.

    Two-way analysis of variance with both factors random, as for several readers of the same cases: the variance of the mean is
    that between seeds plus that between texts, less what the first holds of the second already. Degrees of freedom by Hillis
    (2007), "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis", Statistics in Medicine 26.
    Seeds that happen to agree are not believed to: their mean square counts as that of the interaction at least.

    Args:
        values: Shape (n_seeds, n_texts), two or more of each.
    """
    n_seeds, n_texts = values.shape
    mean, by_seed, by_text = float(values.mean()), values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_text[None, :] + mean
    interaction = float((rest**2).sum()) / ((n_seeds - 1) * (n_texts - 1))
    seeds = max(n_texts * float(by_seed.var(ddof=1)), interaction)
    texts = max(n_seeds * float(by_text.var(ddof=1)) - interaction, 0.0)
    error = ((seeds + texts) / (n_seeds * n_texts)) ** 0.5
    if error < 1e-12:
        return _Mean(mean, 0.0, 1.0)
    freedom = (n_seeds - 1) * ((seeds + texts) / seeds) ** 2 if seeds > 0 else n_texts - 1
    return _Mean(mean, error, min(freedom, n_texts - 1))
