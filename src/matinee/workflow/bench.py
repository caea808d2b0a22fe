"""`matinee bench`: how fast each back end of a run is on this machine, beside the stock pipeline."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core import hub
from matinee.core.backends import AUTO, TORCH, TORCH_BF16
from matinee.core.environment import describe_machine
from matinee.core.errors import DataError, RunError, SettingsError, did_you_mean
from matinee.core.files import write_json
from matinee.core.progress import progress
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import LINEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.types import Predictions
    from matinee.model.artifact import ClassifierInfo

logger = logging.getLogger(__name__)

FORMAT = 1
STOCK = "pipeline"

N_TEXTS, N_SINGLES, REPEATS = 500, 100, 3

# How people call the stock pipeline: text by text, and in batches.
_STOCK_BATCHES = (1, 32)

# What a plain Hugging Face classifier reads of a text, where nothing else is said.
_LONGEST = 512


@dataclass(frozen=True)
class Bench:
    """How fast each back end is.

    Attributes:
        rows: One plain dict per back end: `name`, `backend`, `precision`, `stock`, `texts_per_second`, `latency_ms` (`p50`, `p95`,
            `p99` of single texts), `peak_memory_mb`, `size_mb`, `load_s`, `first_answer_s`, `accuracy` (None where the labels
            are not known, or the head is random) and `speedup` against the fastest stock row (None where there is none).
        n_texts: How many texts each answered.
        notes: What to know of the rows, a sentence each.
        path: The file that holds all this; None where nothing was written: other texts, or not all back ends.
    """

    rows: list[dict[str, Any]]
    n_texts: int
    notes: list[str]
    path: Path | None = None


@dataclass(frozen=True)
class _Candidate:
    """A way to answer; `job` is what its process is told, `scored` whether its labels mean anything."""

    name: str
    backend: str
    precision: str
    folder: Path
    job: dict[str, Any]
    stock: bool = False
    scored: bool = True
    turns: list[dict[str, Any]] = field(default_factory=list)


def bench(
    run: str | Path,
    *,
    texts: int = N_TEXTS,
    data: str | Path | None = None,
    backends: Sequence[str] = (),
    repeats: int = REPEATS,
    offline: bool = False,
) -> Bench:
    """Measure each back end of a run on the same texts, in a process of its own, in turns; all figures are medians.

    Args:
        run: Run folder; with `data` a model folder, an export or a hub id will do, and nothing is written.
        texts: How many texts at most.
        data: Texts to measure on, with labels or without; the run's test texts where not given.
        backends: Names of those to measure: `torch`, `torch-bf16`, `pipeline`, or the folder of an export; all where not given.
        repeats: Turns of each back end.
        offline: Never touch the network.

    Raises:
        SettingsError: A number is out of range, or a name is unknown.
        RunError: This is no complete run, or nothing of it could be measured.
        DataError: There are no texts.
    """
    if texts < 1 or repeats < 1:
        raise SettingsError(f"--texts and --repeats must be at least 1, got {texts} and {repeats}.")
    with hub.offline(offline):
        found, notes, max_length = _candidates(run)
        chosen = _chosen(found, backends)
        given, labels = _texts(run, data, texts)
    _measure(chosen, given, repeats)
    measured = [candidate for candidate in chosen if candidate.turns]
    if not measured:
        raise RunError(f"Nothing of {run} could be measured: the warnings above say why.")
    rows = _rows(measured, labels)
    notes = notes if any(row["stock"] for row in rows) else []
    whole = data is None and not backends
    return Bench(rows, len(given), notes, _write(run, rows, len(given), max_length, notes) if whole else None)


def _candidates(run: str | Path) -> tuple[list[_Candidate], list[str], int | None]:
    """Return all that can answer for a run, notes on them, and the most tokens that are read at once."""
    from matinee.inference.exports import export_folders
    from matinee.inference.load import find_model
    from matinee.model.artifact import INFO, ClassifierInfo
    from matinee.model.exported import is_export

    folder = find_model(run)
    info = ClassifierInfo.read(folder) if (folder / INFO).is_file() else None
    if is_export(folder):
        return [_export(folder)], [], _max_length(info)
    if info is not None and info.kind in LINEAR:
        return [_Candidate(info.kind, info.kind, "fp64", folder, _job(folder, AUTO))], [], None
    found = [
        _Candidate("torch", "torch", "fp32", folder, _job(folder, TORCH)),
        _Candidate("torch-bf16", "torch", "bf16", folder, _job(folder, TORCH_BF16)),
    ]
    path = RunFolder(Path(run).expanduser())
    found += [_export(export) for export in (export_folders(path) if path.is_run else []) if _is_of(export, path)]
    own_head = info is None or info.pooling == "cls"
    found += [_stock(folder, batch, _max_length(info), own_head) for batch in _STOCK_BATCHES]
    return found, _notes(info, own_head=own_head), _max_length(info)


def _max_length(info: ClassifierInfo | None) -> int:
    return _LONGEST if info is None or info.text is None else info.text.max_length


def _job(folder: Path, backend: str) -> dict[str, Any]:
    return {"source": str(folder), "backend": backend}


def _is_of(folder: Path, run: RunFolder) -> bool:
    """Return whether an export was made from the run's weights as they are now; warn where not."""
    from matinee.inference.exports import source_of
    from matinee.model.exported import ExportInfo

    is_current = ExportInfo.read(folder).source == source_of(run)
    if not is_current:
        logger.warning(f"{folder.name} is left out: it was made from other weights. Export again.")
    return is_current


def _export(folder: Path) -> _Candidate:
    from matinee.model.exported import ExportInfo

    info = ExportInfo.read(folder)
    return _Candidate(folder.name, info.backend, info.precision, folder, _job(folder, AUTO))


def _stock(folder: Path, batch_size: int, max_length: int, own_head: bool) -> _Candidate:
    job = {"stock": {"folder": str(folder), "batch_size": batch_size, "max_length": max_length}}
    name = f"{STOCK} (batch {batch_size})"
    return _Candidate(name, name, "fp32", folder, job, stock=True, scored=own_head)


def _notes(info: ClassifierInfo | None, *, own_head: bool) -> list[str]:
    """Return in what the stock pipeline differs, beside its speed."""
    notes = []
    if not own_head:
        notes.append(
            "The stock pipeline cannot open this classifier: it was measured with the same encoder under transformers' own "
            "classification head, which is random, so that it has a speed and no accuracy."
        )
    if info is not None and info.text is not None and info.text.long == "windows":
        notes.append(f"The stock pipeline reads the first {info.text.max_length} tokens, and not all windows.")
    return notes


def _chosen(found: list[_Candidate], names: Sequence[str]) -> list[_Candidate]:
    known = {name: [c for c in found if name in {c.name, STOCK if c.stock else c.name}] for name in names}
    for name, candidates in known.items():
        if not candidates:
            offered = list(dict.fromkeys(STOCK if candidate.stock else candidate.name for candidate in found))
            hint = did_you_mean(name, offered)
            raise SettingsError(f"--backend {name!r} is not there.{hint} There are: {', '.join(offered)}.")
    wanted = {candidate.name for candidates in known.values() for candidate in candidates}
    return [candidate for candidate in found if not names or candidate.name in wanted]


def _texts(run: str | Path, data: str | Path | None, most: int) -> tuple[list[str], list[str] | None]:
    """Return texts and, where they are known, their labels by name."""
    if data is None:
        from matinee.workflow.fitting import CLASSIFIER

        said = _stored(run)["test", CLASSIFIER]
        texts, names = said.texts, said.label_names
        labels = None if said.labels is None else [names[label] for label in said.labels]
    else:
        texts, labels = _read(run, str(data))
    if not texts:
        raise DataError("There are no texts to measure on.")
    rows = sorted(np.random.default_rng(0).permutation(len(texts))[:most].tolist())
    return [texts[row] for row in rows], None if labels is None else [labels[row] for row in rows]


def _stored(run: str | Path) -> dict[tuple[str, str], Predictions]:
    from matinee.evaluation import read_predictions

    folder = RunFolder(Path(run).expanduser())
    if not folder.is_run:
        raise RunError(f"{run} is no run folder, and holds no texts to measure on: give some with --data FILE.")
    folder.check_complete()
    return read_predictions(folder.predictions)


def _read(run: str | Path, data: str) -> tuple[list[str], list[str] | None]:
    """Return the texts of a file or dataset, with labels where it has a column of them."""
    from matinee.data import read_split, read_texts
    from matinee.inference.load import find_model
    from matinee.model.artifact import INFO, ClassifierInfo

    settings, folder = resolve(Layer({"data": data, "missing": "drop"})).data, find_model(run)
    if (folder / INFO).is_file():
        names = ClassifierInfo.read(folder).label_names
        try:
            split = read_split(data, settings, names)
        except DataError as error:
            logger.info(f"No accuracy: {error}")
        else:
            return split.texts, [names[label] for label in split.labels]
    return read_texts(data, settings).texts, None


def _measure(candidates: Sequence[_Candidate], texts: Sequence[str], repeats: int) -> None:
    """Let each candidate have its turns; one that cannot answer is left out with a warning."""
    left_out = set[str]()
    with progress("Measuring", len(candidates) * repeats, "turns") as bar:
        for turn in range(repeats):
            for place, candidate in enumerate(candidates, start=1):
                if candidate.name in left_out:
                    continue
                result = _turn(candidate, texts)
                if "error" in result:
                    logger.warning(f"{candidate.name} is left out: {result['error']}")
                    left_out.add(candidate.name)
                    candidate.turns.clear()
                else:
                    candidate.turns.append(result)
                bar.update(turn * len(candidates) + place, candidate.name)


def _turn(candidate: _Candidate, texts: Sequence[str]) -> dict[str, Any]:
    """Return what the candidate's own process measured, or `error`."""
    job = {**candidate.job, "texts": list(texts), "singles": N_SINGLES, "started": time.time()}
    done = subprocess.run(
        [sys.executable, "-m", "matinee.inference.speed"],
        input=json.dumps(job), capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        said = done.stderr.strip().splitlines()
        return {"error": f"its process ended with {done.returncode}: {said[-1] if said else 'nothing was said'}"}
    try:
        result: dict[str, Any] = json.loads(lines[-1])
    except ValueError:  # a library had the last word
        return {"error": f"its process ended with {lines[-1][:200]!r}"}
    return result


def _rows(candidates: Sequence[_Candidate], labels: Sequence[str] | None) -> list[dict[str, Any]]:
    rows = [_row(candidate, labels) for candidate in candidates]
    stock = [row["texts_per_second"] for row in rows if row["stock"]]
    for row in rows:
        row["speedup"] = round(row["texts_per_second"] / max(stock), 2) if stock else None
    return rows


def _row(candidate: _Candidate, labels: Sequence[str] | None) -> dict[str, Any]:
    turns = candidate.turns

    def median(name: str) -> float | None:
        values = [turn[name] for turn in turns if turn[name] is not None]
        return round(float(np.median(values)), 3) if values else None

    percentiles = np.median([np.percentile(turn["latencies_ms"], (50, 95, 99)) for turn in turns], axis=0)
    accuracy = None
    if labels is not None and candidate.scored:
        accuracy = float(np.mean([said == label for said, label in zip(turns[0]["labels"], labels, strict=True)]))
    return {
        "name": candidate.name,
        "backend": candidate.backend,
        "precision": candidate.precision,
        "stock": candidate.stock,
        "texts_per_second": median("texts_per_second"),
        "latency_ms": {f"p{p}": round(float(v), 3) for p, v in zip((50, 95, 99), percentiles, strict=True)},
        "peak_memory_mb": median("peak_memory_mb"),
        "size_mb": round(sum(path.stat().st_size for path in candidate.folder.rglob("*") if path.is_file()) / 1e6, 3),
        "load_s": median("load_s"),
        "first_answer_s": median("first_answer_s"),
        "accuracy": accuracy,
    }


def _write(
    run: str | Path, rows: list[dict[str, Any]], n_texts: int, max_length: int | None, notes: list[str]
) -> Path | None:
    """Write bench.json and the picture into a run, and its report anew; nothing where there is no run."""
    from matinee.report.speed import write_speed_figure
    from matinee.workflow.report import refresh_page

    folder = RunFolder(Path(run).expanduser())
    if not folder.is_run:
        return None
    with folder.locked():
        saved = {"n_texts": n_texts, "max_length": max_length, "notes": notes, "rows": rows}
        write_json(folder.bench, {"format": FORMAT, "machine": describe_machine(), **saved})
        write_speed_figure(folder.figures, rows)
        refresh_page(folder)
        folder.refresh_manifest()
    return folder.bench
