"""Weights & Biases: online with an account, else offline, to be sent later with `wandb sync`."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from matinee.core.files import write_json
from matinee.core.hub import is_offline
from matinee.training.trackers.tracker import environment_defaults, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings
    from matinee.training.trackers.tracker import Status

logger = logging.getLogger(__name__)

_EXIT_CODE = {"finished": 0, "failed": 1, "interrupted": 255}  # 255: W&B's own for Ctrl-C

# W&B waits for 90 seconds at the start, and at the end for as long as it takes.
_DEFAULTS = {
    "WANDB_INIT_TIMEOUT": "30",
    "WANDB_FINISH_TIMEOUT": "300",
    "WANDB_CONSOLE": "off",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
}


class WeightsAndBiases:
    """A run in the project `WANDB_PROJECT` ("matinee" where not set); `WANDB_MODE`, `WANDB_DIR` and the like count as ever.

    The wandb package sends in a process of its own: a network that is slow or gone does not hold up training.
    """

    package: ClassVar[str] = "wandb"

    def __init__(self) -> None:
        self._logged: set[tuple[int, str]] = set()
        self._step = 0

    def open(self, run: RunFolder, settings: Settings) -> None:
        """Start a run with all settings as its config, or go on with the one that `wandb.json` in the run folder names."""
        with environment_defaults(_DEFAULTS):
            import wandb

            kept = run.tracker("wandb")
            known = run.read_optional_json(kept) or {}
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or "matinee",
                name=os.environ.get("WANDB_NAME") or run.path.name,
                id=known.get("run_id") or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4),
                resume="allow",
                mode=_mode(wandb),
                reinit="create_new",
                config=settings.flat(),
            )
        own = {"run_id": self._run.id}
        if self._run.offline:
            own["folder"] = str(Path(self._run.settings.sync_dir).absolute())
        if known:
            self._catch_up(run, Path(known["folder"]) if "folder" in known else None)
        write_json(kept, own)
        where = f"offline; `wandb sync {own['folder']}` sends it" if "folder" in own else self._run.url
        logger.info(f"W&B: run {self._run.id}, {where}")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand over what this run does not have yet."""
        new = {name: value for name, value in metrics.items() if (step, name) not in self._logged}
        if new:
            self._logged |= {(step, name) for name in new}
            self._step = max(step, self._run.starting_step)  # W&B takes no earlier one
            self._run.log(new, step=self._step)

    def artifacts(self, run: RunFolder) -> None:
        """Hand over figures, as pictures too, model and report."""
        import wandb

        figures = {f"figures/{figure.stem}": wandb.Image(str(figure)) for figure in sorted(run.figures.glob("*.png"))}
        self._run.log(figures, step=self._step)
        artifact = wandb.Artifact(f"matinee-{self._run.id}", type="model")
        artifact.add_dir(str(run.figures), name="figures")
        artifact.add_dir(str(run.model), name="model")
        artifact.add_file(str(run.report))
        self._run.log_artifact(artifact)

    def close(self, status: Status) -> None:
        """Wait until everything is sent, within limits."""
        self._run.finish(exit_code=_EXIT_CODE[status])

    def _catch_up(self, run: RunFolder, folder: Path | None) -> None:
        """Hand over what the history has and W&B lacks.

        A killed process takes with it what wandb had not written: offline, blocks of 32 KiB, so most often everything. The
        folder of an offline run is therefore given up for a new one that holds the whole history.
        """
        for row in run.read_history():
            if row["step"] < self._run.starting_step:  # W&B's servers have it
                self._logged |= {(row["step"], name) for name in row}
            else:
                self.log(row["step"], numbers(row))
        if folder is not None and folder != Path(self._run.settings.sync_dir).absolute():
            shutil.rmtree(folder, ignore_errors=True)


def _mode(wandb: Any) -> Literal["offline"] | None:
    """Return `"offline"` where nothing may be sent, or there is no account to send it to; else None: the user's own choice."""
    if is_offline():
        return "offline"
    return None if "WANDB_MODE" in os.environ or wandb.login(prompt=False) else "offline"
