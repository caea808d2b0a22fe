"""The run folder: what one training leaves, and how to tell a whole one from a broken one."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from matinee._version import __version__
from matinee.core.errors import RunError
from matinee.core.files import file_sha256, storage_errors, write_json, write_jsonl, write_text
from matinee.core.schema import Layer, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matinee.core.settings import Settings

_LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """One training's folder. `manifest.json` is written last: its presence means that the run is complete."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved settings, a recipe that repeats the run."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions, machine, seed, git commit."""
        return self.path / "environment.json"

    @property
    def data(self) -> Path:
        """Source used, fingerprints, split sizes, what was dropped and why."""
        return self.path / "data.json"

    @property
    def history(self) -> Path:
        """One plain dict per logged step."""
        return self.path / "history.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The Trainer's checkpoints: the best and the latest."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard event files."""
        return self.path / "tensorboard"

    def tracker(self, name: str) -> Path:
        """What a tracker with a store of its own calls this run, so that a resumed training finds it there."""
        return self.path / f"{name}.json"

    @property
    def model(self) -> Path:
        """The classifier."""
        return self.path / "model"

    @property
    def predictions(self) -> Path:
        """What each predictor said of the validation and test texts."""
        return self.path / "predictions.parquet"

    @property
    def seen(self) -> Path:
        """Digests of the train texts, by which they are known again."""
        return self.path / "train_digests.parquet"

    @property
    def exports(self) -> Path:
        """The classifier in the formats of faster libraries, a folder each."""
        return self.path / "exports"

    @property
    def bench(self) -> Path:
        """How fast each back end is on one machine."""
        return self.path / "bench.json"

    @property
    def distillation(self) -> Path:
        """Whose answers it was trained on, and of which texts; only where it was."""
        return self.path / "distillation.json"

    @property
    def soft_labels(self) -> Path:
        """What the teachers said of the unlabelled texts, in parts."""
        return self.path / "soft_labels"

    @property
    def metrics(self) -> Path:
        """Scores with intervals."""
        return self.path / "metrics.json"

    @property
    def audit(self) -> Path:
        """What is wrong with the data."""
        return self.path / "audit.json"

    @property
    def analysis(self) -> Path:
        """Calibration, coverage, slices, mistakes, checks: what the report is made from."""
        return self.path / "analysis.json"

    @property
    def stress(self) -> Path:
        """How the classifier behaves when texts are changed."""
        return self.path / "stress.json"

    @property
    def report(self) -> Path:
        """The page a person reads."""
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        """The pictures."""
        return self.path / "figures"

    @property
    def manifest(self) -> Path:
        """The list of files with their hashes; written last."""
        return self.path / "manifest.json"

    @property
    def is_complete(self) -> bool:
        """Whether training ended and everything was written."""
        return self.manifest.is_file()

    @property
    def is_run(self) -> bool:
        """Whether this is a run folder at all, complete or not."""
        return self.config.is_file()

    def check_free(self, *, overwrite: bool) -> None:
        """Raise RunError if a run cannot be created here, before anything is spent on it."""
        if not self.path.exists() or (self.path.is_dir() and not self._contents()):
            return
        if not self.path.is_dir():
            raise RunError(f"{self.path} is a file, not a folder: choose another --run-dir.")
        if not self.is_run:
            raise RunError(
                f"{self.path} is not empty and not a run folder: choose another --run-dir, it is never overwritten."
            )
        if overwrite:
            return
        if self.is_complete:
            raise RunError(
                f"{self.path} holds a complete run: choose another --run-dir, or pass --overwrite to replace it."
            )
        raise RunError(
            f"{self.path} holds an unfinished run: continue it with `matinee train --resume {self.path}`, "
            "or pass --overwrite to start again."
        )

    def create(self, *, overwrite: bool) -> None:
        """Make an empty run folder.

        Raises:
            RunError: There is something already and `overwrite` is off, or it is not a run.
            StorageError: The folder cannot be made.
        """
        self.check_free(overwrite=overwrite)
        with storage_errors(self.path):
            if self.path.is_dir():
                self.manifest.unlink(missing_ok=True)
                for child in self._contents():
                    shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
            self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training into this folder.

        Raises:
            RunError: Another process does so already.
        """
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / _LOCK, blocking=False)
        try:
            with lock:
                yield
        except Timeout as error:
            raise RunError(
                f"Another process is training into {self.path}: wait for it, or choose another --run-dir."
            ) from error

    def check_complete(self) -> None:
        """Raise RunError, saying what to do, unless this is a complete run."""
        if not self.path.is_dir():
            raise RunError(f"There is no run folder {self.path}.")
        if not self.is_run:
            raise RunError(f"{self.path} is not a run folder: it holds no config.yaml.")
        if not self.is_complete:
            raise RunError(
                f"The run in {self.path} is not complete: finish it with `matinee train --resume {self.path}`."
            )

    def check_unfinished(self) -> None:
        """Raise RunError unless this is a run that can be resumed."""
        if not self.is_run:
            raise RunError(f"There is no run to resume in {self.path}: it holds no config.yaml.")
        if self.is_complete:
            raise RunError(
                f"The run in {self.path} is complete: there is nothing to resume. See `matinee evaluate {self.path}`."
            )

    def write_config(self, settings: Settings) -> None:
        """Save the resolved settings as a recipe."""
        write_text(self.config, yaml.safe_dump(settings.flat(), sort_keys=False, allow_unicode=True))

    def read_config(self) -> Settings:
        """Return the settings that the run was made with."""
        try:
            values = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"{self.config} cannot be read: {error.strerror or error}.") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RunError(f"{self.config} is damaged and cannot be read.") from error
        if not isinstance(values, dict):
            raise RunError(f"{self.config} is damaged: it holds no settings.")
        return resolve(Layer(values, lambda name: f"{name} (in {self.config})"))

    def read_json(self, path: Path) -> Any:
        """Return a JSON file of this run.

        Raises:
            RunError: It is missing or damaged.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is missing or damaged; the run cannot be used.") from error

    def read_optional_json(self, path: Path) -> Any:
        """Return a JSON file that a report can do without, None where there is none.

        Raises:
            RunError: It is damaged.
        """
        try:
            return self.read_json(path) if path.is_file() else None
        except RunError as error:
            raise RunError(f"{path} is damaged: delete it, and the report does without.") from error

    def read_history(self) -> list[dict[str, Any]]:
        """Return the logged steps; none where there is no history.

        Raises:
            RunError: It is damaged.
        """
        try:
            return [json.loads(line) for line in self.history.read_text(encoding="utf-8").splitlines() if line]
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise RunError(f"{self.history} is damaged; the run cannot be used.") from error

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Replace the history."""
        write_jsonl(self.history, rows)

    def sweep(self) -> None:
        """Remove temporary files and folders that a killed process left behind; only under the lock."""
        for folder in (self.path, self.figures, *self.soft_labels.glob("teacher-*")):
            for left in folder.glob(".*"):
                if left.name != _LOCK:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    def finish(self, seconds: dict[str, float]) -> None:
        """Write the manifest: the run is complete.

        Args:
            seconds: Wall-clock time of each stage.
        """
        write_json(
            self.manifest,
            {
                "matinee": __version__,
                "completed": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
                "files": self._fingerprints(),
            },
        )

    def refresh_manifest(self) -> None:
        """Have the manifest of a complete run hold files that were written since."""
        write_json(self.manifest, {**self.read_json(self.manifest), "files": self._fingerprints()})

    def _fingerprints(self) -> dict[str, Any]:
        files = sorted(p for p in self.path.rglob("*") if p.is_file() and not self._is_scratch(p))
        return {
            path.relative_to(self.path).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in files
        }

    def _contents(self) -> list[Path]:
        return [child for child in self.path.iterdir() if child.name != _LOCK]

    def _is_scratch(self, path: Path) -> bool:
        """Whether a file is not part of the result: the lock, checkpoints, event files, the old manifest."""
        parts = path.relative_to(self.path).parts
        return any(part.startswith(".") for part in parts) or parts[0] in {
            "manifest.json",
            self.checkpoints.name,
            self.tensorboard.name,
        }
