"""A leaderboard as a page: which encoder to take for these texts and this machine, at what cost, and what more labels would bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.report.board_charts import cost_chart, curve_charts, curves_chart, looks
from matinee.report.charts import axis_around, strip
from matinee.report.facts import flat
from matinee.report.measures import duration, name_of_data, plain
from matinee.report.placings import curves_of, encoders_of, name_of, placings_of
from matinee.report.shell import render_template
from matinee.report.wording import (
    NOTHING,
    ends,
    known,
    mapping,
    number,
    one_line,
    percent,
    plural,
    points,
    rows,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matinee.report.board_charts import Look
    from matinee.report.placings import LearningCurve, Placing

View = dict[str, Any]

_MOST_ROWS = 200
# From so many encoders that are not the best on, pairs are too many to be told in a sentence.
_MANY = 3
_ALONE = "There is one encoder alone: nothing to compare it with."


def render_board(board: Mapping[str, Any]) -> str:
    """Return a leaderboard as one HTML file that needs no network, from `board.json`. The same board gives the same page.

    A board that is under way, or of which nothing could be had, has a page too. Everything that a user may have written
    is escaped.

    Args:
        board: As `board.json` holds it.
    """
    return render_template("board.html", **_views(mapping(board)))


def _views(board: Mapping[str, Any]) -> View:
    placings, names, curves = placings_of(board), encoders_of(board), curves_of(board)
    found = looks(names)
    scored = [name for name in names if any(placing.encoder == name for placing in placings)]
    return {
        "name": name_of_data(board.get("data")),
        "about": _about(board, scored),
        "verdict": one_line(board.get("verdict") or "", 1200)
        or ("No verdict was noted." if placings else "Nothing was trained yet: nothing is known."),
        "tone": "good" if placings else "bad",
        "tiles": _tiles(placings),
        "legend": [(name, found[name].key()) for name in scored],
        "cost": cost_chart(placings, found),
        "n_test": plural(board.get("n_test"), "test text") if known(board.get("n_test")) else "the test texts",
        "tables": _tables(board, placings),
        "curves": _curves(curves, found),
        "pairs": _pairs(board),
        "alone": _ALONE if len(scored) < 2 else "",
        "missing": _missing(board),
        "settings": _settings(board),
        "machine": flat(mapping(board.get("machine"))),
    }


def _about(board: Mapping[str, Any], scored: Sequence[str]) -> list[str]:
    sizes, seeds = (
        [each for each in board.get(name) or () if known(each)] if isinstance(board.get(name), (list, tuple)) else []
        for name in ("sizes", "seeds")
    )
    parts = [
        f"data {name_of_data(board.get('data'))}",
        plural(len(scored), "encoder"),
        f"{', '.join(f'{size:,}' for size in sizes[:12])} training texts" if sizes else "",
        plural(len(seeds), "seed") + (" each" if len(seeds) > 1 else "") if seeds else "",
    ]
    return [part for part in parts if part]


def _tiles(placings: Sequence[Placing]) -> list[tuple[str, str, str]]:
    """Return the encoders that lead at the largest size: (what, who, beside it)."""
    if not placings:
        return []
    size = placings[-1].size
    here = [placing for placing in placings if placing.size == size]
    best = max(here, key=lambda placing: placing.accuracy)
    found = [("Most accurate", best.encoder, f"{percent(best.accuracy, 1)} right with {size:,} training texts")]
    timed = [(placing.seconds, placing) for placing in here if placing.seconds is not None]
    if timed:
        seconds, quick = min(timed, key=lambda each: each[0])
        found.append(("Quickest to train", quick.encoder, f"{duration(seconds)}, {percent(quick.accuracy, 1)} right"))
    rated = [(placing.rate, placing) for placing in here if placing.rate is not None]
    if rated:
        rate, quick = max(rated, key=lambda each: each[0])
        found.append(
            ("Quickest to answer", quick.encoder, f"{_figure(rate)} texts a second, {percent(quick.accuracy, 1)} right")
        )
    return found


def _figure(value: Any) -> str:
    """Return a rate or a size: whole from 10 on."""
    return f"{value:,.{0 if value >= 9.95 else 1}f}" if known(value) else NOTHING


def _megabytes(value: float | None) -> str:
    if value is None:
        return NOTHING
    if value < 0.95:
        return f"{value * 1000:.0f} kB"
    return f"{value / 1000:.1f} GB" if value >= 1000 else f"{_figure(value)} MB"


def _tables(board: Mapping[str, Any], placings: Sequence[Placing]) -> list[View]:
    """Return a table for each size, the largest first, in each the most accurate encoder first."""
    if not placings:
        return []
    values = [end for placing in placings for end in (placing.low, placing.high)]
    axis = axis_around(values, "", least_span=0.06, percent=True, within=(0.0, 1.0))
    n_seeds = len(board["seeds"]) if isinstance(board.get("seeds"), (list, tuple)) else 0
    tables = []
    for size in sorted({placing.size for placing in placings}, reverse=True):
        here = sorted((p for p in placings if p.size == size), key=lambda p: -p.accuracy)
        best = here[0].encoder
        against = {**_against_best(board, size, best), **({best: "the best here"} if len(here) > 1 else {})}
        tables.append(
            {
                "size": f"{size:,}",
                "scale": f"drawn from {percent(axis.low)} to {percent(axis.high)}",
                "rows": [
                    _row(placing, axis, against.get(placing.encoder, ""), n_seeds) for placing in here[:_MOST_ROWS]
                ],
            }
        )
    return tables


def _row(placing: Placing, axis: Any, standing: str, n_seeds: int) -> View:
    fewer = (
        f"{placing.n_seeds} of {plural(n_seeds, 'seed')}"
        if placing.n_seeds is not None and placing.n_seeds < n_seeds
        else ""
    )
    return {
        "name": placing.encoder,
        "standing": "; ".join(words for words in (standing, fewer) if words),
        "accuracy": percent(placing.accuracy, 1),
        "interval": f"{percent(placing.low, 1)} to {percent(placing.high, 1)}",
        "strip": strip(placing.accuracy, placing.low, placing.high, axis=axis),
        "seconds": duration(placing.seconds),
        "rate": _figure(placing.rate),
        "memory": _megabytes(placing.memory_mb),
        "disk": _megabytes(placing.disk_mb),
        "log_loss": number(placing.log_loss),
        "ece": f"{100 * placing.ece:.1f}" if placing.ece is not None else NOTHING,
    }


def _against_best(board: Mapping[str, Any], size: int, best: str) -> dict[str, str]:
    """Return what the paired tests at a size say of each other encoder against the best one."""
    found = {}
    for pair in rows(board.get("pairs")):
        first, second, gain = name_of(pair.get("first")), name_of(pair.get("second")), value_of(pair.get("gain"))
        if pair.get("size") != size or best not in (first, second) or gain is None:
            continue
        other = second if first == best else first
        behind = gain if first == best else -gain
        better = pair.get("better")
        found[other] = (
            f"{points(behind).lstrip('+−')} points behind" if better and behind > 0 else "perhaps as good as the best"
        )
    return found


def _curves(curves: Sequence[LearningCurve], found: Mapping[str, Look]) -> View:
    """Return the learning curves: drawn, and as a table of what more labels would bring."""
    fitted = [curve for curve in curves if curve.fit is not None]
    why: dict[str, list[str]] = {}
    for curve in curves:
        if curve.fit is None and curve.reason:
            why.setdefault(curve.reason, []).append(curve.encoder)
    if not curves:
        return {"reason": "There are no learning curves: nothing was scored."}
    return {
        "reason": "",
        "all": curves_chart(curves, dict(found)),
        "each": curve_charts(curves, dict(found)),
        "rows": [row for curve in fitted for row in _ahead_rows(curve)][:_MOST_ROWS],
        "formulas": [(curve.encoder, *_formula(curve)) for curve in fitted],
        "why": [f"{_listed(encoders)}: {reason}" for reason, encoders in why.items()][:20],
        "guesses": any(ahead.is_guess for curve in fitted for ahead in curve.ahead),
    }


def _ahead_rows(curve: LearningCurve) -> list[View]:
    return [
        {
            "name": curve.encoder if place == 0 else "",
            "n_rows": len(curve.ahead),
            "more": f"{ahead.more:,}",
            "size": f"{ahead.size:,}",
            "gain": points(ahead.gain[0]),
            "gain_interval": _between(ahead.gain, points),
            "accuracy": percent(ahead.accuracy[0], 1),
            "interval": _between(ahead.accuracy, lambda value: percent(value, 1)),
            "is_guess": ahead.is_guess,
        }
        for place, ahead in enumerate(curve.ahead)
    ]


def _between(triple: tuple[float, float, float], said: Callable[[float], str]) -> str:
    return f"{said(triple[1])} to {said(triple[2])}" if known(triple[1]) else ""


def _formula(curve: LearningCurve) -> tuple[str, str]:
    """Return the curve's formula up to its exponent, and the exponent."""
    a, b, c = curve.fit or (0.0, 0.0, 0.0)
    return f"error = {a:.3f} + {b:.3g} × n", f"−{c:.2f}"


def _pairs(board: Mapping[str, Any]) -> list[View]:
    """Return, for each size, the largest first, what the paired tests say: in words, and pair by pair."""
    listed = [
        pair for pair in rows(board.get("pairs")) if known(pair.get("size")) and value_of(pair.get("gain")) is not None
    ]
    found = []
    for size in sorted({pair["size"] for pair in listed}, reverse=True):
        here = [_pair(pair) for pair in listed if pair["size"] == size]
        here.sort(key=lambda pair: (not pair["told_apart"], -pair["order"]))
        found.append({"size": f"{size:,}", "words": _in_words(here), "rows": here[:_MOST_ROWS]})
    return found


def _pair(pair: Mapping[str, Any]) -> View:
    """Return a pair with the one that did better first."""
    gain = mapping(pair.get("gain"))
    value, (low, high) = value_of(gain) or 0.0, ends(gain)
    first, second = name_of(pair.get("first")), name_of(pair.get("second"))
    if value < 0:
        first, second, value = second, first, -value
        low, high = (None if high is None else -high), (None if low is None else -low)
    told_apart = bool(pair.get("better"))
    return {
        "first": first,
        "second": second,
        "told_apart": told_apart,
        "said": "better than" if told_apart else "cannot be told from",
        "gain": f"{points(value)} points",
        "interval": "" if low is None or high is None else f"{points(low)} to {points(high)}",
        "p": _chance(pair.get("p_adjusted")),
        "order": value,
    }


def _chance(p: Any) -> str:
    if not known(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _in_words(pairs: Sequence[View]) -> str:
    """Return which encoders are better than which, and which cannot be told apart; of many, how they stand to the best one."""
    if len({pair["second"] for pair in pairs}) >= _MANY:
        return _beside_the_best(pairs)
    beaten: dict[str, list[str]] = {}
    for pair in pairs:
        if pair["told_apart"]:
            beaten.setdefault(pair["first"], []).append(pair["second"])
    order = sorted(beaten, key=lambda name: -len(beaten[name]))
    parts = [f"{name} is better than {_listed(beaten[name])}" for name in order]
    level = [f"{pair['first']} and {pair['second']}" for pair in pairs if not pair["told_apart"]]
    if level:
        parts.append(f"{' as well as '.join(level)} cannot be told apart on so many texts")
    return "; ".join(parts) + "."


def _beside_the_best(pairs: Sequence[View]) -> str:
    """Return which encoder did best, which may be as good, and which are worse."""
    firsts = [pair["first"] for pair in pairs]
    best = max(dict.fromkeys(firsts), key=firsts.count)
    mine = [pair for pair in pairs if pair["first"] == best]
    level, worse = ([pair["second"] for pair in mine if pair["told_apart"] is told] for told in (False, True))
    parts = [f"{best} got the most texts right."]
    parts += [f"On so many texts it cannot be told from {_listed(level)}."] if level else []
    parts += [f"It is better than {_listed(worse)}."] if worse else []
    return " ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _missing(board: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is not on the board, and why."""
    skipped = [
        (name_of(row.get("name")), one_line(row["skipped"]))
        for row in rows(board.get("encoders"))
        if row.get("skipped")
    ]
    failed = [
        (
            f"{name_of(row.get('encoder'))}, {number(row.get('size'))} texts, seed {number(row.get('seed'))}",
            one_line(row.get("reason") or "it failed, and nobody noted why"),
        )
        for row in rows(board.get("cells"))
        if row.get("state") == "failed"
    ]
    return [*skipped, *failed][:_MOST_ROWS]


def _settings(board: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the settings of each encoder that are not the defaults."""
    return [
        (
            name_of(row.get("name")),
            ", ".join(
                f"{one_line(name, 40)} {plain(value)}"
                for name, value in list(mapping(row.get("settings")).items())[:40]
            )
            or "the defaults",
        )
        for row in rows(board.get("encoders"))
        if not row.get("skipped")
    ]
