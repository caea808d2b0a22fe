"""Where the encoders of a leaderboard stand: rows, paired tests, learning curves and a verdict, from its cells and their answers."""

from __future__ import annotations

from itertools import combinations
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.durations import measured_in_words
from matinee.core.wording import rate_in_words
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


# What a single training each leaves unsaid.
ONE_EACH = "the interval is for other test texts alone; another seed may turn this"

# Means that differ by less are the same.
_SAME = 1e-9


def standings(
    cells: Sequence[Mapping[str, Any]],
    answers: Mapping[Key, NDArray[np.bool_]],
    order: Sequence[str],
    majority: tuple[str, float] | None = None,
) -> dict[str, Any]:
    """Return `rows`, `curves`, `pairs`, `verdict` and `telling_size` (which it is about) of a board, as plain JSON values.

    Args:
        cells: One dict per cell, as in `board.json`; only complete ones count.
        answers: Of each complete cell: whether it answers each test text right, shape (n_texts,), the texts in one order.
        order: The encoders' names, in the order of the board.
        majority: The test texts' most frequent label, and the share of them that have it; None where nobody knows.
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
    size = _telling_size(rows) if rows else None
    shared = {} if size is None else _shared_means(size, answers)
    return {
        "rows": rows,
        "curves": curves,
        "pairs": pairs,
        "verdict": verdict(rows, pairs, shared, majority),
        "telling_size": size,
    }


def verdict(
    rows: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    shared: Mapping[str, float] | None = None,
    majority: tuple[str, float] | None = None,
) -> str:
    """Return which encoder to take and at what cost, in a few sentences, from the largest size that most encoders have.

    Nothing is recommended on the word of one training each, nor where the best may be no better than one answer for all texts.

    Args:
        rows: Of the board.
        pairs: Of the board.
        shared: Mean accuracy of that size's encoders over the seeds that all of them have, by which they are ranked; where there
            is none, each has its own mean.
        majority: As in `standings`.
    """
    if not rows:
        return "Nothing is measured yet."
    size = _telling_size(rows)
    told = {(pair["first"], pair["second"]): pair for pair in pairs if pair["size"] == size}
    best, *others = _ranked([row for row in rows if row["size"] == size], told, shared or {})
    level = [row for row in others if _n_common(told, best, row) > 1 and _better(told, best, row) is None]
    behind = [row for row in others if _n_common(told, best, row) > 1 and row not in level]
    idle = _no_better_than(best, majority)
    sentences = [_first(size, best, others, told), *idle, *_once(best, others, told)]
    level_said = _level(best, level, told, may_take=not idle)
    return " ".join([*sentences, *level_said, *_behind(best, behind, told), *_apart(best, others, told)])


def _ranked(
    here: Sequence[Mapping[str, Any]],
    told: Mapping[tuple[str, str], Mapping[str, Any]],
    shared: Mapping[str, float],
) -> list[Mapping[str, Any]]:
    """Return the encoders of a size, the best first, equals by their training time.

    Those that are certainly better over the seeds of their pair, of which there may be more than all share, go before.
    """

    def place(row: Mapping[str, Any]) -> tuple[float, float]:
        mean_ = shared.get(row["encoder"], row["accuracy"]["mean"])
        return -round(mean_, 9), float("inf") if row["training_seconds"] is None else row["training_seconds"]

    ranked = sorted(here, key=place)
    for row in ranked[1:]:
        if _better(told, ranked[0], row) == row["encoder"]:
            ranked.remove(row)
            ranked.insert(0, row)
            break
    return ranked


def _first(
    size: int,
    best: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    told: Mapping[tuple[str, str], Mapping[str, Any]],
) -> str:
    start = f"With {size:,} labels {best['encoder']}"
    if not others:
        return f"{start} answers {_percent(best)} of the test texts right{_cost(best)}."
    if ties := [row["encoder"] for row in others if _is_tie(told, best, row)]:
        start = f"With {size:,} labels {', '.join([best['encoder'], *ties[:-1]])} and {ties[-1]} are level"
        return f"{start}: {_percent(best)}{_cost(best)} for {best['encoder']}."
    highest = max(row["accuracy"]["mean"] for row in (best, *others))
    same = "" if best["accuracy"]["mean"] >= highest - _SAME else ", by the seeds that it shares with the others"
    sure = any(_n_common(told, best, row) > 1 for row in others)
    return f"{start} {'is the most accurate' if sure else 'is ahead so far'}{same}: {_percent(best)}{_cost(best)}."


def _no_better_than(best: Mapping[str, Any], majority: tuple[str, float] | None) -> list[str]:
    """Return a sentence where the best has not been shown to beat one answer for all texts."""
    if majority is None or best["accuracy"]["low"] > majority[1]:
        return []
    label, share = majority
    sure = "That is" if best["accuracy"]["high"] <= share else "As far as can be told that is"
    return [
        f"{sure} no better than always answering {label}, which is right for {100 * share:.1f} % of the test texts."
    ]


def _once(
    best: Mapping[str, Any], others: Sequence[Mapping[str, Any]], told: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    """Return what one training each says, and what it does not."""
    once = [row for row in others if _n_common(told, best, row) == 1]
    leads = [f"{_points(_lead(told, best, row))} points ahead of {row['encoder']}" for row in once]
    if leads:
        return [f"In one training each it is {', '.join(leads)}: {ONE_EACH}."]
    return [f"One training: {ONE_EACH}."] if best["n_seeds"] == 1 else []


def _apart(
    best: Mapping[str, Any], others: Sequence[Mapping[str, Any]], told: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    names = [row["encoder"] for row in others if not _n_common(told, best, row)]
    return [f"Not compared with {', '.join(names)}: no seed in common."] if names else []


def _level(
    best: Mapping[str, Any],
    level: Sequence[Mapping[str, Any]],
    told: Mapping[tuple[str, str], Mapping[str, Any]],
    *,
    may_take: bool,
) -> list[str]:
    """Return a sentence on the encoders that may be as good: to take the cheapest, where it cannot be much worse."""
    safe = [
        row
        for row in level
        if may_take and _times_faster(row, best) >= _WORTH_SAYING and _lead(told, best, row)["high"] <= _HARMLESS
    ]
    if safe:
        pick = max(safe, key=lambda row: _times_faster(row, best))
        most = 100 * _lead(told, best, pick)["high"]
        behind = f"{pick['encoder']} ({_percent(pick)}) is at most {most:.1f} points behind"
        return [f"{behind} and trains {_times(pick, best)} as fast{_cost(pick)}: take {pick['encoder']}."]
    unsure = [row for row in level if not _is_tie(told, best, row)]
    if not unsure:
        return []
    names = [f"{row['encoder']} ({_points(_lead(told, best, row))} points)" for row in unsure]
    seeds = "more seeds or " if any(_differs_by_seed(row) for row in (best, *unsure)) else "more "
    return [f"It cannot be told apart from {', '.join(names)}: {seeds}test texts would tell."]


def _differs_by_seed(row: Mapping[str, Any]) -> bool:
    return bool(row["accuracy"]["max"] - row["accuracy"]["min"] > _SAME)


def _is_tie(told: Mapping[tuple[str, str], Mapping[str, Any]], best: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return _n_common(told, best, row) > 0 and abs(_lead(told, best, row)["value"]) < _SAME


def _behind(
    best: Mapping[str, Any], behind: Sequence[Mapping[str, Any]], told: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    """Return a sentence on the nearest encoder that is behind for certain, and one on the cheapest, where it is another one."""
    if not behind:
        return []
    nearest = min(behind, key=lambda row: _lead(told, best, row)["value"])
    cheapest = max(behind, key=lambda row: _times_faster(row, best))
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


def _shared_means(size: int, answers: Mapping[Key, NDArray[np.bool_]]) -> dict[str, float]:
    """Return the mean accuracy of each encoder of a size over the seeds that all of them have; nothing where there is none."""
    seeds: dict[str, set[int]] = {}
    for name, n, seed in answers:
        if n == size:
            seeds.setdefault(name, set()).add(seed)
    shared = sorted(set.intersection(*seeds.values())) if seeds else []
    return {name: mean(float(answers[name, size, seed].mean()) for seed in shared) for name in seeds if shared}


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
        "f1": {"mean": _of(mean, (cell["f1"]["value"] for cell in cells))},
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
    """Return each encoder against each at one size, over the seeds that both have; p is corrected for all pairs of the size.

    One training each says which of two trainings is better, not which of two ways to train: then none is called better.
    """
    names = [row["encoder"] for row in rows if row["size"] == size]
    pairs = []
    for first, second in combinations(names, 2):
        seeds = [sorted(seed for of, n, seed in answers if (of, n) == (name, size)) for name in (first, second)]
        both = [seed for seed in seeds[0] if seed in seeds[1]]
        if both:
            tables = [np.stack([answers[name, size, seed] for seed in both]) for name in (first, second)]
            found = gain_over_seeds(tables[0], tables[1])
            pairs.append({"size": size, "first": first, "second": second, "n_seeds": len(both), **found})
    for pair, adjusted in zip(pairs, holm([pair["p_value"] for pair in pairs]), strict=True):
        ahead = pair["first"] if pair["gain"]["value"] > 0 else pair["second"]
        pair |= {"p_adjusted": adjusted, "better": ahead if adjusted < ALPHA and pair["n_seeds"] > 1 else None}
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
    unknown = {"better": None, "n_seeds": 0, "gain": {"value": 0.0, "low": -1.0, "high": 1.0}}
    return told.get(names) or told.get((names[1], names[0])) or unknown


def _better(
    told: Mapping[tuple[str, str], Mapping[str, Any]], one: Mapping[str, Any], other: Mapping[str, Any]
) -> str | None:
    found: str | None = _pair(told, one, other)["better"]
    return found


def _n_common(
    told: Mapping[tuple[str, str], Mapping[str, Any]], one: Mapping[str, Any], other: Mapping[str, Any]
) -> int:
    """Return how many seeds two encoders have in common."""
    return int(_pair(told, one, other)["n_seeds"])


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
    parts += [] if speed is None else [f"{rate_in_words(speed)} texts a second"]
    return f" ({', '.join(parts)})" if parts else ""


def _times_faster(row: Mapping[str, Any], than: Mapping[str, Any]) -> float:
    if not row["training_seconds"] or not than["training_seconds"]:
        return 0.0
    return float(than["training_seconds"] / row["training_seconds"])


def _times(row: Mapping[str, Any], than: Mapping[str, Any]) -> str:
    times = _times_faster(row, than)
    return f"{times:,.0f} times" if times >= 10 else f"{times:.1f} times"
