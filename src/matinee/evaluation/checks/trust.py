"""M4: whether to believe its probabilities, and where it fails."""

from __future__ import annotations

from matinee.evaluation.checks.facts import Check, CheckFacts, Found, at, interval_at, is_number
from matinee.evaluation.proportions import SIGNIFICANT
from matinee.evaluation.wording import percent

# Whoever reads "90 %" and gets 87 % notices nothing.
LARGE_CALIBRATION_ERROR = 0.03

# A gap of five points is half as many mistakes again where one text in ten is wrong.
LARGE_GAP = 0.05
_MOST_NAMED = 3

# A tenth of the cases, as the default limit of `matinee stress`.
OFTEN = 0.1


def miscalibrated(facts: CheckFacts) -> Found | None:
    """Look whether the probabilities mean what they say, as the classifier gives them out."""
    error = interval_at(facts.analysis, "calibration", "after", "ece") or facts.interval("test", "ece")
    p = at(facts.analysis, "calibration", "p")
    if error is None or error["low"] <= LARGE_CALIBRATION_ERROR or (is_number(p) and p >= SIGNIFICANT):
        return None
    return Found(
        f"Its probabilities are off by {100 * error['value']:.1f} points on average [{100 * error['low']:.1f}, {100 * error['high']:.1f}]."
    )


def slice_gap(facts: CheckFacts) -> Found | None:
    """Look for kinds of texts on which it is much worse."""
    rows = at(facts.analysis, "slices", "rows") or []
    gaps = [(row, row["difference"]) for row in rows if row.get("significant") and interval_at(row, "difference")]
    worse = sorted((gap for gap in gaps if gap[1]["value"] <= -LARGE_GAP), key=lambda gap: gap[1]["value"])
    if not worse:
        return None
    named = [
        f"texts {row['title']} ({row['accuracy']['value']:.3f} against {row['rest']:.3f} elsewhere, {row['n']:,} texts)"
        for row, _ in worse[:_MOST_NAMED]
    ]
    more = f" and {len(worse) - _MOST_NAMED} more" if len(worse) > _MOST_NAMED else ""
    return Found(f"Accuracy is lower on {'; '.join(named)}{more}.")


def no_validation(facts: CheckFacts) -> Found | None:
    """Look whether there were texts to calibrate on."""
    if "test" not in facts.metrics or at(facts.metrics, "validation", "n"):
        return None
    return Found("There is no validation split: probabilities were not calibrated, and no threshold could be chosen.")


def misbehaves(facts: CheckFacts) -> Found | None:
    """Look for kinds of behavioural tests that it often fails."""
    rows = at(facts.stress, "capabilities") or []
    failing = [row for row in rows if (rate := interval_at(row, "rate")) and rate["low"] > OFTEN]
    if not failing:
        return None
    worst = sorted(failing, key=lambda row: -row["rate"]["value"])[:_MOST_NAMED]
    named = "; ".join(f"{row['title']} ({percent(row['rate']['value'])})" for row in worst)
    kinds = "1 kind" if len(rows) == 1 else f"{len(rows)} kinds"
    return Found(
        f"It clearly fails more than {percent(OFTEN)} of the cases of {len(failing)} of {kinds}, the worst: {named}."
    )


CHECKS = (
    Check(
        "M401",
        "miscalibrated",
        "warning",
        "Its probabilities are not to be believed",
        "Looks at the expected calibration error on the test texts, after calibration. Reported where its whole "
        "interval lies above 0.03 and probabilities that are exactly right would hardly ever look so wrong on as many "
        "texts: the classifier is right clearly more, or less, often than it says.",
        "Calibrate on more texts (--validation-size); until then use the answers, not the probabilities.",
        miscalibrated,
    ),
    Check(
        "M402",
        "slice-gap",
        "warning",
        "It fails more often on some kinds of texts",
        "Reported where the accuracy on a slice is at least five points below that on all other texts, beyond chance "
        "after correcting for the number of slices looked at.",
        "Read the mistakes of that slice, and add training texts like them.",
        slice_gap,
    ),
    Check(
        "M403",
        "no-validation",
        "info",
        "Nothing to calibrate on",
        "Reported where a run has test scores and no validation texts: a temperature or a threshold chosen on test "
        "texts would flatter the scores, so none is.",
        "Hold texts out with --validation-size.",
        no_validation,
    ),
    Check(
        "M404",
        "misbehaves",
        "warning",
        "It often fails behavioural tests",
        "Looks at what `matinee stress` found. Reported where the whole interval of a failure rate lies above 10 %.",
        "Read the worst cases in the report; add training texts that put things so, or warn its users.",
        misbehaves,
    ),
)
