"""What bulk scoring is asked for, and writes beside the rows that it reads, whichever engine runs it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import SettingsError, StoppedError
from matinee.core.files import file_sha256
from matinee.core.schema import Layer, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matinee.core.settings import DataSettings
    from matinee.core.types import Predictions
    from matinee.data.streaming import Shard
    from matinee.inference import Predictor
    from matinee.inference.load import Chosen

logger = logging.getLogger(__name__)

# Put before the names of the written columns where the input has one of them already.
_PREFIX = "predicted_"

# Files of a model folder that an answer depends on.
_DECISIVE = {".json", ".safetensors", ".txt", ".model"}


@dataclass(frozen=True)
class Asked:
    """How files are to be scored: arguments of `matinee.workflow.score.score`, by the same names."""

    shard_rows: int
    format: str | None
    text_column: str | None
    encoding: str
    prefix: str | None
    overwrite: bool

    @property
    def data(self) -> DataSettings:
        """Text column and encoding as the readers take them."""
        return resolve(Layer({"text_column": self.text_column, "encoding": self.encoding})).data

    def plan(self, chosen: Chosen, inputs: Sequence[object], form: str) -> dict[str, Any]:
        """Return what a job is: another start of the same one goes on with it.

        Args:
            chosen: The classifier and its back end.
            inputs: What each input file is known by, plain JSON values.
            form: Of the output.
        """
        return {
            "classifier": hash_of(chosen.folder),
            "backend": f"{chosen.backend}-{chosen.precision}",
            "inputs": list(inputs),
            "format": form,
            "shard_rows": self.shard_rows,
            "text_column": self.text_column,
            "encoding": self.encoding,
            "prefix": self.prefix,
        }


@contextmanager
def kept_when_stopped(folder: Path | str) -> Iterator[None]:
    """Say what stays in the output, and how to go on, where Ctrl-C ends the block."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError(
            f"Interrupted: what is finished stays in {folder}. Run the same command again to go on."
        ) from error


def hash_of(folder: Path) -> str:
    """Return a hash of everything in a classifier's folder that its answers depend on."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in _DECISIVE)
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return sha256("".join(f"{name} {file_sha256(path)}\n" for name, path in names.items()).encode()).hexdigest()


def written_columns(taken: Sequence[str], label_names: Sequence[str], prefix: str | None) -> tuple[str, ...]:
    """Return the names of the written columns: label, score, and a probability per label.

    Args:
        taken: Names of the columns that are read.
        label_names: Of the classes.
        prefix: Put before the names; None: nothing, or `predicted_` where one of them is taken.

    Raises:
        SettingsError: A name is taken.
    """
    names = ("label", "score", *(f"probability_{name}" for name in label_names))
    if prefix is None and set(taken).isdisjoint(names):
        return names
    chosen = tuple(f"{_PREFIX if prefix is None else prefix}{name}" for name in names)
    clash = [name for name in chosen if name in taken]
    if clash:
        raise SettingsError(f"The input has a column {clash[0]!r} already: name the written ones apart with --prefix.")
    if prefix is None:
        old = next(name for name in names if name in taken)
        logger.info(f"The input has a column {old!r} already: the written ones begin with {_PREFIX}")
    return chosen


def answered(predictor: Predictor, columns: Sequence[str], shard: Shard) -> tuple[Any, dict[str, int]]:
    """Return a shard's rows with their answers, and how many got each label."""
    import pyarrow as pa

    from matinee.inference import predict

    said = predict(predictor, shard.texts)
    table = shard.table
    for name, values in zip(columns, _values(said), strict=True):
        table = table.append_column(name, pa.array(values))
    counts = np.bincount(said.predicted, minlength=len(said.label_names))
    return table, {name: int(count) for name, count in zip(said.label_names, counts, strict=True)}


def _values(said: Predictions) -> list[Any]:
    """Return the written columns' values."""
    import pyarrow as pa

    names = np.array(said.label_names, dtype=object)
    scores = said.probabilities[np.arange(len(said)), said.predicted]
    return [
        pa.array(names[said.predicted].tolist(), pa.string()),
        scores,
        *(np.ascontiguousarray(column) for column in said.probabilities.T),
    ]
