"""Finds the classifier that a user means, and picks its back end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matinee.core import hub
from matinee.core.errors import NotAvailableError, RunError
from matinee.core.run import RunFolder
from matinee.core.settings import LINEAR
from matinee.model.artifact import INFO, ClassifierInfo

if TYPE_CHECKING:
    from matinee.inference.predictor import Predictor

_HUB_FILES = ("*.json", "*.safetensors", "tokenizer*", "vocab*", "merges.txt", "spiece.model")
_LONGEST_NAME = 200


def load_predictor(source: str | Path) -> Predictor:
    """Return the classifier at `source`, ready to predict.

    Args:
        source: A complete run folder, its `model/` folder, any Hugging Face classification model folder, or a hub id.

    Raises:
        RunError: The folder is not a classifier, or its run is not complete.
        NotAvailableError: There is no such folder, and the hub cannot help.
    """
    folder = find_model(source)
    threshold = None
    if (folder / INFO).is_file():
        info = ClassifierInfo.read(folder)
        if info.kind in LINEAR:
            return _load_linear(folder, info)
        threshold = info.threshold
    from matinee.inference.backends.torch import TorchPredictor
    from matinee.model.load import load_classifier

    loaded = load_classifier(folder)
    return TorchPredictor(loaded.model, loaded.preparation, loaded.label_names, threshold)


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


def _load_linear(folder: Path, info: ClassifierInfo) -> Predictor:
    from safetensors import SafetensorError

    from matinee.inference.backends.linear import LinearPredictor
    from matinee.model.bag_of_words import BagOfWords

    try:
        return LinearPredictor(BagOfWords.load(folder, info.kind), info.label_names, info.threshold)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise RunError(f"The classifier in {folder} is damaged: {error}.") from error
