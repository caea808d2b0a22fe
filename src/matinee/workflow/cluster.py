"""Ray: found where it runs, or started on this machine for as long as one command lasts."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from matinee.core.environment import describe_machine
from matinee.core.errors import NotAvailableError, RunError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

# What runs a command: this machine's own processes, or workers of Ray's.
LOCAL, RAY = ENGINES = ("local", "ray")

# Bytes of shared memory that Ray gets here: nothing large passes through it on one machine.
_OBJECT_STORE = 256 * 1024 * 1024

# Within which a cluster's head must take a connection.
_SECONDS_TO_ANSWER = 5.0


@dataclass(frozen=True)
class Cluster:
    """Where Ray runs.

    Attributes:
        workers: Processes that shall work, one core each.
        n_gpus: Accelerators that Ray knows of.
        n_machines: How many machines there are.
        is_here: Whether it was started for this command, on this machine.
    """

    workers: int
    n_gpus: int
    n_machines: int
    is_here: bool

    def __str__(self) -> str:
        machines = "this machine" if self.is_here else f"{self.n_machines} machine{'s' * (self.n_machines != 1)}"
        return f"{self.workers} worker{'s' * (self.workers != 1)} on {machines}"


def check_engine(engine: str, address: str | None, workers: int | None) -> None:
    """Raise SettingsError if there is no such engine, or what Ray alone can do is asked of another."""
    if engine not in ENGINES:
        raise SettingsError(
            f"--engine must be one of {', '.join(ENGINES)}, got {engine!r}.{did_you_mean(engine, ENGINES)}"
        )
    for flag, value in (("--address", address), ("--workers", workers)):
        if value is not None and engine != RAY:
            raise SettingsError(f"{flag} is for --engine ray, and cannot be used without it.")


def check_ray(address: str | None, workers: int | None) -> None:
    """Raise an error, in one line, if Ray is not installed or cannot be used as asked.

    Raises:
        NotAvailableError: It is not installed.
        SettingsError: The address is of a kind that does not do, or there would be no worker.
    """
    if workers is not None and workers < 1:
        raise SettingsError(f"--workers must be at least 1, got {workers}.")
    where = _asked(address)
    if "://" in where:
        raise SettingsError(
            f"{'--address' if where == address else 'RAY_ADDRESS'} {where}: expected host:port. Through a Ray client or its dashboard "
            "this cannot be done; run the command on the cluster itself: on its head node with --address auto, or by "
            "`ray job submit -- matinee ...`."
        )
    if find_spec("ray") is None:
        raise NotAvailableError('--engine ray needs Ray: pip install "matinee[ray]".')


def _asked(address: str | None) -> str:
    """Return `host:port`, `"auto"` or `"local"`; like Ray itself, auto is what RAY_ADDRESS names."""
    if address in {None, "auto"}:
        return os.environ.get("RAY_ADDRESS") or address or "local"
    return str(address)


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[Cluster]:
    """Connect to Ray, or start it on this machine until the block ends; whoever calls this has called `check_ray`.

    Args:
        address: `"auto"` or `host:port` of a cluster; None: the one that RAY_ADDRESS names, else Ray is started here.
        workers: How many processes shall work; None: as many as there are cores.

    Raises:
        NotAvailableError: The cluster cannot be reached.
        SettingsError: This process is connected to another one.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would warn of what it will do otherwise one day, and of arguments that we hold on to.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():  # by whoever called us, who ends it too
        here = ray.get_runtime_context().gcs_address
        if address not in {None, "auto", here}:
            raise SettingsError(
                f"--address {address}: this process is connected to the Ray at {here} already. Leave the address out, or end that "
                "with ray.shutdown() first."
            )
        yield _described(workers, is_here=False)
        return
    where = _asked(address)
    try:
        with _native_output_hidden():
            _connect(where, workers)
    except Exception as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        if where == "local":
            raise NotAvailableError(f"Ray could not be started on this machine: {said}.") from error
        raise NotAvailableError(
            f"No Ray cluster answers at {where}: {said}. Start one with `ray start --head`, or leave --address out to use this "
            "machine alone."
        ) from error
    try:
        yield _described(workers, is_here=where == "local")
    finally:
        ray.shutdown()


def _connect(where: str, workers: int | None) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if where == "local":
        ray.init(
            address="local",
            num_cpus=workers or describe_machine()["cores"] or 1,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
        return
    host, _, port = where.rpartition(":")
    if host and port.isdigit():
        # Ray itself would look for a cluster that is not there for minutes.
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    ray.init(address=where, **quiet)


@contextmanager
def _native_output_hidden() -> Iterator[None]:
    """Keep what compiled code writes to standard error off the terminal; Python's errors are raised as ever."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _described(workers: int | None, *, is_here: bool) -> Cluster:
    import ray

    resources = ray.cluster_resources()
    n_machines = sum(node["Alive"] for node in ray.nodes())
    return Cluster(workers or max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0)), n_machines, is_here)


def own_folder() -> Path:
    """Return this user's folder for temporary files that many processes of a machine know; workers keep theirs there.

    Raises:
        RunError: Somebody else has made it.
    """
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    folder = Path(tempfile.gettempdir()) / f"matinee-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if hasattr(os, "getuid") and (folder.is_symlink() or found.st_uid != user or found.st_mode & 0o022):
        raise RunError(f"{folder} is not this user's alone: remove it, or set TMPDIR to another folder")
    return folder
