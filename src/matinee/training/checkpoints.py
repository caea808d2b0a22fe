"""Finding the checkpoint to resume from."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from matinee.core.errors import RunError
from matinee.core.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


AVERAGED = "averaged.safetensors"


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, None if there is none; half-written ones are removed.

    The Trainer writes `trainer_state.json` last: a checkpoint where it is missing or broken was cut off.
    """
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    whole = [path for path in checkpoints if _is_whole(path)]
    for path in checkpoints:
        if path not in whole:
            shutil.rmtree(path)
    if not whole:
        return None
    _relocate(whole[-1])
    return whole[-1]


def is_finished(checkpoint: Path) -> bool:
    """Return whether training was over when the checkpoint was written: all steps done, or stopped early."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    control = state["stateful_callbacks"].get("TrainerControl", {}).get("args", {})
    return state["global_step"] >= state["max_steps"] or bool(control.get("should_training_stop"))


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Give `model` the weights of a checkpoint, the averaged ones where it has them.

    Raises:
        RunError: They are damaged, or not this model's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    averaged = checkpoint / AVERAGED
    try:
        load_model(model, averaged if averaged.is_file() else checkpoint / "model.safetensors")
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RunError(f"The weights in {checkpoint} are damaged: train anew with --overwrite.") from error


def _is_whole(checkpoint: Path) -> bool:
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "global_step" in state


def _relocate(checkpoint: Path) -> None:
    """Point a checkpoint's note of the best one to where it is now: the run folder may have been moved (a mounted drive)."""
    path = checkpoint / "trainer_state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    if state.get("best_global_step"):
        state["best_model_checkpoint"] = str(checkpoint.parent / f"checkpoint-{state['best_global_step']}")
        write_json(path, state)
