"""`matinee search --engine ray`: Ray starts the processes of a search, on any number of machines; the storage is what they share."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core.errors import SettingsError, StoppedError
from matinee.training.study import JOURNAL, shown_storage
from matinee.workflow.cluster import cluster, own_folder
from matinee.workflow.processes import SECONDS_BETWEEN_LOOKS, SECONDS_TO_STOP, ended, settle, started
from matinee.workflow.study_plan import Plan, StudyFolder

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from matinee.workflow.cluster import Cluster
    from matinee.workflow.trials import Stop

# How often Ray starts a process again that was lost; its trial is tried again by whoever comes first.
_RETRIES = 3

_LOST = "its worker was lost"


def run_on_ray(plan: Plan, address: str | None, workers: int | None, stop: Stop, seen: Callable[[], None]) -> None:
    """Run a stage of a search by workers of Ray's: one for each core, or each accelerator where there are any.

    Args:
        plan: Of the search.
        address: Of the cluster; see `cluster`.
        workers: How many; None: as many as there are cores or accelerators.
        stop: Set by Ctrl-C.
        seen: Called now and then.

    Raises:
        SettingsError: The trials are kept where other machines do not see them.
        StoppedError: Ctrl-C was pressed twice.
        TrainingError: All workers ended before the trials did.
        NotAvailableError: Ray is not there.
    """
    import ray

    plan = _from_anywhere(plan)
    with cluster(address, workers) as where:
        _check_in_reach(plan, where)
        options = {"num_cpus": 1, "max_concurrency": 2, "max_restarts": _RETRIES, "max_task_retries": _RETRIES}
        if where.n_gpus:
            options["num_gpus"] = 1
        kind = ray.remote(**options)(Searcher)
        n_workers = workers or where.n_gpus or where.workers
        actors = [kind.remote() for _ in range(n_workers)]
        runs = [actor.run.remote(replace(plan, worker=n).to_json(), __version__) for n, actor in enumerate(actors)]
        found = _watch(ray, dict(zip(runs, actors, strict=True)), stop, seen)
    seen()
    settle(plan, [code for code, _ in found], [said for _, said in found if said], stop)


def _watch(ray: Any, at_work: dict[Any, Any], stop: Stop, seen: Callable[[], None]) -> list[tuple[int, str]]:
    """Wait until all runs are over, hand Ctrl-C on to them, and return how each ended.

    A worker that is done makes room: of more workers than there are cores or accelerators, some begin only then.

    Args:
        ray: The module.
        at_work: The worker of each run.
        stop: Set by Ctrl-C.
        seen: Called now and then.
    """
    asked, found = False, list[tuple[int, str]]()
    try:
        while at_work:
            done, _ = ray.wait(list(at_work), timeout=SECONDS_BETWEEN_LOOKS)
            for run in done:
                found.append(_result(ray, run))
                ray.kill(at_work.pop(run))
            seen()
            if stop.asked and not asked:
                asked = True
                _interrupt(ray, list(at_work.values()))
    except KeyboardInterrupt:
        _interrupt(ray, list(at_work.values()))
        ray.wait(list(at_work), num_returns=len(at_work), timeout=SECONDS_TO_STOP)
        raise StoppedError("Stopped at once; trials that were under way are tried again later.") from None
    return found


def _interrupt(ray: Any, actors: list[Any]) -> None:
    if not actors:
        return
    ray.wait([actor.interrupt.remote() for actor in actors], num_returns=len(actors), timeout=SECONDS_TO_STOP)


def _result(ray: Any, run: Any) -> tuple[int, str]:
    """Return a worker's exit status and what it said, negative where it was lost more often than it is started again."""
    try:
        code, said = ray.get(run)
    except ray.exceptions.RayError:
        return -1, _LOST
    return int(code), str(said)


def _from_anywhere(plan: Plan) -> Plan:
    """Return the plan with absolute paths: workers of Ray's begin in folders of their own."""
    storage = plan.storage
    if storage.startswith(JOURNAL):
        storage = JOURNAL + str(Path(storage.removeprefix(JOURNAL)).absolute())
    elif storage.startswith("sqlite") and ":///" in storage:
        kind, _, path = storage.partition(":///")
        storage = f"{kind}:///{Path(path).absolute()}"
    return replace(plan, storage=storage, folder=StudyFolder(plan.folder.path.absolute()))


def _check_in_reach(plan: Plan, where: Cluster) -> None:
    """Raise SettingsError where the cluster has other machines, and the trials are kept in a database file on this one."""
    if where.n_machines > 1 and plan.storage.startswith("sqlite"):
        raise SettingsError(
            f"--storage {shown_storage(plan.storage)} is a file on this machine, and the cluster has {where.n_machines}: name a "
            f"database that all of them reach, as postgresql://user:password@host/database, or {JOURNAL}FILE on a drive that all have."
        )


class Searcher:
    """A worker of Ray's: the process that a search on one machine would start, beside it.

    In a process of its own, so that a trial that runs out of memory takes nothing else along.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.interrupted = False
        self.lock = threading.Lock()
        atexit.register(self.interrupt)

    def run(self, plan: str, version: str) -> tuple[int, str]:
        """Work on the study until it is over; return the exit status and, where it failed, the last line it said."""
        if version != __version__:
            return (
                2,
                f"A worker has matinee {__version__}, and the search was begun with {version}: install the same on all",
            )
        here = Plan.from_json(plan)
        if here.storage.startswith(JOURNAL) and not Path(here.storage.removeprefix(JOURNAL)).exists():
            return 2, f"A worker's machine does not see {here.storage}: put it on a drive that all machines have"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with self.lock:
            if self.interrupted:  # before there was room for this worker
                return 0, ""
            self.process, log = started(replace(here, folder=_folder_here(here)), environment)
        process = self.process
        process.wait()
        return process.returncode, "".join(ended([(process, log)]))

    def interrupt(self) -> None:
        """Have it stop after the trial under way; a second time: at once."""
        with self.lock:
            self.interrupted = True
            if self.process is not None and self.process.poll() is None:
                with suppress(ProcessLookupError):
                    self.process.send_signal(signal.SIGINT)


def _folder_here(plan: Plan) -> StudyFolder:
    """Return the study's folder where this machine has it, else one for locks and scratch of its own."""
    if plan.folder.path.is_dir():
        return plan.folder
    folder = own_folder() / "searches" / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    return StudyFolder(folder)
