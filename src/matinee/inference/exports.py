"""Exports: which of a run's may answer in its place, and how one is opened. Neither needs torch."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matinee.core.backends import AUTO, CASCADE, ONNX, OPENVINO
from matinee.core.errors import MatineeError, NotAvailableError, RunError
from matinee.inference.requirements import check_installed, missing
from matinee.model.artifact import ClassifierInfo
from matinee.model.exported import EXPORT, PARITY, TOKENIZER, ExportInfo, beyond_defaults, check_export, read_parity

if TYPE_CHECKING:
    from pathlib import Path

    from matinee.core.run import RunFolder
    from matinee.inference.backends.encoder import EncoderPredictor
    from matinee.inference.predictor import Predictor
    from matinee.tokens import TextPreparation

EXPORTS = "exports"
"""Where a run keeps its exports."""

CHEAP, ENCODER, CASCADE_FILE = "cheap", "encoder", "cascade.json"
"""What a cascade's folder holds: a linear model folder, an export, and `{"threshold": …}`."""

logger = logging.getLogger(__name__)

_LIBRARIES = {OPENVINO: "openvino", ONNX: "onnxruntime"}


@dataclass(frozen=True)
class FoundExport:
    """An export of a run.

    Attributes:
        folder: Where it is.
        info: What `export.json` says.
        passed: Whether its proof held.
        texts_per_second: As its proof measured it.
        beyond: The default limits that its proof is beyond, in words; made with looser ones, it answers where it is asked for.
        predictor: It, opened; None where nobody opened it yet.
    """

    folder: Path
    info: ExportInfo
    passed: bool
    texts_per_second: float
    beyond: tuple[str, ...]
    predictor: Predictor | None = None


def find_export(run: RunFolder, backend: str = AUTO) -> FoundExport | None:
    """Return the fastest export that is proved to say what the run's classifier says, None where there is none.

    One that is damaged is passed over with a warning; one that was made from other weights, failed its proof, or needs
    a library that is not here, without. `auto` holds the proof against the default limits, whatever the export was made
    with, and passes over what cannot be opened, with a warning; it gives an export that is open.

    Args:
        run: A complete run.
        backend: `"auto"`, or the one it must be of.

    Raises:
        RunError: There is none of the back end asked for; says why, and how to make one.
    """
    found, refused = [], []
    for folder in export_folders(run):
        try:
            export = _read(folder)
            reason = _why_not(export, run, backend)
        except RunError as error:
            logger.warning(f"{error} It is passed over.")
            continue
        if backend not in {AUTO, export.info.backend}:
            continue
        if reason:
            refused.append(f"{EXPORTS}/{folder.name} {reason}")
        else:
            found.append(export)
    for export in sorted(found, key=lambda export: -export.texts_per_second):
        try:
            check_export(export.folder)
            return replace(export, predictor=open_export(export.folder)) if backend == AUTO else export
        except MatineeError as error:
            logger.warning(f"{error} It is passed over.")
    if backend == AUTO:
        return None
    why = f" ({'; '.join(refused)})" if refused else ""
    raise RunError(
        f"--backend {backend}: {run.path} has no such export to answer from{why}. "
        f"Make one: matinee export {run.path} --to {backend}"
    )


def export_folders(run: RunFolder) -> list[Path]:
    """Return the folders of a run's exports, whole or not, in the order of their names."""
    folder = run.path / EXPORTS
    return sorted(path.parent for path in folder.glob(f"[!.]*/{EXPORT}")) if folder.is_dir() else []


def source_of(run: RunFolder) -> dict[str, str]:
    """Return the SHA-256 of a complete run's weights by file name, as the manifest has it: `ExportInfo.source`."""
    files = run.read_json(run.manifest)["files"]
    prefix = f"{run.model.name}/"
    return {
        name.removeprefix(prefix): of["sha256"]
        for name, of in files.items()
        if name.startswith(prefix) and name.endswith(".safetensors")
    }


def open_export(folder: Path) -> Predictor:
    """Return the classifier in an export's folder, ready to predict. `check_export` says before whether it is whole.

    Raises:
        NotAvailableError: The library that it needs is not installed.
        RunError: That library cannot read it, or it is damaged.
    """
    info, classifier = ExportInfo.read(folder), ClassifierInfo.read(folder)
    if info.backend == CASCADE:
        return _open_cascade(folder, classifier)
    check_installed(info.backend, f"The export {folder}")
    try:
        return _open_encoder(folder, info, classifier)
    except (ImportError, AttributeError, OSError) as error:  # a library that is broken, or of long ago
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise NotAvailableError(
            f"The export {folder} cannot answer: {_LIBRARIES[info.backend]} does not work as it is installed here ({reason}): "
            f"pip install --force-reinstall {_LIBRARIES[info.backend]}."
        ) from error


def computed_in(predictor: Predictor) -> str:
    """Return the number format that a predictor computes in on this machine, `"bf16"` or `"f32"`; of a cascade, its encoder's."""
    return str(getattr(getattr(predictor, "encoder", predictor), "computed_in", "f32"))


def say_number_format(folder: Path, predictor: Predictor) -> None:
    """Say so where this machine computes an export in another number format than the one that proved it."""
    proved = read_parity(folder).get("computed_in") if (folder / PARITY).is_file() else None
    here = computed_in(predictor)
    if proved not in {None, here}:
        logger.info(
            f"This machine computes {folder} in {here}, its proof was made in {proved}: probabilities differ a little"
        )


def open_linear(folder: Path, info: ClassifierInfo) -> Predictor:
    """Return the linear classifier in a model folder.

    Raises:
        NotAvailableError: scikit-learn is not installed.
        RunError: The folder is damaged.
    """
    check_installed("linear", f"The {info.kind} classifier in {folder}")
    from safetensors import SafetensorError

    from matinee.inference.backends.linear import LinearPredictor
    from matinee.model.bag_of_words import BagOfWords

    try:
        return LinearPredictor(BagOfWords.load(folder, info.kind), info.label_names, info.threshold)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise RunError(f"The classifier in {folder} is damaged: {error}.") from error


def _read(folder: Path) -> FoundExport:
    info, parity = ExportInfo.read(folder), read_parity(folder)
    try:
        speed, beyond = float(parity["texts_per_second"]), tuple(beyond_defaults(parity))
        return FoundExport(folder, info, parity["passed"] is True, speed, beyond)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / PARITY} is damaged: export again.") from error


def _why_not(export: FoundExport, run: RunFolder, backend: str) -> str | None:
    """Return why an export cannot stand in for the run's classifier, None where it can."""
    if export.beyond and backend == AUTO:
        return f"needed looser limits: {' and '.join(export.beyond)}"
    if not export.passed:
        return "did not pass its proof"
    if export.info.source != source_of(run):
        return "was made from other weights"
    return next((reason for backend in _needed(export) if (reason := missing(backend))), None)


def _needed(export: FoundExport) -> list[str]:
    if export.info.backend != CASCADE:
        return [export.info.backend]
    return ["linear", ExportInfo.read(export.folder / ENCODER).backend]


def _open_encoder(folder: Path, info: ExportInfo, classifier: ClassifierInfo) -> EncoderPredictor:
    path, preparation = folder / info.model, _preparation(folder, info, classifier)
    if info.backend == OPENVINO:
        from matinee.inference.backends.openvino import OpenVinoPredictor

        return OpenVinoPredictor(path, info.precision, preparation, classifier.label_names, classifier.threshold)
    from matinee.inference.backends.onnx import OnnxPredictor

    return OnnxPredictor(path, preparation, classifier.label_names, classifier.threshold)


def _open_cascade(folder: Path, classifier: ClassifierInfo) -> Predictor:
    from matinee.inference.backends.cascade import CascadePredictor

    cheap, encoder = folder / CHEAP, folder / ENCODER
    try:
        sure_from = float(json.loads((folder / CASCADE_FILE).read_text(encoding="utf-8"))["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / CASCADE_FILE} is missing or damaged: export again.") from error
    return CascadePredictor(
        open_linear(cheap, ClassifierInfo.read(cheap)), open_export(encoder), sure_from, classifier.threshold
    )


def _preparation(folder: Path, info: ExportInfo, classifier: ClassifierInfo) -> TextPreparation:
    from tokenizers import Tokenizer

    from matinee.tokens import TextPreparation

    if classifier.text is None:
        raise RunError(f"The export {folder} is damaged: it says nothing of the text preparation. Export again.")
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # tokenizers raises nothing narrower
        raise RunError(f"{folder / TOKENIZER} is missing or damaged: export again.") from error
    return TextPreparation.of(tokenizer, classifier.text, info.pad_id)
