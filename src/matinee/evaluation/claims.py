"""What is often said to cause the mistakes, put to the test on the texts at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.evaluation.proportions import SIGNIFICANT, holm, wilson
from matinee.evaluation.slices import compare
from matinee.evaluation.wording import percent, points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from matinee.core.types import Predictions
    from matinee.evaluation.slices import Slice

CLAIM = "Sarcasm and ambiguous phrasing are common causes of errors."

CLAIMED = {
    "sarcasm": "cues of sarcasm",
    "mixed-sentiment": "words of both praise and blame (ambiguous)",
    "contrast": "a contrast such as 'but' (ambiguous)",
}
"""The slices that the claim is about, and what their texts have."""

FEWEST_TEXTS = 30
"""With fewer, an error rate of 12 % has an interval of 25 points: "no evidence" would be said of anything."""

FEWEST_MISTAKES = 10
"""With fewer in all, no share of the mistakes means anything."""

COMMON = 0.1
"""A cause is called common where at least a tenth of the mistakes are in the slice; a rarer one is no advice on what to mend first."""

_SENTIMENT = frozenset({"positive", "negative", "pos", "neg", "neutral", "mixed", "good", "bad"})


def causes(predictions: Predictions, slices: Mapping[str, Slice]) -> dict[str, Any]:
    """Return whether texts with cues of sarcasm or ambiguity are a common cause of this classifier's mistakes.

    The claim holds for a slice where its error rate is higher than elsewhere beyond chance (Fisher's exact test, Holm over the
    slices) and it makes up at least a tenth of the mistakes.

    Args:
        predictions: What the classifier said.
        slices: As `find_slices` returns them; those of `CLAIMED` are looked at.

    Returns:
        `{"claim", "note", "claims": [{"name", "holds", "sentence", "n", "n_mistakes", "share_of_texts", "share_of_mistakes": I,
        "error_rate": I, "error_rate_elsewhere", "difference": I, "p", "p_adjusted"}]}`, with I an interval. `holds` is None, and
        what was not computed too, where there are too few texts. `note` says where the cues may mean little. Without labels: no
        claims, and a `"reason"`.
    """
    if predictions.labels is None:
        return {"claim": CLAIM, "note": None, "claims": [], "reason": "nobody knows the true labels of these texts"}
    wrong = predictions.predicted != predictions.labels
    rows = [_figures(name, wrong, slices[name].mask) for name in CLAIMED if name in slices]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = p
    claims = [{**row, "holds": _holds(row), "sentence": _sentence(row, len(wrong))} for row in rows]
    return {"claim": CLAIM, "note": _note(predictions.label_names), "claims": claims}


def _figures(name: str, wrong: NDArray[np.bool_], mask: NDArray[np.bool_]) -> dict[str, Any]:
    compared = compare(~wrong, mask, FEWEST_TEXTS)
    n_mistakes = int(wrong.sum())
    row = {
        "name": name,
        "n": compared["n"],
        "n_mistakes": n_mistakes,
        "share_of_texts": compared["n"] / len(wrong) if len(wrong) else 0.0,
        "p": None,
        "p_adjusted": None,
    }
    if compared["p"] is None or n_mistakes < FEWEST_MISTAKES:
        nothing = {"value": None, "low": None, "high": None}
        return {
            **row,
            "share_of_mistakes": nothing,
            "error_rate": nothing,
            "error_rate_elsewhere": None,
            "difference": nothing,
        }
    return {
        **row,
        "share_of_mistakes": wilson(int((wrong & mask).sum()), n_mistakes),
        "error_rate": _turned(compared["accuracy"], 1.0),
        "error_rate_elsewhere": 1.0 - compared["rest"],
        "difference": _turned(compared["difference"], 0.0),
        "p": compared["p"],
    }


def _turned(interval: Mapping[str, float], whole: float) -> dict[str, float]:
    """Return `whole - value`, with its interval."""
    return {"value": whole - interval["value"], "low": whole - interval["high"], "high": whole - interval["low"]}


def _is_harder(row: Mapping[str, Any]) -> bool | None:
    """Return whether the error rate is higher than elsewhere beyond chance; None where it is lower beyond chance."""
    if row["p_adjusted"] >= SIGNIFICANT:
        return False
    return True if row["difference"]["value"] > 0 else None


def _holds(row: Mapping[str, Any]) -> bool | None:
    if row["p_adjusted"] is None:
        return None
    return _is_harder(row) is True and row["share_of_mistakes"]["value"] >= COMMON


def _sentence(row: Mapping[str, Any], n_texts: int) -> str:
    what = CLAIMED[row["name"]]
    if row["p_adjusted"] is None:
        if row["n_mistakes"] < FEWEST_MISTAKES:
            return f"Texts with {what}: there are {row['n_mistakes']} mistakes in all, too few to tell."
        return f"Texts with {what}: {row['n']:,} of {n_texts:,}, too few on one side to tell."
    return (
        f"Texts with {what} are {percent(row['share_of_texts'])} of the texts and {percent(row['share_of_mistakes']['value'])} of the "
        f"mistakes; their error rate is {percent(row['error_rate']['value'])} against {percent(row['error_rate_elsewhere'])} elsewhere "
        f"(difference {points(row['difference'])}, "
        f"adjusted p = {row['p_adjusted']:.2g}): {_conclusion(row)}."
    )


def _conclusion(row: Mapping[str, Any]) -> str:
    is_harder = _is_harder(row)
    if is_harder is None:
        return "they are easier than the others, so the claim does not hold"
    if not is_harder:
        return "no evidence for the claim"
    return "the claim holds" if _holds(row) else "they are harder, but too few to be a common cause"


def _note(label_names: Sequence[str]) -> str | None:
    if len({name.strip().lower() for name in label_names} & _SENTIMENT) >= 2:
        return None
    return "These are cues of English texts that praise and blame: where the labels are about something else, they mean little."
