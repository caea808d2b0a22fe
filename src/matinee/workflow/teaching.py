"""Soft labels: what finished runs say of unlabelled texts, asked once and kept, for another classifier to learn."""

from __future__ import annotations

import logging
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.backends import TORCH
from matinee.core.errors import DataError, RunError, SettingsError
from matinee.core.files import atomic_path, write_json
from matinee.core.progress import progress
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.types import SoftTexts
from matinee.workflow.fitting import CLASSIFIER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.settings import Settings
    from matinee.core.types import Dataset, Predictions
    from matinee.data import Unlabelled

logger = logging.getLogger(__name__)

_FORMAT = 1
# Texts that are predicted between two files of answers: what Ctrl-C may cost, and enough to sort by length.
_CHUNK = 500


@dataclass(frozen=True)
class Teacher:
    """A finished run that is asked.

    Attributes:
        path: Its folder.
        encoder: What it is.
        accuracy: On its own test texts; None where it has none.
        weights: SHA-256 of each weights file, by which it is known again.
    """

    path: str
    encoder: str
    accuracy: float | None
    weights: dict[str, str]

    @classmethod
    def of(cls, path: str | Path) -> Teacher:
        """Return the run in a folder.

        Raises:
            RunError: It is no complete run.
        """
        run = RunFolder(Path(path).expanduser().absolute())
        run.check_complete()
        files = run.read_json(run.manifest)["files"]
        weights = {
            name: of["sha256"]
            for name, of in files.items()
            if name.startswith("model/") and name.endswith(".safetensors")
        }
        accuracy = run.read_json(run.metrics).get("test", {}).get("accuracy", {}).get("value")
        return cls(str(run.path), run.read_config().model.encoder, accuracy, weights)


@dataclass(frozen=True)
class Plan:
    """How a student is taught: `distillation.json`.

    Attributes:
        teachers: Whose mean probabilities are learned.
        unlabelled: The source of the texts.
        text_column: The column that holds them; None: guessed.
        encoding: Of a text file.
        unlabelled_size: Texts to draw at random; None: all.
        temperature: What both sides' logits are divided by before they are compared.
        confidence: Texts whose most probable label is less probable are left out; None: none are.
        true_label_share: As in `SoftTexts`.
        backend: What computes the teachers.
    """

    teachers: tuple[Teacher, ...]
    unlabelled: str
    text_column: str | None = None
    encoding: str = "utf-8"
    unlabelled_size: int | None = None
    temperature: float = 1.0
    confidence: float | None = None
    true_label_share: float | None = None
    backend: str = TORCH

    def check(self) -> None:
        """Raise SettingsError if a number is out of its range."""
        rules = {
            "distill-temperature": (0.1 <= self.temperature <= 100, "between 0.1 and 100", self.temperature),
            "confidence": (self.confidence is None or 0 < self.confidence < 1, "above 0 and below 1", self.confidence),
            "true-label-share": (
                self.true_label_share is None or 0 <= self.true_label_share < 1,
                "at least 0 and below 1",
                self.true_label_share,
            ),
            "unlabelled-size": (
                self.unlabelled_size is None or self.unlabelled_size >= 1,
                "at least 1",
                self.unlabelled_size,
            ),
        }
        wrong = [f"--{name} must be {rule}, got {value:g}" for name, (holds, rule, value) in rules.items() if not holds]
        if wrong:
            raise SettingsError("; ".join(wrong) + ".")

    def command(self, settings: Settings, config: str, run_dir: str) -> str:
        """Return the command that makes the same run again."""
        words = ["matinee", "distill", *(teacher.path for teacher in self.teachers), "--unlabelled", self.unlabelled]
        words += ["--into", settings.model.encoder, "--recipe", config, "--run-dir", run_dir]
        given = {
            "--distill-temperature": None if self.temperature == 1 else self.temperature,
            "--confidence": self.confidence,
            "--true-label-share": self.true_label_share,
            "--unlabelled-size": self.unlabelled_size,
            "--text-column": self.text_column,
            "--encoding": None if self.encoding == "utf-8" else self.encoding,
            "--backend": None if self.backend == TORCH else self.backend,
        }
        words += [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
        return shlex.join(words)


@dataclass(frozen=True)
class Teaching:
    """A plan with the texts at hand.

    Attributes:
        plan: How the student is taught.
        pool: The unlabelled texts.
    """

    plan: Plan
    pool: Unlabelled

    @classmethod
    def prepared(cls, plan: Plan, dataset: Dataset, settings: Settings) -> Teaching:
        """Read the unlabelled texts, before anything is spent.

        Raises:
            DataError: They cannot be read, or nothing of them is left.
        """
        from matinee.data import load_unlabelled

        reading = resolve(Layer({"text_column": plan.text_column, "encoding": plan.encoding})).data
        pool = load_unlabelled(
            plan.unlabelled,
            dataset,
            settings.data,
            reading=reading,
            size=plan.unlabelled_size,
            seed=settings.training.seed,
        )
        said = ", ".join(f"{n:,} {reason}" for reason, n in pool.about["left_out"].items())
        logger.info(f"{len(pool):,} unlabelled texts of {plan.unlabelled}{f'; left out: {said}' if said else ''}")
        return cls(plan, pool)

    def write(self, run: RunFolder) -> None:
        """Keep the plan, so that the run can be resumed."""
        write_json(run.distillation, {"format": _FORMAT, **asdict(self.plan), "unlabelled_about": self.pool.about})

    def soft_texts(self, run: RunFolder, dataset: Dataset) -> tuple[SoftTexts, dict[str, Any]]:
        """Ask the teachers, as far as their answers are not in the run's folder yet.

        Returns:
            What the student learns, and what is to be said of it, as plain JSON values.

        Raises:
            DataError: The teachers are sure of no text.
            RunError: A teacher is not what it was when the run was begun.
        """
        from matinee.evaluation import temper

        self._keep_test_answers(run, dataset)
        by_teacher = np.stack([self._ask(run, place, dataset.label_names) for place in range(len(self.plan.teachers))])
        said = by_teacher.mean(axis=0)
        surest = said.max(axis=1)
        kept = np.flatnonzero(surest >= (self.plan.confidence or 0))
        if not len(kept):
            raise DataError(
                f"The teachers give no text's label a probability of {self.plan.confidence:g} or more, the surest has "
                f"{surest.max():.3f}: lower --confidence."
            )
        answers = by_teacher.argmax(axis=2)
        about = {
            **self._about(dataset.label_names, said, kept),
            "agreement": {
                "teachers": float((answers == answers[0]).all(axis=0).mean()) if len(by_teacher) > 1 else None
            },
        }
        soft = said[kept] if self.plan.temperature == 1 else temper(said[kept], self.plan.temperature)
        texts = SoftTexts(
            [self.pool.ids[row] for row in kept],
            [self.pool.texts[row] for row in kept],
            soft,
            self.plan.temperature,
            self.plan.true_label_share,
        )
        balance = ", ".join(f"{name} {share:.1%}" for name, share in about["labels"].items())
        logger.info(f"Soft labels of {len(kept):,} texts; most probable: {balance}")
        return texts, about

    def _about(self, label_names: Sequence[str], said: NDArray[np.float64], kept: NDArray[np.int64]) -> dict[str, Any]:
        def shares(answers: NDArray[np.int64]) -> dict[str, float]:
            counts = np.bincount(answers, minlength=len(label_names))
            return {name: float(count / len(answers)) for name, count in zip(label_names, counts, strict=True)}

        surest, answers = said.max(axis=1), said.argmax(axis=1)
        return {
            "teachers": [
                {"name": Path(teacher.path).name, "encoder": teacher.encoder, "accuracy": teacher.accuracy}
                for teacher in self.plan.teachers
            ],
            "unlabelled": self.pool.about,
            "n_texts": len(kept),
            "n_unsure": len(said) - len(kept),
            "confidence": {
                "least": self.plan.confidence,
                "mean": float(surest.mean()),
                "mean_kept": float(surest[kept].mean()),
            },
            "labels": shares(answers[kept]),
            "labels_before": shares(answers),
            "temperature": self.plan.temperature,
            "true_label_share": self.plan.true_label_share,
            "backend": self.plan.backend,
        }

    def _ask(self, run: RunFolder, place: int, label_names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return what a teacher says of the texts, shape (n_texts, n_labels); each part that is new is kept at once."""
        teacher, n_texts = self.plan.teachers[place], len(self.pool)
        parts: list[NDArray[np.float64]] = []
        folder, predictor = run.soft_labels / f"teacher-{place + 1}", None
        with progress(f"Asking {Path(teacher.path).name}", n_texts, "texts") as bar:
            for start in range(0, n_texts, _CHUNK):
                bar.update(start)
                texts = self.pool.texts[start : start + _CHUNK]
                path = folder / f"from-{start:08d}.npy"
                part = _read_part(path, (len(texts), len(label_names)))
                if part is None:
                    predictor = predictor or _load(teacher, self.plan.backend)
                    part = predictor.probabilities(texts)[:, _order(predictor.label_names, label_names)]
                    _write_part(path, part)
                parts.append(part)
        return np.concatenate(parts)

    def _keep_test_answers(self, run: RunFolder, dataset: Dataset) -> None:
        """Keep what the teachers say of the test texts, where all of them were tested on the student's."""
        from matinee.evaluation import read_predictions

        path, ids = run.soft_labels / "test.npy", dataset.splits["test"].ids
        folders = [RunFolder(Path(teacher.path)) for teacher in self.plan.teachers]
        if path.is_file() or not all(folder.predictions.is_file() for folder in folders):
            return
        tests = [read_predictions(folder.predictions).get(("test", CLASSIFIER)) for folder in folders]
        found = [test for test in tests if test is not None and test.ids == ids]
        if len(found) == len(tests):
            said = [test.probabilities[:, _order(test.label_names, dataset.label_names)] for test in found]
            _write_part(path, np.mean(said, axis=0))


def read_teaching(run: RunFolder, dataset: Dataset, settings: Settings) -> Teaching | None:
    """Return the teaching of a run that is taken up again; None where nobody taught it.

    Raises:
        RunError: The unlabelled texts are not what they were.
    """
    if not run.distillation.is_file():
        return None
    saved = run.read_json(run.distillation)
    teaching = Teaching.prepared(_plan_of(saved, run), dataset, settings)
    if teaching.pool.about["fingerprint"] != saved["unlabelled_about"]["fingerprint"]:
        raise RunError(
            f"The unlabelled texts of {run.path} are no longer what they were when it was begun: distil anew with --overwrite."
        )
    return teaching


def command_of(run: RunFolder, settings: Settings, config: str, run_dir: str) -> str | None:
    """Return the command that makes a distilled run again; None for a run that nobody taught."""
    saved = run.read_optional_json(run.distillation)
    return None if saved is None else _plan_of(saved, run).command(settings, config, run_dir)


def teaching_section(run: RunFolder, about: dict[str, Any], test: Predictions) -> dict[str, Any]:
    """Return what is to be said of a distilled run: how it was taught, and what became of it on the test texts.

    Args:
        run: Holds what the teachers said of the test texts, where all of them were tested on these.
        about: As `Teaching.soft_texts` gives it.
        test: What the student says of them.
    """
    said = _read_part(run.soft_labels / "test.npy", test.probabilities.shape)
    if said is None:
        return about
    answers = said.argmax(axis=1)
    accuracy = None if test.labels is None else float((answers == test.labels).mean())
    agreement = {**about["agreement"], "test": float((answers == test.predicted).mean()), "n_test": len(test)}
    return {**about, "agreement": agreement, "teachers_accuracy": accuracy}


def _plan_of(saved: dict[str, Any], run: RunFolder) -> Plan:
    try:
        values = {name: value for name, value in saved.items() if name not in {"format", "unlabelled_about"}}
        return Plan(**{**values, "teachers": tuple(Teacher(**teacher) for teacher in saved["teachers"])})
    except (KeyError, TypeError) as error:
        raise RunError(f"{run.distillation} is damaged: distil anew with --overwrite.") from error


def _load(teacher: Teacher, backend: str) -> Any:
    """Return a teacher's predictor.

    Raises:
        RunError: It is gone, or another one by now.
    """
    from matinee.inference import load_predictor

    if Teacher.of(teacher.path).weights != teacher.weights:
        raise RunError(f"The teacher {teacher.path} was trained anew since: distil anew with --overwrite.")
    return load_predictor(teacher.path, backend=backend)


def _order(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    return [names.index(name) for name in wanted]


def _read_part(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return answers that were kept; None where there are none of that shape."""
    try:
        part = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return part if part.shape == shape else None


def _write_part(path: Path, part: NDArray[np.float64]) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, part, allow_pickle=False)
