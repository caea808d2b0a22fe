"""What a behavioural test is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["label", "unchanged", "direction"]

# How far a probability may move the wrong way before a directional case fails: small moves are no change of mind.
# The value is that of Ribeiro et al. (2020), table 1.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Capability:
    """Something that a classifier should be able to do.

    Attributes:
        name: Its name in files.
        title: What a reader sees, a few words.
        kind: `"label"`: the answer must be one of the case's labels. `"unchanged"`: it must be the answer to the text before
            the change. `"direction"`: the total probability of the case's labels must not fall by more than `TOLERANCE`.
        sentiment: Whether it can be asked only of a classifier of sentiment.
        english: Whether it adds or needs English words.
    """

    name: str
    title: str
    kind: Kind
    sentiment: bool = False
    english: bool = False


@dataclass(frozen=True)
class Case:
    """One question to a classifier.

    Attributes:
        capability: Name of the capability that it tests.
        family: The template, or the user's text, that it was made from. Cases of a family tend to pass or fail together.
        text: The text to ask about.
        labels: Label indices: the right answers, or those whose probability must not fall; empty for `"unchanged"`.
        before: The text that it was changed from; None for `"label"`.
        own: Whether it was made from one of the user's own texts.
    """

    capability: str
    family: str
    text: str
    labels: tuple[int, ...] = ()
    before: str | None = None
    own: bool = False
