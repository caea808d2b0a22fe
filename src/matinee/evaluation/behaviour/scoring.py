"""Judges the answers to behavioural cases, and counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.evaluation.behaviour.capabilities import CAPABILITIES
from matinee.evaluation.behaviour.cases import TOLERANCE
from matinee.evaluation.proportions import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.types import Predictions
    from matinee.evaluation.behaviour.cases import Case

N_WORST = 3


@dataclass(frozen=True)
class Judged:
    """A case and its answer.

    Attributes:
        case: What was asked.
        failed: Whether the answer is wrong.
        wrongness: How far it is from right, to order failures: a probability.
        expected: What was expected, in words.
        row: Where the answer stands among the predictions.
    """

    case: Case
    failed: bool
    wrongness: float
    expected: str
    row: int


def texts_to_ask(cases: Sequence[Case]) -> list[str]:
    """Return every text that the cases need an answer to, once, in a fixed order."""
    texts = [text for case in cases for text in (case.before, case.text) if text is not None]
    return list(dict.fromkeys(texts))


def score_cases(cases: Sequence[Case], predictions: Predictions) -> list[dict[str, Any]]:
    """Return the failure rate of each capability that has cases, as plain JSON values.

    Args:
        cases: What was asked.
        predictions: The answers to at least `texts_to_ask(cases)`.

    Returns:
        A dict per capability: `name`, `title`, `kind`, `n`, `failures`, `rate` with a 95 % interval (`family_interval`),
        `families` (templates and own texts that the cases were made from), `parts` (`n` and `failures` of cases made from
        `templates` and from `own_texts`), and `worst`: up to three failures, the most wrong first and no two of one family
        while there are others, each with `text`, `expected`, `predicted`, `score` and, of a changed text, `changed_from`.

    Raises:
        DataError: A probability is not a number.
    """
    if not np.isfinite(predictions.probabilities).all():
        raise DataError("The probabilities of some texts are not numbers: the classifier diverged.")
    rows = {text: row for row, text in enumerate(predictions.texts)}
    by_capability: dict[str, list[Judged]] = defaultdict(list)
    for case in cases:
        by_capability[case.capability].append(_judge(case, predictions, rows))
    return [_summary(name, by_capability[name], predictions) for name in CAPABILITIES if name in by_capability]


def family_interval(failed: Sequence[bool], families: Sequence[str]) -> tuple[float, float]:
    """Return a 95 % interval for the failure rate of cases that come in families.

    Cases of one template tend to fail together: sixty cases of twelve templates tell less than sixty of sixty. Wilson's
    interval (Wilson 1927) with the effective number of cases in place of their number (Korn and Graubard 1998, "Confidence
    intervals for proportions with small expected number of positive counts estimated from survey data"): the number of
    independent cases whose rate would vary as much as this one does between families, from the linearised variance of a
    ratio. It is at most the number of cases, and at least the number of families; that is what counts where none or all failed.

    Simulated coverage, 12 families of 5 cases, failure rates 0.02 to 0.5, correlation within families 0 to 0.9: 0.89 to
    0.97. The percentile bootstrap over families covers 0.27 to 0.95, Wilson's interval over cases 0.60 to 0.97.
    """
    totals, failures = Counter(families), Counter[str]()
    for bad, family in zip(failed, families, strict=True):
        failures[family] += bad
    n, k = len(failed), len(totals)
    rate = sum(failed) / n
    effective = float(k)
    if 0 < rate < 1 and k > 1:
        between = sum((failures[family] - rate * totals[family]) ** 2 for family in totals)
        variance = k / (k - 1) * between / n**2
        effective = float(n) if variance == 0 else min(n, max(k, rate * (1 - rate) / variance))
    interval = wilson(rate * effective, effective)
    return min(interval["low"], rate), max(interval["high"], rate)  # rounding must not leave the rate outside


def _judge(case: Case, predictions: Predictions, rows: dict[str, int]) -> Judged:
    row = rows[case.text]
    before = None if case.before is None else rows[case.before]
    if before is None:
        return _judge_label(case, predictions, row)
    if CAPABILITIES[case.capability].kind == "direction":
        return _judge_direction(case, predictions, row, before)
    return _judge_unchanged(case, predictions, row, before)


def _judge_label(case: Case, predictions: Predictions, row: int) -> Judged:
    wrongness = 1 - _total(case, predictions, row)
    return Judged(case, int(predictions.predicted[row]) not in case.labels, wrongness, _names(case, predictions), row)


def _judge_unchanged(case: Case, predictions: Predictions, row: int, before: int) -> Judged:
    label = int(predictions.predicted[before])
    fall = float(predictions.probabilities[before, label] - predictions.probabilities[row, label])
    return Judged(
        case, int(predictions.predicted[row]) != label, fall, f"{predictions.label_names[label]}, as before", row
    )


def _judge_direction(case: Case, predictions: Predictions, row: int, before: int) -> Judged:
    least = _total(case, predictions, before) - TOLERANCE
    fall = least - _total(case, predictions, row)
    return Judged(
        case,
        fall > 0,
        fall,
        f"{_names(case, predictions)} no less likely than before, {max(0.0, least):.3f} or more",
        row,
    )


def _total(case: Case, predictions: Predictions, row: int) -> float:
    return float(predictions.probabilities[row, list(case.labels)].sum())


def _names(case: Case, predictions: Predictions) -> str:
    return " or ".join(predictions.label_names[label] for label in case.labels)


def _summary(name: str, judged: list[Judged], predictions: Predictions) -> dict[str, Any]:
    capability = CAPABILITIES[name]
    failed, families = [one.failed for one in judged], [one.case.family for one in judged]
    low, high = family_interval(failed, families)
    return {
        "name": name,
        "title": capability.title,
        "kind": capability.kind,
        "n": len(judged),
        "failures": sum(failed),
        "rate": {"value": sum(failed) / len(judged), "low": low, "high": high},
        "families": len(set(families)),
        "parts": {
            part: {"n": len(of), "failures": sum(one.failed for one in of)}
            for part, own in (("templates", False), ("own_texts", True))
            if (of := [one for one in judged if one.case.own is own])
        },
        "worst": [_example(one, predictions) for one in _worst(judged)],
    }


def _worst(judged: list[Judged]) -> list[Judged]:
    """Return the most wrong failures; a second one of a family only where there are too few families."""
    failures = sorted((one for one in judged if one.failed), key=lambda one: (-one.wrongness, one.case.text))
    firsts = {one.case.family: one for one in reversed(failures)}
    first = [one for one in failures if firsts[one.case.family] is one]
    return [*first, *(one for one in failures if one not in first)][:N_WORST]


def _example(judged: Judged, predictions: Predictions) -> dict[str, Any]:
    answer = predictions[judged.row]
    example = {
        "text": judged.case.text,
        "expected": judged.expected,
        "predicted": answer["label"],
        "score": answer["score"],
    }
    return example if judged.case.before is None else {**example, "changed_from": judged.case.before}
