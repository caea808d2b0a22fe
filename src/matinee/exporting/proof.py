"""The proof that an export says the same as the classifier that it was made from: torch in float32, on held-out texts."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.environment import describe_machine
from matinee.core.errors import RunError
from matinee.evaluation import accuracy_gain
from matinee.inference import predict
from matinee.inference.exports import computed_in
from matinee.model.exported import beyond_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Predictions
    from matinee.exporting.limits import Limits
    from matinee.inference import Predictor

logger = logging.getLogger(__name__)

FORMAT = 1
REFERENCE = "torch fp32"

# Texts that a proof rests on at most: on so many a share of 1 % has a standard error of 0.14 points.
MOST_HELD_OUT = 5_000
# Stored answers are believed where these agree with new ones. Another machine's float32 differs by 1e-5 or so.
_CHECKED, _AGREE = 32, 1e-3
# Speed: rounds of which the median counts, texts of a round, and the seconds that a round of the slower one may take.
_ROUNDS, _MOST_TIMED, _FEWEST_TIMED, _SECONDS = 3, 200, 16, 10.0

ODD_TEXTS = (
    "",
    " ",
    "a",
    "!",
    "?!… --- ((((( *****",
    "👍",
    "👩‍👩‍👧‍👦🎬🍿 10/10 ❤️❤️❤️",
    "这部电影非常精彩，演员的表演令人难忘。",
    "كان الفيلم مملاً جداً ولا يستحق المشاهدة.",
    "यह फ़िल्म बहुत अच्छी थी।",
    "Фильм скучный, но музыка хороша.",
    "\x01\x02\x1b[31mred\x7f\u200b\ufeff",
    "ThisIsOneVeryLongWord" * 50,
    "<br /><br />&lt;b&gt;",
    "word " * 50_000,
)


@dataclass(frozen=True)
class HeldOut:
    """Texts that nothing was trained on, chosen by or calibrated on, and what torch says of them in float32.

    Attributes:
        split: `"test"`, or the name of a file.
        reference: Torch's answers; with labels where they are known.
    """

    split: str
    reference: Predictions


def check_against(predictor: Predictor, stored: Predictions) -> Predictions:
    """Return what a classifier says of texts: the stored answers where a few new ones agree, else all of them anew.

    Args:
        predictor: The classifier.
        stored: Answers that it is said to have given.
    """
    rows = _spread(len(stored), _CHECKED)
    anew = predictor.probabilities([stored.texts[row] for row in rows])
    gap = float(np.abs(anew - stored.probabilities[rows]).max(initial=0.0))
    if gap <= _AGREE:
        return replace(stored, threshold=predictor.threshold)
    logger.warning(
        f"The stored answers are not what the model says (they differ by up to {gap:.2g}): {len(stored):,} texts are predicted anew."
    )
    return replace(stored, probabilities=predictor.probabilities(stored.texts), threshold=predictor.threshold)


def take_rows(predictions: Predictions, most: int = MOST_HELD_OUT) -> Predictions:
    """Return the predictions, of many an evenly spaced part."""
    return predictions if len(predictions) <= most else _rows(predictions, _spread(len(predictions), most))


def split_rows(predictions: Predictions, n: int) -> tuple[Predictions, Predictions]:
    """Return `n` evenly spaced predictions, and all others."""
    first = _spread(len(predictions), n)
    return _rows(predictions, first), _rows(predictions, np.setdiff1d(np.arange(len(predictions)), first))


def compare_answers(reference: Predictions, candidate: Predictions, limits: Limits) -> dict[str, Any]:
    """Return how far two classifiers' answers to the same texts are apart.

    Returns:
        `gap`: `largest` and `mean` difference of a text's probabilities, of each text that of its label which differs most;
        `flips`: `n`, `share` and `limit`; `accuracy`: `reference`, `candidate`, `change` (`value`, `low`, `high`, a paired
        95 % interval) and `limit`, as shares, None where labels are not known.

    Raises:
        RunError: An answer is no number.
    """
    unknown = int((~np.isfinite(candidate.probabilities)).any(axis=1).sum())
    if unknown:
        raise RunError(f"The export is broken: its answers to {unknown:,} of {len(candidate):,} texts are no numbers.")
    gaps = np.abs(candidate.probabilities - reference.probabilities).max(axis=1)
    n_flips = int((candidate.predicted != reference.predicted).sum())
    return {
        "gap": {"largest": float(gaps.max()), "mean": float(gaps.mean())},
        "flips": {"n": n_flips, "share": n_flips / len(reference), "limit": limits.flips},
        "accuracy": _accuracy(reference, candidate, limits),
    }


def beyond(found: Mapping[str, Any]) -> list[str]:
    """Return in words which limits the result of `compare_answers` is beyond; nothing where it is within all."""
    accuracy = found["accuracy"]
    return beyond_limits(found, None if accuracy is None else accuracy["limit"], found["flips"]["limit"])


def _warn_of_few(accuracy: Mapping[str, Any] | None, n: int) -> None:
    """Say so where the texts are too few to show that the accuracy is within its limit."""
    if accuracy is not None and -accuracy["change"]["low"] > accuracy["limit"]:
        logger.warning(
            f"{n:,} texts cannot show that the accuracy falls by at most {100 * accuracy['limit']:g} points: the change may be "
            f"as low as {100 * accuracy['change']['low']:.1f}."
        )


def prove(reference: Predictor, candidate: Predictor, held_out: HeldOut, limits: Limits, name: str) -> dict[str, Any]:
    """Return the proof: what is the same for every back end in `parity.json`.

    Args:
        reference: The classifier in torch and float32.
        candidate: The export, opened from its folder.
        held_out: Texts and the reference's answers.
        limits: What it may cost.
        name: What the export is called in an error.

    Raises:
        RunError: It is beyond a limit.
    """
    known = held_out.reference
    said = predict(candidate, known.texts, ids=known.ids, labels=known.labels)
    found = compare_answers(known, said, limits)
    if failed := beyond(found):
        raise RunError(
            f"{name} does not say the same as {REFERENCE}: of {len(known):,} held-out texts, {' and '.join(failed)}. "
            "Nothing of it was kept. Choose another --precision, or raise --max-flips or --max-accuracy-drop."
        )
    _warn_of_few(found["accuracy"], len(known))
    odd_reference, odd = (predict(each, ODD_TEXTS) for each in (reference, candidate))
    unusual = compare_answers(odd_reference, odd, limits)
    ours, theirs = speeds(candidate, reference, known.texts)
    return {
        "format": FORMAT,
        "passed": True,
        "machine": describe_machine(),
        "computed_in": computed_in(candidate),
        "reference": REFERENCE,
        "held_out": {
            "split": held_out.split,
            "n": len(known),
            "n_labelled": 0 if known.labels is None else len(known),
        },
        **found,
        "odd": {
            "n": len(ODD_TEXTS),
            "largest_gap": unusual["gap"]["largest"],
            "flips": unusual["flips"]["n"],
        },
        "texts_per_second": ours,
        "reference_texts_per_second": theirs,
    }


def speeds(first: Predictor, second: Predictor, texts: Sequence[str]) -> tuple[float, float]:
    """Return how many texts a second each of two predictors answers: medians of a few rounds in turns, on the same texts.

    Args:
        first: One that has answered texts before.
        second: The other; a trial of it decides how many texts are timed, so that it had better be the slower one.
        texts: Where the timed ones are taken from.
    """
    trial = [texts[row] for row in _spread(len(texts), _FEWEST_TIMED)]
    seconds = _seconds(second, trial)
    affordable = int(_SECONDS / max(seconds / len(trial), 1e-6))
    timed = [texts[row] for row in _spread(len(texts), max(_FEWEST_TIMED, min(_MOST_TIMED, affordable)))]
    first.probabilities(timed)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for predictor, into in zip((first, second), taken, strict=True):
            into.append(_seconds(predictor, timed))
    ours, theirs = (len(timed) / float(np.median(each)) for each in taken)
    return ours, theirs


def _seconds(predictor: Predictor, texts: Sequence[str]) -> float:
    start = time.perf_counter()
    predictor.probabilities(texts)
    return time.perf_counter() - start


def _accuracy(reference: Predictions, candidate: Predictions, limits: Limits) -> dict[str, Any] | None:
    if reference.labels is None:
        return None
    before, after = (float((each.predicted == reference.labels).mean()) for each in (reference, candidate))
    change = accuracy_gain(candidate, reference)
    return {"reference": before, "candidate": after, "change": change, "limit": limits.accuracy}


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` row numbers of `n`, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _rows(predictions: Predictions, rows: NDArray[np.int64]) -> Predictions:
    return replace(
        predictions,
        ids=[predictions.ids[row] for row in rows],
        texts=[predictions.texts[row] for row in rows],
        probabilities=predictions.probabilities[rows],
        labels=None if predictions.labels is None else predictions.labels[rows],
        groups=None,
        token_lengths=None,
    )
