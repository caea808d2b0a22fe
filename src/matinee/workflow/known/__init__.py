"""What is known of encoders from stored benchmarks: how accurate they were, how long they took, what memory they needed.

`results.json` is written by scripts/known_results.py from benchmarks/results/; no figure in it is typed by hand, and nothing is
guessed of an encoder that was never measured.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from matinee.core.settings import LINEAR, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS = Path(__file__).with_name("results.json")

# Layers of the catalogue's encoders: what frozen ones save depends on how many there are.
_LAYERS = {"minilm": 6, "distilbert": 6, "mpnet": 12, "bert": 12, "roberta": 12, "modernbert": 22}

# Readings that a text in training is worth: its forward pass, and a backward pass of twice the work (Kaplan et al. 2020, section 2.1).
_TRAINED = 3

# Predictions are made in fp32, which takes about twice as long as bf16: MiniLM 53 ms for a review where reading it took 25.
_IN_FP32 = 2

# Texts that a head is fitted on at most before fine-tuning, and texts between two evaluations: as in `matinee.training`, which is too
# heavy to import for two numbers; a test holds them together.
HEAD_TEXTS = TEXTS_BETWEEN = 5_000

# Numbers of labels this near to each other, as a factor, count as the same.
_SAME_SIZE = 1.25


# What leaves no doubt: seeds at least, and numbers of labels at most this far from each other, as a factor.
_SEVERAL, _NEAR = 2, 3.0


# An encoder, and whether only its head is fitted.
Way: TypeAlias = tuple[str, bool]


@dataclass(frozen=True)
class Expected:
    """What accuracy stored results let one expect.

    Attributes:
        low: Its lower end; None where nothing stored bounds it.
        high: Its upper end; None where nothing stored bounds it.
        rests_on: The stored rows, fewest labels first: data, encoder, size, n_seeds, n_test, mean, low, high, settings (those of text,
            model and training that are no defaults; none of linear classifiers), from.
    """

    low: float | None
    high: float | None
    rests_on: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Known:
    """The stored results.

    Attributes:
        rows: Accuracies, as plain values; `frozen` says that only the head was fitted.
        paces: Seconds for a token that is read once, by encoder, on the machine they were measured on.
        memory: Peak gigabytes of trainings, as plain values: encoder, size, gb, from.
        gflops: What that machine's matrix products reach, by number format.
        machine: That machine: system, processor, cores, memory_gb.
    """

    rows: tuple[Mapping[str, Any], ...]
    paces: Mapping[str, Sequence[Mapping[str, Any]]]
    memory: Sequence[Mapping[str, Any]]
    gflops: Mapping[str, float]
    machine: Mapping[str, Any]

    def expected(self, encoder: str, n_labels: int, *, frozen: bool = False) -> Expected | None:
        """Return what accuracy to expect with so many labels; None where nothing is stored of the encoder.

        The rows of as many labels, within a quarter; else those of the next fewer and the next more, of which one may be missing.
        """
        rows = self._of(encoder, frozen)
        if not rows:
            return None
        same = [row for row in rows if 1 / _SAME_SIZE <= row["size"] / n_labels <= _SAME_SIZE]
        fewer, more = (
            _nearest([row for row in rows if row["size"] < n_labels], n_labels),
            _nearest([row for row in rows if row["size"] > n_labels], n_labels),
        )
        below, above = (same, same) if same else (fewer, more)
        return Expected(
            low=min((row["low"] for row in below), default=None),
            high=max((row["high"] for row in above), default=None),
            rests_on=tuple(same or [*fewer, *more]),
        )

    def is_better(self, one: Way, other: Way, n_labels: int, *, clearly: bool = False) -> bool:
        """Return whether one way to train was more accurate than another; False where nothing is stored that puts both side by side.

        They are compared by the same data and number of labels, the nearest that is stored of both: what one scored with more labels
        says nothing of the other.

        Args:
            one: An encoder, and whether only its head was fitted.
            other: Another.
            n_labels: Labels there are to learn from.
            clearly: Whether the intervals must part, of several seeds each, and of a number of labels not too far from this one; else
                the means decide.
        """
        mine, others = self._of(*one), self._of(*other)
        if clearly:
            mine, others = ([row for row in rows if row["n_seeds"] >= _SEVERAL] for rows in (mine, others))
        shared = {_setting_of(row) for row in mine} & {_setting_of(row) for row in others}
        if not shared:
            return False
        nearest = min(shared, key=lambda setting: (abs(math.log(setting[1] / n_labels)), setting))
        mine, others = ([row for row in rows if _setting_of(row) == nearest] for rows in (mine, others))
        if clearly:
            if abs(math.log(nearest[1] / n_labels)) > math.log(_NEAR):
                return False
            return bool(min(row["low"] for row in mine) > max(row["high"] for row in others))
        return _mean(mine) > _mean(others)

    def seconds(self, encoder: str, n_tokens: float) -> tuple[float, float] | None:
        """Return the least and the most that reading so many tokens took on the machine of the benchmarks; None where unknown."""
        values = [pace["seconds_per_token"] for pace in self.paces.get(encoder, ())]
        return (n_tokens * min(values), n_tokens * max(values)) if values else None

    def memory_gb(self, encoder: str, n_labels: int) -> float | None:
        """Return what a training took at most with the stored number of labels that is nearest; None where nothing is stored."""
        nearest = _nearest([row for row in self.memory if row["encoder"] == encoder], n_labels)
        return max((row["gb"] for row in nearest), default=None)

    def _of(self, encoder: str, frozen: bool) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["encoder"] == encoder and bool(row.get("frozen")) == frozen]


@cache
def known() -> Known:
    """Return what is stored."""
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    return Known(tuple(stored["accuracy"]), stored["paces"], stored["memory"], stored["gflops"], stored["machine"])


def readings(settings: Settings, n_train: int, n_validation: int, n_test: int = 0, *, scored: bool = False) -> float:
    """Return how many readings of a text a training is worth: the unit in which times are stored and foretold.

    Args:
        settings: Epochs, evaluations, what is frozen, how the head starts.
        n_train: Texts to learn from.
        n_validation: Texts of each evaluation.
        n_test: Texts that the frozen encoder reads for comparison.
        scored: Whether scoring them afterwards counts too.
    """
    training = settings.training
    if settings.model.encoder in LINEAR:
        return float(n_train + n_validation + n_test)
    total = 0.0
    if settings.model.head == "fitted":
        total += (n_train if training.freeze == "all" else min(n_train, HEAD_TEXTS)) + n_validation + n_test
    if training.freeze != "all":
        each = training.evaluations_per_epoch or math.ceil(n_train / TEXTS_BETWEEN)
        total += training.epochs * n_train * _trained(settings) + (math.ceil(training.epochs * each) + 1) * n_validation
    return total + _IN_FP32 * (n_validation + (n_test if scored else 0))


def _trained(settings: Settings) -> float:
    """Return the readings that a text in training is worth: frozen layers have no backward pass, R-Drop makes two passes."""
    n_passes = 2 if settings.training.r_drop else 1
    freeze, layers = settings.training.freeze, settings.model.layers or _LAYERS.get(settings.model.encoder)
    if freeze is None or not freeze.isdigit() or layers is None:
        return n_passes * _TRAINED
    share = min(int(freeze) / layers, 1.0)
    return n_passes * (1 - share) * _TRAINED + share


def _setting_of(row: Mapping[str, Any]) -> tuple[str, int]:
    """Return what scores must share to be compared: the data, and the number of labels."""
    return row["data"], row["size"]


def _mean(rows: Sequence[Mapping[str, Any]]) -> float:
    return sum(float(row["mean"]) for row in rows) / len(rows)


def _nearest(rows: Sequence[Mapping[str, Any]], n_labels: int) -> list[Mapping[str, Any]]:
    """Return the rows of the number of labels that is nearest, as a factor."""
    sizes = sorted({row["size"] for row in rows}, key=lambda size: abs(math.log(size / n_labels)))
    return [row for row in rows if sizes and row["size"] == sizes[0]]
