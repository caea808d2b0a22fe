"""What `matinee advise` looks at: the texts, and the machine."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.environment import describe_machine
from matinee.core.schema import Layer, resolve
from matinee.workflow.audit import token_lengths
from matinee.workflow.known import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Dataset

# Texts whose tokens are counted at most; a share of them is then right within two points.
_MOST_COUNTED = 2_000

# Tokens of a word where no tokenizer is here to count them: 1.27 of minilm's in IMDB reviews (benchmarks/lengths.py).
_TOKENS_PER_WORD = 1.3


def facts_of(dataset: Dataset) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return the tokens of some train texts, shape (n_counted,), and what was found out about the data as plain values."""
    train = dataset.splits["train"]
    rows = np.arange(len(train))
    if len(rows) > _MOST_COUNTED:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MOST_COUNTED, replace=False))
    texts = [train.texts[row] for row in rows.tolist()]
    words = np.array([len(text.split()) for text in texts], dtype=np.int64)
    lengths, counted_by = _tokens(texts, words)
    counts = np.bincount(train.labels, minlength=len(dataset.label_names))
    sizes = {f"n_{name}": len(split) for name, split in dataset.splits.items()}
    return lengths, {
        "name": dataset.name,
        **sizes,
        "labels": dict(zip(dataset.label_names, counts.tolist(), strict=True)),
        "words": _distribution(words),
        "tokens": {**_distribution(lengths), "counted_by": counted_by, "n_counted": len(rows)},
    }


def _distribution(values: NDArray[np.int64]) -> dict[str, float]:
    middle, long = np.quantile(values, [0.5, 0.9])
    return {"mean": round(float(values.mean()), 1), "median": round(float(middle)), "tenth_longest": round(float(long))}


def _tokens(texts: Sequence[str], words: NDArray[np.int64]) -> tuple[NDArray[np.int64], str | None]:
    """Return the tokens of each text, special ones included, and whose tokenizer counted them; None: they are guessed from words."""
    from matinee.model.encoders import CATALOGUE, whereabouts

    for name, entry in CATALOGUE.items():
        if whereabouts(entry) is not None:
            counted = token_lengths(texts, resolve(Layer({"encoder": name})))
            if not isinstance(counted, str):
                return counted.lengths, name
    return np.ceil(_TOKENS_PER_WORD * words).astype(np.int64) + 2, None


def machine_facts() -> dict[str, Any]:
    """Return what training would run on, and how fast it is: the best of a few matrix products of the size of an encoder's."""
    import torch

    from matinee.model.precision import best_device, choose_precision

    device = best_device()
    precision = choose_precision("auto", device)
    found: dict[str, Any] = {**describe_machine(), "gpu": None, "precision": precision, "speed": None}
    if device.type == "cuda":
        return {**found, "gpu": torch.cuda.get_device_name(device)}
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    reference = known().gflops.get("bf16")
    return {**found, "speed": None if reference is None else round(_gflops(dtype) / reference, 2)}


def _gflops(dtype: Any, *, rows: int = 2048, inner: int = 768, columns: int = 3072, repeats: int = 5) -> float:
    """Return the GFLOP/s of a product of matrices, the best of some repeats."""
    import torch

    one, other = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        torch.matmul(one, other)
        best = min(best, time.perf_counter() - start)
    return 2 * rows * inner * columns / best / 1e9
