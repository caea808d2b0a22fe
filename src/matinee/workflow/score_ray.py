"""`matinee score --engine ray`: Ray Data hands slices of the input to workers, which read, answer and write them by themselves.

Rows never pass through Ray: a worker gets a slice's number, and gives back its counts. So its memory is that of one shard, a slice that
was lost with its worker is done again to the same files, and what is done is known from the output alone.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core.errors import (
    DataError,
    MatineeError,
    NotAvailableError,
    RunError,
    SettingsError,
    StorageError,
)
from matinee.core.interruption import interrupts_held, interrupts_remembered
from matinee.core.progress import progress
from matinee.workflow.answering import answered, hash_of, kept_when_stopped, written_columns
from matinee.workflow.cluster import RAY, check_ray, cluster, own_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matinee.core.settings import DataSettings
    from matinee.data.lake import Source
    from matinee.data.lake_output import Counted, LakeOutput
    from matinee.data.slices import Cut, Look, Piece
    from matinee.data.streaming import Shard
    from matinee.inference.load import Chosen
    from matinee.workflow.answering import Asked
    from matinee.workflow.cluster import Cluster
    from matinee.workflow.score import Scored

logger = logging.getLogger(__name__)

# Slices that Ray is told of at once: each costs it some memory, whether it is under way or not.
_WAVE = 5_000

# How often a slice is begun again by a worker that died before. Ray itself would let it kill workers for ever.
_RETRIES = 3

# Slices that a worker has waiting, beside the one it answers.
_IN_FLIGHT = 2

# What a worker found wrong, by the name that its row has.
_ERRORS: dict[str, type[MatineeError]] = {
    kind.__name__: kind for kind in (DataError, NotAvailableError, RunError, SettingsError, StorageError)
}

_GO_ON = "What is finished stays; run the same command again to go on."


@dataclass(frozen=True)
class _Work:
    """What every worker is told.

    Attributes:
        cut: Reference to the slices.
        folder: Of the classifier, where the workers are on this machine; else None.
        packed: Reference to that folder, packed; None where it is at hand.
        mark: Hash of the folder.
        backend: Of the classifier.
        precision: Of the classifier.
        columns: Names of the written columns.
        shard_rows: Rows of a part.
        output: Where to write.
        word: By which a worker knows that it sees the same output.
        version: Of matinee.
    """

    cut: Any
    folder: Path | None
    packed: Any
    mark: str
    backend: str
    precision: str
    columns: tuple[str, ...]
    shard_rows: int
    output: LakeOutput
    word: str
    version: str


def score_on_ray(
    chosen: Chosen,
    names: Sequence[str],
    output: str | Path,
    asked: Asked,
    *,
    address: str | None,
    workers: int | None,
) -> Scored:
    """Answer all texts of files by workers of Ray's; a second start of the same job goes on where the first one stopped.

    Arguments and errors are those of `matinee.workflow.score.score`.
    """
    from matinee.data.lake import find_sources
    from matinee.data.lake_output import LakeOutput

    check_ray(address, workers)
    target = LakeOutput.of(output, asked.format)
    sources = find_sources(names, target.folder)
    plan = {"engine": RAY, **asked.plan(chosen, [source.mark for source in sources], target.format)}
    state = target.look(plan, overwrite=asked.overwrite)
    if state is not None and "completed" in state:
        return _complete(target, state["completed"])
    label_names = chosen.open().label_names  # what cannot be opened here is not sent anywhere
    settings = _with_text_column(asked.data, sources)
    with kept_when_stopped(target.folder), target.locked(), ExitStack() as stack:
        state = target.look(plan, overwrite=asked.overwrite)
        if state is not None and "completed" in state:  # by another process, since the first look
            return _complete(target, state["completed"])
        target.check_writable()
        with interrupts_held():
            where = stack.enter_context(cluster(address, workers))
        with interrupts_remembered():
            of = _cut(sources, settings, asked.shard_rows, where)
        columns = written_columns(of.schema.names, label_names, asked.prefix)
        start = time.monotonic()
        counted, word = target.begin(plan, of.mark, state, overwrite=asked.overwrite)
        n_before = counted.scored
        job = _job(chosen, plan["classifier"], of, columns, asked.shard_rows, target, word, where)
        with interrupts_remembered():  # heard where whoever started this has Ctrl-C ignored, too
            _score(job, of, where, counted)
        target.finish(plan, of.mark, counted, len(of.slices))
    rejected = target.rejected if counted.rejected else None
    seconds = time.monotonic() - start
    return _scored(target, counted.scored, counted.rejected, counted.labels, rejected, seconds, n_before)


def _with_text_column(settings: DataSettings, sources: Sequence[Source]) -> DataSettings:
    """Return the settings with the text column named, guessed from the first file that has columns."""
    from matinee.data.slices import guess_text_column

    if settings.text_column is not None:
        return settings
    first = next((source for source in sources if source.ending != ".txt"), sources[0])
    with tempfile.TemporaryDirectory(prefix="matinee-") as work:
        return replace(settings, text_column=guess_text_column(first, settings, Path(work)))


def _job(
    chosen: Chosen,
    mark: str,
    of: Cut,
    columns: tuple[str, ...],
    shard_rows: int,
    output: LakeOutput,
    word: str,
    where: Cluster,
) -> _Work:
    import ray

    return _Work(
        cut=ray.put(of),
        folder=chosen.folder.absolute() if where.is_here else None,
        packed=None if where.is_here else ray.put(_packed(chosen.folder)),
        mark=mark,
        backend=chosen.backend,
        precision=chosen.precision,
        columns=columns,
        shard_rows=shard_rows,
        output=output,
        word=word,
        version=__version__,
    )


# -- on the machine that the command runs on --------------------------------------------------------------------------


def _cut(sources: list[Source], settings: DataSettings, shard_rows: int, where: Cluster) -> Cut:
    """Look at all files, by workers, and cut them into slices."""
    from matinee.data.slices import cut, pieces_to_look_at

    pieces = pieces_to_look_at(sources, settings)
    looks: dict[int, Look] = {}
    with progress("Looking through the files", len(pieces), "pieces") as bar:
        asked = [(number, sources[piece.file], piece, settings) for number, piece in enumerate(pieces)]
        for number, found in _looked(asked, _IN_FLIGHT * where.workers):
            if isinstance(found, MatineeError):
                raise type(found)(f"{str(found).rstrip('.')}. {_GO_ON}")
            looks[number] = found
            bar.update(len(looks))
    of = cut(sources, [looks[number] for number in range(len(pieces))], settings, shard_rows)
    if not of.slices:
        raise DataError("The input holds no rows.")
    return of


def _looked(asked: Sequence[tuple[Any, ...]], n_at_once: int) -> Iterator[tuple[int, Look | MatineeError]]:
    """Yield what workers find, as it comes."""
    import ray

    # A task of Ray Data's would kill one worker after the other for ever.
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_look)
    running: list[Any] = []
    with _ray_errors():
        for place, arguments in enumerate(asked, start=1):
            running.append(task.remote(*arguments))
            while running and (len(running) >= n_at_once or place == len(asked)):
                done, running = ray.wait(running)
                yield from ray.get(done)


def _score(job: _Work, of: Cut, where: Cluster, counted: Counted) -> None:
    """Have all slices answered that are not done, and count them."""
    from ray.data import ActorPoolStrategy

    there, n_before = set(counted.slices), counted.scored
    missing = [number for number in range(len(of.slices)) if number not in there]
    if there:
        logger.info(f"Going on behind {len(there):,} finished slices ({n_before:,} texts)")
    n_workers, n_gpus = _workers_for(job.backend, where, len(missing))
    logger.info(f"Scoring {len(missing):,} slices: {n_workers} of {where}")
    options = {
        "compute": ActorPoolStrategy(size=n_workers, max_tasks_in_flight_per_actor=_IN_FLIGHT),
        "num_cpus": 1,
        "num_gpus": n_gpus,
        "fn_constructor_kwargs": {"job": job},
    }
    with progress("Scoring", sum(source.size for source in of.sources), "bytes") as bar:
        sizes = _sizes(of)
        read, start = sum(sizes[number] for number in there), time.monotonic()
        bar.update(read)
        for wave in _waves([{"number": number} for number in missing]):
            for row in _streamed(wave, Scorer, options):
                counted.add(row["number"], json.loads(row["note"]))
                read += sizes[row["number"]]
                seconds = time.monotonic() - start
                bar.update(read, f"{(counted.scored - n_before) / seconds:,.0f} texts/s" if seconds > 1 else "")


def _workers_for(backend: str, where: Cluster, n_slices: int) -> tuple[int, int | None]:
    """Return how many workers there shall be, and how many accelerators each has."""
    n_workers = min(where.workers, max(1, n_slices))
    if backend == "torch" and where.n_gpus:
        return min(n_workers, where.n_gpus), 1
    return n_workers, None


def _sizes(of: Cut) -> list[float]:
    """Return the bytes of each slice, about."""
    from matinee.data.slices import n_bytes_of

    rows: dict[int, int] = {}
    for pieces in of.slices:
        for piece in pieces:
            rows[piece.file] = rows.get(piece.file, 0) + (piece.n_rows or 0)
    return [n_bytes_of(pieces, of.sources, rows) for pieces in of.slices]


def _waves(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), _WAVE):
        yield rows[start : start + _WAVE]


def _streamed(rows: list[dict[str, Any]], work: Any, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what workers make of rows, as it comes; each row is a task of its own.

    Raises:
        MatineeError: What a worker says is wrong, or that workers die.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.enable_rich_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    found = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(work, batch_size=1, **options)
    with _ray_errors():
        for row in found.iter_rows():
            if row["error"]:
                raise _ERRORS.get(row["kind"], RunError)(f"{row['error'].rstrip('.')}. {_GO_ON}")
            yield row


@contextmanager
def _ray_errors() -> Iterator[None]:
    """Turn what Ray raises where workers fail into a RunError."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise RunError(_what_ray_says(error)) from error


def _what_ray_says(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-1] if lines else type(error).__name__
    if "No module named" in str(error):
        return f"The workers lack something: {said}. Install the same matinee on every machine of the cluster. {_GO_ON}"
    return f"A worker failed: {said[:300].rstrip('.')}. {_GO_ON}"


def _complete(target: LakeOutput, completed: dict[str, Any]) -> Scored:
    logger.info(f"{target.folder} is complete already: nothing to do")
    rejected = target.rejected if completed["rejected"] else None
    return _scored(
        target, completed["scored"], completed["rejected"], completed["labels"], rejected, 0.0, completed["scored"]
    )


def _scored(
    target: LakeOutput,
    n_scored: int,
    n_rejected: int,
    labels: dict[str, int],
    rejected: str | None,
    seconds: float,
    n_before: int,
) -> Scored:
    from matinee.data.lake import is_remote
    from matinee.workflow.score import Scored

    def place(name: str) -> Path | str:
        return name if is_remote(name) else Path(name)

    return Scored(
        place(target.folder),
        n_scored,
        n_rejected,
        dict(sorted(labels.items())),
        None if rejected is None else place(rejected),
        seconds,
        n_before,
    )


# -- on the workers ---------------------------------------------------------------------------------------------------


def _look(number: int, source: Source, piece: Piece, settings: DataSettings) -> tuple[int, Look | MatineeError]:
    """Look at a piece, for `_cut`; return what was found there, or what is wrong with it."""
    from matinee.data.slices import look

    try:
        with _work_folder() as folder:
            return number, look(source, piece, settings, folder)
    except MatineeError as wrong:
        return number, wrong


class Scorer:
    """A worker: opens the classifier once, and answers one slice after the other.

    Args:
        job: What to do; see `_Work`.
    """

    def __init__(self, job: _Work) -> None:
        import ray

        if job.version != __version__:
            raise RuntimeError(
                f"this worker has matinee {__version__}, the command is from {job.version}: they must be the same"
            )
        _one_thread()
        self.job = job
        self.cut: Cut = ray.get(job.cut)
        folder = job.folder if job.folder is not None else _unpacked(ray.get(job.packed), job.mark)
        self.is_at_output = job.output.is_seen(job.word)
        self.is_second_life = ray.get_runtime_context().was_current_actor_reconstructed
        from matinee.inference.load import Chosen

        self.predictor = Chosen(folder, job.backend, job.precision).open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer the slice whose number is in the batch; return its counts, or what is wrong with it."""
        number, note, error, kind = int(batch["number"][0]), "", "", ""
        try:
            note = json.dumps(self._answer(number))
        except MatineeError as wrong:
            error, kind = str(wrong), next((of.__name__ for of in type(wrong).__mro__ if of.__name__ in _ERRORS), "")
        return {"number": [number], "note": [note], "error": [error], "kind": [kind]}

    def _answer(self, number: int) -> dict[str, Any]:
        from matinee.data.slices import open_slice

        if not self.is_at_output:
            raise SettingsError(
                f"The workers do not see {self.job.output.folder}: use an address, or a drive that is mounted everywhere"
            )
        if self.is_second_life:
            self._count_tries(number)
        parts: list[dict[str, Any]] = []
        shards: list[Shard] = []
        labels = dict.fromkeys(self.predictor.label_names, 0)
        with _work_folder() as work, open_slice(self.cut, number, work / "read") as stream:
            for shard in stream.shards(self.job.shard_rows):
                table, counts = answered(self.predictor, self.job.columns, shard)
                if table.num_rows:
                    parts.append(self.job.output.write_part(number, len(parts), table, work))
                for label, count in counts.items():
                    labels[label] += count
                shards.append(_without_rows(shard))
        note = self.job.output.write_note(number, parts, shards, labels)
        return {**note, "rejected": len(note["rejected"])}  # the rows themselves stay in the note

    def _count_tries(self, number: int) -> None:
        """Note that a worker that died before begins a slice; raise RunError where that has happened too often."""
        n_tries = self.job.output.begin_again(number)
        if n_tries > _RETRIES:
            named = {self.cut.sources[piece.file].name for piece in self.cut.slices[number]}
            raise RunError(
                f"A worker died {n_tries} times over slice {number:,} ({', '.join(sorted(named)[:3])}): most likely memory is short "
                "for one worker a core. Try fewer --workers, or fewer --shard-rows with another output"
            )


def _without_rows(shard: Shard) -> Shard:
    """Return a shard with its rejects alone: the rows of a slice that has many shards need not be kept."""
    return replace(shard, table=None, texts=[])


def _one_thread() -> None:
    """Have this process compute with one thread: there is a worker for each core."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _packed(folder: Path) -> bytes:
    """Return a folder as a tar file."""
    import tarfile

    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder, arcname=".")
    return packed.getvalue()


def _unpacked(packed: bytes, mark: str) -> Path:
    """Return the folder that was packed, unpacked once on each machine."""
    import tarfile

    from filelock import FileLock

    home = own_folder()
    folder = home / mark[:16]
    with FileLock(home / f"{mark[:16]}.unpacking"):
        if not folder.is_dir() or hash_of(folder) != mark:
            shutil.rmtree(folder, ignore_errors=True)
            with _work_folder() as work, tarfile.open(fileobj=BytesIO(packed)) as tar:
                tar.extractall(work / "whole", filter="data")
                (work / "whole").rename(folder)
    return folder


@contextmanager
def _work_folder() -> Iterator[Path]:
    """Make a folder for as long as a block lasts; those of processes that were killed are removed.

    Its maker holds a lock beside it, which the system takes away from the dead.
    """
    from filelock import FileLock, Timeout

    home = own_folder()
    for path in home.glob("*.lock"):
        with suppress(Timeout, FileNotFoundError), FileLock(path, blocking=False):
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink(missing_ok=True)
    work = home / f"work-{token_hex(8)}"
    lock = work.with_suffix(".lock")
    with FileLock(lock):
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            lock.unlink(missing_ok=True)
