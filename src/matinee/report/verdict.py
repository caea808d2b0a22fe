"""The verdict: how good the classifier is and whether to believe its probabilities, in two sentences for whoever decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from matinee.report.wording import ends, known, mapping, number, percent, plural, points, rows, span, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

# An accuracy known to no better than this, from end to end, says little; 95% of 90 texts right is 9 points wide, of 16 texts 30.
_WIDE = 0.2
# A calibration error of up to five points, at the upper end of its interval, is less than most readers of a percentage notice.
_BELIEVABLE = 0.05
# A p-value from here on may well be chance.
_CHANCE = 0.05
_BASELINE = "a simple word-count baseline"


@dataclass(frozen=True)
class Verdict:
    """Two sentences and their tone.

    Attributes:
        quality: How many texts it labels right, how sure that is, and how it compares with the baseline.
        trust: Whether its probabilities mean what they say.
        tone: `"good"`: better than the baseline, and to be believed; `"bad"`: worse than the baseline; else `"mixed"`.
    """

    quality: str
    trust: str
    tone: Literal["good", "mixed", "bad"]


def verdict(
    metrics: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
    *,
    n_labels: int = 2,
    is_baseline: bool = False,
) -> Verdict:
    """Return the verdict on a run.

    Args:
        metrics: As in `metrics.json`.
        calibration: As in `analysis.json`.
        n_labels: Number of labels.
        is_baseline: Whether the classifier is the baseline itself.
    """
    calibration = mapping(calibration)
    comparison = "itself" if is_baseline else _comparison(metrics)
    trust = _trust_level(_error(metrics, calibration), calibration.get("p"))
    tone: Literal["good", "mixed", "bad"] = "mixed"
    if comparison == "worse":
        tone = "bad"
    elif comparison == "better" and trust == "believed" and not _is_wide(metrics):
        tone = "good"
    return Verdict(_quality(metrics, comparison, n_labels), _trust(metrics, calibration, trust), tone)


def _accuracy(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(metrics.get("test")).get("accuracy"))


def _is_wide(metrics: Mapping[str, Any]) -> bool:
    low, high = ends(_accuracy(metrics))
    return low is None or high is None or high - low > _WIDE


def _comparison(metrics: Mapping[str, Any]) -> str:
    gain = mapping(mapping(metrics.get("gain_over_baseline")).get("accuracy"))
    low, high = ends(gain)
    if value_of(gain) is None or low is None or high is None:
        return "unknown"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "same"


def _quality(metrics: Mapping[str, Any], comparison: str, n_labels: int) -> str:
    accuracy, n_texts = _accuracy(metrics), mapping(metrics.get("test")).get("n")
    share = value_of(accuracy)
    if share is None:
        reason = accuracy.get("reason") or "there are no labelled test texts that it was scored on"
        return f"How good the classifier is, is not known: {reason}."
    gain = mapping(mapping(metrics.get("gain_over_baseline")).get("accuracy"))
    baseline = value_of(mapping(metrics.get("baseline")).get("accuracy"))
    compared = {
        "better": f", {points(gain.get('value')).lstrip('+')} points more than {_BASELINE}, which is more than chance explains "
        f"(the lead is {_between(gain)} points)",
        "same": f"; {_BASELINE} gets {percent(baseline, 1)}, and so many texts cannot tell the two apart "
        f"(the difference is {_between(gain)} points)",
        "worse": f", {points(gain.get('value')).lstrip('−')} points fewer than {_BASELINE}, which is the better choice here "
        f"(the difference is {_between(gain)} points)",
        "itself": "; it is the simple word-count baseline itself",
        "unknown": "; whether that is much is not known, since no baseline was scored on the same texts",
    }[comparison]
    return _score(share, accuracy, n_texts, n_labels) + compared + "."


def _score(share: float, accuracy: Mapping[str, Any], n_texts: Any, n_labels: int) -> str:
    low, high = ends(accuracy)
    if low is not None and high is not None and high - low > _WIDE and known(n_texts):
        right = f"{round(share * n_texts):,} of only {plural(n_texts, 'test text')}"
        return f"The classifier got {right} right, too few to say how good it is (anything from {span(accuracy, 0)} is likely)"
    does = (
        f"The classifier labels {percent(share, 1)} of texts right"
        if n_labels == 2
        else f"The classifier picks the right one of {number(n_labels)} labels for {percent(share, 1)} of texts"
    )
    likely = f"likely {span(accuracy)}, " if low is not None else ""
    seen = (
        f"measured on {plural(n_texts, 'text')} that it had not seen" if known(n_texts) else "on texts it had not seen"
    )
    return f"{does} ({likely}{seen})"


def _between(interval: Mapping[str, Any]) -> str:
    low, high = ends(interval)
    return f"likely {points(low)} to {points(high)}"


def _error(metrics: Mapping[str, Any], calibration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the calibration error on the test texts, after calibration where there was one."""
    after = mapping(mapping(calibration.get("after")).get("ece"))
    return after if value_of(after) is not None else mapping(mapping(metrics.get("test")).get("ece"))


def _trust_level(error: Mapping[str, Any], p: Any) -> str:
    """Return whether probabilities with this error can be believed; p says how often exact ones would look as wrong by chance."""
    value, (low, high) = value_of(error), ends(error)
    if value is None or low is None or high is None:
        return "unknown"
    if high <= _BELIEVABLE:
        return "believed"
    if low > _BELIEVABLE:
        return "unknown" if known(p) and p >= _CHANCE else "not believed"
    return "roughly" if high - low <= 2 * _BELIEVABLE else "unknown"


def _trust(metrics: Mapping[str, Any], calibration: Mapping[str, Any], level: str) -> str:
    error = _error(metrics, calibration)
    value = value_of(error)
    if value is None:
        return "Whether its probabilities can be believed is not known: they were not compared with the truth."
    off = f"{100 * value:.1f} points off"
    fitted = mapping(calibration.get("fitted_on"))
    mended = f", after calibration on {plural(fitted['n'], 'other text')}" if known(fitted.get("n")) else ""
    if level == "unknown":
        return (
            f"Whether its probabilities can be believed is not known: they are {off} on average{mended}, "
            "but the test texts are too few to be sure of that."
        )
    if level == "believed":
        return f"Its probabilities can be believed: they are {off} on average{mended}."
    if level == "roughly":
        return f"Its probabilities can be believed roughly: they are about {off} on average{mended} (likely {_points_of(error)})."
    return f"Its probabilities cannot be believed as they stand: they are {off} on average{mended}{_direction(calibration)}."


def _points_of(error: Mapping[str, Any]) -> str:
    low, high = ends(error)
    return f"{100 * (low or 0):.1f} to {100 * (high or 0):.1f}"


def _direction(calibration: Mapping[str, Any]) -> str:
    """Return whether it is too sure or not sure enough, by the bin that holds most texts, or nothing where nobody knows."""
    reliability = mapping(calibration.get("reliability"))
    bins = rows(reliability.get("after")) or rows(reliability.get("before"))
    bins = [each for each in bins if each.get("n") and known(each.get("confidence")) and known(each.get("accuracy"))]
    if not bins:
        return ""
    most = max(bins, key=lambda each: each["n"])
    sure = "too sure of itself" if most["confidence"] > most["accuracy"] else "less sure than it could be"
    return f", and it is {sure}: of answers given with about {percent(most['confidence'])}, {percent(most['accuracy'])} are right"
