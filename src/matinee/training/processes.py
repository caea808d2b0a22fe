"""Several processes, started by torchrun or Accelerate, that train one classifier: who talks to whom, and about what.

The first process leads: it reads the data, fits the head, hands the work out and writes. The others wait for work, train
along, and write nothing. Each reads its share of every batch; their gradients are added up before each step, and as each
counts its texts as a share of all texts of the step, the sum is the gradient that one process would have computed.

DistributedDataParallel, which the Trainer wraps around the model, sees to it that all begin with the same weights. Its own
exchange of gradients is left out: it happens within the backward pass, as often as there are passes, and each process must
make as many. Ours may make more where memory is short or a number ran over (`recovery`).
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from matinee.core.environment import describe_machine
from matinee.core.errors import InterruptedTrainingError, SettingsError
from matinee.core.ranks import is_helper, local_rank, local_world_size, rank, world_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

# A process that trains hears from the others once a step. While the first one prepares, or writes the report, there is
# nothing to hear, for hours with much data; should it end, its connections do, and the others notice at once.
_STEP, _WAIT = timedelta(minutes=30), timedelta(days=30)

# What torchrun sets where nobody says how many threads a process has.
_UNASKED = (None, "", "1")

_groups: dict[str, Any] = {}

# Not empty once this process has led.
_once: list[bool] = []


@contextmanager
def leading() -> Iterator[None]:
    """Have the other processes at hand in the block, and let them go after it; where it fails, they end with this process.

    Raises:
        SettingsError: They have been let go, or are about to end, after an earlier block.
    """
    if world_size() == 1:
        yield
        return
    if _once:
        raise SettingsError(
            f"{world_size()} processes train together once for each launch: start the next training with torchrun or accelerate anew."
        )
    _once.append(True)
    _join()
    with _threads(_cores()):
        yield
    _send(None)
    _leave()


def tasks() -> Iterator[Any]:
    """Give what the first process hands out, until it is done.

    Raises:
        InterruptedTrainingError: It has ended, and says itself why.
    """
    with lost_processes("It said why."), _threads(max(1, _cores() // local_world_size())):
        _join()
        while (task := _receive()) is not None:
            yield task
            del task
        _leave()


def hand_out(task: Any) -> None:
    """Send the other processes a task, which this one begins with too.

    Raises:
        SettingsError: Nobody said that they lead: what calls this cannot be done by several processes.
    """
    if world_size() == 1:
        return
    if not _groups:
        raise SettingsError(
            f"Of what {world_size()} processes do together, train and distill alone train together: start this without torchrun."
        )
    _send(task)


@contextmanager
def shared_cores() -> Iterator[None]:
    """Compute with this process's share of the cores in the block, in which all processes are at work."""
    with _threads(max(1, _cores() // local_world_size())):
        yield


def add_up_gradients(model: nn.Module) -> None:
    """Replace each gradient by the sum of all processes' gradients; to be called by all of them."""
    if world_size() == 1:
        return
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    together = parameters_to_vector(gradients)
    dist.all_reduce(together)
    vector_to_parameters(together, gradients)


def any_process(flag: bool, device: torch.device | str = "cpu") -> bool:
    """Return whether the flag is set in any process; to be called by all of them.

    Args:
        flag: This process's.
        device: What the processes compute on.
    """
    if world_size() == 1:
        return flag
    together = torch.tensor([float(flag)], device=device)
    dist.all_reduce(together)
    return bool(together.item())


def from_all(value: Any) -> list[Any]:
    """Return every process's value, by rank; to be called by all of them."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value, group=_groups["messages"])
    return values


def seed_step(seed: int, step: int) -> None:
    """Draw what is random in a step, dropout above all, from seed, step and rank; one process goes on with its own numbers.

    The processes must not drop the same units for different texts, and a resumed training has to draw what an
    uninterrupted one would, without a file from each process.
    """
    if world_size() > 1:
        torch.manual_seed(int(np.random.SeedSequence([seed, step, rank()]).generate_state(1)[0]))


@contextmanager
def lost_processes(what_next: str) -> Iterator[None]:
    """Say in one line that another process has ended, where that is why this one cannot go on.

    Args:
        what_next: What the error says last.

    Raises:
        InterruptedTrainingError: Another process has ended, or was not heard of for half an hour.
    """
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise InterruptedTrainingError(
            f"Another of the {world_size()} processes has ended, and this one with it. {what_next}"
        ) from error


def _join() -> None:
    """Find the other processes; Ctrl-C ends one that only waits at once: in torch's hands it would not hear of it."""
    if is_helper() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_STEP)
    _groups["messages"] = dist.new_group(backend="gloo", timeout=_WAIT)


def _leave() -> None:
    _groups.clear()
    dist.destroy_process_group()


def _send(task: Any) -> None:
    dist.broadcast_object_list([task], src=0, group=_groups["messages"])


def _receive() -> Any:
    received = [None]
    dist.broadcast_object_list(received, src=0, group=_groups["messages"])
    return received[0]


def _cores() -> int:
    return int(describe_machine()["cores"] or 1)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compute with so many threads in the block, unless the user said how many."""
    if world_size() == 1 or os.environ.get("OMP_NUM_THREADS") not in _UNASKED:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
