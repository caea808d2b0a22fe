"""A stage of a search in several processes of this machine, which share its cores."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from matinee.core.environment import describe_machine
from matinee.core.errors import StoppedError, TrainingError
from matinee.training.study import FINISHED
from matinee.workflow.study_plan import FINALISTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matinee.workflow.study_plan import Plan
    from matinee.workflow.trials import Stop

logger = logging.getLogger(__name__)

# What a process is started with; its plan comes on standard input, where nobody else reads the storage's password.
_WORKER = "import sys; from matinee.workflow.trials import main; sys.exit(main())"
SECONDS_BETWEEN_LOOKS, SECONDS_TO_STOP = 0.5, 20.0


def run_processes(plan: Plan, n_jobs: int, stop: Stop, seen: Callable[[], None]) -> None:
    """Run a stage in several processes, which share this machine's cores.

    Raises:
        StoppedError: Ctrl-C was pressed twice.
        TrainingError: All of them ended before the trials did.
        MatineeError: The storage cannot be used.
    """
    threads = max(1, (describe_machine()["cores"] or 1) // n_jobs)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    processes = [started(replace(plan, worker=n), environment) for n in range(n_jobs)]
    try:
        asked = False
        while any(process.poll() is None for process, _ in processes):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            seen()
            if stop.asked and not asked:
                asked = True
                _interrupt(processes)
    except KeyboardInterrupt:
        _interrupt(processes)
        raise StoppedError("Stopped at once; trials that were under way are tried again later.") from None
    finally:
        said = ended(processes)
    seen()
    settle(plan, [process.returncode for process, _ in processes], said, stop)


def settle(plan: Plan, codes: Sequence[int], said: Sequence[str], stop: Stop) -> None:
    """Warn of processes that ended early; raise TrainingError where none is left and the stage is not done.

    Args:
        plan: Of the search.
        codes: Exit status of each process.
        said: What each of those that failed said, in the same order.
        stop: Whether they were asked to stop.
    """
    if any(code == 0 for code in codes) or stop.asked or _is_done(plan):
        for line in said:
            logger.warning(f"A process ended early: {line}")
        return
    own = [line for code, line in zip(codes, said, strict=True) if code > 0]
    if own:
        raise TrainingError(f"{own[0]}.")
    raise TrainingError(
        f"All processes ended before the search did ({said[0]}). Try fewer --jobs; the same command goes on."
    )


def _is_done(plan: Plan) -> bool:
    """Return whether the trials of the stage are over, whatever became of those who did them."""
    if plan.stage == FINALISTS:
        return not any(row.state in {"waiting", "running"} for row in plan.open_finalists().rows())
    return sum(row.state in FINISHED for row in plan.open_trials().rows()) >= plan.n_trials


def started(plan: Plan, environment: Mapping[str, str]) -> tuple[subprocess.Popen[str], Path]:
    """Return a process that works on the plan, and the file that it writes its errors to."""
    log = plan.folder.workers / f"process-{plan.worker}-{os.getpid()}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=dict(environment),
            text=True,
            start_new_session=True,  # Ctrl-C on the terminal reaches this process alone, which hands it on
        )
    assert process.stdin is not None  # noqa: S101 - narrows a type
    with suppress(BrokenPipeError):
        process.stdin.write(plan.to_json())
        process.stdin.close()
    return process, log


def _interrupt(processes: list[tuple[subprocess.Popen[str], Path]]) -> None:
    for process, _ in processes:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)


def ended(processes: list[tuple[subprocess.Popen[str], Path]]) -> list[str]:
    """Wait for the processes, end those that do not end, and return the last line of each that failed."""
    until, said = time.monotonic() + SECONDS_TO_STOP, []
    for process, log in processes:
        try:
            process.wait(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if process.returncode:
            killed = (
                f"killed by signal {-process.returncode}"
                if process.returncode < 0
                else f"a process ended with status {process.returncode}"
            )
            said.append(lines[-1] if lines and process.returncode > 0 else killed)
    return said
