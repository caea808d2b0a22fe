"""The beginning of a search: what is asked for is checked, the study is made or known again, and its first trials are entered."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.errors import RunError, SettingsError, did_you_mean
from matinee.core.files import storage_errors
from matinee.core.settings import LINEAR
from matinee.core.space import PRUNERS, SAMPLERS, Choices
from matinee.training.study import FINISHED, JOURNAL, delete_study, is_in_memory, task_of, worked_on_elsewhere
from matinee.workflow.studying import spelled
from matinee.workflow.train import new_run_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.core.settings import Settings
    from matinee.core.types import Dataset
    from matinee.training.study import SharedStudy, TrialRow
    from matinee.workflow.study_plan import Plan, StudyFolder

logger = logging.getLogger(__name__)

# Settings of these groups decide about scores; trials of one study have them in common.
_COMPARABLE = ("data", "text", "model", "training")

# What a linear classifier of words and its calibration go by, of the settings that can be searched.
_OF_LINEAR = ("encoder", "calibration", "optimise")


def check_numbers(n_trials: int | None, n_jobs: int, n_finalists: int, finalist_seeds: int) -> None:
    """Raise SettingsError where a number is too small."""
    for flag, value, least in (
        ("--trials", n_trials, 1),
        ("--jobs", n_jobs, 1),
        ("--finalists", n_finalists, 0),
        ("--finalist-seeds", finalist_seeds, 0),
    ):
        if value is not None and value < least:
            raise SettingsError(f"{flag} must be at least {least}, got {value}.")


def known(value: str, flag: str) -> str:
    """Return the value of `metric`, `sampler` or `pruner`; SettingsError if there is no such."""
    from matinee.evaluation import METRICS

    known = {"metric": tuple(METRICS), "sampler": SAMPLERS, "pruner": PRUNERS}[flag]
    if value not in known:
        raise SettingsError(f"--{flag} must be one of {', '.join(known)}, got {value!r}.{did_you_mean(value, known)}")
    return value


def new_study_dir(base: Settings) -> Path:
    """Return the folder of a study that was given none: data and encoder, no time, so that the same command goes on."""
    return Path("searches") / new_run_dir(base).name.rsplit("-", 2)[0]


def storage_of(storage: str | None, folder: StudyFolder) -> str:
    """Return the storage that was asked for, else the one in the study's folder.

    Raises:
        SettingsError: It is no storage, or one that no other process sees.
    """
    if storage is None:
        return f"sqlite:///{folder.database}"
    if "://" not in storage and not storage.startswith(JOURNAL):
        raise SettingsError(
            f"--storage must be a database URL, as sqlite:///study.db or postgresql://user:password@host/database, or {JOURNAL}FILE."
        )
    if is_in_memory(storage):
        raise SettingsError(
            f"--storage {storage} would be gone with its process, and its trials with it: name a file, as sqlite:///study.db."
        )
    return storage


def check_space(plan: Plan) -> None:
    """Raise MatineeError where a value can only fail, an encoder or an augmentation that there is not, or every combination.

    So it does where a grid has no end.
    """
    from matinee.data import Augmentations
    from matinee.model.encoders import check_known

    for name, dimension in plan.space.dimensions.items():
        for value in dimension.values if isinstance(dimension, Choices) else ():
            if name == "encoder":
                check_known(value)
            elif name == "augment":
                Augmentations.parse(value)
    _check_effects(plan)
    plan.space.check_allows(plan.base)
    if plan.sampler == "grid":
        plan.space.grid(plan.base)


def _check_effects(plan: Plan) -> None:
    """Raise SettingsError where settings of the space change nothing, as nothing but linear classifiers is tried."""
    dimensions = plan.space.dimensions
    encoder = dimensions.get("encoder", Choices((plan.base.model.encoder,)))
    idle = [name for name in dimensions if name not in _OF_LINEAR]
    if idle and isinstance(encoder, Choices) and all(value in LINEAR for value in encoder.values):
        raise SettingsError(
            f"Encoder {' and '.join(encoder.values)} would be the same whatever the space says of {', '.join(idle)}: search "
            f"{', '.join(_OF_LINEAR[1:])} or the encoder itself (--space FILE), or take an encoder that is fine-tuned."
        )


def check_metric(metric: str, dataset: Dataset) -> None:
    """Raise SettingsError if the metric says nothing new of so many labels."""
    from matinee.evaluation import metrics_for

    if metric not in metrics_for(len(dataset.label_names)):
        raise SettingsError(f"--metric {metric} is for more than two labels: take {metric.removesuffix('_weighted')}.")


def open_folder(plan: Plan, dataset: Dataset, *, wanted: int | None, overwrite: bool) -> Plan:
    """Make the study, or check that the one that is there is this one; enter the trials that are settled beforehand.

    Args:
        plan: Of the search.
        dataset: The base's.
        wanted: Trials that the study shall have, as far as a number was asked for.
        overwrite: Whether to start over.

    Returns:
        The plan; with a grid it has no more trials than were made up before and the grid has points, all of them where no number
        was asked for.
    """
    from filelock import FileLock

    folder = plan.folder
    _check_free(folder)
    with storage_errors(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.lock("setup")):
        if overwrite:
            _start_over(plan)
        trials = plan.open_trials()
        about, found = _about(plan, dataset), trials.about
        if found:
            _check_same(about, found, folder)
        else:
            trials.describe(about)
        _enter(plan, trials)
        return plan if plan.sampler != "grid" else replace(plan, n_trials=_of_grid(trials.rows(), wanted))


def _of_grid(rows: Sequence[TrialRow], wanted: int | None) -> int:
    """Return how many trials a study has once its grid is done: each point counts once, whoever else entered it too."""
    counted = [row for row in rows if row.state in (*FINISHED, "running", "waiting")]
    tasks = [task_of(row.attrs, row.values) for row in counted]
    n_whole = sum(task is None or task not in tasks[:place] for place, task in enumerate(tasks))
    return n_whole if wanted is None else min(wanted, n_whole)


def _check_free(folder: StudyFolder) -> None:
    if folder.path.exists() and not folder.path.is_dir():
        raise RunError(f"{folder.path} is a file, not a folder: choose another --study-dir.")
    if folder.record.is_file() or folder.database.is_file() or not folder.path.is_dir():
        return
    if any(not child.name.startswith(".") for child in folder.path.iterdir()):
        raise RunError(
            f"{folder.path} is not empty and not a study: choose another --study-dir, it is never overwritten."
        )


def _start_over(plan: Plan) -> None:
    """Remove the study that is there, unless somebody works on it."""
    from matinee.training.workers import Workers

    if Workers(plan.folder.workers).any_at_work():
        raise RunError(
            f"Another process is searching in {plan.folder.path}: stop it first, or choose another --study-dir."
        )
    if plan.storage != storage_of(None, plan.folder):
        names = (plan.name, f"{plan.name} finalists")
        hosts = [worked_on_elsewhere(plan.storage, name, Workers(plan.folder.workers)) for name in names]
        if any(hosts):
            raise RunError(
                f"A process on {next(filter(None, hosts))} is searching in study {plan.name} of this storage: stop it first (one "
                "that was killed is forgotten after five minutes), or choose a --study-dir of another name."
            )
        for name in names:
            delete_study(plan.storage, name)
    for child in plan.folder.path.iterdir():
        if not child.name.startswith("."):
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()


def _about(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    """Return what makes trials comparable: those of another metric, space, base or data belong to another study."""
    base = {
        field: list(value) if isinstance(value, tuple) else value
        for group in _COMPARABLE
        for field, value in vars(getattr(plan.base, group)).items()
        if field not in {"data", "keep_checkpoints"}
    }
    base["encoder"] = Path(plan.base.model.encoder).name
    splits = {name: dataset.about["splits"][name]["fingerprint"] for name in ("train", "validation")}
    return {"metric": plan.metric, "space": plan.space.given, "base": base, "texts": splits}


def _check_same(about: Mapping[str, Any], known: Mapping[str, Any], folder: StudyFolder) -> None:
    """Raise RunError, naming the first difference, where the study that is there is another one."""
    what_next = "choose another --study-dir, or pass --overwrite to start again"
    titles = {"metric": "another --metric", "space": "another space", "base": "other settings", "texts": "other texts"}
    for part, title in titles.items():
        now, then = about[part], known.get(part)
        if now == then:
            continue
        raise RunError(f"The study in {folder.path} was made with {title} ({_difference(then, now)}): {what_next}.")


def _difference(then: Any, now: Any) -> str:
    """Return the first difference in a few words."""
    if not isinstance(then, dict) or not isinstance(now, dict):
        return f"{then} there, {now} here"
    name = next(
        name for name in [*now, *then] if then.get(name, "") != now.get(name, "") or (name in then) != (name in now)
    )
    if len(str(now.get(name))) == 64:  # a fingerprint says nothing to anybody
        return str(name)
    sides = [
        f"{spelled(side[name])} {where}" if name in side else f"not {where}"
        for side, where in ((then, "there"), (now, "here"))
    ]
    return f"{name}: {', '.join(sides)}"


def _enter(plan: Plan, trials: SharedStudy) -> None:
    """Enter the base as the first trial, and every point of a grid; what is there already is not entered again.

    A base that failed is tried again, and so is what failed for a reason that may be gone by now.
    """
    trials.revive()
    rows = [row for row in trials.rows() if row.state != "lost"]
    own = plan.space.base_of(plan.base)
    if not any(row.attrs.get("base") for row in rows):
        if plan.space.contains(own):
            trials.add(own, base=True)
        else:
            logger.info("Your settings lie outside of the space; they are the first trial all the same")
            trials.add({}, base=True, outside=True)
    if plan.sampler == "grid":
        there = [own, *(row.values for row in rows)]
        for point in plan.space.grid(plan.base):
            if point not in there:
                trials.add(point, grid=True)
