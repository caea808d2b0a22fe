"""An encoder in another library's format: written, quantised where asked, proved, and only then given its name."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from matinee.exporting.folder import check_room, finish, open_unfinished, write_basics
from matinee.exporting.proof import beyond, compare_answers, prove
from matinee.inference import predict
from matinee.model.artifact import whole_folder
from matinee.model.exported import ExportInfo
from matinee.model.logits import pool_rows, softmax
from matinee.tokens.windows import Windows, all_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from matinee.core.types import Predictions
    from matinee.exporting.folder import Source
    from matinee.exporting.limits import Limits

logger = logging.getLogger(__name__)

ONNX_MODEL, OPENVINO_MODEL = "model.onnx", "model.xml"


def export_encoder(source: Source, target: Path, backend: str, precision: str, limits: Limits) -> dict[str, Any]:
    """Make a whole export folder, or nothing.

    Args:
        source: What to export.
        target: The folder; what is there is replaced.
        backend: `"onnx"` or `"openvino"`.
        precision: `"fp32"`, `"bf16"` (OpenVINO alone) or `"int8"`.
        limits: What it may cost.

    Returns:
        The proof, as in `parity.json`.

    Raises:
        RunError: It does not say the same.
        NotAvailableError: The architecture cannot be converted.
        StorageError: The disk has no room for it.
    """
    check_room(target, source.model)
    model = {"onnx": ONNX_MODEL, "openvino": OPENVINO_MODEL}[backend]
    info = ExportInfo(backend, precision, model, source.predictor.preparation.pad_id, source.hashes())
    with whole_folder(target) as folder, TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        write_basics(folder, source)
        work = _Work(source, folder, Path(scratch), info, limits)
        made = work.openvino() if backend == "openvino" else work.onnx()
        candidate = open_unfinished(folder, info)
        name = f"{backend} {precision}"
        parity = prove(source.predictor, candidate, source.held_out, limits, name)
        parity |= {"backend": backend, "precision": precision, **made}
        finish(folder, source, candidate, info, parity, backend)
    return parity


@dataclass(frozen=True)
class _Work:
    """One export under way."""

    source: Source
    folder: Path
    scratch: Path
    info: ExportInfo
    limits: Limits

    def onnx(self) -> dict[str, Any]:
        from matinee.exporting.onnx import quantise_onnx, write_onnx

        target = self.folder / ONNX_MODEL
        if self.info.precision == "int8":
            write_onnx(self.source.predictor.model, self.scratch / ONNX_MODEL)
            quantise_onnx(self.scratch / ONNX_MODEL, target)
        else:
            write_onnx(self.source.predictor.model, target)
        return {"calibration": None, "attempts": []}

    def openvino(self) -> dict[str, Any]:
        from matinee.exporting.onnx import write_onnx
        from matinee.exporting.openvino import read_graph, save_graph

        write_onnx(self.source.predictor.model, self.scratch / ONNX_MODEL)
        graph = read_graph(self.scratch / ONNX_MODEL)
        if self.info.precision == "int8":
            return self._int8(graph)
        save_graph(graph, self.folder / OPENVINO_MODEL)
        return {"calibration": None, "attempts": []}

    def _int8(self, graph: Any) -> dict[str, Any]:
        """Quantise with as little as is enough on validation: what is tried in turn, and how it did there."""
        from matinee.exporting.openvino import CAREFUL, MIXED, PLAIN, calibration_inputs, feed_forward_ends, quantise

        split, texts = self.source.calibration()
        inputs = calibration_inputs(self._ids(texts), self.source.predictor.preparation.pad_id)
        logger.info(f"int8: ranges of activations from {len(texts):,} {split} texts")
        kept = feed_forward_ends(graph)
        first = self._attempt(MIXED if kept else PLAIN, quantise(graph.clone(), inputs, kept))
        made = {"calibration": {"split": split, "n": len(texts)}, "attempts": [first]}
        if first["passed"] is False and self.source.validation is not None:
            logger.info("int8 costs too much on validation: more layers stay in floating point")
            careful = self._careful(graph, inputs, self.source.validation, kept)
            made["attempts"] = [first, self._attempt(CAREFUL, careful)]
        return made

    def _attempt(self, recipe: str, graph: Any) -> dict[str, Any]:
        """Save a graph and return how it does on validation; without validation texts nobody knows."""
        from matinee.exporting.openvino import save_graph

        path = self.folder / OPENVINO_MODEL
        for old in (path, path.with_suffix(".bin")):
            old.unlink(missing_ok=True)  # never written over: an open model still reads it
        save_graph(graph, path)
        known = self.source.validation
        if known is None:
            return {"recipe": recipe, "n": 0, "passed": None}
        said = predict(open_unfinished(self.folder, self.info), known.texts, ids=known.ids, labels=known.labels)
        found = compare_answers(known, said, self.limits)
        return {
            "recipe": recipe,
            "n": len(known),
            "flips": found["flips"]["share"],
            "accuracy_change": None if found["accuracy"] is None else found["accuracy"]["change"]["value"],
            "passed": not beyond(found),
        }

    def _careful(
        self, graph: Any, inputs: Sequence[dict[str, NDArray[np.int64]]], known: Predictions, kept: Sequence[str]
    ) -> Any:
        """Quantise under the eyes of the validation texts: their labels shall be torch's."""
        from matinee.exporting.openvino import calibration_inputs, quantise_carefully

        preparation = self.source.predictor.preparation
        windows = Windows.of(preparation.settings)
        ids, counts = all_windows(preparation.encode(known.texts), windows)

        def agreement(rows: NDArray[np.float32]) -> float:
            said = replace(known, probabilities=softmax(pool_rows(rows, counts, windows)))
            return float((said.predicted == known.predicted).mean())

        checks = calibration_inputs(ids, preparation.pad_id)
        return quantise_carefully(graph, inputs, checks, agreement, self.limits.flips or 0.0, kept)

    def _ids(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        preparation = self.source.predictor.preparation
        return all_windows(preparation.encode(texts), Windows.of(preparation.settings))[0]
