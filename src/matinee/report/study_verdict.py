"""The verdict on a search: what was gained on validation, and how much of it is left on texts that the search never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.report.trials import differences, finished, trials_of
from matinee.report.wording import ends, known, mapping, percent, plural, rows, span, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.report.measures import Measure


_OF_ONE_TRAINING = (
    "The interval is for these test texts and one training of each, with the seed under which the settings were found: other "
    "seeds would move it, and that one may flatter them."
)


def study_verdict(study: Mapping[str, Any], measure: Measure) -> dict[str, str]:
    """Return the verdict's sentences and its tone.

    Args:
        study: As `study.json` holds it.
        measure: What the search went by.

    Returns:
        `text`, and `tone`: `"good"` where the interval of the gain on test lies above zero, `"bad"` where it lies below or nothing
        finished, else `"mixed"`.
    """
    winner = mapping(study.get("winner"))
    if not finished(trials_of(study)):
        return {"text": _nothing(study), "tone": "bad"}
    if not known(winner.get("mean")):
        return {"text": _under_way(study, measure), "tone": "mixed"}
    if winner.get("is_base") is True:
        return {"text": _not_beaten(study, measure) + _since(study), "tone": "mixed"}
    low, high = ends(mapping(mapping(study.get("test")).get("gain")))
    tone = "good" if low is not None and low > 0 else "bad" if high is not None and high < 0 else "mixed"
    return {"text": f"{_on_validation(study, measure)} {_on_test(study, measure)}{_since(study)}", "tone": tone}


def _since(study: Mapping[str, Any]) -> str:
    """Return how many trials were added since the winner was chosen."""
    chosen_of, n_trials = study.get("chosen_of"), len(trials_of(study))
    if not known(chosen_of) or chosen_of >= n_trials:
        return ""
    first = "trial" if chosen_of == 1 else f"{chosen_of:,.0f} trials"
    return f" That was found of the first {first}; {n_trials - chosen_of:,.0f} were added since, and are not considered yet."


def _nothing(study: Mapping[str, Any]) -> str:
    trials = trials_of(study)
    if not trials:
        return "No trial is over yet: nothing is known."
    reasons = [trial.reason for trial in trials if trial.reason]
    why = f" The last one: {reasons[-1].rstrip('.')}." if reasons else ""
    who = "The one trial was not" if len(trials) == 1 else f"None of {len(trials):,} trials was"
    return f"{who} trained to its end, so nothing is known.{why}"


def _under_way(study: Mapping[str, Any], measure: Measure) -> str:
    trials = trials_of(study)
    done = finished(trials)
    best = measure.best(value for _, value in done)
    trial = next(trial for trial, value in done if value == best)
    base = next((value for trial, value in done if trial.is_base), None)
    yours = f"; your settings get {measure.said(base)}" if base is not None and not trial.is_base else ""
    whose = "your own settings" if trial.is_base else f"trial {trial.number}"
    return (
        f"{_so_far(study, len(trials))} so far. The best, {whose}, gets {measure.said(best)} on the validation texts{yours}. "
        "The best ones have not been repeated with other seeds yet, and the best of many is partly luck: expect less."
    )


def _so_far(study: Mapping[str, Any], n_trials: int) -> str:
    asked = study.get("n_trials")
    return f"{n_trials:,} of {asked:,} trials" if known(asked) and asked > n_trials else plural(n_trials, "trial")


def seeds_of(study: Mapping[str, Any]) -> str:
    """Return of how many seeds the winner's score is: `mean of 3 seeds`."""
    counts = [
        len(row["values"]) for row in rows(study.get("finalists")) if isinstance(row.get("values"), (list, tuple))
    ]
    return f"mean of {plural(max(counts), 'seed')}" if counts and max(counts) > 1 else "one seed"


def _not_beaten(study: Mapping[str, Any], measure: Measure) -> str:
    winner, test = mapping(study.get("winner")), mapping(study.get("test"))
    accuracy = mapping(mapping(test.get("base")).get("accuracy")) or mapping(
        mapping(test.get("winner")).get("accuracy")
    )
    tested = ""
    if value_of(accuracy) is not None:
        tested = f" On {plural(test.get('n'), 'test text')} they label {percent(value_of(accuracy), 1)} right (likely {span(accuracy)})."
    n_others = _n_others(study)
    if n_others:
        repeated = ", once the best are repeated with other seeds" if rows(study.get("finalists")) else ""
        others = "the one other trial that was" if n_others == 1 else f"none of the {n_others:,} other trials that were"
        beaten = f"{others} trained to {'its' if n_others == 1 else 'their'} end "
        beaten += f"{'does not beat' if n_others == 1 else 'beats'} them{repeated}."
    else:
        beaten = "no others were trained to their end, so there was nothing to hold them against."
    return (
        f"Keep the settings that you have: {beaten} "
        f"They get {measure.said(winner['mean'])} on the validation texts ({seeds_of(study)}).{tested}"
    )


def _n_others(study: Mapping[str, Any]) -> int:
    """Return how many trials of other settings than the base's were trained to their end."""
    base = mapping(study.get("base"))
    done = [trial for trial, _ in finished(trials_of(study)) if not trial.is_base]
    return sum(bool(differences(trial.params, base)) for trial in done)


def _on_validation(study: Mapping[str, Any], measure: Measure) -> str:
    winner = mapping(study.get("winner"))
    mean, base = winner["mean"], winner.get("base_mean")
    compared = "; the settings that you had were not measured beside them, so what is gained there is not known"
    if known(base):
        compared = f", {measure.apart(mean - base)} than the settings that you had"
    title = "" if measure.is_share else f"a {measure.title} of "
    return f"The best settings found get {title}{measure.said(mean)} on the validation texts ({seeds_of(study)}){compared}."


def _on_test(study: Mapping[str, Any], measure: Measure) -> str:
    test = mapping(study.get("test"))
    gain = mapping(test.get("gain"))
    value, (low, high) = value_of(gain), ends(gain)
    if gain.get("reason"):
        return f"The difference on test is not known: {gain['reason']}."
    if value is None or low is None or high is None:
        return "How much of that is left on texts that the search never saw is not known: they were not scored on the test texts."
    where = f"On {plural(test.get('n'), 'test text')} that the search never saw"
    between = f"(95% interval {measure.bare(low)} to {measure.bare(high)})"
    unit = "" if measure.is_share else f" in {measure.title}"
    between += _accuracy_beside(test, measure)
    if low > 0:
        better = _by(measure.change(value).lstrip("+"), "better", unit)
        return f"{where}, they are {better} {between}: take them. {_OF_ONE_TRAINING}"
    if high < 0:
        worse = _by(measure.change(value).lstrip("−"), "worse", unit)
        return f"{where}, they are {worse} {between}: keep the settings that you had. {_OF_ONE_TRAINING}"
    return (
        f"{where}, the gain is {measure.change(value)}{unit} {between}: so many texts cannot tell the two apart. "
        f"Take them if they cost no more; do not count on the gain. {_OF_ONE_TRAINING}"
    )


def _by(amount: str, word: str, unit: str) -> str:
    """Return `0.5 points better`, or `better by 0.020 in log-loss`."""
    return f"{word} by {amount}{unit}" if unit else f"{amount} {word}"


def _accuracy_beside(test: Mapping[str, Any], measure: Measure) -> str:
    """Return the accuracy of both on test, where something else was searched for."""
    found = [value_of(mapping(mapping(test.get(name)).get("accuracy"))) for name in ("winner", "base")]
    if measure.is_share or None in found:
        return ""
    return f", with {percent(found[0], 1)} labelled right where it was {percent(found[1], 1)}"
