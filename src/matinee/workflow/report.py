"""`matinee report`: the page a person reads, made from a run folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.errors import RunError
from matinee.core.files import write_text
from matinee.core.run import RunFolder
from matinee.workflow.fitting import CLASSIFIER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.core.types import Predictions


def report(run: str | Path, *, output: str | Path | None = None) -> Path:
    """Write a complete run's report anew, as one HTML file; return where it is.

    Args:
        run: Run folder.
        output: The file; `RUN/report.html` where not given.

    Raises:
        RunError: This is no complete run.
        StorageError: The write was refused.
    """
    from matinee.evaluation import read_predictions

    folder = RunFolder(Path(run).expanduser())
    folder.check_complete()
    path = Path(output).expanduser() if output else folder.report
    seconds = folder.read_json(folder.manifest).get("seconds")
    completed = str(folder.read_json(folder.manifest).get("completed", ""))
    write_page(folder, path, read_predictions(folder.predictions), seconds=seconds, completed=completed[:10])
    if path == folder.report:
        folder.refresh_manifest()
    return path


def write_page(
    run: RunFolder,
    path: Path,
    said: Mapping[tuple[str, str], Predictions],
    *,
    seconds: Mapping[str, float] | None = None,
    completed: str = "",
) -> None:
    """Write the report of what is in the run folder; what is not there yet, the page says is not known."""
    from matinee.evaluation import class_report, confusion_matrix
    from matinee.report import PageContents, render_page

    test = said["test", CLASSIFIER]
    contents = PageContents(
        name=run.path.resolve().name,
        label_names=test.label_names,
        settings=run.read_config().flat(),
        metrics=_optional(run, run.metrics),
        history=_history(run),
        class_report=class_report(test),
        confusion=confusion_matrix(test).tolist(),
        analysis=_optional(run, run.analysis),
        audit=_optional(run, run.audit),
        stress=_optional(run, run.stress),
        environment=_optional(run, run.environment),
        data=_optional(run, run.data),
        threshold=test.threshold,
        seconds=seconds,
        completed=completed,
        command=f"matinee train --recipe {shlex.quote(str(run.config))} --run-dir {shlex.quote(run.path.name + '-again')}",
    )
    write_text(path, render_page(contents))


def _optional(run: RunFolder, path: Path) -> Any:
    return run.read_json(path) if path.is_file() else None


def _history(run: RunFolder) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in run.history.read_text(encoding="utf-8").splitlines() if line]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise RunError(f"{run.history} is damaged; the run cannot be used.") from error
