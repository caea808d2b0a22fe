"""A finding, and the list of everything that an audit can find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


class Check(NamedTuple):
    """One thing that is looked for."""

    name: str
    advice: str


# A1 labels and classes, A2 repeated texts, A3 single texts, A4 lengths, A5 label errors.
CHECKS: dict[str, Check] = {
    "A101": Check("missing-labels", "Label these rows, or leave them out of training with --missing drop."),
    "A102": Check("no-labels", "To audit labels too, name their column with --label-column."),
    "A103": Check("no-classes", "A classifier cannot be trained on this column; name another with --label-column."),
    "A104": Check(
        "few-rows", "Label more texts of these classes, or merge them with others: their scores mean little."
    ),
    "A105": Check(
        "imbalance", "Judge by F1 or balanced accuracy: always answering the largest class is already this accurate."
    ),
    "A106": Check("labels-train-lacks", "Nothing can learn these: correct those rows, or add such rows to train."),
    "A107": Check("alike-labels", "If they mean the same, write them the same way: now they are separate classes."),
    "A201": Check("exact-duplicates", "They count twice and make hold-outs flatter; --fix keeps the first of each."),
    "A202": Check(
        "texts-in-two-splits",
        "Scores on texts seen in training flatter: matinee drops them from train (from validation, if they stand in test), "
        "and so does --fix.",
    ),
    "A203": Check(
        "conflicting-labels", "At most one of the labels is right: decide, or drop all copies of a split with --fix."
    ),
    "A204": Check(
        "near-duplicates",
        "Look at them: copies with a few changes count twice (edits made on purpose look the same); "
        "--drop-near-duplicates keeps the first of each.",
    ),
    "A205": Check(
        "near-duplicates-in-two-splits",
        "Scores on texts nearly seen in training flatter, and matinee does not drop them by itself; "
        "--drop-near-duplicates takes them out of train.",
    ),
    "A301": Check("empty-texts", "There is nothing to learn from or to predict on: --fix drops them."),
    "A302": Check("very-short-texts", "Look whether they say anything about the label."),
    "A303": Check("very-long-texts", "Look whether they are single texts: a lost quote or line end joins many rows."),
    "A304": Check("no-words", "Emoji or punctuation alone: most encoders see little or nothing of them."),
    "A305": Check(
        "html", "matinee cleans it away at training and prediction; --fix writes the texts without it for others."
    ),
    "A306": Check(
        "control-characters",
        "matinee cleans them away at training and prediction; --fix writes the texts without them, with the quotes and dashes "
        "that some of them were.",
    ),
    "A307": Check(
        "mojibake", "UTF-8 was read as another encoding: read the source again as UTF-8, or repair it with --fix."
    ),
    "A308": Check(
        "replacement-characters", "Letters were lost when the file was made: only the original source has them."
    ),
    "A309": Check("other-script", "Most encoders know one language: drop these, or take a multilingual encoder."),
    "A310": Check(
        "other-language",
        "Judged by frequent words alone. Most encoders know one language: drop these, or take a multilingual encoder.",
    ),
    "A401": Check(
        "truncation",
        "The encoder does not see the rest: raise --max-length, read long texts in --long windows (both are slower), or "
        "choose what is kept by --truncation.",
    ),
    "A501": Check(
        "likely-label-errors",
        "Read them, most suspicious first: they are wrong labels, or texts that are hard for a model of word counts; "
        "--drop-label-errors drops them all.",
    ),
}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth knowing.

    Attributes:
        code: Key of `CHECKS`.
        severity: `error`: scores or training suffer; `warning`: look at it; `info`: worth knowing.
        title: What was found, a sentence without its full stop.
        n: How many texts.
        n_of: Out of how many.
        rows: The rows it is about, most telling first; those that a fix may drop or change.
        examples: A few of them as plain values.
    """

    code: str
    severity: Severity
    title: str
    n: int
    n_of: int
    rows: Sequence[int] = ()
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name in words: `exact-duplicates`."""
        return CHECKS[self.code].name

    def to_json(self) -> dict[str, Any]:
        """Return plain values, what to do included."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "title": self.title,
            "n": self.n,
            "share": self.n / self.n_of if self.n_of else None,
            "advice": CHECKS[self.code].advice,
            "examples": self.examples,
        }


def texts_that(n: int, one: str, many: str) -> str:
    """Return a count with its verb: `1 text is empty`, `12 texts are empty`."""
    return f"{n:,} text {one}" if n == 1 else f"{n:,} texts {many}"
