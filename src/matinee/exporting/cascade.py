"""The cascade: a linear classifier answers what it is sure of, an exported encoder the rest."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

from matinee.core.backends import CASCADE
from matinee.core.errors import RunError
from matinee.core.files import write_json
from matinee.exporting.folder import check_room, finish, open_unfinished, write_basics
from matinee.exporting.proof import prove
from matinee.inference.cascade import choose_threshold
from matinee.inference.exports import CASCADE_FILE, CHEAP, ENCODER, open_export, open_linear
from matinee.model.artifact import ClassifierInfo, whole_folder
from matinee.model.exported import ExportInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matinee.core.types import Predictions
    from matinee.exporting.folder import Source
    from matinee.exporting.limits import Limits
    from matinee.inference import Predictor

logger = logging.getLogger(__name__)


def export_cascade(
    source: Source, target: Path, encoder: Path, write_cheap: Callable[[Path], None], bound: float, limits: Limits
) -> dict[str, Any]:
    """Make a whole cascade folder, or nothing.

    Args:
        source: The classifier that it stands in for; with labelled validation texts.
        target: The folder; what is there is replaced.
        encoder: Folder of an export of `source`.
        write_cheap: Writes a linear model folder where it is told to: of the same labels, and trained on no text that it is
            chosen or proved by.
        bound: Accuracy that the cascade may cost on validation, as a share.
        limits: What it may cost on held-out texts.

    Returns:
        The proof, as in `parity.json`; `threshold` is from which probability on the cheap answer stands, `cheap_share` the
        share of the held-out texts that it answers.

    Raises:
        RunError: It does not say the same, or there are no labelled validation texts.
        StorageError: The disk has no room for it.
    """
    check_room(target, source.model)
    precision = ExportInfo.read(encoder).precision
    info = ExportInfo(CASCADE, precision, ENCODER, source.predictor.preparation.pad_id, source.hashes())
    with whole_folder(target) as folder:
        write_basics(folder, source)
        write_cheap(folder / CHEAP)
        shutil.copytree(encoder, folder / ENCODER)
        cheap = open_linear(folder / CHEAP, ClassifierInfo.read(folder / CHEAP))
        validation = _labelled(source.validation)
        threshold = _threshold(cheap, open_export(folder / ENCODER), validation, bound)
        write_json(folder / CASCADE_FILE, {"threshold": threshold})
        cascade = open_unfinished(folder, info)
        parity = prove(source.predictor, cascade, source.held_out, limits, "The cascade")
        sureness = cheap.probabilities(source.held_out.reference.texts).max(axis=1)
        parity |= {
            "backend": CASCADE,
            "precision": precision,
            "calibration": None,
            "attempts": [],
            "threshold": threshold,
            "validation": {"n": len(validation), "threshold": threshold},
            "bound": bound,
            "cheap_share": float((sureness >= threshold).mean()),
        }
        finish(folder, source, cascade, info, parity, CASCADE, ExportInfo.read(encoder).backend)
    return parity


def _labelled(validation: Predictions | None) -> Predictions:
    if validation is None or validation.labels is None:
        raise RunError("A cascade needs labelled validation texts to choose by: export a run that has them.")
    return validation


def _threshold(cheap: Predictor, encoder: Predictor, validation: Predictions, bound: float) -> float:
    assert validation.labels is not None  # noqa: S101 - narrows a type
    cheaply, well = (each.probabilities(validation.texts) for each in (cheap, encoder))
    return choose_threshold(cheaply, well, validation.labels, bound, decision=encoder.threshold)
