"""Finds the classifier that a user means, and picks its back end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from matinee.core import hub
from matinee.core.backends import AUTO, BACKENDS, TORCH, TORCH_BF16
from matinee.core.errors import NotAvailableError, RunError, SettingsError, did_you_mean
from matinee.core.run import RunFolder
from matinee.core.settings import LINEAR
from matinee.inference.exports import find_export, open_export, open_linear, say_number_format
from matinee.inference.requirements import check_installed
from matinee.model.artifact import INFO, ClassifierInfo
from matinee.model.exported import PARITY, ExportInfo, check_export, is_export

if TYPE_CHECKING:
    from matinee.inference.predictor import Predictor

logger = logging.getLogger(__name__)

_HUB_FILES = ("*.json", "*.safetensors", "tokenizer*", "vocab*", "merges.txt", "spiece.model")
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Chosen:
    """What answers for a source.

    Attributes:
        folder: Holds all that it needs: a model folder, or an export.
        backend: `"torch"`, `"linear"`, `"openvino"`, `"onnx"` or `"cascade"`.
        precision: `"fp32"`, `"bf16"` or `"int8"`; `"fp64"` of a linear classifier.
        predictor: It, where choosing took opening it.
    """

    folder: Path
    backend: str
    precision: str
    predictor: Predictor | None = field(default=None, repr=False, compare=False)

    def open(self) -> Predictor:
        """Return it, ready to predict.

        Raises:
            RunError: The folder is not a classifier, or damaged.
            NotAvailableError: A library that it needs is not installed.
        """
        if self.backend == "linear":
            return open_linear(self.folder, ClassifierInfo.read(self.folder))
        if self.backend == TORCH:
            return _open_torch(self.folder, self.precision)
        predictor = open_export(self.folder) if self.predictor is None else self.predictor
        say_number_format(self.folder, predictor)
        return predictor


def load_predictor(source: str | Path, backend: str = AUTO) -> Predictor:
    """Return the classifier at `source`, ready to predict.

    Args:
        source: A complete run folder, its `model/` folder, the folder of an export, any Hugging Face classification model
            folder, or a hub id.
        backend: `"auto"`, `"torch"`, `"torch-bf16"`, `"openvino"` or `"onnx"`. `auto` of a run is the fastest of its exports
            that are proved to say the same within the default limits and can be used here, else PyTorch in float32.

    Raises:
        RunError: The folder is not a classifier, its run is not complete, or it has no export of that back end.
        SettingsError: The back end is unknown, or does not go with the source.
        NotAvailableError: There is no such folder, and the hub cannot help; or a library is not installed.
    """
    return choose_classifier(source, backend).open()


def choose_classifier(source: str | Path, backend: str = AUTO) -> Chosen:
    """Return what `load_predictor` would load, and say so where it is not plain PyTorch. Raises as that does."""
    if backend not in BACKENDS:
        hint = did_you_mean(backend, BACKENDS)
        raise SettingsError(f"Unknown --backend {backend!r}.{hint} Known: {', '.join(BACKENDS)}.")
    folder = find_model(source)
    if is_export(folder) or (folder / PARITY).is_file():
        return _given_export(folder, backend)
    info = ClassifierInfo.read(folder) if (folder / INFO).is_file() else None
    if info is not None and info.kind in LINEAR:
        if backend not in {AUTO, TORCH}:
            raise SettingsError(f"--backend {backend}: {info.kind} runs need no other back end: leave it out.")
        return Chosen(folder, "linear", "fp64")
    if backend == TORCH:
        return Chosen(folder, TORCH, "fp32")
    if backend == TORCH_BF16:
        logger.info("Answering with PyTorch in bf16")
        return Chosen(folder, TORCH, "bf16")
    return _of_run(source, folder, backend)


def _given_export(folder: Path, backend: str) -> Chosen:
    check_export(folder)
    info = ExportInfo.read(folder)
    if backend not in {AUTO, info.backend}:
        raise SettingsError(
            f"{folder} is an export for {info.backend} and cannot answer with {backend}: give the run's folder, or leave "
            "--backend out."
        )
    return Chosen(folder, info.backend, info.precision)


def _of_run(source: str | Path, folder: Path, backend: str) -> Chosen:
    """Return the export that answers for a run; PyTorch where `auto` finds none."""
    run = RunFolder(Path(source).expanduser())
    if not run.is_run or folder != run.model:
        if backend == AUTO:
            return Chosen(folder, TORCH, "fp32")
        raise RunError(
            f"--backend {backend}: {source} is no run folder, which alone holds exports. "
            f"Give an export's own folder: matinee export {source} --to {backend} --out DIR makes one."
        )
    found = find_export(run, backend)
    if found is None:
        return Chosen(folder, TORCH, "fp32")
    logger.info(f"Answering with {found.folder} ({found.info.backend}, {found.info.precision})")
    return Chosen(found.folder, found.info.backend, found.info.precision, found.predictor)


def _open_torch(folder: Path, precision: str) -> Predictor:
    check_installed(TORCH, f"The classifier in {folder}")
    from matinee.inference.backends.torch import TorchPredictor
    from matinee.model.load import load_classifier
    from matinee.model.precision import best_device, choose_precision

    if precision == "bf16" and choose_precision("auto", best_device()) != "bf16":
        raise SettingsError(
            f"--backend {TORCH_BF16}: this machine has no arithmetic for it, so that it would be slower than fp32. "
            f"Pass --backend {TORCH}."
        )
    loaded = load_classifier(folder)
    threshold = ClassifierInfo.read(folder).threshold if (folder / INFO).is_file() else None
    return TorchPredictor(loaded.model, loaded.preparation, loaded.label_names, threshold, precision)


def find_model(source: str | Path) -> Path:
    """Return the model folder that a run folder, model folder or hub id stands for."""
    name, path = str(source), Path(source).expanduser()
    if len(name) > _LONGEST_NAME:  # a text where the run should stand; the file system would refuse to look
        raise RunError(f"There is no run folder {name[:60]!r}…: the run comes first, then the texts.")
    if path.is_dir():
        if (path / INFO).is_file() or (not RunFolder(path).is_run and (path / "config.json").is_file()):
            return path
        run = RunFolder(path)
        run.check_complete()
        return run.model
    if path.exists():
        raise RunError(f"{source} is a file, not a run folder.")
    if not hub.is_repo_id(name):
        raise RunError(
            f"There is no run folder {name}. Give the folder that `matinee train` printed, its model/ folder, or a hub id (owner/name)."
        )
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    if cached := hub.cached_snapshot(name, "model", _HUB_FILES):
        return cached
    if not hub.hub_reachable():
        raise NotAvailableError(
            f"There is no folder {name}, and the Hugging Face hub cannot be asked for it{' with --offline' if hub.is_offline() else ''}."
        )
    return hub.download_snapshot(name, "model", _HUB_FILES)
