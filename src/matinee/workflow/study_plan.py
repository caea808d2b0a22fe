"""What the processes of a search agree on, and where its files are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.space import Space
from matinee.training.study import open_study
from matinee.training.workers import Workers

if TYPE_CHECKING:
    from matinee.core.settings import Settings
    from matinee.training.study import SharedStudy

TRIALS, FINALISTS = "trials", "finalists"
"""Stages of a search: see `Plan.stage`."""


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study."""

    path: Path

    @property
    def record(self) -> Path:
        """All that is known of the study."""
        return self.path / "study.json"

    @property
    def table(self) -> Path:
        """The trials, one a line."""
        return self.path / "trials.csv"

    @property
    def recipe(self) -> Path:
        """The best settings, as a recipe."""
        return self.path / "best.yaml"

    @property
    def report(self) -> Path:
        """The page a person reads."""
        return self.path / "report.html"

    @property
    def database(self) -> Path:
        """The trials, as Optuna keeps them where no other storage is given."""
        return self.path / "study.db"

    @property
    def best(self) -> RunFolder:
        """The run of the best settings."""
        return RunFolder(self.path / "best")

    @property
    def base(self) -> RunFolder:
        """The run of the settings that the search began with."""
        return RunFolder(self.path / "base")

    @property
    def workers(self) -> Path:
        """Lock files, logs and scratch of the processes at work."""
        return self.path / "workers"

    @property
    def features(self) -> Path:
        """Frozen features, for as long as the study goes on."""
        return self.path / "features"

    def lock(self, name: str) -> Path:
        """Return the lock file of something that one process does at a time."""
        return self.path / f".{name}.lock"


@dataclass(frozen=True)
class Plan:
    """What every process of a search must know.

    Attributes:
        folder: Where the study is.
        storage: Where its trials are kept.
        name: Of the study in the storage.
        base: Settings that the space varies.
        space: What is varied.
        metric: Validation score that is searched for.
        n_trials: Finished trials that the study shall have.
        sampler: One of `matinee.core.space.SAMPLERS`.
        pruner: One of `matinee.core.space.PRUNERS`.
        deadline: When no further trial is begun, in seconds since the epoch; None: never.
        offline: Never touch the network.
        stage: `"trials"`, or `"finalists"`: the best ones are repeated.
        worker: Number of the process, 0 for the only one.
    """

    folder: StudyFolder
    storage: str
    name: str
    base: Settings
    space: Space
    metric: str
    n_trials: int
    sampler: str
    pruner: str
    deadline: float | None = None
    offline: bool = False
    stage: str = TRIALS
    worker: int = 0

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger score is the better one."""
        from matinee.evaluation import METRICS

        return METRICS[self.metric].higher_is_better

    @property
    def only_entered(self) -> bool:
        """Whether all trials of the stage were entered beforehand."""
        return self.stage == FINALISTS or self.sampler == "grid"

    def open_trials(self) -> SharedStudy:
        """Return the study of the trials."""
        return open_study(
            self.storage,
            self.name,
            Workers(self.folder.workers),
            space=self.space,
            higher_is_better=self.higher_is_better,
            sampler=self.sampler,
            pruner=self.pruner,
            seed=self.base.training.seed,
        )

    def open_finalists(self) -> SharedStudy:
        """Return the study in which the best trials are repeated."""
        return open_study(
            self.storage,
            f"{self.name} finalists",
            Workers(self.folder.workers),
            space=None,
            higher_is_better=self.higher_is_better,
        )

    def to_json(self) -> str:
        """Return it as text, for another process."""
        plain = {**asdict(self), "folder": str(self.folder.path), "base": self.base.flat(), "space": self.space.given}
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return what `to_json` made text of."""
        plain = json.loads(text)
        return cls(
            **{
                **plain,
                "folder": StudyFolder(Path(plain["folder"])),
                "base": resolve(Layer(plain["base"])),
                "space": Space.read(plain["space"], "the space"),
            }
        )
