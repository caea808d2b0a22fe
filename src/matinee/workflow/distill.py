"""`matinee distill`: a student that learns what finished runs say of texts that nobody labelled."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.backends import TORCH
from matinee.core.errors import SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, flatten, resolve
from matinee.core.settings import LINEAR, DataSettings
from matinee.workflow.recipes import read_recipe
from matinee.workflow.teaching import Plan, Teacher, Teaching
from matinee.workflow.together import together
from matinee.workflow.train import new_run_dir, prepare, start_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.settings import Settings
    from matinee.core.types import Dataset
    from matinee.workflow.train import Run

# What comes from the first teacher's run, so that the student is scored on texts that none of them has seen.
_FROM_TEACHER = {*(field.name for field in fields(DataSettings)), "encoder"}


@together
def distill(
    runs: str | Path | Sequence[str | Path],
    *,
    unlabelled: str | Path,
    into: str | Path,
    recipe: str | Path | None = None,
    run_dir: str | Path | None = None,
    overwrite: bool = False,
    offline: bool = False,
    backend: str = TORCH,
    distill_temperature: float = 1.0,
    confidence: float | None = None,
    true_label_share: float | None = None,
    unlabelled_size: int | None = None,
    text_column: str | None = None,
    encoding: str = "utf-8",
    flags: Layer | None = None,
    **settings: object,
) -> Run:
    """Train a student on what one or several runs say of unlabelled texts, and on the first run's true labels.

    The student is scored on the first run's test texts, and leaves a run folder like any other. Of the same encoder it is
    self-training, and has the first run's settings where none are given; of a smaller one, or of fewer layers, it is
    compression (Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network").

    Args:
        runs: A complete run, or several whose probabilities are averaged: an ensemble.
        unlabelled: A named dataset, a file with a text column, or a hub id. Labels in it are not looked at, and texts that
            stand in the run's own splits are left out; of the run's own dataset it is what the splits leave of train.
        into: Encoder of the student: a name, a hub id, a folder, `tfidf` or `nblr`.
        recipe: YAML file of settings, or the name of a shipped one; data and encoder in it play no part.
        run_dir: Folder to make; `runs/<data>-<encoder>-<time>` where not given.
        overwrite: Replace a run that is already there.
        offline: Never touch the network.
        backend: What computes the teachers: PyTorch where not given, or an export of theirs, which is faster.
        distill_temperature: What both sides' logits are divided by before they are compared: above 1, what the teachers
            hold for less likely tells more.
        confidence: Leave out texts whose most probable label has a probability below this.
        true_label_share: Share of the loss that the true labels have, at least 0 and below 1; None: every text counts the same.
        unlabelled_size: Texts to draw at random; None: all of them.
        text_column: Column of the unlabelled file that holds the texts; guessed where not given.
        encoding: Of the unlabelled file.
        flags: Settings as the command line gives them.
        **settings: Any setting of text, model, training, evaluation and tracking by its name.

    Raises:
        MatineeError: Anything that a user can put right; see `matinee.core.errors`.

    Example:
        >>> matinee.distill("runs/mpnet", unlabelled="imdb", into="minilm", run_dir="runs/student")  # doctest: +SKIP
    """
    teachers = [Teacher.of(path) for path in ([runs] if isinstance(runs, (str, Path)) else runs)]
    if not teachers:
        raise SettingsError("No teacher given: name a finished run, as in `matinee distill runs/teacher …`.")
    source = _absolute(unlabelled)
    sizes = (unlabelled_size, distill_temperature, confidence, true_label_share)
    plan = Plan(tuple(teachers), source, text_column, encoding, *sizes, backend)
    layers = [read_recipe(recipe)] if recipe else []
    resolved = _student_settings(teachers[0], str(into), layers, [*([flags] if flags else []), Layer(settings)])
    _check_together(plan, resolved)
    folder = RunFolder(Path(run_dir).expanduser() if run_dir else new_run_dir(resolved))
    folder.check_free(overwrite=overwrite)
    with hub.offline(offline):
        encoder, dataset = prepare(resolved)
        _check_teachers(teachers, dataset)
        teaching = Teaching.prepared(plan, dataset, resolved)
        return start_run(folder, resolved, encoder, dataset, overwrite=overwrite, teaching=teaching)


def _absolute(unlabelled: str | Path) -> str:
    """Return a file's path made absolute, so that a resume works from any folder; another name as it is."""
    from matinee.data import DATASETS

    name, path = str(unlabelled), Path(unlabelled).expanduser()
    is_path = path.exists() or any(sign in name for sign in "*?[")
    return str(path.absolute()) if is_path and name not in DATASETS else name


def _student_settings(teacher: Teacher, into: str, recipe: Sequence[Layer], given: Sequence[Layer]) -> Settings:
    """Return the student's settings: data and seed of the teacher's run, and all of them where the encoder is the same.

    Raises:
        SettingsError: What the run decides was given, or a setting is wrong.
    """
    own = RunFolder(Path(teacher.path)).read_config()
    for layer in given:
        for name in sorted(_FROM_TEACHER & layer.values.keys()):
            hint = (
                "--into names the encoder" if name == "encoder" else f"data and hold-outs are those of {teacher.path}"
            )
            raise SettingsError(f"{layer.spell(name)} cannot be given to distill: {hint}.")
    folder = Path(into).expanduser()
    if (folder / "config.json").is_file():
        into = str(folder.absolute())
    inherited = flatten(own) if into == own.model.encoder else {"seed": own.training.seed}
    fixed = {field.name: getattr(own.data, field.name) for field in fields(DataSettings)}
    settings = resolve(Layer(inherited), *recipe, *given, Layer({**fixed, "encoder": into}))
    if own.data.train_size is not None and settings.training.seed != own.training.seed:
        raise SettingsError(
            f"--seed must be {own.training.seed}, that of {teacher.path}: another seed draws other texts with true labels. "
            "Train a teacher with it first."
        )
    return settings


def _check_together(plan: Plan, settings: Settings) -> None:
    """Raise SettingsError where the plan asks for what the student cannot do."""
    plan.check()
    if plan.temperature != 1 and settings.model.encoder in LINEAR:
        raise SettingsError(
            f"--distill-temperature needs an encoder that is fine-tuned: {settings.model.encoder} has no loss to divide in."
        )
    if settings.training.freeze == "all":
        raise SettingsError("--freeze all trains no step: nothing would be learned from the teachers.")


def _check_teachers(teachers: Sequence[Teacher], dataset: Dataset) -> None:
    """Raise SettingsError where teachers tell other labels apart, or were trained on what the student is scored on."""
    from matinee.data import count_seen
    from matinee.model.artifact import ClassifierInfo

    for teacher in teachers:
        run = RunFolder(Path(teacher.path))
        names = ClassifierInfo.read(run.model).label_names
        if set(names) != set(dataset.label_names):
            raise SettingsError(
                f"Teachers must have the labels of the first one: {teacher.path} has {_listed(names)}, not "
                f"{_listed(dataset.label_names)}."
            )
        n_seen: Any = {name: count_seen(run.seen, dataset.splits[name]) for name in ("validation", "test")}
        if any(n_seen.values()):
            raise SettingsError(
                f"The teacher {teacher.path} was trained on {n_seen['validation']:,} validation and {n_seen['test']:,} test "
                "texts of the student: its scores would flatter. Train teachers with the same --split-seed and sizes."
            )


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
