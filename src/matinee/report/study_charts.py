"""The drawings of a search: how it went, which settings met which score, how trials learned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from matinee.report.charts import (
    BROAD,
    Axis,
    Series,
    Thread,
    axis_around,
    line_chart,
    log_axis_around,
    parallel,
)
from matinee.report.measures import plain
from matinee.report.trials import finished
from matinee.report.wording import known, mapping, one_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matinee.report.measures import Measure
    from matinee.report.trials import Trial

# Least height of an axis of scores: less than this apart, they look alike.
_LEAST_SPAN = 0.04
# A trial that diverged must not flatten all others: scores further below the median than this many times the best's lead stand at the edge.
_FAR = 6
_MOST_TICKS = 8
_MOST_THREADS, _MOST_CURVES = 200, 60
# Pixels that a category of a chart, of parallel axes, has for its name, and how wide a letter is at most.
_ACROSS, _BESIDE, _LETTER = 274, 95, 7.0


@dataclass(frozen=True)
class Scale:
    """An axis of one setting, and where its values stand on it.

    Attributes:
        axis: For the chart.
        is_log: Whether it shows logarithms.
        categories: Values without an order of their own, in the order of their places 0, 1, ...; empty for numbers.
    """

    axis: Axis
    is_log: bool = False
    categories: tuple[str, ...] = ()

    def place(self, value: Any) -> float | None:
        """Return where a value stands, None where it has no place."""
        if self.categories:
            name = plain(value)
            return float(self.categories.index(name)) if name in self.categories else None
        if not known(value) or (self.is_log and value <= 0):
            return None
        return math.log10(value) if self.is_log else float(value)


def scale_of(name: str, space: Any, values: Sequence[Any], *, beside: bool = False) -> Scale:
    """Return the scale of one searched setting.

    Args:
        name: Of the setting.
        space: What the search was allowed: `{"low", "high", "log", "step"}`, or a list of choices.
        values: What trials used; at least one.
        beside: Whether names of categories stand beside the axis (parallel axes), not below it.
    """
    bounds, title = mapping(space), one_line(name, 40)
    numbers = [float(value) for value in [*values, bounds.get("low"), bounds.get("high")] if known(value)]
    if bounds and numbers and all(known(value) for value in values):
        if bounds.get("log") is True and min(numbers) > 0:
            return Scale(log_axis_around(numbers, title, plain), is_log=True)
        least = 0.1 * max(1e-3, *(abs(value) for value in numbers))
        return Scale(_whole(axis_around(numbers, title, least_span=least), numbers))
    choices = list(space) if isinstance(space, (list, tuple)) else []
    names = tuple(dict.fromkeys(plain(value) for value in [*choices, *values]))
    longest = int((_BESIDE if beside else _ACROSS / len(names)) / _LETTER)
    shown = [one_line(each, max(3, longest)) for each in names]
    places = tuple(float(place) for place in range(len(names)))
    return Scale(Axis(-0.5, len(names) - 0.5, title, places, lambda place: shown[int(place)]), categories=names)


def _whole(axis: Axis, numbers: Sequence[float]) -> Axis:
    """Return an axis of a few whole numbers, each of which is named; any other as it is."""
    low, high = min(numbers), max(numbers)
    if any(value != round(value) for value in numbers) or not 0 < high - low < _MOST_TICKS:
        return axis
    ticks = tuple(float(value) for value in range(int(low), int(high) + 1))
    return replace(axis, ticks=ticks, name=lambda value: f"{value:.0f}")


def both(chart: Any) -> Markup:
    """Return a chart in two shapes, of which the style sheet shows one: broad for a screen, narrow for a telephone."""
    broad, narrow = chart(BROAD), chart((340, 280))
    return Markup('<div class="broad">{}</div><div class="narrow">{}</div>').format(broad, narrow)


def history(trials: Sequence[Trial], measure: Measure, best: int | None) -> Markup:
    """Return the score of every trial in the order they were made, with the best so far; one of them at least has a score."""
    done = finished(trials)
    scores = [value for _, value in done]
    shown = [trial.last for trial in trials if trial.last is not None]
    always = [value for trial, value in done if trial.is_base or trial.number == best]
    y = _scores_axis(scores or shown, measure, always)
    last = max([trial.number for trial in trials], default=0)
    step = max(1, -(-(last + 1) // _MOST_TICKS))
    x = Axis(-0.7, last + 0.7, "trial", tuple(range(0, last + 1, step)), lambda v: f"{v:.0f}")
    worst = y.low if measure.higher_is_better else y.high
    stopped = [trial for trial in trials if trial.state == "pruned"]
    failed = [trial for trial in trials if trial.state == "failed"]
    series = [
        Series("best so far", "after", _best_so_far(done, measure, last)),
        Series("finished", "after", tuple((t.number, value) for t, value in done), "circle", line=False),
        Series("stopped early", "quiet", _at(stopped, worst), "hollow", line=False),
        Series("failed", "before", _at(failed, worst), "cross", line=False),
    ]
    base = next((value for trial, value in done if trial.is_base), None)
    if base is not None:
        series.insert(0, Series("your settings", "before", ((x.low, base), (x.high, base)), dashed=True))
    series += [Series("the best", "kept", ((t.number, v),), "ring", line=False) for t, v in done if t.number == best]
    drawn = [each for each in series if each.points]
    label = f"{measure.title} of {plural(len(trials), 'trial')}, in order, with the best so far. The table of trials has the numbers."
    return both(lambda size: line_chart(x, y, drawn, label=label, size=size))


def _at(trials: Sequence[Trial], otherwise: float) -> tuple[tuple[float, float], ...]:
    """Return the last score of trials that did not finish; those without any stand at the edge."""
    return tuple((trial.number, otherwise if trial.last is None else trial.last) for trial in trials)


def _best_so_far(done: Sequence[tuple[Trial, float]], measure: Measure, last: int) -> tuple[tuple[float, float], ...]:
    """Return the corners of the staircase."""
    points: list[tuple[float, float]] = []
    for trial, value in done:
        if points and measure.lead(value, points[-1][1]) <= 0:
            continue
        if points:
            points.append((trial.number, points[-1][1]))
        points.append((trial.number, value))
    return (*points, (last, points[-1][1])) if points else ()


def _scores_axis(values: Sequence[float], measure: Measure, always: Sequence[float] = ()) -> Axis:
    """Return an axis of scores: all but those far below the rest, and those that are `always` to be seen."""
    shown = [*worth_seeing(values, measure), *always]
    return axis_around(shown, measure.title, least_span=_LEAST_SPAN, percent=measure.is_share, within=measure.ends)


def worth_seeing(values: Sequence[float], measure: Measure) -> list[float]:
    """Return the scores that an axis shows: all but those far below the rest, which stand at its edge."""
    middle, best = median(values), measure.best(values)
    reach = max(_FAR * abs(best - middle), _LEAST_SPAN)
    return [value for value in values if measure.lead(middle, value) <= reach]


def slices(
    trials: Sequence[Trial], space: Mapping[str, Any], names: Sequence[str], measure: Measure, best: int | None
) -> list[Markup]:
    """Return one chart for each setting: its values against the scores of the finished trials."""
    return [_slice(finished(trials), space.get(name), name, measure, best) for name in names]


def _slice(done: Sequence[tuple[Trial, float]], space: Any, name: str, measure: Measure, best: int | None) -> Markup:
    with_it = [(trial, value) for trial, value in done if name in trial.params]
    scale = scale_of(name, space, [trial.params[name] for trial, _ in with_it])
    points = [
        (trial, (place, value)) for trial, value in with_it if (place := scale.place(trial.params[name])) is not None
    ]
    # Trials of one category would lie on each other: they stand beside each other, by their numbers.
    moved = [
        (trial, (x + (0.16 * ((trial.number * 0.618) % 1 * 2 - 1) if scale.categories else 0.0), y))
        for trial, (x, y) in points
    ]
    series = [
        Series("other trials", "after", tuple(p for t, p in moved if not t.is_base), "circle", line=False),
        Series("your settings", "before", tuple(p for t, p in moved if t.is_base), "square", line=False),
        Series("the best", "kept", tuple(p for t, p in moved if t.number == best), "ring", line=False),
    ]
    y = _scores_axis([value for _, value in with_it], measure)
    label = f"{measure.title} against {one_line(name, 40)}, of {plural(len(moved), 'finished trial')}. The table of trials has the numbers."
    return line_chart(scale.axis, y, [each for each in series if each.points], label=label)


def coordinates(
    trials: Sequence[Trial], space: Mapping[str, Any], names: Sequence[str], measure: Measure, best: int | None
) -> Markup:
    """Return each finished trial as a line through its settings to its score; the better ones are heavier."""
    done = sorted(finished(trials), key=lambda each: measure.lead(each[1], 0.0))[-_MOST_THREADS:]
    used = {name: [trial.params[name] for trial, _ in done if name in trial.params] for name in names}
    scales = {name: scale_of(name, space.get(name), values, beside=True) for name, values in used.items() if values}
    scores = _scores_axis([value for _, value in done], measure)
    good = _upper_quarter([measure.lead(value, 0.0) for _, value in done])
    threads = [
        Thread(
            f"trial {trial.number}: {measure.said(value)}",
            _weight(trial, is_good=measure.lead(value, 0.0) >= good, is_best=trial.number == best),
            (
                *(
                    scale.place(trial.params.get(name)) if name in trial.params else None
                    for name, scale in scales.items()
                ),
                value,
            ),
        )
        for trial, value in done
    ]
    heaviest_last = sorted(
        threads, key=lambda thread: ("thread", "thread good", "thread before", "thread after").index(thread.kind)
    )
    label = f"Settings and {measure.title} of {plural(len(done), 'finished trial')}, one line each. The table of trials has the numbers."
    return parallel([*(scale.axis for scale in scales.values()), scores], heaviest_last, label=label)


def _weight(trial: Trial, *, is_good: bool, is_best: bool) -> str:
    if is_best:
        return "thread after"
    if trial.is_base:
        return "thread before"
    return "thread good" if is_good else "thread"


def _upper_quarter(values: Sequence[float]) -> float:
    return quantiles(values, n=4)[2] if len(values) > 3 else max(values)


def learning(trials: Sequence[Trial], measure: Measure, best: int | None) -> Markup | str:
    """Return the scores of trials by epoch; nothing where no trial was scored twice."""
    drawn = [trial for trial in trials if trial.epochs][-_MOST_CURVES:]
    if not any(len(trial.epochs) > 1 for trial in drawn):
        return ""
    always = [score for trial in drawn if trial.is_base or trial.number == best for _, score in trial.epochs]
    y = _scores_axis([score for trial in drawn for _, score in trial.epochs], measure, always)
    epochs = [epoch for trial in drawn for epoch, _ in trial.epochs]
    last, room = max(epochs), 0.04 * max(epochs)
    step = max(1, round(last / 6))
    ticks = tuple(range(math.ceil(min(epochs)), int(last) + 1, step)) or (last,)
    x = Axis(min(epochs) - room, last + room, "epoch", ticks, lambda v: f"{v:g}")
    series = [
        each for trial in sorted(drawn, key=lambda t: (t.number == best, t.is_base)) for each in _learned(trial, best)
    ]
    label = f"{measure.title} by epoch of {plural(len(drawn), 'trial')}; those that were stopped early end in a cross."
    return both(lambda size: line_chart(x, y, series, label=label, size=size))


def _learned(trial: Trial, best: int | None) -> Iterable[Series]:
    name = f"trial {trial.number}"
    if trial.number == best:
        yield Series(name, "after", trial.epochs, "circle")
    elif trial.is_base:
        yield Series(name, "before", trial.epochs, "square", dashed=True)
    else:
        yield Series(name, "quiet thin", trial.epochs)
    if trial.state == "pruned":
        yield Series(f"{name}, stopped", "quiet", trial.epochs[-1:], "cross", line=False)
