"""A leaderboard as a page: which encoder to take for these texts and this machine, at what cost, and what more labels would bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.core.wording import rate_in_words
from matinee.report.board_charts import cost_chart, curve_charts, curves_chart, looks
from matinee.report.charts import axis_around, strip
from matinee.report.facts import flat
from matinee.report.measures import duration, name_of_data, plain, share
from matinee.report.placings import curves_of, encoders_of, name_of, placings_of
from matinee.report.shell import render_template
from matinee.report.wording import (
    NOTHING,
    ends,
    known,
    mapping,
    number,
    one_line,
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
# Rates that are less apart than this factor may be the noise of a timing.
_FASTER = 2.0
# Of pairs that rest on several trainings each, and on one.
_VERBS = {False: "is", True: "did"}
_BY = {False: "on so many texts", True: "by one training each"}
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
        "tiles": _tiles(placings, board.get("telling_size")),
        "legend": [(name, found[name].key()) for name in scored],
        "cost": cost_chart(placings, found),
        "n_test": plural(board.get("n_test"), "test text") if known(board.get("n_test")) else "the test texts",
        "seeds": _seeds_behind(placings),
        "majority": _majority(board),
        "tables": _tables(board, placings),
        "has_f1": any(placing.f1 is not None for placing in placings),
        "curves": _curves(curves, placings, found),
        "pairs": _pairs(board, placings),
        "alone": _ALONE if len(scored) < 2 else "",
        "missing": _missing(board),
        "settings": _settings(board),
        "machine": flat(mapping(board.get("machine"))),
        "elsewhere": plural(board["n_elsewhere"], "training")
        if known(board.get("n_elsewhere")) and board["n_elsewhere"] > 0
        else "",
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


def _tiles(placings: Sequence[Placing], telling: Any) -> list[tuple[str, str, str]]:
    """Return the encoders that lead at the size that the verdict speaks of, else the largest: (what, who, beside it)."""
    if not placings:
        return []
    sizes = {placing.size for placing in placings}
    size = telling if known(telling) and telling in sizes else max(sizes)
    here = [placing for placing in placings if placing.size == size]
    if len(here) < 2:
        return []
    top = max(placing.accuracy for placing in here)
    best = [placing.encoder for placing in here if placing.accuracy == top]
    once = ", one training each" if _seeds_behind(here) == "one" else ""
    what = "Most accurate so far" if once or len({placing.n_seeds for placing in here}) > 1 else "Most accurate"
    found = [(what, _listed(best), f"{share(top, 1)} right with {size:,} training texts{once}")]
    timed = [(placing.seconds, placing) for placing in here if placing.seconds is not None]
    if timed:
        seconds, quick = min(timed, key=lambda each: each[0])
        found.append(("Quickest to train", quick.encoder, f"{duration(seconds)}, {share(quick.accuracy, 1)} right"))
    rated = sorted(((p.rate, p) for p in here if p.rate is not None), key=lambda each: -each[0])
    if len(rated) > 1 and rated[0][0] >= _FASTER * rated[1][0]:
        rate, quick = rated[0]
        beside = f"{rate_in_words(rate)} texts a second, {share(quick.accuracy, 1)} right"
        found.append(("Quickest to answer", quick.encoder, beside))
    return found


def _seeds_behind(placings: Sequence[Placing]) -> str:
    """Return whether `one` training stands behind every accuracy, behind `some`, or `many` behind all."""
    once = [placing.n_seeds == 1 for placing in placings]
    return "many" if not any(once) else "one" if all(once) else "some"


def _majority(board: Mapping[str, Any]) -> str:
    """Return what always giving the most frequent label's answer would get right; empty where nobody noted it."""
    part = board.get("majority_share")
    if not known(part):
        return ""
    return f"{_always(board)[0].upper()}{_always(board)[1:]} would get {share(part, 1)} of the test texts right."


def _always(board: Mapping[str, Any]) -> str:
    label = board.get("majority_label")
    return f"always answering {one_line(label, 60) if label else 'the most frequent label'}"


def _megabytes(value: float | None) -> str:
    if value is None:
        return NOTHING
    if value < 0.95:
        return f"{value * 1000:.0f} kB"
    return f"{value / 1000:.1f} GB" if value >= 1000 else f"{value:.{0 if value >= 9.95 else 1}f} MB"


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
        against = {
            **_against_best(board, placings, size, best),
            **({best: "the best here"} if len(here) > 1 else {}),
        }
        tables.append(
            {
                "size": f"{size:,}",
                "scale": f"drawn from {share(axis.low)} to {share(axis.high)}",
                "rows": [
                    _row(placing, axis, [against.get(placing.encoder, ""), _no_better(board, placing)], n_seeds)
                    for placing in here[:_MOST_ROWS]
                ],
            }
        )
    return tables


def _no_better(board: Mapping[str, Any], placing: Placing) -> str:
    """Return that an encoder may have learned nothing, where its interval does not lie above the share of the most frequent label."""
    part = board.get("majority_share")
    return f"no better than {_always(board)}" if known(part) and placing.low <= part else ""


def _row(placing: Placing, axis: Any, standing: Sequence[str], n_seeds: int) -> View:
    fewer = (
        f"{placing.n_seeds} of {plural(n_seeds, 'seed')}"
        if placing.n_seeds is not None and placing.n_seeds < n_seeds
        else ""
    )
    return {
        "name": placing.encoder,
        "standing": "; ".join(words for words in (*standing, fewer) if words),
        "accuracy": share(placing.accuracy, 1),
        "interval": f"{share(placing.low, 1)} to {share(placing.high, 1)}",
        "f1": number(placing.f1),
        "strip": strip(placing.accuracy, placing.low, placing.high, axis=axis),
        "seconds": duration(placing.seconds),
        "rate": NOTHING if placing.rate is None else rate_in_words(placing.rate),
        "memory": _megabytes(placing.memory_mb),
        "disk": _megabytes(placing.disk_mb),
        "log_loss": number(placing.log_loss),
        "ece": f"{100 * placing.ece:.1f}" if placing.ece is not None else NOTHING,
    }


def _against_best(board: Mapping[str, Any], placings: Sequence[Placing], size: int, best: str) -> dict[str, str]:
    """Return what the paired tests at a size say of each other encoder against the best one."""
    found = {}
    for pair in rows(board.get("pairs")):
        first, second, gain = name_of(pair.get("first")), name_of(pair.get("second")), value_of(pair.get("gain"))
        if pair.get("size") != size or best not in (first, second) or gain is None:
            continue
        other = second if first == best else first
        behind = gain if first == best else -gain
        once = " in one training each" if _rests_on_one(pair, placings) else ""
        found[other] = (
            f"{points(behind).lstrip('+−')} points behind{once}"
            if pair.get("better") and behind > 0
            else "perhaps as good as the best"
        )
    return found


def _rests_on_one(pair: Mapping[str, Any], placings: Sequence[Placing]) -> bool:
    """Return whether a pair was compared with one seed: as it says itself, else by what stands behind its encoders."""
    if known(pair.get("n_seeds")):
        return bool(pair["n_seeds"] == 1)
    names = {name_of(pair.get("first")), name_of(pair.get("second"))}
    return any(p.n_seeds == 1 for p in placings if p.size == pair.get("size") and p.encoder in names)


def _curves(curves: Sequence[LearningCurve], placings: Sequence[Placing], found: Mapping[str, Look]) -> View:
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
        "seeds": _seeds_behind([p for p in placings if p.encoder in {curve.encoder for curve in fitted}]),
        "flat": any(curve.flat_fits and curve.ahead for curve in fitted),
        "guesses": any(ahead.is_guess for curve in fitted for ahead in curve.ahead),
    }


def _ahead_rows(curve: LearningCurve) -> list[View]:
    return [
        {
            "name": curve.encoder if place == 0 else "",
            "n_rows": len(curve.ahead),
            "more": f"{ahead.more:,}",
            "size": f"{ahead.size:,}",
            "gain": f"at most {points(ahead.gain[2])}" if curve.flat_fits else points(ahead.gain[0]),
            "gain_interval": "" if curve.flat_fits else _between(ahead.gain, points),
            "accuracy": share(ahead.accuracy[0], 1),
            "interval": _between(ahead.accuracy, lambda value: share(value, 1)),
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


def _pairs(board: Mapping[str, Any], placings: Sequence[Placing]) -> list[View]:
    """Return, for each size, the largest first, what the paired tests say: in words, and pair by pair."""
    listed = [
        pair for pair in rows(board.get("pairs")) if known(pair.get("size")) and value_of(pair.get("gain")) is not None
    ]
    found = []
    for size in sorted({pair["size"] for pair in listed}, reverse=True):
        here = [_pair(pair, once=_rests_on_one(pair, placings)) for pair in listed if pair["size"] == size]
        here.sort(key=lambda pair: (not pair["told_apart"], -pair["order"]))
        found.append({"size": f"{size:,}", "words": _in_words(here), "rows": here[:_MOST_ROWS]})
    return found


def _pair(pair: Mapping[str, Any], *, once: bool) -> View:
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
        "once": once,
        "said": ("did better than" if once else "better than") if told_apart else "cannot be told from",
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
        return _beside_the_best(pairs) + _turns(pairs)
    beaten: dict[tuple[str, bool], list[str]] = {}
    for pair in pairs:
        if pair["told_apart"]:
            beaten.setdefault((pair["first"], pair["once"]), []).append(pair["second"])
    order = sorted(beaten, key=lambda each: -len(beaten[each]))
    parts = [f"{name} {_VERBS[once]} better than {_listed(beaten[name, once])}" for name, once in order]
    for once, by in _BY.items():
        level = [
            f"{pair['first']} and {pair['second']}" for pair in pairs if not pair["told_apart"] and pair["once"] is once
        ]
        parts += [f"{' as well as '.join(level)} cannot be told apart {by}"] if level else []
    return "; ".join(parts) + "." + _turns(pairs)


def _turns(pairs: Sequence[View]) -> str:
    """Return how far to trust what was found with one seed."""
    if not any(pair["once"] and pair["told_apart"] for pair in pairs):
        return ""
    rests = "One training each" if all(pair["once"] for pair in pairs) else "“Did better” rests on one training each"
    return f" {rests}: this holds for other test texts alone; another seed may turn it."


def _beside_the_best(pairs: Sequence[View]) -> str:
    """Return which encoder did best, which may be as good, and which are worse."""
    firsts = [pair["first"] for pair in pairs]
    best = max(dict.fromkeys(firsts), key=firsts.count)
    mine = [pair for pair in pairs if pair["first"] == best]
    (level, alike), (worse, beaten) = (
        [[pair["second"] for pair in mine if pair["told_apart"] is told and pair["once"] is once] for once in _BY]
        for told in (False, True)
    )
    parts = [f"{best} got the most texts right."]
    for names, by in zip((level, alike), _BY.values(), strict=True):
        parts += [f"{by[0].upper()}{by[1:]} it cannot be told from {_listed(names)}."] if names else []
    parts += [f"It is better than {_listed(worse)}."] if worse else []
    parts += [f"It did better than {_listed(beaten)}."] if beaten else []
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
    left_out = [
        (f"{number(row.get('size'))} training texts", one_line(row.get("reason") or "left out, and nobody noted why"))
        for row in rows(board.get("left_out"))
    ]
    n_left = board.get("n_left")
    to_do = [(plural(n_left, "training"), "asked for, and still to be done")] if known(n_left) and n_left > 0 else []
    return [*to_do, *left_out, *skipped, *failed][:_MOST_ROWS]


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
