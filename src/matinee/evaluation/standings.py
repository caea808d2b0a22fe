"""Where the encoders of a leaderboard stand: rows, paired tests, learning curves and a verdict, from its cells and their answers."""

from __future__ import annotations

from itertools import combinations
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.durations import measured_in_words
from matinee.evaluation.comparison import ALPHA
from matinee.evaluation.learning_curve import learning_curve
from matinee.evaluation.proportions import holm
from matinee.evaluation.seeds import accuracy_over_seeds, gain_over_seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

Key = tuple[str, int, int]
"""Encoder, size and seed."""

# How many times faster a training must be for the verdict to speak of it.
_WORTH_SAYING = 1.5

# The most that an encoder may be behind, as a share, to be recommended for being cheaper.
_HARMLESS = 0.02


def standings(
    cells: Sequence[Mapping[str, Any]], answers: Mapping[Key, NDArray[np.bool_]], order: Sequence[str]
) -> dict[str, Any]:
    """Return `rows`, `curves`, `pairs` and `verdict` of a board, as plain JSON values.

    Args:
        cells: One dict per cell, as in `board.json`; only complete ones count.
        answers: Of each complete cell: whether it answers each test text right, shape (n_texts,), the texts in one order.
        order: The encoders' names, in the order of the board.
    """
    done = [cell for cell in cells if cell["state"] == "complete"]
    tables = _tables(answers)
    rows = [
        _row(name, size, [cell for cell in done if (cell["encoder"], cell["size"]) == (name, size)], tables[name, size])
        for size in sorted({cell["size"] for cell in done})
        for name in order
        if (name, size) in tables
    ]
    pairs = [pair for size in sorted({row["size"] for row in rows}) for pair in _pairs(size, rows, answers)]
    curves = [_curve(name, rows, tables) for name in order if any(row["encoder"] == name for row in rows)]
    return {"rows": rows, "curves": curves, "pairs": pairs, "verdict": verdict(rows, pairs)}


def verdict(rows: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> str:
    """Return which encoder to take and at what cost, in a few sentences, from the largest size that most encoders have."""
    if not rows:
        return "Nothing is measured yet."
    size = _telling_size(rows)
    here = sorted((row for row in rows if row["size"] == size), key=lambda row: -row["accuracy"]["mean"])
    best, others = here[0], here[1:]
    said = f"With {size:,} labels {best['encoder']} "
    said += f"is the most accurate: {_percent(best)}" if others else f"answers {_percent(best)} of the test texts right"
    sentences = [said + _cost(best) + "."]
    told = {(pair["first"], pair["second"]): pair for pair in pairs if pair["size"] == size}
    level = [row for row in others if _pair(told, best, row)["better"] is None]
    behind = [row for row in others if row not in level]
    return " ".join([*sentences, *_level(best, level, told), *_behind(best, behind, told)])


def _level(
    best: Mapping[str, Any], level: Sequence[Mapping[str, Any]], told: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    """Return a sentence on the encoders that may be as good: to take the cheapest, where it cannot be much worse."""
    if not level:
        return []
    safe = [
        row
        for row in level
        if _times_faster(row, best) >= _WORTH_SAYING and _lead(told, best, row)["high"] <= _HARMLESS
    ]
    if safe:
        pick = max(safe, key=lambda row: _times_faster(row, best))
        most = 100 * _lead(told, best, pick)["high"]
        behind = f"{pick['encoder']} ({_percent(pick)}) is at most {most:.1f} points behind"
        return [f"{behind} and trains {_times(pick, best)} as fast{_cost(pick)}: take {pick['encoder']}."]
    names = [f"{row['encoder']} ({_points(_lead(told, best, row))} points)" for row in level]
    return [f"It cannot be told apart from {', '.join(names)}: more seeds or test texts would tell."]


def _behind(
    best: Mapping[str, Any], behind: Sequence[Mapping[str, Any]], told: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    """Return a sentence on the nearest encoder that is behind for certain, and one on the cheapest, where it is another one."""
    if not behind:
        return []
    nearest, cheapest = behind[0], max(behind, key=lambda row: _times_faster(row, best))
    sentences = []
    for row in (nearest,) if nearest is cheapest else (nearest, cheapest):
        lead = _lead(told, best, row)
        faster = f" and trains {_times(row, best)} as fast" if _times_faster(row, best) >= _WORTH_SAYING else ""
        sentences.append(f"{row['encoder']} is {_points(lead)} points behind{faster}.")
    return sentences


def _telling_size(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return the largest size that as many encoders have as any size does: a board under way has few of its largest."""
    counts: dict[int, int] = {}
    for row in rows:
        counts[row["size"]] = counts.get(row["size"], 0) + 1
    return max(size for size, n in counts.items() if n == max(counts.values()))


def _tables(answers: Mapping[Key, NDArray[np.bool_]]) -> dict[tuple[str, int], NDArray[np.bool_]]:
    """Return the answers by encoder and size, shape (n_seeds, n_texts)."""
    found: dict[tuple[str, int], list[NDArray[np.bool_]]] = {}
    for (name, size, _), correct in sorted(answers.items(), key=lambda item: item[0]):
        found.setdefault((name, size), []).append(correct)
    return {key: np.stack(of) for key, of in found.items()}


def _row(name: str, size: int, cells: Sequence[Mapping[str, Any]], table: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "encoder": name,
        "size": size,
        "n_seeds": len(cells),
        "accuracy": accuracy_over_seeds(table),
        **{metric: _of(mean, (cell[metric]["value"] for cell in cells)) for metric in ("log_loss", "ece")},
        **{
            figure: _of(median, (cell[figure] for cell in cells)) for figure in ("training_seconds", "texts_per_second")
        },
        "peak_memory_mb": _of(max, (cell["peak_memory_mb"] for cell in cells)),
        "model_mb": _of(median, (cell["model_mb"] for cell in cells)),
    }


def _of(summary: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(summary(known)) if known else None


def _pairs(
    size: int, rows: Sequence[Mapping[str, Any]], answers: Mapping[Key, NDArray[np.bool_]]
) -> list[dict[str, Any]]:
    """Return each encoder against each at one size, over the seeds that both have; p is corrected for all pairs of the size."""
    names = [row["encoder"] for row in rows if row["size"] == size]
    pairs = []
    for first, second in combinations(names, 2):
        seeds = [sorted(seed for of, n, seed in answers if (of, n) == (name, size)) for name in (first, second)]
        both = [seed for seed in seeds[0] if seed in seeds[1]]
        if both:
            tables = [np.stack([answers[name, size, seed] for seed in both]) for name in (first, second)]
            pairs.append({"size": size, "first": first, "second": second, **gain_over_seeds(tables[0], tables[1])})
    for pair, adjusted in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        ahead = pair["first"] if pair["gain"]["value"] > 0 else pair["second"]
        pair |= {"p_adjusted": adjusted, "better": ahead if adjusted < ALPHA else None}
    return pairs


def _curve(
    name: str, rows: Sequence[Mapping[str, Any]], tables: Mapping[tuple[str, int], NDArray[np.bool_]]
) -> dict[str, Any]:
    own = [row for row in rows if row["encoder"] == name]
    points = [[row["size"], row["accuracy"]["mean"], row["accuracy"]["low"], row["accuracy"]["high"]] for row in own]
    return {
        "encoder": name,
        **learning_curve({row["size"]: tables[name, row["size"]] for row in own}),
        "points": points,
    }


def _pair(
    told: Mapping[tuple[str, str], Mapping[str, Any]], one: Mapping[str, Any], other: Mapping[str, Any]
) -> Mapping[str, Any]:
    names = one["encoder"], other["encoder"]
    unknown = {"better": None, "gain": {"value": 0.0, "low": -1.0, "high": 1.0}}
    return told.get(names) or told.get((names[1], names[0])) or unknown


def _lead(
    told: Mapping[tuple[str, str], Mapping[str, Any]], best: Mapping[str, Any], row: Mapping[str, Any]
) -> dict[str, float]:
    """Return how far one encoder is ahead of another, whichever stands first in their pair."""
    gain = _pair(told, best, row)["gain"]
    if (best["encoder"], row["encoder"]) in told:
        return dict(gain)
    return {"value": -gain["value"], "low": -gain["high"], "high": -gain["low"]}


def _points(lead: Mapping[str, float]) -> str:
    return f"{100 * lead['value']:z.1f} [{100 * lead['low']:z.1f}, {100 * lead['high']:z.1f}]"


def _percent(row: Mapping[str, Any]) -> str:
    value, low, high = (100 * row["accuracy"][name] for name in ("mean", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def _cost(row: Mapping[str, Any]) -> str:
    seconds, speed = row["training_seconds"], row["texts_per_second"]
    parts = [] if seconds is None else [f"{measured_in_words(seconds)} of training"]
    parts += [] if speed is None else [f"{_speed(speed)} texts a second"]
    return f" ({', '.join(parts)})" if parts else ""


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _times_faster(row: Mapping[str, Any], than: Mapping[str, Any]) -> float:
    if not row["training_seconds"] or not than["training_seconds"]:
        return 0.0
    return float(than["training_seconds"] / row["training_seconds"])


def _times(row: Mapping[str, Any], than: Mapping[str, Any]) -> str:
    times = _times_faster(row, than)
    return f"{times:,.0f} times" if times >= 10 else f"{times:.1f} times"
