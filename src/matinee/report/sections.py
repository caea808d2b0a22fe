"""What each section of the page says of the classifier: plain values in, strings, rows and charts out.

Every function returns a dict whose `reason` is empty, or says why the section is not known; a missing part of a run never breaks
the page. Numbers are formatted here, so that the template has nothing to decide but the layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.evaluation import metrics_for
from matinee.report.charts import Axis, Series, axis_around, columns, line_chart, strip
from matinee.report.facts import SEVERITIES
from matinee.report.figures import curves_of
from matinee.report.mistakes import method_name
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
    reason_of,
    rows,
    span,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.report.figures import Curve

View = dict[str, Any]

PREDICTORS = {
    "test": "This classifier",
    "frozen_features": "Same encoder, not fine-tuned",
    "baseline": "Word-count baseline (tf-idf)",
}
# The parts of a finding, and what is shown of each at most.
_CHECK_PARTS = {"code": 20, "name": 60, "title": 200, "found": 500, "advice": 500}
_GROUPS = {"cue": "wording", "label": "true label", "own": "your own slice", "length": "length", "group": "group"}
# A matrix of more labels than this is wider than a page.
_MOST_LABELS_IN_MATRIX = 15
_MOST_ROWS = 100
_MOST_CONFUSIONS = 25
# As many points as a line on a page can show.
_MOST_POINTS = 250


def scores(metrics: Mapping[str, Any], labels: Sequence[Mapping[str, Any]], n_labels: int) -> View:
    """Return the scores of the classifier beside its baselines, and the scores of each label."""
    parts = {title: mapping(metrics.get(part)) for part, title in PREDICTORS.items() if metrics.get(part)}
    if not mapping(metrics.get("test")):
        return {"reason": "No labelled test texts were scored."}
    gain = mapping(mapping(metrics.get("gain_over_baseline")).get("accuracy"))
    gain_known = value_of(gain) is not None
    return {
        "reason": "",
        "n": plural(mapping(metrics["test"]).get("n"), "test text"),
        "accuracy": _strips([(title, part.get("accuracy")) for title, part in parts.items()]),
        "gain": f"{points(value_of(gain))} points, 95% interval {_ends_in_points(gain)}" if gain_known else "",
        "columns": list(parts),
        "rows": [
            {
                "title": metric.title[0].upper() + metric.title[1:],
                "better": "higher is better" if metric.higher_is_better else "lower is better",
                "cells": [_score_cell(part.get(name)) for part in parts.values()],
            }
            for name, metric in metrics_for(n_labels).items()
        ],
        "averaged": n_labels > 2,
        "labels": [
            {"label": one_line(row.get("label") or NOTHING, 80), "support": number(row.get("support"))}
            | {name: number(row.get(name)) for name in ("precision", "recall", "f1")}
            for row in labels[:_MOST_ROWS]
        ],
        "labels_left": max(0, len(labels) - _MOST_ROWS),
    }


def _score_cell(score: Any) -> View:
    low, high = ends(score)
    return {
        "value": number(value_of(score)),
        "interval": "" if low is None or high is None else f"{low:.3f} to {high:.3f}",
        "note": str(mapping(score).get("reason") or ""),
    }


def _strips(found: Sequence[tuple[str, Any]]) -> View:
    """Return rows of a share with its interval, drawn to one scale."""
    whole = [(title, value_of(score), *ends(score)) for title, score in found]
    values = [value for _, *numbers in whole for value in numbers if value is not None]
    if not values:
        return {"rows": [], "scale": ""}
    axis = axis_around(values, "", least_span=0.1, percent=True, within=(0.0, 1.0))
    return {
        "rows": [
            {
                "title": title,
                "value": percent(value, 1),
                "interval": NOTHING if low is None or high is None else f"{percent(low, 1)} to {percent(high, 1)}",
                "strip": ""
                if value is None
                else strip(
                    value,
                    value if low is None else low,
                    value if high is None else high,
                    axis=axis,
                    kind="before" if place else "after",
                ),
            }
            for place, (title, value, low, high) in enumerate(whole)
        ],
        "scale": f"drawn from {percent(axis.low)} to {percent(axis.high)}",
    }


def _ends_in_points(interval: Any) -> str:
    low, high = ends(interval)
    return f"{points(low)} to {points(high)}"


def checks(found: Any) -> View:
    """Return what the checks found, the worst first."""
    if not isinstance(found, (list, tuple)):
        return {"reason": reason_of(found, "The checks were not run.")}
    order = list(SEVERITIES)
    listed = [row for row in rows(found) if row.get("severity") in order]
    listed.sort(key=lambda row: order.index(row["severity"]))
    counts = {name: sum(row["severity"] == name for row in listed) for name in order}
    return {
        "reason": "",
        "rows": [
            {
                "severity": row["severity"],
                "word": SEVERITIES[row["severity"]],
                **{key: one_line(row.get(key) or "", longest) for key, longest in _CHECK_PARTS.items()},
            }
            for row in listed[:_MOST_ROWS]
        ],
        "counts": counts,
        "summary": ", ".join(plural(n, SEVERITIES[name].lower()) for name, n in counts.items() if n),
        "serious": [
            one_line(row.get("title") or row.get("name") or "", 120) for row in listed if row["severity"] == "error"
        ][:5],
    }


def curves(history: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any], n_labels: int, *, is_linear: bool) -> View:
    """Return loss, accuracy and F1 over the epochs, as charts and as a table."""
    kept = metrics.get("kept_epoch")
    usable = [{key: value for key, value in row.items() if known(value)} for row in history]
    found = curves_of(usable, n_labels=n_labels, kept_epoch=kept if known(kept) else None)
    if not found:
        why = "it is a linear model, which is not trained in epochs" if is_linear else "the run has no history"
        return {"reason": f"There are no curves: {why}."}
    return {
        "reason": "",
        "charts": [{"title": curve.name, "svg": _curve_chart(curve), "kept": curve.kept} for curve in found.values()],
        "kept": f"{round(kept, 2):g}" if known(kept) else "",
        "names": [curve.name for curve in found.values()],
        "rows": _curve_rows(list(found.values())),
    }


def _curve_chart(curve: Curve) -> Any:
    training, validation = _thin(curve.training), _thin(curve.validation)
    every = [*training, *validation]
    last = max(1.0, *(epoch for epoch, _ in every))
    step = max(1, round(last / 6))
    x = Axis(-0.03 * last, 1.03 * last, "epoch", tuple(range(0, int(last) + 1, step)), lambda v: f"{v:.0f}")
    y = axis_around((value for _, value in every), curve.name, least_span=curve.least_span)
    series = [
        Series("training", "training", training, marker="circle"),
        Series("validation", "validation", validation, marker="square", dashed=True),
    ]
    if curve.kept:
        series.append(Series("the epoch that was kept", "kept", (curve.kept,), marker="ring", line=False))
    last_known = f" It ends at {validation[-1][1]:.3f} on the validation texts." if validation else ""
    label = f"{curve.name} over {last:g} epochs.{last_known} The numbers are in the table below the charts."
    return line_chart(x, y, [each for each in series if each.points], label=label)


def _thin(points_: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return at most about 250 of the points, evenly, the last one among them."""
    step = -(-len(points_) // _MOST_POINTS)
    return tuple(points_[::-1][:: max(1, step)][::-1])


def _curve_rows(found: Sequence[Curve]) -> list[View]:
    """Return one row per epoch that was validated, with training and validation values."""
    epochs = sorted({epoch for curve in found for epoch, _ in curve.validation})
    return [
        {
            "epoch": f"{round(epoch, 2):g}",
            "cells": [number(dict(part).get(epoch)) for curve in found for part in (curve.training, curve.validation)],
        }
        for epoch in epochs[:_MOST_ROWS]
    ]


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> View:
    """Return the confusion matrix; of very many labels the pairs that are confused most."""
    n_labels = len(names)
    if n_labels < 1 or len(counts) != n_labels or any(len(row) != n_labels for row in counts):
        return {"reason": "There is no confusion matrix: the test texts have no labels, or were not scored."}
    totals = [sum(row) for row in counts]
    right = sum(counts[i][i] for i in range(n_labels))
    pairs = sorted(
        ((counts[i][j], i, j) for i in range(n_labels) for j in range(n_labels) if i != j and counts[i][j]),
        reverse=True,
    )
    return {
        "reason": "",
        "summary": f"{right:,} of {plural(sum(totals), 'text')} right.",
        "names": list(names),
        "rows": [
            {
                "name": names[i],
                "total": f"{totals[i]:,}",
                "cells": [_cell(counts[i][j], totals[i], i == j) for j in range(n_labels)],
            }
            for i in range(n_labels)
        ]
        if n_labels <= _MOST_LABELS_IN_MATRIX
        else [],
        "pairs": [
            {"label": names[i], "predicted": names[j], "n": f"{n:,}", "share": percent(n / totals[i], 1)}
            for n, i, j in pairs[:_MOST_CONFUSIONS]
        ]
        if n_labels > 2
        else [],
        "pairs_left": max(0, len(pairs) - _MOST_CONFUSIONS) if n_labels > 2 else 0,
    }


def _cell(n: int, total: int, right: bool) -> View:
    share = n / total if total else 0.0
    return {"n": f"{n:,}", "share": percent(share, 1) if total else NOTHING, "shade": round(10 * share), "right": right}


def calibration(section: Any) -> View:
    """Return how far the probabilities are from the truth, before and after calibration."""
    parts = mapping(section)
    bins = {name: _bins(mapping(parts.get("reliability")).get(name)) for name in ("before", "after")}
    bins = {name: found for name, found in bins.items() if found}
    errors = {name: mapping(parts.get(name)) for name in ("before", "after") if mapping(parts.get(name))}
    if not bins and not errors:
        return {"reason": reason_of(section, "The probabilities were not compared with the truth.")}
    fitted, temperature = mapping(parts.get("fitted_on")), parts.get("temperature")
    return {
        "reason": "",
        "said": str(parts.get("reason") or ""),
        "temperature": number(temperature, 2) if known(temperature) else "",
        "direction": _temper_direction(temperature),
        "fitted_on": f"{plural(fitted.get('n'), 'text')} of the {fitted.get('split', 'validation')} split"
        if fitted
        else "",
        "errors": [
            {
                "title": f"{name.capitalize()} calibration",
                "ece": _score_cell(part.get("ece")),
                "log_loss": _score_cell(part.get("log_loss")),
            }
            for name, part in errors.items()
        ],
        "charts": [_reliability(name, found, only=len(bins) == 1) for name, found in bins.items()],
    }


def _temper_direction(temperature: Any) -> str:
    if not known(temperature) or abs(temperature - 1) < 0.005:
        return ""
    return "was too sure of itself" if temperature > 1 else "was not sure enough of itself"


def _bins(found: Any) -> list[Mapping[str, Any]]:
    needed = ("n", "confidence", "accuracy")
    return [each for each in rows(found) if all(known(each.get(key)) for key in needed) and each["n"] > 0]


def _reliability(name: str, found: Sequence[Mapping[str, Any]], *, only: bool) -> View:
    title = "Reliability" if only else f"{name.capitalize()} calibration"
    low = 0.0 if min(each["confidence"] for each in found) < 0.48 else 0.45
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0) if low == 0 else (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    x = Axis(low, 1.0, "probability it gives", ticks, percent)
    lowest = min(min(each["accuracy"], _low(each)) for each in found)
    y = Axis(
        0.0 if lowest < 0.42 else 0.4,
        1.0,
        "share that is right",
        (0.0, 0.25, 0.5, 0.75, 1.0) if lowest < 0.42 else (0.4, 0.6, 0.8, 1.0),
        percent,
    )
    series = Series(
        f"{title}: share right by probability",
        name,
        tuple((each["confidence"], each["accuracy"]) for each in found),
        marker="circle" if name == "after" else "square",
        dashed=name != "after",
        whiskers=tuple((_low(each), _high(each)) for each in found),
    )
    label = (
        f"Reliability diagram, {title.lower()}: the closer the points to the diagonal, the truer the probabilities. "
        "The numbers are in the table below."
    )
    n_bars = [(_edge(each, "low"), _edge(each, "high"), each["n"]) for each in found]
    return {
        "title": title,
        "svg": line_chart(x, y, [series], label=label, diagonal=True),
        "counts": columns(x, n_bars, label="How many texts stand behind each point.", title="texts per point"),
        "rows": [
            {
                "bin": f"{percent(_edge(each, 'low'))} to {percent(_edge(each, 'high'))}",
                "n": number(each["n"]),
                "confidence": percent(each["confidence"], 1),
                "accuracy": percent(each["accuracy"], 1),
                "interval": f"{percent(_low(each), 1)} to {percent(_high(each), 1)}",
            }
            for each in found
        ],
    }


def _low(bin_: Mapping[str, Any]) -> float:
    return float(bin_["accuracy_low"] if known(bin_.get("accuracy_low")) else bin_["accuracy"])


def _high(bin_: Mapping[str, Any]) -> float:
    return float(bin_["accuracy_high"] if known(bin_.get("accuracy_high")) else bin_["accuracy"])


def _edge(bin_: Mapping[str, Any], end: str) -> float:
    return float(bin_[end] if known(bin_.get(end)) else bin_["confidence"])


def coverage(section: Any, sets: Any) -> View:
    """Return what abstaining buys, and what prediction sets hold."""
    parts = mapping(section)
    curve = [
        (row["coverage"], row["accuracy"])
        for row in rows(parts.get("curve"))
        if _are_known(row, "coverage", "accuracy")
    ]
    targets = [row for row in rows(parts.get("targets")) if known(row.get("target_accuracy"))]
    found_sets = [row for row in rows(sets) if known(row.get("coverage"))]
    if not curve and not targets and not found_sets:
        return {"reason": reason_of(section, "What abstaining would buy was not computed.")}
    return {
        "reason": "",
        "said": str(parts.get("reason") or ""),
        "aurc": number(parts.get("aurc"), 4) if known(parts.get("aurc")) else "",
        "chart": _coverage_chart(sorted(curve)) if curve else "",
        "points": [{"coverage": percent(x), "accuracy": percent(y, 1)} for x, y in _tenths(curve)],
        "targets": [_target(row) for row in targets[:_MOST_ROWS]],
        "sets": [
            {
                "coverage": percent(row["coverage"]),
                "measured": percent(value_of(row.get("test_coverage")), 1),
                "interval": span(row.get("test_coverage")),
                "size": number(row.get("mean_size"), 2) if known(row.get("mean_size")) else NOTHING,
                "single": percent(row.get("share_single"), 1),
                "empty": percent(row.get("share_empty"), 1),
                "note": one_line(row.get("reason") or ""),
            }
            for row in found_sets[:_MOST_ROWS]
        ],
    }


def _are_known(row: Mapping[str, Any], *keys: str) -> bool:
    return all(known(row.get(key)) for key in keys)


def _coverage_chart(curve: Sequence[tuple[float, float]]) -> Any:
    x = Axis(0.0, 1.0, "share of texts that it answers", (0.0, 0.25, 0.5, 0.75, 1.0), percent)
    y = axis_around((y for _, y in curve), "accuracy", least_span=0.1, percent=True, within=(0.0, 1.0))
    label = (
        f"Accuracy by coverage: {percent(curve[-1][1], 1)} where it answers {percent(curve[-1][0])} of the texts, "
        f"{percent(curve[0][1], 1)} on the surest {percent(curve[0][0])}."
    )
    return line_chart(x, y, [Series("accuracy by coverage", "after", _thin(curve))], label=label)


def _tenths(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points nearest to 10%, 20%, ... coverage."""
    nearest = (min(curve, key=lambda point: abs(point[0] - n / 10)) for n in range(1, 11)) if curve else ()
    return list(dict.fromkeys(nearest))


def _target(row: Mapping[str, Any]) -> View:
    threshold = row.get("threshold")
    return {
        "target": percent(row["target_accuracy"]),
        "threshold": ("always" if threshold == 0 else percent(threshold, 1)) if known(threshold) else "",
        "coverage": percent(row.get("test_coverage"), 1),
        "accuracy": percent(value_of(row.get("test_accuracy")), 1),
        "interval": span(row.get("test_accuracy")),
        "reason": str(row.get("reason") or "no threshold reaches it on the validation texts"),
    }


def slices(section: Any) -> View:
    """Return the slices that differ beyond chance; the others are counted and not named."""
    parts = mapping(section)
    if not isinstance(parts.get("rows"), (list, tuple)):
        return {"reason": reason_of(section, "No slices were looked at.")}
    found = [row for row in rows(parts["rows"]) if row.get("significant") is True]
    found.sort(key=lambda row: value_of(row.get("difference")) or 0.0)
    shown = found[:_MOST_ROWS]
    ends_found = [
        v for row in shown for v in (value_of(row.get("difference")), *ends(row.get("difference"))) if v is not None
    ]
    axis = axis_around([*ends_found, 0.0], "difference", least_span=0.1)
    return {
        "reason": "",
        "n_looked_at": number(parts["n_looked_at"] if known(parts.get("n_looked_at")) else len(parts["rows"])),
        "n_found": len(found),
        "rows": [_slice(row, axis) for row in shown],
        "scale": f"drawn from {points(axis.low, 0)} to {points(axis.high, 0)} points",
    }


def _slice(row: Mapping[str, Any], axis: Axis) -> View:
    difference, (low, high) = value_of(row.get("difference")), ends(row.get("difference"))
    picture: Any = ""
    if difference is not None and low is not None and high is not None:
        picture = strip(difference, low, high, axis=axis, kind="before" if difference < 0 else "after", zero=0.0)
    return {
        "title": one_line(row.get("title") or row.get("name") or NOTHING, 160),
        "group": _GROUPS.get(str(row.get("group")), one_line(row.get("group") or "", 80)),
        "n": number(row.get("n")),
        "accuracy": percent(value_of(row.get("accuracy")), 1),
        "interval": span(row.get("accuracy")),
        "rest": percent(row.get("rest"), 1),
        "difference": points(difference),
        "difference_interval": _ends_in_points(row.get("difference")),
        "p": _p_value(row.get("p_adjusted")),
        "strip": picture,
    }


def _p_value(p: Any) -> str:
    if not known(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def causes(section: Any) -> View:
    """Return what became of the claims about the causes of errors."""
    claims = [row for row in rows(mapping(section).get("claims")) if row.get("sentence")]
    if not claims:
        return {"reason": reason_of(section, "The claim was not tested.")}
    words = {True: "Holds on this run", False: "Not shown on this run", None: "Cannot be told on this run"}
    return {
        "reason": "",
        "rows": [
            {
                "name": one_line(row.get("name") or "", 80),
                "holds": {True: "yes", False: "no"}.get(row.get("holds"), "open"),  # type: ignore[arg-type]
                "word": words[row.get("holds") if isinstance(row.get("holds"), bool) else None],
                "sentence": one_line(row["sentence"], 1000),
            }
            for row in claims[:_MOST_ROWS]
        ],
    }


def explanations(section: Any) -> View:
    """Return whether the highlighted words are what the classifier goes by."""
    parts = mapping(section)
    faithfulness = mapping(parts.get("faithfulness"))
    sentence = faithfulness.get("sentence")
    rows_ = [
        {
            "title": title,
            "value": _score_cell(faithfulness.get(key)),
            "random": number(value_of(faithfulness.get(f"{key}_random"))),
            "better": better,
        }
        for key, title, better in (
            (
                "comprehensiveness",
                "Comprehensiveness: what the probability loses without the words ranked highest",
                "higher is better",
            ),
            (
                "sufficiency",
                "Sufficiency: what the probability loses with only those words left",
                "lower is better",
            ),
        )
        if value_of(faithfulness.get(key)) is not None
    ]
    if not sentence and not rows_:
        return {
            "reason": reason_of(
                faithfulness or section, "Whether the highlighted words are what it goes by was not measured."
            )
        }
    return {
        "reason": "",
        "method": method_name(parts) or "not noted",
        "n": plural(faithfulness.get("n"), "mistake") if known(faithfulness.get("n")) else "",
        "sentence": one_line(sentence or "", 1000),
        "rows": rows_,
    }


def stress(section: Any) -> View:
    """Return the failure rate of each capability that was tested, and what became of pairs."""
    parts = mapping(section)
    found = [row for row in rows(parts.get("capabilities")) if row.get("name") or row.get("title")][:_MOST_ROWS]
    pairs = mapping(parts.get("pairs"))
    if not found and not pairs:
        return {"reason": reason_of(section, "No behavioural tests were run on it: `matinee stress RUN` does that.")}
    rates = _strips([(str(row.get("title") or row["name"]), row.get("rate")) for row in found])["rows"]
    return {
        "reason": "",
        "rows": [
            {
                "title": one_line(row.get("title") or row["name"], 160),
                "n": number(row.get("n")),
                "failures": number(row.get("failures")),
                "rate": percent(value_of(row.get("rate")), 1),
                "interval": span(row.get("rate")),
                "strip": rates[place]["strip"] if rates else "",
                "worst": [_worst(each) for each in rows(row.get("worst"))[:3]],
            }
            for place, row in enumerate(found)
        ],
        "skipped": [
            (one_line(row.get("title") or row.get("name") or NOTHING, 160), one_line(row.get("reason") or NOTHING))
            for row in rows(parts.get("skipped"))[:_MOST_ROWS]
        ],
        "pairs": _pairs(pairs),
    }


def _pairs(pairs: Mapping[str, Any]) -> View:
    """Return accuracy on originals and on their edits."""
    shares = {"originals": "Originals right", "edits": "Edits right", "consistency": "Both right"}
    fall = pairs.get("fall")
    return {
        "n": plural(pairs.get("n"), "pair"),
        "rows": [
            {"title": title, "value": percent(value_of(pairs[key]), 1), "interval": span(pairs[key])}
            for key, title in shares.items()
            if value_of(pairs.get(key)) is not None
        ],
        "fall": f"{points(value_of(fall))} points, 95% interval {_ends_in_points(fall)}"
        if value_of(fall) is not None
        else "",
        "worst": [_worst(each) for each in rows(pairs.get("worst"))[:3]],
    }


def _worst(row: Mapping[str, Any]) -> View:
    return {
        "text": one_line(row.get("text") or "", 500),
        "changed_from": one_line(row.get("changed_from") or "", 500),
        "expected": one_line(row.get("expected") if row.get("expected") is not None else NOTHING, 80),
        "predicted": one_line(row.get("predicted") if row.get("predicted") is not None else NOTHING, 80),
        "score": percent(row.get("score"), 1),
    }
