"""Changed copies of training texts: a part of a long text, words left out, exchanged, or replaced by words alike.

An operation takes the words of a text and a strength, and returns other words; it is one function here and one line in
`OPERATIONS`. Delete, swap and synonym are those of Wei & Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting
Performance on Text Classification Tasks". Words are what white space divides: in scripts that write without it, there is
nothing to choose from, and the texts stay as they are.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import SettingsError, did_you_mean
from matinee.core.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Operation = Callable[[list[str], float, np.random.Generator, "Known"], list[str]]

# With these the random numbers of augmentation are none of those that order the texts.
_STREAM = 0xA06
_N_EXAMPLES = 5
# Texts that are looked through for examples: with few changed ones among many, there may be fewer than asked for.
_MOST_LOOKED_AT = 1_000
_WORD = re.compile(r"(\W*)(\w+)(\W*)")


@dataclass(frozen=True)
class Known:
    """What operations may know beside the words.

    Attributes:
        n_tokens: Tokens of each word, shape (n_words,); None where nobody counted.
        room: Tokens of a text that the encoder reads.
        alike: By lower-case word the words that can stand for it.
    """

    n_tokens: NDArray[np.int64] | None = None
    room: int = 0
    alike: Mapping[str, Sequence[str]] = field(default_factory=dict)


def window(words: list[str], strength: float, chance: np.random.Generator, known: Known) -> list[str]:
    """Return a random part of a text that is too long for the encoder, as long as it reads; at least one word.

    Args:
        words: Of the text.
        strength: Probability of it; else the text stays whole, and is cut as texts are at prediction.
        chance: Source of randomness.
        known: Tokens of each word, and how many there is room for.
    """
    if known.n_tokens is None or known.n_tokens.sum() <= known.room or chance.random() >= strength:
        return words
    before = np.concatenate([[0], np.cumsum(known.n_tokens)])
    # A later start would leave room unused.
    last = int(np.searchsorted(before, before[-1] - known.room, side="right")) - 1
    start = int(chance.integers(last + 1))
    end = int(np.searchsorted(before, before[start] + known.room, side="right")) - 1
    return words[start : max(end, start + 1)]


def synonym(words: list[str], strength: float, chance: np.random.Generator, known: Known) -> list[str]:
    """Return the words with about a share `strength` of them replaced by words alike, as far as there are such.

    Capitalised words stay: they may be names.
    """
    found = {place: match for place, word in enumerate(words) if (match := _WORD.fullmatch(word))}
    places = [place for place, match in found.items() if match[2] in known.alike]
    n_replaced = min(len(places), int(chance.binomial(len(words), strength)))
    replaced = list(words)
    for place in sorted(chance.choice(places, n_replaced, replace=False).tolist()) if n_replaced else ():
        before, word, after = found[place].groups()
        others = known.alike[word]
        replaced[place] = f"{before}{others[int(chance.integers(len(others)))]}{after}"
    return replaced


def swap(words: list[str], strength: float, chance: np.random.Generator, known: Known) -> list[str]:  # noqa: ARG001 - the shape of an operation
    """Return the words with about a share `strength` of them having changed places, two and two."""
    n_pairs = int(chance.binomial(len(words) // 2, strength))
    places = chance.choice(len(words), 2 * n_pairs, replace=False).reshape(-1, 2)
    swapped = list(words)
    for one, other in places.tolist():
        swapped[one], swapped[other] = swapped[other], swapped[one]
    return swapped


def delete(words: list[str], strength: float, chance: np.random.Generator, known: Known) -> list[str]:  # noqa: ARG001 - the shape of an operation
    """Return the words, each left out with probability `strength`; one stays whatever happens."""
    stays = chance.random(len(words)) >= strength
    if not stays.any():
        stays[chance.integers(len(words))] = True
    return [word for word, kept in zip(words, stays, strict=True) if kept]


OPERATIONS: dict[str, Operation] = {"window": window, "synonym": synonym, "swap": swap, "delete": delete}
"""Every operation by its name, in the order in which they are applied: what changes the number of words comes last, for
tokens are counted before. The window is cut first, so that the other operations work on words that are read."""

_MIXUP = "mixup"
# A tenth of the words is what Wei & Zou recommend for a few thousand texts; mixup's is Zhang et al. 2018, section 4.
_STRENGTHS = {"window": 1.0, "delete": 0.1, "swap": 0.1, "synonym": 0.1, _MIXUP: 0.2}
_HIGHEST = dict.fromkeys(OPERATIONS, 1.0) | {_MIXUP: 10.0}


@dataclass(frozen=True)
class Augmentations:
    """What the setting `augment` asks for.

    Attributes:
        operations: Strength of each operation on texts, by name, in the order in which they are applied.
        mixup: Alpha of the Beta distribution by which training mixes the features of two texts; None: not at all.
    """

    operations: Mapping[str, float]
    mixup: float | None = None

    @classmethod
    def parse(cls, asked: Sequence[str] | None) -> Augmentations:
        """Return what `NAME` and `NAME:strength` ask for; nothing for None.

        Raises:
            SettingsError: There is no such augmentation, its strength is out of range, or it is named twice.

        Example:
            >>> Augmentations.parse(["delete:0.2", "window"])
            Augmentations(operations={'window': 1.0, 'delete': 0.2}, mixup=None)
        """
        strengths: dict[str, float] = {}
        for each in asked or ():
            name, _, strength = each.partition(":")
            name = name.strip()
            if name not in _STRENGTHS:
                raise SettingsError(
                    f"--augment: there is no augmentation {name!r}.{did_you_mean(name, _STRENGTHS)} "
                    f"There are {', '.join(_STRENGTHS)}."
                )
            if name in strengths:
                raise SettingsError(f"--augment: {name} is named twice; name it once.")
            strengths[name] = _strength(name, strength) if ":" in each else _STRENGTHS[name]
        return cls({name: strengths[name] for name in OPERATIONS if name in strengths}, strengths.get(_MIXUP))

    @property
    def names(self) -> list[str]:
        """Each with its strength, `delete:0.1`, as the setting takes them."""
        mixup = {} if self.mixup is None else {_MIXUP: self.mixup}
        return [f"{name}:{strength:g}" for name, strength in {**self.operations, **mixup}.items()]


def _strength(name: str, given: str) -> float:
    try:
        strength = float(given)
    except ValueError:
        strength = math.nan
    if not 0 < strength <= _HIGHEST[name]:
        raise SettingsError(
            f"--augment {name}:{given}: the strength must be a number above 0 and at most {_HIGHEST[name]:g}; "
            f"without one it is {_STRENGTHS[name]:g}."
        )
    return strength


@dataclass(frozen=True)
class Augmenter:
    """Changes texts, a little differently in each epoch.

    Attributes:
        operations: Strength of each, by name.
        seed: Of the training: with it, the epoch and the row, a change is the same again.
        room: Tokens of a text that the encoder reads.
        alike: By lower-case word the words that can stand for it.
    """

    operations: Mapping[str, float]
    seed: int
    room: int = 0
    alike: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def augment(self, text: str, *, epoch: int, row: int, n_tokens: NDArray[np.int64] | None = None) -> str:
        """Return a changed copy of a text; never an empty one, unless there was nothing in it.

        Args:
            text: As the dataset has it; it is cleaned, unless nothing changes.
            epoch: Counted from 0.
            row: Of the text in the train split.
            n_tokens: Tokens of each word of the cleaned text, shape (n_words,); without, it stays whole.
        """
        words = clean(text).split()
        chance = np.random.default_rng([self.seed, epoch, row, _STREAM])
        known = Known(n_tokens, self.room, self.alike)
        changed = words
        for name, strength in self.operations.items() if words else ():
            changed = OPERATIONS[name](changed, strength, chance, known)
        return text if changed == words else " ".join(changed)


def examples(ids: Sequence[str], texts: Sequence[str], augmented: Callable[[int], str]) -> list[dict[str, Any]]:
    """Return a few texts before and after, evenly from all: `[{"id", "before", "after"}]`, both cleaned.

    Args:
        ids: Of the texts.
        texts: Before.
        augmented: Returns the text of a row afterwards; rows that it leaves as they are make no example.
    """
    found: list[dict[str, Any]] = []
    for row in _spread(len(texts)):
        after = augmented(row)
        if after != texts[row]:
            found.append({"id": ids[row], "before": clean(texts[row]), "after": after})
        if len(found) == _N_EXAMPLES:
            break
    return found


def _spread(n: int) -> Iterator[int]:
    """Yield each row once, the first few of them far from one another."""
    step = -(-n // _N_EXAMPLES)
    rows = (row for first in range(step) for row in range(first, n, step))
    return (row for row, _ in zip(rows, range(_MOST_LOOKED_AT), strict=False))
