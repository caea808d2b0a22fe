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
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from matinee.core.environment import describe_machine
from matinee.core.errors import InterruptedTrainingError, MatineeError, SettingsError
from matinee.core.ranks import is_helper, local_rank, local_world_size, rank, world_size
from matinee.model.precision import best_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn
    from torch._C._distributed_c10d import Store

# A process that trains hears from the others once a step. While the first one prepares, or writes the report, there is
# nothing to hear, for hours with much data; should its process end, its connections do, and the others notice at once.
_STEP, _WAIT = timedelta(minutes=30), timedelta(days=30)

# What torchrun sets where nobody says how many threads a process has.
_UNASKED = (None, "", "1")


@dataclass(frozen=True)
class _Links:
    """How a process reaches the others.

    Attributes:
        notes: Torch's store, where notes are left.
        messages: For what is said while all train.
        work: For what is handed out, which may be waited for.
    """

    notes: Store
    messages: dist.ProcessGroup
    work: dist.ProcessGroup


# This process's, while it has any.
_links: list[_Links] = []

# The note of a first process that could not finish, and says itself why; what processes compute on, by rank.
_FAILED, _COMPUTES_ON = "failed", "computes on/{}"

_SECONDS_BETWEEN_LOOKS, _SECONDS_TO_NOTICE = 1.0, 10.0

# Not empty once this process has led.
_once: list[bool] = []


@contextmanager
def leading() -> Iterator[None]:
    """Have the other processes at hand in the block, and let them go after it; where it fails, they end at once.

    Raises:
        SettingsError: They have been let go, or have ended, after an earlier block, cannot be reached, or do not compute on one
            kind of device.
    """
    if world_size() == 1:
        yield
        return
    if _once:
        raise SettingsError(
            f"{world_size()} processes train together once for each launch: start the next training with torchrun or accelerate anew."
        )
    _once.append(True)
    try:
        _join()
        with _threads(_cores()):
            yield
    except BaseException:
        _fail()
        raise
    # All is done: one that has been lost since need not be told.
    with suppress(RuntimeError):
        _hand(None)
    _leave()


@contextmanager
def following() -> Iterator[None]:
    """Be one of the others in the block, which takes what `tasks` gives.

    Where the first process knows why it cannot go on, this one ends without a word and without a failure: torchrun would
    end the first one too, which may have caught its error, or be about to say what it is.

    Raises:
        InterruptedTrainingError: Another process has ended.
        SettingsError: They cannot reach each other.
    """
    with _threads(max(1, _cores() // local_world_size())):
        _join()
        with _watching_first():
            yield
        _leave()


@contextmanager
def _watching_first() -> Iterator[None]:
    """End this process in the block as soon as the first one has left a note that it failed: connections may outlive that."""
    over = threading.Event()
    watch = threading.Thread(target=_watch_first, args=(over,), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join(timeout=_SECONDS_TO_NOTICE)


def _watch_first(over: threading.Event) -> None:
    try:
        notes = _store()  # by a connection of its own: torch may hold the other one for as long as it waits
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            if notes.check([_FAILED]):
                _end_now(0)
    except RuntimeError:
        # Whoever keeps the notes has gone. As a rule connections break then, and the main thread says so.
        if not over.wait(_SECONDS_TO_NOTICE):
            sys.stderr.write(f"matinee: process {rank()}: The first process is gone, and this one ends with it.\n")
            _end_now(1)


def _end_now(code: int) -> None:
    """End this process while it waits where no error reaches it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def tasks() -> Iterator[Any]:
    """Give what the first process hands out, until it is done; within `following`."""
    with lost_processes("It may have said why."):
        while (task := _hand(None)) is not None:
            yield task
            del task


def hand_out(task: Any) -> None:
    """Send the other processes a task, which this one begins with too.

    Raises:
        SettingsError: Nobody said that they lead: what calls this cannot be done by several processes.
    """
    if world_size() == 1:
        return
    if not _links:
        raise SettingsError(
            f"Of what {world_size()} processes do together, train and distill alone train together: start this without torchrun."
        )
    _hand(task)


def agree(failure: MatineeError | None) -> None:
    """Raise in the first process what keeps any of them from going on, and end the others; to be called by all.

    Args:
        failure: What keeps this one; None: nothing.

    Raises:
        MatineeError: Of the same class as the failure of the process of lowest rank that has one.
    """
    failures = from_all(failure)
    for number, found in enumerate(failures):
        if found is None:
            continue
        if is_helper():
            raise SystemExit(0)
        raise type(found)(f"In process {number}: {found}" if number else str(found)) from found


def failure_of(work: Callable[[], object]) -> MatineeError | None:
    """Return what keeps this process from doing `work`, to be agreed on; None: it is done."""
    try:
        work()
    except MatineeError as error:
        return error
    return None


@contextmanager
def shared_cores() -> Iterator[None]:
    """Compute with this process's share of the cores in the block, in which all processes are at work."""
    with _threads(max(1, _cores() // local_world_size())):
        yield


def add_up_gradients(model: nn.Module, *, failed: bool = False) -> None:
    """Replace each gradient by the sum of all processes' gradients; to be called by all of them.

    Args:
        model: Has gradients, unless this process has failed.
        failed: Whether this process has none worth adding: all sums are NaN then, in every process.
    """
    if world_size() == 1:
        return
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    together = parameters_to_vector(gradients)
    if failed:
        together.fill_(torch.nan)
    dist.all_reduce(together)
    vector_to_parameters(together, gradients)
    if failed:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient


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
    dist.all_gather_object(values, value, group=_links[0].messages)
    return values


def from_first(value: Any) -> Any:
    """Return the first process's value; to be called by all of them."""
    return value if world_size() == 1 else _broadcast(value, _links[0].messages)


def _hand(task: Any) -> Any:
    """Return what the first process hands out, for as long as that may take; to be called by all of them."""
    return _broadcast(task, _links[0].work)


def _broadcast(value: Any, group: dist.ProcessGroup) -> Any:
    values = [value]
    dist.broadcast_object_list(values, src=0, group=group)
    return values[0]


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
        if is_helper() and _first_has_failed():
            raise SystemExit(0) from None
        raise InterruptedTrainingError(
            f"Another of the {world_size()} processes has ended, and this one with it. {what_next}"
        ) from error


def _join() -> None:
    """Find the other processes; Ctrl-C ends one that only waits at once: in torch's hands it would not hear of it."""
    if is_helper() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        store = _store()
        if not is_helper():
            store.delete_key(_FAILED)  # where torchrun starts all again
        _check_devices(store)
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank())
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank(), world_size=world_size(), timeout=_STEP)
        messages, work = (dist.new_group(backend="gloo", timeout=timeout) for timeout in (_STEP, _WAIT))
        _links.append(_Links(store, messages, work))
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise SettingsError(
            f"The {world_size()} processes do not reach each other ({reason}). Are all of them running? On machines with several "
            "networks, GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME has to name the one that connects them."
        ) from error


def _store() -> Store:
    """Connect to where torch's processes find each other, and leave notes."""
    found, _, _ = next(rendezvous("env://", timeout=_STEP))
    return dist.PrefixStore("matinee", found)  # type: ignore[attr-defined]


def _check_devices(store: Store) -> None:
    """Raise SettingsError where some processes compute on an accelerator and others do not: they could not be connected."""
    kind, n_gpus = best_device().type, torch.cuda.device_count()
    if kind == "cuda" and local_rank() >= n_gpus:
        kind = f"none of the {n_gpus} GPUs of its machine"
    of_all = [_COMPUTES_ON.format(number) for number in range(world_size())]
    store.set(of_all[rank()], kind)
    store.wait(of_all, _STEP)
    kinds = [store.get(name).decode() for name in of_all]
    if len(set(kinds)) > 1:
        if is_helper():
            raise SystemExit(0)  # the first process says it
        told = ", ".join(f"process {number} on {kind}" for number, kind in enumerate(kinds))
        raise SettingsError(
            f"Processes that train together must compute on one kind of device, and these do not: {told}. Start as many on each "
            "machine as it has GPUs, or set CUDA_VISIBLE_DEVICES to nothing on all of them."
        )


def _leave() -> None:
    _links.clear()
    if dist.is_initialized():
        dist.destroy_process_group()


def _fail() -> None:
    """Leave a note that this process has failed, on which the others end, and hang up."""
    with suppress(RuntimeError):
        for links in _links:
            links.notes.set(_FAILED, "")
    with suppress(RuntimeError):
        _leave()


def _first_has_failed() -> bool:
    """Return whether the first process has left a note that it has; its end may have taken the notes with it."""
    try:
        return any(links.notes.check([_FAILED]) for links in _links)
    except RuntimeError:
        return False


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
