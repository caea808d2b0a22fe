"""One cell of a leaderboard: an encoder with a number of labels and a seed, trained and measured in a process of its own.

In a process of its own the peak of memory is the cell's, and one that runs out of memory or is killed takes nothing with it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.environment import describe_machine
from matinee.core.errors import MatineeError, RunError
from matinee.core.files import write_json
from matinee.core.interruption import check_interrupt
from matinee.core.run import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matinee.workflow.train import Run

FORMAT = 1
COMPLETE, FAILED = "complete", "failed"
METRICS = ("accuracy", "f1", "log_loss", "ece")

# Test texts to be timed on where the run's own stage does not tell, or was over too soon to; texts before that, and seconds in all.
_TIMED, _WARM_UP, _LONG_ENOUGH = 2000, 40, 0.5

# Seconds between looks at a cell's process, and that it has to stop at a safe place after Ctrl-C.
_POLL, _PATIENCE = 0.2, 600.0

# The last line of a process says why it failed, with this key.
_ERROR = "error"


@dataclass(frozen=True)
class Cell:
    """One encoder with one size and one seed.

    Attributes:
        encoder: Its name on the board.
        size: Number of training texts.
        seed: Seed of the training texts and the training.
        folder: Its run folder.
        settings: All settings of the run, by their flat names.
    """

    encoder: str
    size: int
    seed: int
    folder: Path
    settings: Mapping[str, object]

    @property
    def result(self) -> Path:
        """What was measured, written last."""
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def log(self) -> Path:
        """What its process said; kept where it failed."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def __str__(self) -> str:
        return f"{self.encoder} with {self.size:,} labels, seed {self.seed}"

    def about(self) -> dict[str, Any]:
        """Return what tells it from the others."""
        return {"encoder": self.encoder, "size": self.size, "seed": self.seed}


def failed(cell: Cell, reason: str, *, kind: str = "") -> dict[str, Any]:
    """Return the result of a cell that has none.

    Args:
        cell: Which.
        reason: Why, for a person.
        kind: Name of the exception; empty where there was none.
    """
    measured = (*METRICS, "training_seconds", "texts_per_second", "peak_memory_mb", "model_mb")
    return {
        "format": FORMAT,
        **cell.about(),
        "state": FAILED,
        "reason": reason,
        "kind": kind,
        **dict.fromkeys(measured),
    }


def run_apart(cell: Cell, *, offline: bool, keep_model: bool, watched: Callable[[str], None]) -> dict[str, Any]:
    """Train and measure a cell in a fresh process, and return its result, which is written beside its folder too.

    Args:
        cell: Which.
        offline: Never touch the network.
        keep_model: Leave model and checkpoints where they are.
        watched: Told a few times a second what the process said last.

    Raises:
        KeyboardInterrupt: Ctrl-C; the process was stopped at a safe place, or at once at the second one.
    """
    job = {
        "folder": str(cell.folder),
        "result": str(cell.result),
        "settings": dict(cell.settings),
        "about": cell.about(),
        "offline": offline,
        "keep_model": keep_model,
    }
    started = time.perf_counter()
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    cell.result.unlink(missing_ok=True)
    with cell.log.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from matinee.workflow.cells import main; sys.exit(main())"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
            start_new_session=True,
        )  # fmt: skip
        with process:
            said = _wait(process, job, lambda: watched(_last_line(cell.log)))
    if process.returncode == 0 and cell.result.is_file():
        cell.log.unlink(missing_ok=True)
        result = {**_read(cell.result), "process_seconds": round(time.perf_counter() - started, 1)}
        write_json(cell.result, result)
        return result
    reason, kind = _why(process.returncode, said, cell.log)
    result = failed(cell, reason, kind=kind)
    write_json(cell.result, result)
    return result


def read_result(cell: Cell) -> dict[str, Any] | None:
    """Return what an earlier call measured, None where there is nothing, or nothing that can be used."""
    with suppress(RunError):
        found = _read(cell.result)
        if found.get("format") == FORMAT and all(found.get(name) == value for name, value in cell.about().items()):
            return found
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path} is missing or damaged.") from error


def _wait(process: subprocess.Popen[str], job: Mapping[str, Any], look: Callable[[], None]) -> str:
    """Hand the job over, wait for the end, and return what the process wrote.

    Its standard input stays open as long as this process lives: a cell whose parent was killed ends too.
    """
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - narrow types
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        while process.poll() is None:
            check_interrupt()
            look()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL)
    except BaseException:
        _stop(process)
        raise
    return process.stdout.read()


def _stop(process: subprocess.Popen[str]) -> None:
    """Let the process stop at a safe place, so that it can be taken up again; kill it where that takes too long, or at Ctrl-C."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    except BaseException:
        process.kill()
        raise
    finally:
        process.poll()


def _why(code: int, said: str, log: Path) -> tuple[str, str]:
    """Return why a process ended without a result, for a person, and the exception's name."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"it was killed ({name})" + (": most likely memory ran out" if -code == 9 else ""), ""
    lines = said.strip().splitlines()
    with suppress(ValueError, TypeError, KeyError, IndexError):
        found = json.loads(lines[-1])
        return str(found[_ERROR]), str(found["kind"])
    return f"its process ended with {code}: {_last_line(log) or 'nothing was said'}", ""


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 1000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


# -- in the cell's own process ----------------------------------------------------------------------------------------


def main() -> int:
    """Read a job from standard input, train and measure; say why on standard output where that fails."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _log_to_stderr()
    try:
        run_cell(job)
    except MatineeError as error:
        return _say_why(error, str(error))
    except (KeyboardInterrupt, MemoryError) as error:
        return _say_why(error, "it was interrupted" if isinstance(error, KeyboardInterrupt) else "memory ran out")
    except Exception as error:
        logging.getLogger(__name__).exception("unexpected")
        return _say_why(error, f"unexpected {type(error).__name__}: {error}")
    return 0


def run_cell(job: Mapping[str, Any]) -> None:
    """Train a cell, or finish its training, measure it, and write the result; then drop what a board has no use for."""
    run, resumed = _trained(job)
    write_json(Path(job["result"]), {"format": FORMAT, **job["about"], **measure(run, resumed=resumed)})
    if not job["keep_model"]:
        folder = RunFolder(Path(job["folder"]))
        _slim(folder)


def _slim(folder: RunFolder) -> None:
    """Drop the model and the pages, and of the predictions all but the classifier's of the test texts, without the texts."""
    from matinee.evaluation import read_predictions, write_predictions
    from matinee.workflow.fitting import CLASSIFIER

    for path in (folder.model, folder.checkpoints, folder.tensorboard, folder.figures):
        shutil.rmtree(path, ignore_errors=True)
    for path in (folder.analysis, folder.report):
        path.unlink(missing_ok=True)
    said = read_predictions(folder.predictions)["test", CLASSIFIER]
    write_predictions(folder.predictions, {("test", CLASSIFIER): replace(said, texts=[""] * len(said))})
    folder.refresh_manifest()


def measure(run: Run, *, resumed: bool) -> dict[str, Any]:
    """Return what a cell's result holds of a complete run.

    Args:
        run: The run, its model still there.
        resumed: Whether it was interrupted: how long all of it took is not known then.
    """
    from matinee.inference.speed import peak_memory_mb
    from matinee.workflow.fitting import seconds_of_learning

    memory = peak_memory_mb()  # before anything is predicted once more
    predicting = _seconds_of_predicting(run)
    n_bytes = sum(path.stat().st_size for path in RunFolder(run.path).model.rglob("*") if path.is_file())
    return {
        "state": COMPLETE,
        "reason": None,
        **{name: _score(run.metrics["test"].get(name)) for name in METRICS},
        "training_seconds": None if resumed else round(seconds_of_learning(run.seconds, predicting) or 0.0, 3),
        "texts_per_second": round(len(run.test) / predicting, 3),
        "peak_memory_mb": None if memory is None else round(memory, 1),
        "model_mb": round(n_bytes / 1e6, 3),
        "fingerprints": {name: run.data["splits"][name]["fingerprint"] for name in ("train", "test")},
        "seconds": {stage: round(seconds, 2) for stage, seconds in run.seconds.items()},
        "machine": described_machine(),
    }


def _trained(job: Mapping[str, Any]) -> tuple[Run, bool]:
    """Return the cell's run, and whether it had been begun before."""
    from matinee.workflow.train import resume, train

    folder = RunFolder(Path(job["folder"]))
    if folder.is_run and not folder.is_complete:
        begun = any(folder.checkpoints.glob("checkpoint-*"))
        try:
            return resume(folder.path, offline=job["offline"]), begun
        except RunError as error:
            logging.getLogger("matinee").warning(f"Started anew: {error}")
    settings = {name: value for name, value in job["settings"].items() if name != "data"}
    data = job["settings"]["data"]
    return train(data, run_dir=folder.path, overwrite=True, offline=job["offline"], **settings), False


def _seconds_of_predicting(run: Run) -> float:
    """Return how long the test texts take: as the run measured it, or anew, warm and again and again, where that was too short."""
    if run.seconds.get("predicting", 0.0) >= _LONG_ENOUGH:
        return run.seconds["predicting"]
    texts: Sequence[str] = run.test.texts[:_TIMED]
    run.predict(texts[:_WARM_UP])
    n_done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _LONG_ENOUGH:
        run.predict(texts)
        n_done += len(texts)
    return spent * len(run.test) / n_done


def described_machine() -> dict[str, Any]:
    """Return this machine, with the accelerator that torch sees."""
    import torch

    return {**describe_machine(), "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None}


def same_machine(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Return whether times of two machines can be held against each other; of one that was not noted they cannot.

    Memory that is free to use differs a little from one start of a machine to the next.
    """
    first, second = (
        {name: of for name, of in (machine or {}).items() if name != "memory_gb"} for machine in (one, other)
    )
    return bool(first) and first == second


def _score(score: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: None if score is None else score[name] for name in ("value", "low", "high")}


def _say_why(error: BaseException, reason: str) -> int:
    sys.stdout.write("\n" + json.dumps({_ERROR: " ".join(reason.split()), "kind": type(error).__name__}) + "\n")
    return 1


def _log_to_stderr() -> None:
    logger = logging.getLogger("matinee")
    logger.handlers, logger.propagate = [logging.StreamHandler(sys.stderr)], False
    logger.setLevel(logging.INFO)


def _end_with_parent() -> None:
    """End this process once nobody holds the other end of standard input any more: whoever would read the result is gone."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(1)
