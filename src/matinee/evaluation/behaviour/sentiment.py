"""Which labels of a classifier are praise, and which are blame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matinee.core.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

Sign = Literal["negative", "positive"]
SIGNS: tuple[Sign, Sign] = ("negative", "positive")

_WORD = re.compile(r"[a-z]+")
_MEANS: dict[Sign, frozenset[str]] = {
    "negative": frozenset({"negative", "neg", "bad"}),
    "positive": frozenset({"positive", "pos", "good"}),
}
_TURNED = frozenset({"not", "non", "no", "un", "neither"})


@dataclass(frozen=True)
class Sentiment:
    """The labels of each sign.

    Attributes:
        negative: Indices of the labels that blame.
        positive: Indices of the labels that praise.
        n_labels: How many labels there are; those of neither sign are neutral.
    """

    negative: tuple[int, ...]
    positive: tuple[int, ...]
    n_labels: int

    def of(self, sign: Sign) -> tuple[int, ...]:
        """Return the labels of a sign."""
        return self.negative if sign == "negative" else self.positive

    def all_but(self, sign: Sign) -> tuple[int, ...]:
        """Return the labels that are not of a sign: the other sign's and the neutral ones."""
        return tuple(label for label in range(self.n_labels) if label not in self.of(sign))


def opposite(sign: Sign) -> Sign:
    """Return the other sign."""
    return "positive" if sign == "negative" else "negative"


def find_sentiment(label_names: Sequence[str]) -> Sentiment | None:
    """Return which labels are which sign by their names, None where they do not say.

    A name says so by one of the words negative, neg and bad, or positive, pos and good: `"NEG"`, `"very positive"`. `0` and
    `1` say nothing: see `named_sentiment`.
    """
    found = {sign: tuple(i for i, name in enumerate(label_names) if _sign_of(name) == sign) for sign in SIGNS}
    if not found["negative"] or not found["positive"]:
        return None
    return Sentiment(found["negative"], found["positive"], len(label_names))


def named_sentiment(spelled: str, label_names: Sequence[str]) -> Sentiment:
    """Return the sentiment that a user spelled as `NEGATIVE,POSITIVE`; several labels of a sign are joined by `+`.

    Raises:
        SettingsError: It is not two sides, a label is unknown, or one stands on both sides.

    Example:
        >>> named_sentiment("1+2,4+5", ["1", "2", "3", "4", "5"]).positive
        (3, 4)
    """
    sides = [side.strip() for side in spelled.split(",")]
    if len(sides) != 2 or not all(sides):
        raise SettingsError(
            f"--sentiment must name the negative and the positive label, as in --sentiment 0,1; got {spelled!r}."
        )
    negative, positive = (_labels(side, label_names) for side in sides)
    if twice := set(negative) & set(positive):
        raise SettingsError(f"--sentiment: the label {label_names[min(twice)]!r} cannot be both negative and positive.")
    return Sentiment(negative, positive, len(label_names))


def _sign_of(name: str) -> Sign | None:
    words = set(_WORD.findall(name.lower()))
    if words & _TURNED:
        return None
    signs = [sign for sign in SIGNS if words & _MEANS[sign]]
    return signs[0] if len(signs) == 1 else None


def _labels(side: str, label_names: Sequence[str]) -> tuple[int, ...]:
    names = list(label_names)
    wanted = [side] if side in names else [name.strip() for name in side.split("+")]
    for name in wanted:
        if name not in names:
            known = ", ".join(map(repr, names[:20]))
            raise SettingsError(f"--sentiment: no label {name!r}.{did_you_mean(name, names)} The labels: {known}.")
    return tuple(sorted({names.index(name) for name in wanted}))
