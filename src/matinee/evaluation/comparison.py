"""Which of several classifiers is better, judged on the same texts; or that one cannot tell.

A comparison is about these classifiers as they are: what another training seed would have made of them it does not know.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.evaluation.intervals import LEVEL, resample_weights, unseen_share
from matinee.evaluation.metrics import METRICS, LabelledTexts, Weighted
from matinee.evaluation.proportions import holm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Predictions

ALPHA = 0.05
"""Below this a p-value, corrected for the number of pairs, is called a difference."""
_POWER = 0.8


@dataclass(frozen=True)
class Pair:
    """Two classifiers side by side.

    Attributes:
        first: Name of one.
        second: Name of the other.
        both_right: Texts that both answer right.
        both_wrong: Texts that both answer wrong.
        only_first_right: Texts that the first alone answers right.
        only_second_right: Texts that the second alone answers right.
        accuracy: Accuracy of the first less that of the second, as a share, with its 95 % interval.
        f1: The same of F1, macro F1 above two labels; nulls and a reason where it is undefined.
        p: Chance of so uneven a split of the texts on which one alone is right, if both were equally accurate.
        p_adjusted: The same, corrected for the number of pairs.
        detectable: The smallest difference in accuracy that so many texts would mostly have shown, as a share.
        sentence: The verdict.
    """

    first: str
    second: str
    both_right: int
    both_wrong: int
    only_first_right: int
    only_second_right: int
    accuracy: dict[str, Any]
    f1: dict[str, Any]
    p: float
    p_adjusted: float
    detectable: float
    sentence: str

    @property
    def better(self) -> str | None:
        """Name of the better one, None where they cannot be told apart."""
        if self.p_adjusted >= ALPHA:
            return None
        return self.first if self.only_first_right > self.only_second_right else self.second


@dataclass(frozen=True)
class Comparison:
    """Several classifiers on the same texts.

    Attributes:
        n: Number of texts.
        pairs: Each with each, in the order given.
        n_disagree: Texts to which they do not all give the same answer.
        disagreements: Those texts: `id`, `text`, `label` and `answers` (by name: `label` and `score`); first those that each
            is surest of.
        verdict: Which is best, in a sentence or two.
    """

    n: int
    pairs: tuple[Pair, ...]
    n_disagree: int
    disagreements: list[dict[str, Any]]
    verdict: str


def compare_predictions(
    named: Mapping[str, Predictions], *, n_examples: int | None = None, seed: int = 0, n_resamples: int = 1000
) -> Comparison:
    """Compare each classifier with each other one: McNemar's test, paired bootstrap, Holm's correction.

    Args:
        named: At least two predictions with labels, of the same texts in any order, by the classifier's name.
        n_examples: How many of the texts that they disagree on to list; all where not given.
        seed: Of the resamples.
        n_resamples: Number of resamples.

    Raises:
        DataError: The texts, their ids or their labels differ, or there are none.
        ValueError: There are fewer than two.
    """
    if len(named) < 2:
        raise ValueError(f"a comparison takes at least two predictions, got {len(named)}")
    aligned = same_texts(named)
    texts = {name: LabelledTexts.of(predictions) for name, predictions in aligned.items()}
    differences = bootstrap_differences(texts, ("accuracy", "f1"), seed, n_resamples)
    tests = {(a, b): _mcnemar(texts[a].correct, texts[b].correct) for a, b in combinations(aligned, 2)}
    adjusted = holm(list(tests.values()))
    n_pairs = len(tests)
    pairs = tuple(
        _pair(names, (texts[names[0]], texts[names[1]]), differences[names], p, p_adjusted, n_pairs)
        for (names, p), p_adjusted in zip(tests.items(), adjusted, strict=True)
    )
    rows = _disagreements(aligned)
    shown = rows if n_examples is None else rows[:n_examples]
    n_texts = len(next(iter(aligned.values())))
    listed = [_example(aligned, row) for row in shown]
    return Comparison(n_texts, pairs, len(rows), listed, _verdict(texts, pairs))


def same_texts(named: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """Return the predictions with their texts in one order, that of the first.

    Raises:
        DataError: Label names, ids, texts or labels differ.
    """
    (first_name, first), *others = named.items()
    aligned = {first_name: first}
    for name, other in others:
        if other.label_names != first.label_names:
            raise DataError(
                f"{first_name} and {name} cannot be compared: their labels are {_listed(first.label_names)} "
                f"and {_listed(other.label_names)}."
            )
        aligned[name] = _in_order_of(first, other, first_name, name)
    return aligned


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's test, exact, with mid-p correction.

    Of the texts that one classifier alone answers right, each is as likely the first's as the second's if both are equally
    accurate: a binomial test, which counts half of the probability of what was seen. The plain exact test is
    conservative, the chi-squared one is not reliable for few texts; mid-p is neither (Fagerland, Lydersen and Laake 2013).
    An even split has p = 1.

    Args:
        only_first: Texts that the first alone answers right.
        only_second: Texts that the second alone answers right.
    """
    from scipy.special import bdtr

    fewer, n_either = min(only_first, only_second), only_first + only_second
    if not n_either:
        return 1.0
    below = float(bdtr(fewer - 1, n_either, 0.5)) if fewer else 0.0
    # Twice the tail, less the probability of what was seen.
    return min(1.0, float(bdtr(fewer, n_either, 0.5)) + below)


def detectable_difference(n_texts: int, n_either: int, n_pairs: int = 1) -> float:
    """Return the smallest difference in accuracy that a comparison would find in 4 of 5 cases, as a share.

    Where a share d of the texts is answered right by one alone, the difference of n texts has a standard error of about
    sqrt(d / n); it takes 2.8 of them for a test at 5 % with a power of 80 % (Connor 1987, for small differences).

    Args:
        n_texts: Number of texts.
        n_either: How many of them one alone answers right; none is taken as the most that may have been missed.
        n_pairs: How many comparisons share the 5 %.
    """
    share = n_either / n_texts if n_either else unseen_share(n_texts)
    errors = NormalDist().inv_cdf(1 - ALPHA / 2 / n_pairs) + NormalDist().inv_cdf(_POWER)
    return float(min(1.0, errors * (share / n_texts) ** 0.5))


def _mcnemar(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return mcnemar_p(int(np.sum(first > second)), int(np.sum(first < second)))


def bootstrap_differences(
    texts: Mapping[str, LabelledTexts], of: Sequence[str], seed: int, n_resamples: int
) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """Return the differences of each pair, by metric, with their 95 % percentile intervals.

    Texts are drawn with the answers of all (Efron and Tibshirani 1993, chapter 16; Berg-Kirkpatrick, Burkett and Klein
    2012): what all find hard does not blur the differences.
    """
    metrics = {name: METRICS[name] for name in of}
    n_texts = len(next(iter(texts.values())).labels)
    values: dict[tuple[str, str], list[NDArray[np.float64]]] = {(name, of): [] for name in texts for of in metrics}
    for weights in chain([np.ones((n_texts, 1))], resample_weights(n_texts, n_resamples, seed)):
        for name, labelled in texts.items():
            weighted = Weighted(labelled, weights)
            for of, metric in metrics.items():
                values[name, of].append(metric.compute(weighted))
    joined = {key: np.concatenate(blocks) for key, blocks in values.items()}
    return {
        (a, b): {of: _difference(joined[a, of] - joined[b, of], n_texts) for of in metrics}
        for a, b in combinations(texts, 2)
    }


def _difference(values: NDArray[np.float64], n_texts: int) -> dict[str, Any]:
    """Return the interval of a difference from its value on all texts, which comes first, and on the resamples."""
    value, resampled = float(values[0]), values[1:][~np.isnan(values[1:])]
    if np.isnan(value) or not len(resampled):
        return {"value": None, "low": None, "high": None, "reason": "a label has no or too few texts"}
    low, high = np.quantile(resampled, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    if np.ptp(resampled) < 1e-12:
        # Always the same on these texts; on those not seen it may be otherwise.
        low, high = max(-1.0, value - unseen_share(n_texts)), min(1.0, value + unseen_share(n_texts))
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def _pair(
    names: tuple[str, str],
    texts: tuple[LabelledTexts, LabelledTexts],
    differences: dict[str, dict[str, Any]],
    p: float,
    p_adjusted: float,
    n_pairs: int,
) -> Pair:
    first, second = (each.correct > 0 for each in texts)
    n_texts, either = len(first), int(np.sum(first != second))
    pair = Pair(
        *names,
        both_right=int(np.sum(first & second)),
        both_wrong=int(np.sum(~first & ~second)),
        only_first_right=int(np.sum(first & ~second)),
        only_second_right=int(np.sum(second & ~first)),
        accuracy=differences["accuracy"],
        f1=differences["f1"],
        p=p,
        p_adjusted=p_adjusted,
        detectable=detectable_difference(n_texts, either, n_pairs),
        sentence="",
    )
    same = bool(np.array_equal(texts[0].predicted, texts[1].predicted))
    return replace(pair, sentence=_sentence(pair, n_texts, n_pairs, same))


def _sentence(pair: Pair, n_texts: int, n_pairs: int, same: bool) -> str:
    if same:
        return f"{pair.first} and {pair.second} give the same answer to {_all(n_texts)}."
    p = _p_in_words(pair.p_adjusted) + (f" (corrected for {n_pairs} comparisons)" if n_pairs > 1 else "")
    turned = pair.accuracy["value"] < 0
    ahead, behind = (pair.second, pair.first) if turned else (pair.first, pair.second)
    by = _points(pair.accuracy, turned)
    if pair.better is not None:
        return f"{ahead} is better than {behind} by {by}, {p}."
    if not pair.accuracy["value"]:
        found = f"both answer equally many right (the difference may be {_range(pair.accuracy)}), {p}"
    else:
        found = f"{ahead} is ahead by {by}, {p}"
    return (
        f"{pair.first} and {pair.second} cannot be told apart with {_texts(n_texts)}: {found}; "
        f"differences below about {100 * pair.detectable:.1f} points would mostly not show."
    )


def _verdict(texts: Mapping[str, LabelledTexts], pairs: Sequence[Pair]) -> str:
    """Return which classifier is best, and which of the others may be as good."""
    if len(pairs) == 1:
        return pairs[0].sentence
    accuracy = {name: float(of.correct.mean()) for name, of in texts.items()}
    best = max(accuracy, key=lambda name: accuracy[name])
    worse: list[str] = []
    level: list[str] = []
    for pair in pairs:
        if best in (pair.first, pair.second):
            other = pair.second if pair.first == best else pair.first
            by = f"by {_points(pair.accuracy, best == pair.second)}, {_p_in_words(pair.p_adjusted)}"
            if not pair.only_first_right + pair.only_second_right:
                by = "right and wrong on the same texts"
            (worse if pair.better == best else level).append(f"{other} ({by})")
    parts = [f"{best} has the highest accuracy, {100 * accuracy[best]:.1f} %."]
    if worse:
        parts.append(f"It is better than {_and(worse)}.")
    if level:
        parts.append(f"It cannot be told apart from {_and(level)}.")
    return " ".join([*parts, f"p is corrected for {len(pairs)} comparisons."])


def _points(difference: Mapping[str, Any], turned: bool) -> str:
    if turned:
        difference = {"value": -difference["value"], "low": -difference["high"], "high": -difference["low"]}
    value, low, high = (f"{100 * difference[name]:z.1f}" for name in ("value", "low", "high"))
    return f"{value} points of accuracy [{low}, {high}]"


def _range(difference: Mapping[str, Any]) -> str:
    return f"{100 * difference['low']:+z.1f} to {100 * difference['high']:+z.1f} points"


def _texts(n_texts: int) -> str:
    return f"{n_texts:,} text{'' if n_texts == 1 else 's'}"


def _all(n_texts: int) -> str:
    return "the only text" if n_texts == 1 else f"all {_texts(n_texts)}"


def _p_in_words(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.1g}" if p < 0.001 else f"p = {p:.2g}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _disagreements(aligned: Mapping[str, Predictions]) -> list[int]:
    """Return the texts to which not all give the same answer; first those that the least sure of them is surest of."""
    every = list(aligned.values())
    answers = np.stack([predictions.predicted for predictions in every])
    rows = np.arange(answers.shape[1])
    sure = np.stack([each.probabilities[rows, each.predicted] for each in every]).min(axis=0)
    disagree = np.flatnonzero((answers != answers[0]).any(axis=0))
    return [int(row) for row in disagree[np.argsort(-sure[disagree], kind="stable")]]


def _example(aligned: Mapping[str, Predictions], row: int) -> dict[str, Any]:
    first = next(iter(aligned.values()))
    labels = LabelledTexts.of(first).labels
    return {
        "id": first.ids[row],
        "text": first.texts[row],
        "label": first.label_names[labels[row]],
        "answers": {
            name: {
                "label": each.label_names[each.predicted[row]],
                "score": float(each.probabilities[row, each.predicted[row]]),
            }
            for name, each in aligned.items()
        },
    }


def _in_order_of(first: Predictions, other: Predictions, first_name: str, name: str) -> Predictions:
    keys, other_keys = _keys(first, first_name), _keys(other, name)
    if keys == other_keys:
        return other
    missing, more = Counter(keys) - Counter(other_keys), Counter(other_keys) - Counter(keys)
    if missing or more:
        raise DataError(_what_differs(first_name, name, keys, other_keys, missing.total(), more.total()))
    rows: dict[tuple[str, str, int], list[int]] = {}
    for row, key in reversed(list(enumerate(other_keys))):
        rows.setdefault(key, []).append(row)
    order = np.array([rows[key].pop() for key in keys])
    return replace(
        other,
        ids=first.ids,
        texts=first.texts,
        labels=first.labels,
        probabilities=other.probabilities[order],
    )


_Key = tuple[str, str, int]


def _keys(predictions: Predictions, name: str) -> list[_Key]:
    if predictions.labels is None:
        raise DataError(f"{name} cannot be compared: the labels of its texts are not known.")
    return list(zip(predictions.ids, predictions.texts, predictions.labels.tolist(), strict=True))


def _what_differs(
    first_name: str, name: str, keys: Sequence[_Key], other_keys: Sequence[_Key], n_missing: int, n_more: int
) -> str:
    """Return in a line how many texts two classifiers do not share."""
    relabelled = Counter(key[:2] for key in keys) == Counter(key[:2] for key in other_keys)
    found = (
        f"{n_missing:,} of the {len(keys):,} have another label"
        if relabelled
        else f"{n_missing:,} of the {len(keys):,} of {first_name} and {n_more:,} of the {len(other_keys):,} of {name} "
        "are not among the other's"
    )
    return (
        f"{first_name} and {name} cannot be compared, their texts differ: {found} (id, text and label count). "
        "Train both with the same data, --test-size, --validation-size and --split-seed."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
