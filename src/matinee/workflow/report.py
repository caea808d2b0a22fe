"""`matinee report`: the page a person reads, made from a run folder."""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.errors import RunError
from matinee.core.files import write_json, write_text
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, from_flags, resolve
from matinee.workflow.analysis import analyse, carry_over
from matinee.workflow.checking import check_codes, check_run
from matinee.workflow.fitting import CLASSIFIER
from matinee.workflow.teaching import command_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.core.settings import Settings
    from matinee.core.types import Predictions


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        path: The page.
        checks: What the checks found wrong with the run, worst first: code, name, severity, title, found, advice.
    """

    path: Path
    checks: list[dict[str, Any]]


def report(
    run: str | Path,
    *,
    output: str | Path | None = None,
    slices: Mapping[str, str] | Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
) -> Report:
    """Look into a complete run's predictions anew, and write its report as one HTML file.

    What needs the classifier or the training texts (the words and neighbours of mistakes) stays as training left it.

    Args:
        run: Run folder.
        output: The file; where not given `RUN/report.html`, and `RUN/analysis.json` and the model card are written anew too.
        slices: Slices by name and regular expression (or `NAME=REGEX` each), in place of the run's own.
        ignore: Checks to leave out, by code or name, in place of the run's own.

    Raises:
        RunError: This is no complete run.
        SettingsError: There is no such check, or a pattern is not a regular expression.
        StorageError: The write was refused.
    """
    from matinee.evaluation import read_predictions
    from matinee.model.artifact import ClassifierInfo

    folder = RunFolder(Path(run).expanduser())
    folder.check_complete()
    path = Path(output).expanduser() if output else folder.report
    given = {name: value for name, value in (("slices", slices), ("ignore", ignore)) if value}
    settings = resolve(Layer(folder.read_config().flat()), from_flags(given))
    check_codes(settings)
    said = read_predictions(folder.predictions)
    analysis = analyse(said, settings, temperature=ClassifierInfo.read(folder.model).temperature)
    old = folder.read_optional_json(folder.analysis)
    if old is not None:
        carry_over(old, analysis)
    metrics = folder.read_json(folder.metrics)
    analysis["checks"] = check_run(folder, settings, said["test", CLASSIFIER], metrics, analysis)
    if path == folder.report:
        write_json(folder.analysis, analysis)
        update_card(folder, settings, metrics, analysis)
    manifest = folder.read_json(folder.manifest)
    write_page(
        folder,
        path,
        said,
        analysis,
        seconds=manifest.get("seconds"),
        completed=str(manifest.get("completed", ""))[:10],
    )
    if path == folder.report:
        folder.refresh_manifest()
    return Report(path, analysis["checks"])


def refresh_page(run: RunFolder) -> None:
    """Write a complete run's page anew, where it has one, with what was added to the folder since; nothing else changes."""
    from matinee.evaluation import read_predictions

    analysis = run.read_optional_json(run.analysis)
    if not run.report.is_file() or analysis is None:
        return
    manifest = run.read_json(run.manifest)
    write_page(
        run,
        run.report,
        read_predictions(run.predictions),
        analysis,
        seconds=manifest.get("seconds"),
        completed=str(manifest.get("completed", ""))[:10],
    )


def write_page(
    run: RunFolder,
    path: Path,
    said: Mapping[tuple[str, str], Predictions],
    analysis: Mapping[str, Any],
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
        metrics=run.read_optional_json(run.metrics),
        history=run.read_history(),
        class_report=[] if test.labels is None else class_report(test),
        confusion=[] if test.labels is None else confusion_matrix(test).tolist(),
        analysis=analysis,
        audit=run.read_optional_json(run.audit),
        stress=run.read_optional_json(run.stress),
        exports=_proofs(run),
        bench=run.read_optional_json(run.bench),
        environment=run.read_optional_json(run.environment),
        data=run.read_optional_json(run.data),
        threshold=test.threshold,
        seconds=seconds,
        completed=completed,
        command=_command(run),
    )
    write_text(path, render_page(contents))


def _command(run: RunFolder) -> str:
    """Return the command that makes the same run again."""
    again = run.path.name + "-again"
    taught = command_of(run, run.read_config(), str(run.config), again)
    return taught or f"matinee train --recipe {shlex.quote(str(run.config))} --run-dir {shlex.quote(again)}"


def _proofs(run: RunFolder) -> list[dict[str, Any]]:
    """Return the proof of each export in the run, with its folder's name; a damaged one is left out."""
    found = []
    for path in sorted(run.exports.glob("[!.]*/parity.json")):
        try:
            found.append({**run.read_json(path), "name": path.parent.name})
        except (RunError, TypeError):
            logger.warning(f"{path} is damaged: the report leaves it out. Export again.")
    return found


def update_card(run: RunFolder, settings: Settings, metrics: Mapping[str, Any], analysis: Mapping[str, Any]) -> None:
    """Write the model folder's README from what is known of the run."""
    from matinee.model.artifact import ClassifierInfo, write_card
    from matinee.model.encoders import CATALOGUE
    from matinee.report import model_card

    info = ClassifierInfo.read(run.model)
    known = CATALOGUE.get(settings.model.encoder)
    card = model_card(
        settings,
        metrics,
        info.label_names,
        lowercase=info.text is not None and bool(info.text.lowercase),
        base_model=None if known is None else known.hub_id,
        temperature=None if settings.training.calibration == "none" else info.temperature,
        threshold=info.threshold,
        data=run.read_optional_json(run.data),
        analysis=analysis,
    )
    write_card(run.model, card)
