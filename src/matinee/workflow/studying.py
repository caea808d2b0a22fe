"""What is told of a study while it goes on, and left of it: lines, `study.json`, `trials.csv`, `best.yaml`."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from matinee.core.files import write_json, write_text
from matinee.core.schema import settings_fields
from matinee.core.wording import duration_in_words
from matinee.training.study import FINISHED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.core.settings import Settings
    from matinee.training.study import SharedStudy, TrialRow
    from matinee.workflow.study_plan import Plan

logger = logging.getLogger(__name__)

FORMAT = 1


@dataclass
class Record:
    """All that is known of a study so far; becomes `study.json`.

    Attributes:
        plan: Of the search.
        data: Name of the dataset.
        n_validation: Texts that trials are scored on.
        rows: The trials.
        finalists: The best ones, repeated; empty before that.
        winner: What the search ends with; None before that.
        test: What the test texts say of it; None before that.
        chosen_of: Trials that were finished when the winner was chosen; more may have been added since. None before that.
        importance: Share of the differences that each setting accounts for; None where too little is known.
        more_seconds: What was spent on finalists and on refitting.
    """

    plan: Plan
    data: str
    n_validation: int
    rows: list[TrialRow] = field(default_factory=list)
    finalists: list[dict[str, Any]] = field(default_factory=list)
    winner: dict[str, Any] | None = None
    test: dict[str, Any] | None = None
    chosen_of: int | None = None
    importance: dict[str, float] | None = None
    more_seconds: float = 0.0

    @property
    def n_finished(self) -> int:
        """Trials that count."""
        return sum(row.state in FINISHED for row in self.rows)

    def recall(self, *, only_newer: bool = False) -> None:
        """Take over what `study.json` says of a search that was over before, until something newer is known.

        The file of another study, or one that is damaged, says nothing.

        Args:
            only_newer: Whether a file says nothing either that names no winner, or one of no more trials than are chosen from here.
        """
        try:
            known = json.loads(self.plan.folder.record.read_text(encoding="utf-8"))
            here = json.loads(json.dumps(self.to_json()))
            params = {trial["number"]: trial["params"] for trial in here["trials"]}
            same = all(known[name] == here[name] for name in ("metric", "space"))
            if not same or any(params.get(trial["number"]) != trial["params"] for trial in known["trials"]):
                return
            spent = known["seconds"] - sum(trial["seconds"] for trial in known["trials"])
            found = {name: known[name] for name in ("finalists", "winner", "test", "importance", "chosen_of")}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        if only_newer and (found["winner"] is None or (found["chosen_of"] or 0) <= (self.chosen_of or 0)):
            return
        if found["test"] and self.plan.metric not in found["test"].get("winner", {}):
            found["test"] = None  # of a version that told every gain in accuracy
        self.more_seconds = max(self.more_seconds, spent)
        for name, value in found.items():
            setattr(self, name, value)

    def choose(self, winner: dict[str, Any], finalists: list[dict[str, Any]]) -> None:
        """Take note of what the search ends with; what the test texts say stays if that is what it ended with before."""
        before, self.winner, self.finalists, self.chosen_of = self.winner, winner, finalists, self.n_finished
        if self.test is None or before is None or _plain(before["params"]) != _plain(winner["params"]):
            self.test = None
        else:
            self.test = {**self.test, "validation_gain": self.validation_gain()}

    def validation_gain(self) -> float | None:
        """Return how much better the winner's mean is than the base's, above 0 if it is; None where the base has none."""
        if self.winner is None or self.winner["base_mean"] is None:
            return None
        return float(self.rank(self.winner["base_mean"]) - self.rank(self.winner["mean"]))

    def best_row(self) -> TrialRow | None:
        """Return the complete trial that scored best, the first of equals; None where none is complete."""
        complete = [row for row in self.rows if row.state == "complete"]
        return min(complete, key=lambda row: self.rank(value_of(row))) if complete else None

    def rank(self, value: float) -> float:
        """Return a number that is smaller for a better score."""
        return -value if self.plan.higher_is_better else value

    def params_of(self, row: TrialRow) -> dict[str, Any]:
        """Return the values of the space's settings that a trial had."""
        return self.plan.space.base_of(self.plan.base) if row.attrs.get("base") else row.values

    def best_values(self) -> dict[str, Any]:
        """Return the winner's values, before there is one the best trial's, before that the base's."""
        if self.winner is not None:
            return dict(self.winner["params"])
        best = self.best_row()
        return self.plan.space.base_of(self.plan.base) if best is None else self.params_of(best)

    def to_json(self) -> dict[str, Any]:
        """Return the study as plain JSON values."""
        plan, best = self.plan, self.best_row()
        ended = [row for row in self.rows if row.state in (*FINISHED, "lost")]
        seconds = self.more_seconds + sum(row.outcome.seconds for row in ended if row.outcome)
        return {
            "format": FORMAT,
            "data": self.data,
            "base": plan.base.flat(),
            "space": plan.space.given,
            "metric": plan.metric,
            "higher_is_better": plan.higher_is_better,
            "n_validation": self.n_validation,
            "sampler": plan.sampler,
            "pruner": plan.pruner,
            "n_trials": plan.n_trials,
            "seconds": round(seconds, 1),
            "counts": {state: sum(row.state == state for row in self.rows) for state in (*FINISHED, "lost")},
            "trials": [self._trial(row) for row in ended],
            "best": None
            if best is None
            else {"number": best.number, "value": value_of(best), "params": self.params_of(best)},
            "importance": self.importance,
            "finalists": self.finalists,
            "winner": self.winner,
            "chosen_of": self.chosen_of,
            "test": self.test,
        }

    def _trial(self, row: TrialRow) -> dict[str, Any]:
        outcome = row.outcome
        return {
            "number": row.number,
            "state": row.state,
            "value": None if outcome is None else outcome.value,
            "params": self.params_of(row),
            "is_base": bool(row.attrs.get("base")),
            "epochs": [] if outcome is None else outcome.epochs,
            "seconds": 0.0 if outcome is None else outcome.seconds,
            "reason": self.why_lost(row) if outcome is None or row.state == "lost" else outcome.reason,
        }

    def why_lost(self, row: TrialRow) -> str:
        """Return what became of a trial that has no outcome, or whose outcome does not count."""
        if row.outcome is not None:
            return f"{row.outcome.reason or row.outcome.state}; it is tried again"
        if row.attrs.get("given_back"):
            return "interrupted; it is tried again"
        return "its process ended before it did" + ("; it is tried again" if row.state == "lost" else ", twice")

    def write(self) -> None:
        """Write everything but the page; what another process has chosen from more trials meanwhile is kept."""
        from filelock import FileLock

        with FileLock(self.plan.folder.lock("record")):
            self.recall(only_newer=True)
            study = self.to_json()
            write_json(self.plan.folder.record, study)
            write_text(self.plan.folder.table, _table(study["trials"], list(self.plan.space.dimensions)))
            write_text(self.plan.folder.recipe, recipe(self.plan.base, self.best_values(), self._said_of_it()))

    def write_page(self) -> None:
        """Write the page a person reads."""
        from matinee.report import render_study

        write_text(self.plan.folder.report, render_study(self.to_json()))

    def _said_of_it(self) -> str:
        n_trials = self.n_finished if self.chosen_of is None else self.chosen_of
        best = "The best settings" if self.winner is not None else "The best settings so far"
        return (
            f"{best} of a search of {n_trials} trials by validation {self.plan.metric}, on {self.n_validation:,} texts."
        )


def _plain(values: Mapping[str, Any]) -> Any:
    """Return values as JSON keeps them."""
    return json.loads(json.dumps(values))


def value_of(row: TrialRow) -> float:
    """Return what a trial scored; NaN where it did not."""
    return math.nan if row.outcome is None or row.outcome.value is None else row.outcome.value


def recipe(base: Settings, values: Mapping[str, Any], said: str) -> str:
    """Return the settings as a recipe: the data, and what differs from the defaults."""
    chosen = {**base.flat(), **values}
    differing = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in chosen.items()
        if name == "data" or value != settings_fields()[name].default
    }
    return f"# {said}\n# Train it with: matinee train --recipe FILE\n" + yaml.safe_dump(
        differing, sort_keys=False, allow_unicode=True
    )


def _table(trials: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return the trials as CSV."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["number", "state", "value", "seconds", "is_base", *names, "reason"])
    for trial in trials:
        values = [spelled(trial["params"][name]) if name in trial["params"] else "" for name in names]
        value = "" if trial["value"] is None else trial["value"]
        row = [
            trial["number"],
            trial["state"],
            value,
            trial["seconds"],
            trial["is_base"],
            *values,
            trial["reason"] or "",
        ]
        writer.writerow(row)
    return lines.getvalue()


def spelled(value: Any) -> str:
    """Return a setting's value as one would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3g}"
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


class Teller:
    """Says a line of each trial that ended since it last looked, whoever did it, and keeps the record.

    Args:
        record: Of the study.
        trials: Where the trials are kept.
    """

    def __init__(self, record: Record, trials: SharedStudy) -> None:
        self.record = record
        self.trials = trials
        self.record.rows = trials.rows()
        self._told = {row.number for row in self.record.rows if row.state in (*FINISHED, "lost")}
        self._start, self._n_before = time.monotonic(), self.record.n_finished

    def look(self) -> None:
        """Tell of trials that ended."""
        self.record.rows = self.trials.rows()
        new = [row for row in self.record.rows if row.state in (*FINISHED, "lost") and row.number not in self._told]
        for row in new:
            self._told.add(row.number)
            logger.info(self._line(row))
        if new:
            self.record.write()

    def _line(self, row: TrialRow) -> str:
        record, value = self.record, value_of(row)
        said = f"Trial {row.number}"
        if row.attrs.get("base"):
            said += " (your settings)"
        if row.state == "complete":
            said += f": {record.plan.metric} {value:.3f}{self._best(row)}"
        elif row.state == "lost":
            said += f": {record.why_lost(row)}"
        else:
            reason = record.why_lost(row) if row.outcome is None else row.outcome.reason
            said += f" {row.state}: {reason}" + ("" if math.isnan(value) else f" ({record.plan.metric} {value:.3f})")
        return "; ".join([said, *filter(None, [self._changed(row), self._left()])])

    def _best(self, row: TrialRow) -> str:
        best = self.record.best_row()
        if best is None or best.number == row.number:
            return ", the best so far" if self.record.n_finished > 1 else ""
        return f" (best: {value_of(best):.3f}, trial {best.number})"

    def _changed(self, row: TrialRow) -> str:
        """Return the settings that a trial does not share with the base."""
        base = self.record.plan.space.base_of(self.record.plan.base)
        changed = [(name, value) for name, value in self.record.params_of(row).items() if value != base[name]]
        return ", ".join(f"{name} {spelled(value)}" for name, value in changed)

    def _left(self) -> str:
        """Return how long the other trials take, from those that ended since this process began."""
        n_finished = self.record.n_finished
        n_left, n_done = self.record.plan.n_trials - n_finished, n_finished - self._n_before
        if n_left <= 0 or n_done <= 0:
            return ""
        return f"{n_left} to go, about {duration_in_words((time.monotonic() - self._start) / n_done * n_left)}"
