"""M1: what the scores say."""

from __future__ import annotations

from matinee.evaluation.checks.facts import Check, CheckFacts, Found, listed
from matinee.evaluation.wording import percent, points

# From ten points between its ends on, an interval no longer tells a poor classifier (0.80) from a good one (0.90); from
# twenty on it says little. With 85 % right, ten points are 200 texts, twenty 50.
WIDE_INTERVAL, VERY_WIDE_INTERVAL = 0.1, 0.2

# An answer to this share of the texts is as good as the only one: of 2,000 texts 20 get another.
NEARLY_ALL = 0.99


def below_baseline(facts: CheckFacts) -> Found | None:
    """Look whether the classifier beats the linear baseline on the same texts."""
    gain = facts.interval("gain_over_baseline", "accuracy")
    is_baseline = facts.settings.get("encoder") == "tfidf" and not facts.data.get("distillation")
    if gain is None or is_baseline or gain["low"] > 0:
        return None
    if gain["high"] < 0:
        return Found(f"It is less accurate than the baseline on the same texts: {points(gain)}.", "error")
    return Found(f"Its accuracy cannot be told from the baseline's on the same texts: {points(gain)}.")


def majority_answer(facts: CheckFacts) -> Found | None:
    """Look whether the classifier does more than answer the most frequent label."""
    total = sum(map(sum, facts.confusion))
    accuracy = facts.interval("test", "accuracy")
    if not total or len(facts.confusion) < 2:
        return None
    true = [sum(row) / total for row in facts.confusion]
    answered = [sum(column) / total for column in zip(*facts.confusion, strict=True)]
    most = max(range(len(answered)), key=answered.__getitem__)
    if answered[most] >= NEARLY_ALL > true[most]:
        name = facts.label_names[most]
        words = f"It answers {name!r} to {percent(answered[most])} of the texts; {percent(true[most])} have that label."
        return Found(words, "error")
    usual = max(range(len(true)), key=true.__getitem__)
    if accuracy is None or true[usual] == 1 or accuracy["low"] > true[usual]:
        return None
    return Found(
        f"Its accuracy of {accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}] cannot be told from always answering "
        f"{facts.label_names[usual]!r}, which would be right for {percent(true[usual])}."
    )


def test_too_small(facts: CheckFacts) -> Found | None:
    """Look whether the test texts are enough to say how good the classifier is."""
    accuracy = facts.interval("test", "accuracy")
    if accuracy is None or (width := accuracy["high"] - accuracy["low"]) <= WIDE_INTERVAL:
        return None
    words = (
        f"With {facts.n_test:,} test texts the accuracy lies between {accuracy['low']:.3f} and {accuracy['high']:.3f}: "
        f"{100 * width:.0f} points apart."
    )
    return Found(words, "warning" if width > VERY_WIDE_INTERVAL else "info")


def labels_not_tested(facts: CheckFacts) -> Found | None:
    """Look whether every label occurs among the test texts."""
    if not sum(map(sum, facts.confusion)):
        return None
    absent = [name for name, row in zip(facts.label_names, facts.confusion, strict=True) if not sum(row)]
    return Found(f"No test text has the label {listed(absent)}.") if absent else None


CHECKS = (
    Check(
        "M101",
        "below-baseline",
        "warning",
        "No better than the linear baseline",
        "Compares the accuracy with that of the tf-idf baseline, trained on the same texts, by the interval of their "
        "paired difference on the test texts. Reported where that interval reaches zero, and as an error where it "
        "lies below zero: the baseline trains in seconds and answers in microseconds.",
        "Use the baseline (--encoder tfidf), or give the encoder more texts, more epochs or another learning rate.",
        below_baseline,
    ),
    Check(
        "M102",
        "majority-answer",
        "warning",
        "Hardly better than always giving one answer",
        "Looks at what the classifier answers to the test texts. Reported where its accuracy cannot be told from "
        "that of always answering the most frequent label, and as an error where it gives one answer to at least 99 "
        "% of them.",
        "Judge by F1 and the confusion matrix; train with more texts of the rarer labels, or tune the threshold with "
        "--optimise.",
        majority_answer,
    ),
    Check(
        "M103",
        "test-too-small",
        "warning",
        "Too few test texts for the claim",
        "Reported where the 95 % interval of the accuracy is wider than 10 points, which cannot tell a poor "
        "classifier from a good one; a warning beyond 20 points.",
        "Hold out more texts with --test-size, or label more: four times as many texts halve the interval.",
        test_too_small,
    ),
    Check(
        "M104",
        "labels-not-tested",
        "warning",
        "A label that was never tested",
        "Reported where the classifier knows a label that no test text has: nothing is known of how well it finds "
        "those texts, and some scores are undefined.",
        "Hold out more texts with --test-size, or add test texts of that label.",
        labels_not_tested,
    ),
)
