"""A search as a page: what was gained, how much of it is left on test texts, what mattered, and what it cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matinee.core.settings import Settings
from matinee.evaluation.proportions import wilson
from matinee.report.charts import axis_around, bar, strip
from matinee.report.measures import Measure, duration, name_of_data, plain
from matinee.report.shell import render_template
from matinee.report.study_charts import coordinates, history, learning, slices
from matinee.report.study_verdict import seeds_of, study_verdict
from matinee.report.trials import STATES, differences, finished, same, trials_of
from matinee.report.wording import (
    NOTHING,
    ends,
    known,
    mapping,
    number,
    one_line,
    percent,
    plural,
    printable,
    rows,
    span,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.report.trials import Trial

View = dict[str, Any]

_MOST_TRIALS, _MOST_SETTINGS = 300, 12
# A best value this near to an end of its range, as a share of the range, may have a better one beyond it.
_EDGE = 0.05
_MARKS = {"complete": "●", "pruned": "▲", "failed": "✕", "lost": "–"}


def render_study(study: Mapping[str, Any]) -> str:
    """Return a search as one HTML file that needs no network, from `study.json`. The same study gives the same page.

    A study that is under way, or that has nothing but failures, has a page too: what is not known yet says so. Everything
    that a user may have written is escaped.

    Args:
        study: As `study.json` holds it.
    """
    return render_template("study.html", **_views(mapping(study)))


def _views(study: Mapping[str, Any]) -> View:
    measure = Measure.of(study.get("metric"), higher_is_better=study.get("higher_is_better"))
    trials, base, space = trials_of(study), mapping(study.get("base")), mapping(study.get("space"))
    with_lost = trials_of(study, with_lost=True)
    found, best = _found(study), _best_number(study)
    names = _names(study, trials)
    done = [trial for trial, _ in finished(trials)]
    return {
        "name": name_of_data(study.get("data") or base.get("data")),
        "about": _about(study, measure),
        "verdict": study_verdict(study, measure),
        "tiles": _tiles(study, measure),
        "survival": _survival(study, measure),
        "history": history(trials, measure, best) if any(trial.last is not None for trial in trials) else "",
        "far": _far(trials),
        "learning": learning(trials, measure, best),
        "noise": _noise(study, measure),
        "settings": _settings(study, trials, names, found),
        "coordinates": coordinates(trials, space, names, measure, best) if len(done) > 1 and names else "",
        "slices": slices(trials, space, names, measure, best) if len(done) > 1 else [],
        "n_done": plural(len(done), "finished trial"),
        "finalists": _finalists(study, measure),
        "cost": _cost(study, with_lost),
        "trials": [_trial_row(trial, base, measure, best) for trial in with_lost[:_MOST_TRIALS]],
        "trials_left": max(0, len(with_lost) - _MOST_TRIALS),
        "recipe": _recipe(study, found),
        "is_over": bool(mapping(study.get("winner"))),
    }


def _found(study: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings that won, or else the best ones so far."""
    winner, best = mapping(study.get("winner")), mapping(study.get("best"))
    return mapping(winner.get("params")) or mapping(best.get("params"))


def _best_number(study: Mapping[str, Any]) -> int | None:
    """Return the number of the trial that won, or else of the best one so far."""
    params = mapping(mapping(study.get("winner")).get("params"))
    for row in rows(study.get("finalists")) if params else ():
        if mapping(row.get("params")) == params and known(row.get("number")):
            return int(row["number"])
    found = mapping(study.get("best")).get("number")
    return int(found) if known(found) else None


def _names(study: Mapping[str, Any], trials: Sequence[Trial]) -> list[str]:
    """Return the searched settings that have a drawing, the one that mattered most first."""
    space, importance = mapping(study.get("space")), mapping(study.get("importance"))
    used = {name for trial, _ in finished(trials) for name in trial.params}
    named = [str(name) for name in space if name in used]
    weight = {name: float(importance[name]) if known(importance.get(name)) else 0.0 for name in named}
    return sorted(named, key=lambda name: -weight[name])[:_MOST_SETTINGS]


def _about(study: Mapping[str, Any], measure: Measure) -> list[str]:
    base = mapping(study.get("base"))
    parts = [
        f"data {name_of_data(study.get('data'))}",
        f"encoder {name_of_data(base['encoder'])}" if base.get("encoder") else "",
        f"by {measure.title} on {plural(study.get('n_validation'), 'validation text')}"
        if known(study.get("n_validation"))
        else "",
        f"sampler {one_line(study['sampler'], 40)}" if study.get("sampler") else "",
        f"pruner {one_line(study['pruner'], 40)}" if study.get("pruner") else "",
    ]
    return [part for part in parts if part]


def _tiles(study: Mapping[str, Any], measure: Measure) -> list[tuple[str, str, str]]:
    """Return the figures that the verdict rests on: (what, figure, beside it)."""
    winner, best, test = (mapping(study.get(name)) for name in ("winner", "best", "test"))
    found = []
    if known(winner.get("mean")) and winner.get("is_base") is not True:
        yours = measure.said(winner["base_mean"]) if known(winner.get("base_mean")) else "not measured"
        beside = f"your settings: {yours}; on validation, {seeds_of(study)}"
        found.append(("Best settings found", measure.said(winner["mean"]), beside))
    elif known(winner.get("mean")):
        found.append(("Your settings, not beaten", measure.said(winner["mean"]), f"on validation, {seeds_of(study)}"))
    elif known(best.get("value")):
        found.append(("Best so far", measure.said(best["value"]), "on validation, one seed"))
    gain = mapping(test.get("gain"))
    if value_of(gain) is not None and winner.get("is_base") is not True:
        n_texts = plural(test.get("n"), "test text")
        unit = "" if measure.is_share else f"{measure.title}, "
        beside = f"{unit}likely {measure.bare(ends(gain)[0])} to {measure.bare(ends(gain)[1])}, on {n_texts}, of one training each"
        found.append(("Gain on test", measure.change(value_of(gain)), beside))
    if known(study.get("seconds")):
        counts = mapping(study.get("counts"))
        n_trials = plural(sum(n for state, n in counts.items() if known(n) and state != "lost"), "trial")
        found.append(("What it cost", duration(study["seconds"]), f"of computing, {n_trials}"))
    return found


def _survival(study: Mapping[str, Any], measure: Measure) -> View:
    """Return the scores on test of the settings found and of the base, and the gain on both splits."""
    winner, test = mapping(study.get("winner")), mapping(study.get("test"))
    if not winner:
        return {"reason": "The search is not over: the best trials have not been repeated with other seeds yet."}
    sides = (("winner", "Best settings found"), ("base", "Your settings"))
    scores = [(title, mapping(mapping(test.get(name)).get("accuracy"))) for name, title in sides]
    if winner.get("is_base") is True:
        scores = [("Your settings", scores[1][1] or scores[0][1])]
    scores = [(title, score) for title, score in scores if value_of(score) is not None]
    if not scores:
        return {
            "reason": "The settings found were not trained anew and scored on test texts (--no-refit, or it was interrupted)."
        }
    numbers = [end for _, score in scores for end in (value_of(score), *ends(score)) if end is not None]
    axis = axis_around(numbers, "", least_span=0.06, percent=True, within=(0.0, 1.0))
    gain, on_validation = mapping(test.get("gain")), test.get("validation_gain")
    has_gain = value_of(gain) is not None and winner.get("is_base") is not True
    return {
        "reason": "",
        "n": plural(test.get("n"), "test text"),
        "rows": [
            {
                "title": title,
                "value": percent(value_of(score), 1),
                "interval": span(score),
                "strip": _strip(score, axis, "before" if title == "Your settings" else "after"),
            }
            for title, score in scores
        ],
        "scale": f"drawn from {percent(axis.low)} to {percent(axis.high)}",
        "gain": f"{measure.change(value_of(gain))}, 95% interval {measure.bare(ends(gain)[0])} to {measure.bare(ends(gain)[1])}"
        if has_gain
        else "",
        "validation": measure.change(on_validation) if has_gain and known(on_validation) else "",
        "metric": measure.title,
        "own": "" if measure.is_share else _in_own_score(study, sides, measure),
        "less": not measure.higher_is_better,
    }


def _in_own_score(study: Mapping[str, Any], sides: Sequence[tuple[str, str]], measure: Measure) -> str:
    """Return what both settings score on test by what was searched for, where that is not accuracy: a sentence."""
    test, metric = mapping(study.get("test")), str(study.get("metric"))
    found = [(title, mapping(mapping(test.get(name)).get(metric))) for name, title in sides]
    said = [
        f"{title.lower()} {measure.said(value_of(score))} ({measure.said(ends(score)[0])} to {measure.said(ends(score)[1])})"
        for title, score in found
        if value_of(score) is not None
    ]
    return f"By {measure.title}, which was searched for: {', '.join(dict.fromkeys(said))}." if said else ""


def _strip(score: Mapping[str, Any], axis: Any, kind: str) -> Any:
    value, (low, high) = value_of(score), ends(score)
    if value is None:
        return ""
    return strip(value, value if low is None else low, value if high is None else high, axis=axis, kind=kind)


def _noise(study: Mapping[str, Any], measure: Measure) -> str:
    """Return how far a validation score can be off by chance; only shares have an interval that needs no texts."""
    n_texts, values = study.get("n_validation"), [value for _, value in finished(trials_of(study))]
    if not (measure.is_share and known(n_texts) and n_texts >= 1 and values):
        return ""
    share = min(max(measure.best(values), 0.0), 1.0)
    interval = wilson(share * n_texts, n_texts)
    half = 100 * (interval["high"] - interval["low"]) / 2
    return (
        f"On {plural(int(n_texts), 'validation text')}, one score is known to about ±{half:.1f} points. "
        "All trials answer the same texts, so that "
        "they can be told apart somewhat better than that; still, the highest of many dots is partly luck. "
        "That is what the finalists’ other seeds and the test texts are for."
    )


def _far(trials: Sequence[Trial]) -> bool:
    """Return whether any trial failed or was stopped without a score: those stand at the edge."""
    return any(trial.last is None for trial in trials)


def _settings(
    study: Mapping[str, Any], trials: Sequence[Trial], names: Sequence[str], found: Mapping[str, Any]
) -> View:
    """Return each searched setting: its range, the base's value, the one found, and how much it mattered."""
    space, importance, base = (mapping(study.get(name)) for name in ("space", "importance", "base"))
    ordered = [*names, *(name for name in map(str, list(space)[:100]) if name not in names)]
    shares = [float(share) for share in importance.values() if known(share)]
    tallest = max(shares, default=0.0) or 1.0
    return {
        "rows": [
            {
                "name": one_line(name, 60),
                "range": _range(space.get(name)),
                "base": plain(base.get(name)) if name in base else NOTHING,
                "found": plain(found[name]) if name in found else NOTHING,
                "edge": _at_edge(space.get(name), found.get(name)),
                "importance": percent(importance.get(name)) if shares else "",
                "bar": bar(max(0.0, importance[name]) / tallest) if known(importance.get(name)) else "",
            }
            for name in ordered
        ],
        "has_importance": bool(shares),
        "n_finished": len(finished(trials)),
        "found": "Found" if mapping(study.get("winner")) else "Best so far",
    }


def _range(space: Any) -> str:
    """Return what a setting was allowed to be, in words."""
    bounds = mapping(space)
    if not bounds:
        choices = space if isinstance(space, (list, tuple)) else [space]
        return one_line(", ".join(plain(choice) for choice in choices), 200)
    words = f"{plain(bounds.get('low'))} to {plain(bounds.get('high'))}"
    if known(bounds.get("step")):
        words += f", steps of {plain(bounds['step'])}"
    return words + (", logarithmic" if bounds.get("log") is True else "")


def _at_edge(space: Any, value: Any) -> bool:
    """Return whether a value lies at an end of its range."""
    bounds = mapping(space)
    low, high = bounds.get("low"), bounds.get("high")
    if not (known(low) and known(high) and known(value) and low < high):
        return False
    if bounds.get("log") is True and min(low, value) > 0:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return bool(min(value - low, high - value) <= _EDGE * (high - low))


def _finalists(study: Mapping[str, Any], measure: Measure) -> View:
    """Return the best trials with the score of each seed, the best mean first."""
    base, winner = mapping(study.get("base")), mapping(study.get("winner"))
    listed = rows(study.get("finalists"))[:50]
    scores = [_numbers(row.get("values")) for row in listed]
    n_seeds = max(map(len, scores), default=0)
    seeds = next(filter(None, (_numbers(row.get("seeds")) for row in listed)), [])
    seeds += [None] * (n_seeds - len(seeds))
    found = []
    for row, values in zip(listed, scores, strict=True):
        params, mean = mapping(row.get("params")), row.get("mean")
        is_base = row.get("is_base") is True
        found.append(
            {
                "title": "Your settings" if is_base else f"Trial {number(row.get('number'))}",
                "differs": "" if is_base else differences(params, base),
                "values": [measure.said(value) for value in values] + [NOTHING] * (n_seeds - len(values)),
                "mean": measure.said(mean),
                "order": -measure.lead(float(mean), 0.0) if known(mean) else math.inf,
                "won": bool(winner)
                and (is_base if winner.get("is_base") is True else same(params, winner.get("params"))),
            }
        )
    return {
        "rows": sorted(found, key=lambda row: (row["order"], not row["won"])),
        "seeds": [
            f"Training {place + 1}" if seed is None else f"Seed {seed:.0f}"
            for place, seed in enumerate(seeds[:n_seeds])
        ],
        "has_values": n_seeds > 0,
    }


def _numbers(values: Any) -> list[float | None]:
    """Return the numbers of a list, None for what is none."""
    return [float(v) if known(v) else None for v in values] if isinstance(values, (list, tuple)) else []


def _cost(study: Mapping[str, Any], trials: Sequence[Trial]) -> View:
    """Return how long trials of each state took, and what came after them."""
    found, spent = [], 0.0
    for state, word in STATES.items():
        here = [trial for trial in trials if trial.state == state]
        seconds = [trial.seconds for trial in here if trial.seconds is not None]
        spent += sum(seconds)
        if here:
            each = duration(sum(seconds) / len(seconds)) if seconds else NOTHING
            found.append(
                {
                    "what": f"Trials that {word}" if state == "failed" else f"Trials {word}",
                    "n": number(len(here)),
                    "time": duration(sum(seconds)),
                    "each": each,
                }
            )
    total = study.get("seconds")
    if known(total) and total - spent > 0.01 * total and spent:
        found.append(
            {
                "what": "Everything else: finalists’ other seeds, the last training",
                "n": "",
                "time": duration(total - spent),
                "each": "",
            }
        )
    n_trials = sum(trial.state != "lost" for trial in trials)
    rate = f"{n_trials / spent * 3600:,.0f} trials in an hour of computing" if spent else ""
    return {"rows": found, "total": duration(total if known(total) else spent) if trials else "", "rate": rate}


def _trial_row(trial: Trial, base: Mapping[str, Any], measure: Measure, best: int | None) -> View:
    return {
        "number": number(trial.number),
        "mark": _MARKS[trial.state],
        "state": STATES[trial.state],
        "best": trial.number == best,
        "score": measure.said(trial.value)
        if trial.state == "complete" or trial.last is None
        else f"({measure.said(trial.last)})",
        "epochs": f"{trial.epochs[-1][0]:g}" if trial.epochs else NOTHING,
        "time": duration(trial.seconds),
        "differs": "your settings" if trial.is_base else differences(trial.params, base) or "as your settings",
        "reason": trial.reason,
    }


def _recipe(study: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return the best settings as a recipe: all that differs from the defaults."""
    if not found:
        return ""
    import yaml

    defaults = Settings().flat()
    chosen = {**mapping(study.get("base")), **found}
    chosen = {"data": chosen.pop("data", None) or study.get("data"), **chosen}
    differing = {
        str(name): _writable(value)
        for name, value in chosen.items()
        if name not in defaults or not same(value, defaults[name])
    }
    return printable(yaml.safe_dump(differing, sort_keys=False, allow_unicode=True, width=1000))[:20_000]


def _writable(value: Any) -> Any:
    """Return a value as YAML can hold it."""
    if isinstance(value, (list, tuple)):
        return [_writable(each) for each in value]
    if hasattr(value, "items"):
        return {str(key): _writable(each) for key, each in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
