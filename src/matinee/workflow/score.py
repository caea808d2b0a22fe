"""`matinee score`: a classifier's answers to files of any size."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.backends import AUTO
from matinee.core.errors import DataError, SettingsError, StorageError
from matinee.core.interruption import interrupts_held
from matinee.core.progress import progress, told_to
from matinee.workflow.answering import Asked, answered, kept_when_stopped, written_columns
from matinee.workflow.cluster import LOCAL, RAY, check_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matinee.core.progress import Bar
    from matinee.data.shards import Done, Output
    from matinee.data.streaming import RowStream, Shard
    from matinee.inference import Predictor
    from matinee.inference.load import Chosen

logger = logging.getLogger(__name__)

SHARD_ROWS = 10_000


@dataclass(frozen=True)
class Scored:
    """What came of scoring files.

    Attributes:
        path: The folder of shards, or the file; a string where it is an address.
        n_scored: Rows with an answer.
        n_rejected: Rows that were set aside.
        labels: How many rows got each label.
        rejected: The file with the rows that were set aside; None where there are none.
        seconds: What this start took; 0 where everything was there already.
        n_before: Rows with an answer that an earlier start had left.
    """

    path: Path | str
    n_scored: int
    n_rejected: int
    labels: dict[str, int]
    rejected: Path | str | None
    seconds: float
    n_before: int


def score(
    run: str | Path,
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    backend: str = AUTO,
    shard_rows: int = SHARD_ROWS,
    format: str | None = None,  # noqa: A002 - the flag's name
    text_column: str | None = None,
    encoding: str = "utf-8",
    prefix: str | None = None,
    overwrite: bool = False,
    offline: bool = False,
    engine: str = LOCAL,
    address: str | None = None,
    workers: int | None = None,
) -> Scored:
    """Answer all texts of files, in constant memory; a second start of the same job goes on where the first one stopped.

    The output holds the columns of the input and `label`, `score` and `probability_<label>` (see `prefix`). A row without a
    text, or that cannot be read, is set aside in `_rejected.jsonl` (of `out.csv`: `out.csv.rejected.jsonl`) with its reason.

    Args:
        run: Run folder, model folder, export folder or hub id.
        inputs: Files and globs: CSV, TSV, JSONL, JSON, Parquet, or `.txt` with one text a line.
        output: A folder for shards, or a `.parquet`, `.jsonl`, `.csv` or `.tsv` file. A new folder whose name has another ending
            needs a slash behind it.
        backend: As in `load_predictor`.
        shard_rows: Rows of a shard; those with long texts hold fewer.
        format: Of the shards: `"parquet"` where not given.
        text_column: Column that holds the texts; guessed where not given.
        encoding: Of text files.
        prefix: Put before the names of the written columns; where not given nothing, or `predicted_` where one of the names
            is taken.
        overwrite: Replace a file, a complete output, or one that was begun with something else.
        offline: Never touch the network.
        engine: `"local"`: this process. `"ray"`: workers on this machine, or on all of a Ray cluster; inputs and output may be
            addresses that begin with `s3://`, `gs://` or `abfs://`, and the output is a folder that all machines see.
        address: Of a Ray cluster, `"auto"` or `host:port`; where not given RAY_ADDRESS, else Ray is started on this machine.
        workers: Processes that answer, with one core each; where not given one for each core.

    Raises:
        DataError: There is no input, it has no column of texts, or no rows; it can be read no further (then the finished shards
            stay); the output has an ending that is not known.
        SettingsError: A number is out of range, or the written columns have names that are taken.
        RunError: The output is there already, was begun with something else, or is written to by another process.
        StoppedError: Ctrl-C was pressed; the finished shards stay.
        StorageError: The disk is full; the finished shards stay.
    """
    from matinee.data.shards import Output
    from matinee.inference.load import choose_classifier

    names = [str(name) for name in ([inputs] if isinstance(inputs, (str, Path)) else inputs)]
    _check_engine(engine, address, workers, [*names, str(output)])
    if shard_rows < 1:
        raise SettingsError(f"--shard-rows must be at least 1, got {shard_rows}.")
    asked = Asked(shard_rows, format, text_column, encoding, prefix, overwrite)
    if engine == RAY:
        from matinee.workflow.score_ray import score_on_ray

        with hub.offline(offline):
            chosen = choose_classifier(run, backend)
            return score_on_ray(chosen, names, output, asked, address=address, workers=workers)
    target = Output.of(output, format)
    with hub.offline(offline):
        return _score_here(choose_classifier(run, backend), names, target, asked)


def _score_here(chosen: Chosen, names: Sequence[str], target: Output, asked: Asked) -> Scored:
    """Answer all texts in this process; arguments and errors are those of `score`."""
    from matinee.data.streaming import find_inputs, fingerprint, open_stream

    stream = open_stream(find_inputs(names, target.written), asked.data)
    plan = asked.plan(chosen, [fingerprint(file.path) for file in stream.files], target.format)
    done = target.look(plan, overwrite=asked.overwrite)
    if done is not None and done.complete:
        logger.info(f"{target.path} is complete already: nothing to do")
        target.tidy()
        return _scored(target, done, 0.0, done.scored)
    predictor = chosen.open()
    columns = written_columns(stream.schema.names, predictor.label_names, asked.prefix)
    start, before = time.monotonic(), 0 if done is None else done.scored
    with _kept_on_failure(target), target.locked():
        done = _run(_Job(target, stream, predictor, columns, asked.shard_rows), plan, overwrite=asked.overwrite)
    return _scored(target, done, time.monotonic() - start, before)


def _check_engine(engine: str, address: str | None, workers: int | None, names: Sequence[str]) -> None:
    """Raise SettingsError if what only one engine can do is asked of the other."""
    check_engine(engine, address, workers)
    if engine == RAY:
        return
    remote = next((name for name in names if "://" in name), None)
    if remote is not None:
        raise SettingsError(f"{remote}: places that are not on this machine are read and written by --engine ray.")


@dataclass(frozen=True)
class _Job:
    output: Output
    stream: RowStream
    predictor: Predictor
    columns: tuple[str, ...]
    shard_rows: int


@dataclass
class _Pace:
    """Shows how far the job is, and how long the rest takes."""

    bar: Bar
    size: int
    start: float
    read_before: float
    scored: int = 0
    read: float = 0

    def within(self, shard: Shard, share: float) -> None:
        """Say that a share of a shard is answered."""
        read = self.read + share * (shard.bytes_read - self.read)
        self._show(read, self.scored + int(share * len(shard.texts)))

    def finished(self, shard: Shard) -> None:
        """Say that a shard is written."""
        self.read, self.scored = shard.bytes_read, self.scored + len(shard.texts)
        self._show(self.read, self.scored)

    def _show(self, read: float, scored: int) -> None:
        seconds, new = time.monotonic() - self.start, read - self.read_before
        left = seconds * (self.size - read) / new if new > 0 and seconds > 1 else None
        self.bar.update(read, f"{scored / seconds:,.0f} texts/s" if seconds > 1 else "", left)


def _run(job: _Job, plan: Mapping[str, Any], *, overwrite: bool) -> Done:
    """Answer shard by shard; return how far the job is then: at its end."""
    found = job.output.look(plan, overwrite=overwrite)
    if found is not None and found.complete:  # by another process, since the first look
        return found
    shards = _shards(job, found)
    first = next(shards, None)
    if first is None and found is None:
        raise DataError("The input holds no rows.")
    done = job.output.begin(plan, found)
    if done.n_shards:
        logger.info(f"Going on behind {done.n_shards:,} finished shards ({done.scored:,} texts)")
    with interrupts_held(), progress("Scoring", job.stream.size, "bytes") as bar:
        pace = _Pace(bar, job.stream.size, time.monotonic(), done.bytes_read, read=done.bytes_read)
        while first is not None:
            with told_to(lambda share, shard=first: pace.within(shard, share), "Predicting"):  # type: ignore[misc]
                table, labels = answered(job.predictor, job.columns, first)
            done = done.plus(job.output.write(first, table, labels))
            pace.finished(first)
            first = next(shards, None)
    job.output.finish(done)
    return done


def _shards(job: _Job, found: Done | None) -> Iterator[Shard]:
    from matinee.data.shards import Done
    from matinee.data.streaming import read_ahead

    done = found or Done()
    return read_ahead(job.stream.shards(job.shard_rows, done.n_shards, done.end))


@contextmanager
def _kept_on_failure(output: Output) -> Iterator[None]:
    """Say what stays, and how to go on, where a job is stopped or the disk is full."""
    try:
        with kept_when_stopped(output.folder):
            yield
    except StorageError as error:
        raise StorageError(f"{error} The finished shards stay: run the same command again to go on.") from error


def _scored(output: Output, done: Done, seconds: float, n_before: int) -> Scored:
    rejected = output.rejected if done.rejected else None
    return Scored(output.path, done.scored, done.rejected, dict(done.labels), rejected, seconds, n_before)
