"""What every export folder holds beside its model, and what it is made from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matinee.core.errors import StorageError
from matinee.core.files import file_sha256, write_json, write_text
from matinee.exporting.readme import readme
from matinee.inference import predict, runtime_requirements
from matinee.inference.exports import open_export
from matinee.model.artifact import INFO, VALIDATION, ClassifierInfo, write_validation
from matinee.model.exported import PARITY, REQUIREMENTS, TOKENIZER, ExportInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matinee.core.types import Predictions
    from matinee.exporting.proof import HeldOut
    from matinee.inference import Predictor
    from matinee.inference.backends.torch import TorchPredictor

# Room that an export takes while it is made, in sizes of the model: the graph, a prepared and a quantised copy.
_ROOM = 4


@dataclass(frozen=True)
class Source:
    """A classifier to export.

    Attributes:
        model: Its model folder.
        predictor: It, in torch and float32.
        held_out: What the export is held against.
        validation: Its answers to texts that things may be chosen by; None where there are no such texts.
        calibration: The texts that int8 takes its ranges from, and the split they are of; only asked for where needed.
    """

    model: Path
    predictor: TorchPredictor
    held_out: HeldOut
    validation: Predictions | None
    calibration: Callable[[], tuple[str, list[str]]]

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each weights file by its name."""
        return {path.name: file_sha256(path) for path in sorted(self.model.glob("*.safetensors"))}

    def info(self) -> ClassifierInfo:
        """Return `matinee.json`; of a model that matinee did not make, what it would say."""
        if (self.model / INFO).is_file():
            return ClassifierInfo.read(self.model)
        made = self.predictor
        return ClassifierInfo("transformer", self.model.name, made.label_names, "cls", made.preparation.settings)


def check_room(target: Path, model: Path) -> None:
    """Raise StorageError if the disk has no room for an export: the libraries do not say so when they run out of it."""
    there = next(folder for folder in (target, *target.absolute().parents) if folder.is_dir())
    needed = _ROOM * sum(path.stat().st_size for path in model.glob("*.safetensors"))
    free = shutil.disk_usage(there).free
    if free < needed:
        raise StorageError(
            f"Cannot write {target}: making it takes {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free. "
            "Free some room, or choose another place with --out."
        )


def write_basics(folder: Path, source: Source) -> None:
    """Write what every back end needs beside the model: labels, text preparation, tokenizer."""
    write_json(folder / INFO, source.info().to_json())
    source.predictor.preparation.tokenizer.save(str(folder / TOKENIZER))


def open_unfinished(folder: Path, info: ExportInfo) -> Predictor:
    """Return the predictor of a folder that has no proof yet."""
    info.write(folder)
    return open_export(folder)


def finish(
    folder: Path, source: Source, candidate: Predictor, info: ExportInfo, parity: dict[str, Any], *needs: str
) -> None:
    """Write what comes after the proof, `export.json` last; the proof learns the folder's size.

    Args:
        folder: The export under way.
        source: What it is made from.
        candidate: Its predictor.
        info: What it is.
        parity: The proof.
        *needs: Back ends whose libraries it needs.
    """
    validation = source.validation
    if validation is not None and validation.labels is not None:
        said = predict(candidate, validation.texts, ids=validation.ids, labels=validation.labels)
        write_validation(folder, said)
    elif (source.model / VALIDATION).is_file():
        shutil.copyfile(source.model / VALIDATION, folder / VALIDATION)
    write_text(folder / REQUIREMENTS, "".join(f"{line}\n" for line in runtime_requirements(*needs)))
    parity |= {"size_mb": _megabytes(folder), "reference_size_mb": _megabytes(source.model)}
    write_json(folder / PARITY, parity)
    write_text(folder / "README.md", readme(source.info(), info, parity))
    info.write(folder)


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)
