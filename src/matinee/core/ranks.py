"""Which of several processes this one is, as `torchrun` and `accelerate launch` say it: by torch's own variables.

The first process, of rank 0, leads: it does all there is to a command. The others help it to train and do nothing else.
"""

from __future__ import annotations

import os

from matinee.core.errors import SettingsError

# Without all of them torch would not find the other processes; some schedulers set one or two for purposes of their own.
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def world_size() -> int:
    """Return how many processes were launched together; 1 where nobody launched several."""
    return max(1, _number("WORLD_SIZE", 1)) if all(name in os.environ for name in _NEEDED) else 1


def rank() -> int:
    """Return the number of this process among them, from 0."""
    return _number("RANK", 0) if world_size() > 1 else 0


def is_helper() -> bool:
    """Return whether another process leads, and this one only helps it to train."""
    return rank() > 0


def local_rank() -> int:
    """Return the number of this process among those on this machine, from 0: that of its GPU."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """Return how many of the processes are on this machine: they share its cores."""
    return max(1, _number("LOCAL_WORLD_SIZE", 1))


def speaks() -> bool:
    """Return whether this process says what is wrong with a command: the first one does, on each machine that was given it."""
    return not is_helper() or (local_rank() == 0 and _number("GROUP_RANK", 0) > 0)


def refuse_several(what: str) -> None:
    """Raise SettingsError where several processes were launched for something that none of them can share.

    Args:
        what: As a user names it, say `matinee search`.
    """
    if world_size() > 1:
        raise SettingsError(
            f"{what} cannot be launched as {world_size()} processes by torchrun or accelerate, only train and distill can: "
            "start it as it is; docs/scale.md says how it uses many cores and machines."
        )


def check_shares(batch_size: int) -> None:
    """Raise SettingsError where a batch cannot be divided evenly among the processes, or they train in another way than ours."""
    if world_size() == 1:
        return
    for engine in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{engine}", "").lower() in {"1", "true", "yes"}:
            raise SettingsError(
                f"{engine} divides weights among processes, and matinee does not: encoders of this size fit each of them. "
                "Choose plain multi-GPU or multi-CPU in `accelerate config`, or use torchrun."
            )
    if batch_size % world_size():
        raise SettingsError(
            f"--batch-size must be a multiple of the number of processes, {world_size()}, got {batch_size}: it counts the texts "
            "of a step over all of them."
        )


def _number(name: str, default: int) -> int:
    try:
        return int(os.environ.get(name, default))
    except ValueError:
        return default
