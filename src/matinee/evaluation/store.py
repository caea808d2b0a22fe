"""predictions.parquet: what predictors said of each text, in one flat table that any data tool opens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import RunError
from matinee.core.files import atomic_path
from matinee.core.types import Predictions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

Key = tuple[str, str]
"""Split and predictor: `("test", "classifier")`."""

_LABEL_NAMES, _PARTS = b"matinee.label_names", b"matinee.parts"


def write_predictions(path: Path, predictions: Mapping[Key, Predictions]) -> None:
    """Write the predictions of several splits and predictors as one Parquet file, or nothing.

    Columns: `id`, `split`, `predictor`, `text`, `label` (the true label's name, null where nobody knows it), `predicted`,
    `score` (its probability) and `probability_<label>` per label, float64; `group` and `tokens` (before truncation) too
    where any part knows them, null in the others. Label names, their order, and which
    split and predictor come in which order stand in the file's metadata, so that reading gives back the same values; only
    a lone surrogate in a text, which UTF-8 cannot express, becomes U+FFFD.

    Args:
        path: The file.
        predictions: By (split, predictor); all with the same label names.

    Raises:
        StorageError: The write was refused.
        ValueError: There is nothing to write, or label names differ.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    label_names = {each.label_names for each in predictions.values()}
    if len(label_names) != 1:
        raise ValueError(f"expected predictions that share their label names, got {sorted(label_names)}")
    parts = [
        {
            "split": split,
            "predictor": predictor,
            "labelled": each.labels is not None,
            "threshold": each.threshold,
            "grouped": each.groups is not None,
            "counted": each.token_lengths is not None,
        }
        for (split, predictor), each in predictions.items()
    ]
    tables = [_table(key, each) for key, each in predictions.items()]
    table = pa.concat_tables(tables, promote_options="default")  # a column that a part lacks is null there
    metadata = {_LABEL_NAMES: json.dumps(label_names.pop()), _PARTS: json.dumps(parts)}
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def read_predictions(path: Path) -> dict[Key, Predictions]:
    """Return what `write_predictions` wrote: the same values by (split, predictor), in the same order.

    Raises:
        RunError: The file is missing, broken, or not written by matinee.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        metadata = table.schema.metadata or {}
        label_names = tuple(json.loads(metadata[_LABEL_NAMES]))
        return {
            (part["split"], part["predictor"]): _predictions(_rows_of(part, table), label_names, part)
            for part in json.loads(metadata[_PARTS])
        }
    except FileNotFoundError as error:
        raise RunError(f"No predictions at {path}: expected the predictions.parquet of a complete run.") from error
    except (pa.ArrowException, KeyError, ValueError, TypeError, OSError) as error:
        reason = (
            " ".join(str(error).split())
            if isinstance(error, (pa.ArrowException, OSError))
            else "it lacks what matinee writes"
        )
        raise RunError(f"{path} is not a predictions file of matinee, or is damaged: {reason}.") from error


def _table(key: Key, predictions: Predictions) -> Any:
    import pyarrow as pa

    names = np.array(predictions.label_names, dtype=object)
    n_texts, best = len(predictions), predictions.predicted
    labels = [None] * n_texts if predictions.labels is None else names[predictions.labels].tolist()
    columns = {
        "id": pa.array([_storable(one) for one in predictions.ids], pa.string()),
        "split": pa.array([key[0]] * n_texts, pa.string()),
        "predictor": pa.array([key[1]] * n_texts, pa.string()),
        "text": pa.array([_storable(text) for text in predictions.texts], pa.string()),
        "label": pa.array(labels, pa.string()),
        "predicted": pa.array(names[best].tolist(), pa.string()),
        "score": pa.array(predictions.probabilities[np.arange(n_texts), best], pa.float64()),
    }
    for name, column in zip(predictions.label_names, predictions.probabilities.T, strict=True):
        columns[f"probability_{name}"] = pa.array(np.ascontiguousarray(column), pa.float64())
    if predictions.groups is not None:
        columns["group"] = pa.array([_storable(group) for group in predictions.groups], pa.string())
    if predictions.token_lengths is not None:
        columns["tokens"] = pa.array(predictions.token_lengths, pa.int64())
    return pa.table(columns)


def _storable(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _rows_of(part: dict[str, Any], table: Any) -> Any:
    import pyarrow.compute as pc

    return table.filter(
        pc.and_(pc.equal(table["split"], part["split"]), pc.equal(table["predictor"], part["predictor"]))
    )


def _predictions(table: Any, label_names: tuple[str, ...], part: dict[str, Any]) -> Predictions:
    columns = [table[f"probability_{name}"].to_numpy() for name in label_names]
    return Predictions(
        ids=table["id"].to_pylist(),
        texts=table["text"].to_pylist(),
        probabilities=np.column_stack(columns).astype(np.float64),
        label_names=label_names,
        labels=_indices(table["label"].to_pylist(), label_names) if part["labelled"] else None,
        threshold=part.get("threshold"),
        groups=table["group"].to_pylist() if part.get("grouped") else None,
        token_lengths=table["tokens"].to_numpy() if part.get("counted") else None,
    )


def _indices(labels: list[str], label_names: tuple[str, ...]) -> NDArray[np.int64]:
    index = {name: i for i, name in enumerate(label_names)}
    return np.array([index[label] for label in labels], dtype=np.int64)
