"""M2: what the data does to the scores."""

from __future__ import annotations

from typing import Any

from matinee.evaluation.checks.facts import Check, CheckFacts, Found, at, is_number
from matinee.evaluation.wording import percent

# The names under which an audit reports texts that stand in two splits.
SAME_TEXT, NEARLY_SAME_TEXT = "texts-in-two-splits", "near-duplicates-in-two-splits"

# A tenth of the tokens is worth knowing, a quarter (as in the audit) worth a longer --max-length.
SOME_LOST, MUCH_LOST = 0.1, 0.25

# The most frequent label over the rarest one, as in the audit: 80 % to 20 % of two labels.
IMBALANCE = 4.0

# Of 3,000 IMDB reviews, whose labels are mostly right, the audit's baseline doubts 3 %; of those with 5 % flipped, 5 %.
MANY_WRONG_LABELS = 0.05


def leak(facts: CheckFacts) -> Found | None:
    """Look whether texts that were trained on are scored again."""
    same, near = _n_of(facts.audit, SAME_TEXT), _n_of(facts.audit, NEARLY_SAME_TEXT)
    if same:
        return Found(f"{_texts(same)} in more than one split.", "error")
    return Found(f"{_texts(near)} in two splits with few changes.") if near else None


def _n_of(audit: Any, name: str) -> int:
    found = at(audit, "findings") or []
    return sum(int(at(row, "n") or 0) for row in found if name in {at(row, "name"), at(row, "code")})


def _texts(n: int) -> str:
    return "1 text stands" if n == 1 else f"{n:,} texts stand"


def truncation_loss(facts: CheckFacts) -> Found | None:
    """Look how much of the texts the encoder never sees."""
    cut = at(facts.audit, "truncation") or {}
    texts, tokens = at(cut, "texts"), at(cut, "tokens")
    if not is_number(tokens) or tokens < SOME_LOST:
        return None
    where = f", in {percent(texts)} of the texts" if is_number(texts) else ""
    most = f"At most {at(cut, 'max_length')} tokens of a text are read"
    words = f"{most}: {percent(tokens)} of all tokens are lost{where}."
    return Found(words, "warning" if tokens >= MUCH_LOST else "info")


def imbalance(facts: CheckFacts) -> Found | None:
    """Look whether some labels are much rarer than others among the texts trained on."""
    counts = {name: n for name, n in (at(facts.data, "splits", "train", "labels") or {}).items() if n}
    if len(counts) < 2:
        return None
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] < IMBALANCE * counts[least]:
        return None
    ratio = counts[most] / counts[least]
    return Found(
        f"{counts[most]:,} training texts have the label {most!r}, {counts[least]:,} the label {least!r}: {ratio:,.1f} times as many."
    )


def label_noise(facts: CheckFacts) -> Found | None:
    """Look how many labels are probably wrong."""
    errors = at(facts.audit, "label_errors")
    share, n = at(errors, "share"), at(errors, "n")
    if not is_number(share) or share < MANY_WRONG_LABELS:
        return None
    return Found(
        f"{n:,} labels, {percent(share)} of those judged, look wrong to {at(errors, 'judged_by') or 'the baseline'}."
    )


def not_audited(facts: CheckFacts) -> Found | None:
    """Look whether the checks of the data could be made at all."""
    if "test" not in facts.metrics or facts.audit:
        return None
    return Found("There is no audit.json: nobody looked for leaks, truncation and wrong labels.")


CHECKS = (
    Check(
        "M201",
        "leak",
        "warning",
        "Splits share texts",
        "Reported where the audit found texts that stand in two splits with few changes, and as an error where the "
        "very same texts do and were not left out of training: the scores are then better than they will be on new "
        "texts.",
        "Take them out of the training texts: `matinee audit DATA --fix` with --drop-near-duplicates does.",
        leak,
    ),
    Check(
        "M202",
        "truncation-loss",
        "info",
        "Much of the texts is never read",
        "Reported where at least 10 % of all tokens lie beyond the maximum length and are thrown away; a warning "
        "from 25 % on. See in the slices whether texts that are cut are classified worse.",
        "Raise --max-length or read long texts in windows with --long windows (both are slower), or choose with "
        "--truncation which part is kept.",
        truncation_loss,
    ),
    Check(
        "M203",
        "imbalance",
        "warning",
        "Some labels are much rarer than others",
        "Reported where the most frequent label has at least four times as many training texts as the rarest: "
        "accuracy then says little about the rare ones.",
        "Judge by F1 and by the scores of each label; add texts of the rare ones.",
        imbalance,
    ),
    Check(
        "M204",
        "label-noise",
        "info",
        "Many labels look wrong",
        "Reported where the audit doubts at least 5 % of the labels. Where texts are hard to judge that may be the texts "
        "and not the labels; wrong labels are learned too, and make a classifier look worse than it is.",
        "Read the suspicious ones, most suspicious first (`matinee audit DATA`), and correct them.",
        label_noise,
    ),
    Check(
        "M205",
        "not-audited",
        "warning",
        "The data was not looked into",
        "Every training writes what the audit found into `audit.json`. Reported where a run has lost it, since M201, M202 "
        "and M204 are silent then.",
        "Train anew, or look at the data with `matinee audit DATA`.",
        not_audited,
    ),
)
