"""Training on a GPU: texts a second and share of the chip's bf16 peak: the stock way, matinee on padded texts, and on packed ones.

python benchmarks/gpu.py [--encoders minilm distilbert] [--texts 2048] [--repeats 2] [--dry-run]

Exits with 2 where torch sees no GPU. As in train_speed.py all sides have batches of 32 texts of at most 256 tokens, and
DistilBERT random weights; a whole epoch each, in turns, in one process; the first eight steps are left out. Padded is
matinee with `--kernels torch`; packed is its default, in which attention sees each text by itself and no padding is read.
The peak is measured: the fastest of a few large bf16 products.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

WARM_UP = 8
SIDES = ("stock", "padded", "packed")


def texts_per_second(run):
    """Return the speed after the warm-up."""
    n_texts = sum(n for n, _ in run["shapes"][WARM_UP:])
    return n_texts / sum(run["step_seconds"][WARM_UP:])


def real_tokens(run):
    """Return the share of the tokens of a collated batch that are not padding; packed, no others are read."""
    return sum(run["n_tokens"]) / sum(n * length for n, length in run["shapes"])


def work_of(side, run):
    """Return a run with the shapes that were computed: packed, texts as long as they are on average in their batch."""
    if side != "packed":
        return run
    return {**run, "shapes": [(n, tokens / n) for (n, _), tokens in zip(run["shapes"], run["n_tokens"], strict=True)]}


def train(side, encoder, texts, labels):
    """Train one side's way for an epoch."""
    from steps import matinee_steps, stock_steps

    if side == "stock":
        return stock_steps(encoder, texts, labels)
    return matinee_steps(encoder, texts, labels, kernels="torch" if side == "padded" else "auto")


def compare(encoder, texts, labels, peak, n_repeats):
    """Time all sides in turns."""
    import torch

    from steps import share_of_peak, summary

    taken, memory = {side: [] for side in SIDES}, dict.fromkeys(SIDES, 0)
    for _ in range(n_repeats):
        for side in SIDES:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            taken[side].append(train(side, encoder, texts, labels))
            memory[side] = max(memory[side], torch.cuda.max_memory_allocated())
            print(f"{encoder}, {side}: {texts_per_second(taken[side][-1]):.0f} texts/s", flush=True)
    speeds = {side: [texts_per_second(run) for run in runs] for side, runs in taken.items()}
    ratios = {
        side: summary([new / old for old, new in zip(speeds["stock"], speeds[side], strict=True)]) for side in SIDES[1:]
    }
    return {
        "texts_per_second": {side: summary(values) for side, values in speeds.items()},
        "times_faster": ratios,
        "real_tokens": {side: round(real_tokens(runs[-1]), 3) for side, runs in taken.items()},
        "share_of_bf16_peak": {
            side: statistics.median(share_of_peak(work_of(side, run), peak, first=WARM_UP) for run in runs)
            for side, runs in taken.items()
        },
        "peak_gpu_memory_gb": {side: round(most / 1e9, 2) for side, most in memory.items()},
    }


def main():
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="Time training on a GPU.")
    parser.add_argument("--encoders", nargs="+", choices=["minilm", "distilbert"], default=["minilm", "distilbert"])
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true", help="print, and store nothing")
    asked = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("torch sees no GPU here: nothing was measured.", file=sys.stderr)
        raise SystemExit(2)
    from machine import store
    from matinee.core.schema import Layer, resolve
    from matinee.data import load_dataset
    from matinee.model.encoders import locate
    from steps import peak_gflops, random_distilbert

    settings = resolve(Layer({"data": "imdb", "train_size": asked.texts, "validation_size": 200, "test_size": 2000}))
    train = load_dataset(settings.data, seed=0).splits["train"]
    peak = peak_gflops(torch.bfloat16, "cuda", sizes=((8192, 8192, 8192), (16384, 4096, 8192)))
    found = {"gpu": torch.cuda.get_device_name(), "peak_bf16_gflops": peak, "texts": asked.texts, "encoders": {}}
    with tempfile.TemporaryDirectory() as folder:
        folders = {"minilm": locate("minilm")[0], "distilbert": Path(folder) / "distilbert"}
        random_distilbert(folders["minilm"], folders["distilbert"])
        for name in asked.encoders:
            found["encoders"][name] = compare(folders[name], train.texts, train.labels.tolist(), peak, asked.repeats)
    print(found)
    if not asked.dry_run:
        store("gpu", found)


if __name__ == "__main__":
    main()
