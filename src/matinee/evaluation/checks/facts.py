"""What checks look at, what they say, and how they read the files of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class CheckFacts:
    """What is known of a run. Whatever is missing is not checked.

    Attributes:
        metrics: As in `metrics.json`.
        history: The rows of `history.jsonl`.
        analysis: The sections of `analysis.json`.
        audit: As in `audit.json`.
        data: As in `data.json`.
        stress: As in `stress.json`.
        settings: Every setting by its flat name.
        confusion: Counts of the test texts, true label (rows) by predicted label (columns).
        label_names: Of the labels, in the order of `confusion`.
        seed_accuracies: Test accuracies of runs that differ from each other by their seed alone, this one among them.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    analysis: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    stress: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    confusion: Sequence[Sequence[int]] = ()
    label_names: Sequence[str] = ()
    seed_accuracies: Sequence[float] = ()

    def interval(self, *keys: str) -> dict[str, float] | None:
        """Return a score of `metrics.json` with both ends of its interval, None where any of it is unknown."""
        return interval_at(self.metrics, *keys)

    @property
    def n_test(self) -> int:
        """Test texts that were scored; 0 where nobody knows."""
        n = at(self.metrics, "test", "n")
        return n if isinstance(n, int) else 0


@dataclass(frozen=True)
class Found:
    """What a check has to say.

    Attributes:
        words: What was found, in figures; a sentence with its full stop.
        severity: How bad it is; the check's own where not given.
    """

    words: str
    severity: Severity | None = None


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong with a run.

    Attributes:
        code: `M101`; M1 is about scores, M2 about data, M3 about training, M4 about probabilities and slices.
        name: The same for people: `below-baseline`.
        severity: `error`: the classifier should not be used as it is; `warning`: look at it first; `info`: worth knowing.
        title: What is wrong, a few words.
        explanation: What is looked at, when it is reported, and why that matters.
        advice: What to do.
        look: Says what it found, None where all is well or not known.
    """

    code: str
    name: str
    severity: Severity
    title: str
    explanation: str
    advice: str
    look: Callable[[CheckFacts], Found | None]


def at(values: Any, *keys: str) -> Any:
    """Return a value deep inside mappings, None where there is none."""
    for key in keys:
        values = values.get(key) if hasattr(values, "get") else None
    return values


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number; a bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def interval_at(values: Any, *keys: str) -> dict[str, float] | None:
    """Return an interval deep inside mappings, None where there is none or an end is missing."""
    found = at(values, *keys)
    ends = {end: at(found, end) for end in ("value", "low", "high")}
    return ends if all(map(is_number, ends.values())) else None


def listed(names: Iterable[str], most: int = 3) -> str:
    """Return a few names in quotes, and how many more there are."""
    named = [repr(name) for name in names]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")
