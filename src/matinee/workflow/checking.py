"""The checks of a run, from the files of its folder and of its siblings."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from matinee.core.errors import MatineeError
from matinee.core.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.core.settings import Settings
    from matinee.core.types import Predictions

# Run folders beside this one that are looked into for other seeds.
_MOST_SIBLINGS = 200


def check_run(
    run: RunFolder, settings: Settings, test: Predictions, metrics: Mapping[str, Any], analysis: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return what is wrong with a run, worst first, as `matinee.evaluation.checks.run_checks` does.

    Args:
        run: Its folder: history, audit and data are read.
        settings: The run's; checks named in `ignore` are left out.
        test: What the classifier said of the test texts.
        metrics: As in `metrics.json`.
        analysis: The other sections of `analysis.json`.
    """
    from matinee.evaluation import confusion_matrix
    from matinee.evaluation.checks import CheckFacts, run_checks

    facts = CheckFacts(
        metrics=metrics,
        history=run.read_history(),
        analysis=analysis,
        audit=run.read_optional_json(run.audit) or {},
        data=run.read_optional_json(run.data) or {},
        stress=run.read_optional_json(run.stress) or {},
        settings=settings.flat(),
        confusion=[] if test.labels is None else confusion_matrix(test).tolist(),
        label_names=test.label_names,
        seed_accuracies=[metrics["test"]["accuracy"]["value"], *_other_seeds(run, settings, metrics)],
    )
    return run_checks(facts, settings.evaluation.ignore or ())


def check_codes(settings: Settings) -> None:
    """Raise SettingsError if a check that shall be ignored does not exist, before anything is spent."""
    from matinee.evaluation.checks import CheckFacts, run_checks

    run_checks(CheckFacts(), settings.evaluation.ignore or ())


def _other_seeds(run: RunFolder, settings: Settings, metrics: Mapping[str, Any]) -> list[float]:
    """Return the test accuracies of complete runs in the same parent folder that differ from this one by their seed alone."""
    accuracies: dict[int, float] = {}
    for sibling in _siblings(run):
        if sibling.distillation.is_file() != run.distillation.is_file():
            continue
        try:
            theirs, scores = sibling.read_config(), sibling.read_json(sibling.metrics)["test"]
            n, accuracy = scores["n"], scores["accuracy"]["value"]
        except (MatineeError, KeyError, TypeError):
            continue  # a damaged neighbour is not this run's business
        if n == metrics["test"]["n"] and _but_for_seed(theirs) == _but_for_seed(settings):
            accuracies[theirs.training.seed] = accuracy
    accuracies.pop(settings.training.seed, None)
    return list(accuracies.values())


def _siblings(run: RunFolder) -> list[RunFolder]:
    """Return the complete runs in the same parent folder, as far as it can be read; anything may lie there."""
    own = run.path.absolute()
    found = []
    try:
        paths = sorted(own.parent.iterdir())[:_MOST_SIBLINGS]
    except OSError:
        return []
    for path in paths:
        with suppress(OSError):  # a folder of somebody else
            if path.name != own.name and RunFolder(path).is_run and RunFolder(path).is_complete:
                found.append(RunFolder(path))
    return found


def _but_for_seed(settings: Settings) -> dict[str, object]:
    """Return every setting that can change a score, except the seed."""
    same = replace(settings, evaluation=type(settings.evaluation)(), tracking=type(settings.tracking)())
    return {**same.flat(), "seed": 0}
