"""Checkpoints: which one to resume from, which ones to keep, and how much of each."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from matinee.core.errors import RunError, UnreachableError
from matinee.core.files import flush, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


AVERAGED = "averaged.safetensors"
_WEIGHTS = "model.safetensors"
_STATE = "trainer_state.json"

# What only a resumed training reads; twice as large as the weights.
_TO_RESUME = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
_SPARE = (*_TO_RESUME, "scaler.pt", "training_args.bin")

# Checkpoints that can be resumed from: should the newest be damaged, the one before it serves.
_RESUMABLE = 2

# The record that ends a zip archive, which torch's files are.
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that training can go on from, None if there is none.

    Half-written ones are removed, and so are those after the one that is returned.

    Raises:
        UnreachableError: A checkpoint is there and cannot be read: whether it is whole is not known.
    """
    try:
        usable = [path for path in _by_step(folder) if _is_usable(path)]
        latest = next((path for path in reversed(usable) if is_finished(path) or _is_resumable(path)), None)
    except OSError as error:
        raise UnreachableError(
            f"{folder} cannot be read: {error.strerror or error}. Try again once it can; nothing was changed."
        ) from error
    for path in _by_step(folder):
        if path not in usable or latest is None or _step(path) > _step(latest):
            shutil.rmtree(path)
    if latest is not None:
        _relocate(latest)
    return latest


def is_finished(checkpoint: Path) -> bool:
    """Return whether training was over when the checkpoint was written: all steps done, or stopped early."""
    state = _read_state(checkpoint) or {}
    control = state["stateful_callbacks"].get("TrainerControl", {}).get("args", {})
    return state["global_step"] >= state["max_steps"] or bool(control.get("should_training_stop"))


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Give `model` the weights of a checkpoint, the averaged ones where it has them.

    Raises:
        RunError: They are damaged, or not this model's.
        OSError: They cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    averaged = checkpoint / AVERAGED
    try:
        load_model(model, averaged if averaged.is_file() else checkpoint / _WEIGHTS)
    except (FileNotFoundError, RuntimeError, SafetensorError) as error:
        if isinstance(error, FileNotFoundError) and not os.path.isdir(checkpoint.parent):  # noqa: PTH112 - never raises
            raise
        raise RunError(f"The weights in {checkpoint} are damaged: train anew with --overwrite.") from error


def secure(checkpoint: Path) -> None:
    """Have a checkpoint on the disk before an older one is dropped; a network drive may refuse only now."""
    for path in checkpoint.iterdir():
        if path.is_file():
            flush(path)


def drop_old(folder: Path, keep: int, best_step: int | None) -> None:
    """Bound what checkpoints take: the newest stay, and the best one among or besides them.

    Those that training would not be resumed from keep their weights alone.

    Args:
        folder: Of the checkpoints.
        keep: How many stay; the newest and the best do in any case.
        best_step: Step of the best one, None or 0 where there is none yet.
    """
    checkpoints = _by_step(folder)
    best = [path for path in checkpoints if _step(path) == best_step]
    others = [path for path in checkpoints if path not in best]
    n_others = max(keep - len(best), 0 if checkpoints[-1:] == best else 1)
    for path in others[: max(0, len(others) - n_others)]:
        shutil.rmtree(path, ignore_errors=True)
        checkpoints.remove(path)
    for path in checkpoints[: -min(keep, _RESUMABLE)]:
        _keep_weights(path)


def keep_weights_only(folder: Path) -> None:
    """Drop what nobody needs once a run is complete: it is not resumed, and each checkpoint's weights are all there is to it."""
    for path in _by_step(folder):
        _keep_weights(path)


def _keep_weights(checkpoint: Path) -> None:
    own = (_WEIGHTS,) if (checkpoint / AVERAGED).is_file() else ()
    for name in (*_SPARE, *own):
        (checkpoint / name).unlink(missing_ok=True)


def _by_step(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _is_usable(checkpoint: Path) -> bool:
    """Return whether a checkpoint's weights and its note of where training was are whole.

    The Trainer writes that note last: a checkpoint where it is missing or broken was cut off.
    """
    if "global_step" not in (_read_state(checkpoint) or {}):
        return False
    return _is_whole(checkpoint / AVERAGED) or _is_whole(checkpoint / _WEIGHTS)


def _is_resumable(checkpoint: Path) -> bool:
    """Return whether everything that a resumed training reads is whole."""
    names = [_WEIGHTS, *_TO_RESUME, *([AVERAGED] if (checkpoint / AVERAGED).is_file() else [])]
    return all(_is_whole(checkpoint / name) for name in names)


def _is_whole(path: Path) -> bool:
    """Return whether a file of tensors ends where it should: neither a drive that went away nor a power cut left half of it."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix != ".safetensors":
            return _tail(path, _ZIP_END_BYTES).startswith(_ZIP_END)
        with safe_open(path, "pt"):
            return True
    except (FileNotFoundError, SafetensorError):
        return False


def _tail(path: Path, n_bytes: int) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - n_bytes, 0))
        return file.read()


def _read_state(checkpoint: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _relocate(checkpoint: Path) -> None:
    """Point a checkpoint's note of the best one to where it is now: the run folder may have been moved (a mounted drive)."""
    state = _read_state(checkpoint) or {}
    if state.get("best_global_step"):
        state["best_model_checkpoint"] = str(checkpoint.parent / f"checkpoint-{state['best_global_step']}")
        write_json(checkpoint / _STATE, state)
