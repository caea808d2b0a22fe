"""The audit: 50,000 IMDB reviews in a process of its own, what it finds of planted faults, and how well it ranks wrong labels.

python benchmarks/audit.py [--reviews 50000] [--noise-reviews 5000] [--seeds 0 1 2]

Only the train split of IMDB can be had everywhere, 25,000 reviews. The others are the same reviews with each pair of
neighbouring words swapped: they share hardly a word triple with the originals, so that they are no near duplicates, and
have as many words and more word pairs. Of all these, 1 % are then overwritten by copies of others, and 1 % by others with
five words changed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from machine import store

TARGET_SECONDS = 180
FLIPPED = 0.05
MATINEE = Path(sys.executable).parent / "matinee"


def imdb() -> list[tuple[str, int]]:
    """Return the reviews of IMDB's train split with their labels."""
    from matinee.core.settings import DataSettings
    from matinee.data.audit import read_raw
    from matinee.data.sources import find

    settings = DataSettings(data="imdb")
    rows = read_raw(find(settings), settings).rows
    pairs = zip(rows.texts, rows.labels.tolist(), rows.splits.tolist(), strict=True)
    return [(text, label) for text, label, split in pairs if rows.split_names[split] == "train"]


def swapped(text: str) -> str:
    """Return a text with each pair of neighbouring words swapped."""
    words = text.split()
    for n in range(0, len(words) - 1, 2):
        words[n], words[n + 1] = words[n + 1], words[n]
    return " ".join(words)


def changed(text: str, chance: random.Random) -> str:
    """Return a text with five words changed."""
    words = text.split()
    for place in chance.sample(range(len(words)), min(5, len(words))):
        words[place] = "otherwise"
    return " ".join(words)


def with_copies(
    reviews: list[tuple[str, int]], n: int
) -> tuple[list[tuple[str, int]], dict[str, list[tuple[int, int]]]]:
    """Return `n` reviews, and the pairs of rows that are exact and near copies."""
    chance = random.Random(0)
    rows = [*reviews, *((swapped(text), label) for text, label in reviews)]
    chance.shuffle(rows)
    rows = rows[:n]
    # Only reviews so long that five changed words leave most triples.
    long = [row for row, (text, _) in enumerate(rows) if len(text.split()) >= 150]
    chosen = chance.sample(long, 4 * (n // 100))
    pairs = list(zip(chosen[::2], chosen[1::2], strict=True))
    planted = {"exact": pairs[: n // 100], "near": pairs[n // 100 :]}
    for kind, of_kind in planted.items():
        for original, copy in of_kind:
            text, label = rows[original]
            rows[copy] = (text if kind == "exact" else changed(text, chance), label)
    return rows, planted


def audit_in_its_own_process(rows: list[tuple[str, int]], folder: Path) -> dict[str, object]:
    """Run `matinee audit` on the rows; return seconds, peak memory, and what it said."""
    path = folder / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    command = [str(MATINEE), "audit", str(path), "--json", "--fix", str(folder / "clean.csv")]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit("the audit failed")
    return {"seconds": seconds, "peak_memory_gb": usage.ru_maxrss * 1024 / 1e9, "said": json.loads(output)}


def speed(reviews: list[tuple[str, int]], n: int) -> dict[str, object]:
    """Time the audit of `n` reviews, and count which planted copies it found."""
    rows, planted = with_copies(reviews, n)
    with tempfile.TemporaryDirectory() as name:
        done = audit_in_its_own_process(rows, Path(name))
        with (Path(name) / "clean.changes.jsonl").open(encoding="utf-8") as lines:
            listed = [json.loads(line) for line in lines]
    # Which of the two is named depends on which comes first.
    reasons = {"exact": "exact-duplicates", "near": "near-duplicates"}
    named = {kind: {row["row"] - 1 for row in listed if row["reason"] == reason} for kind, reason in reasons.items()}
    return {
        "reviews": len(rows),
        "seconds": round(done["seconds"], 1),
        "peak_memory_gb": round(done["peak_memory_gb"], 2),
        "planted": {kind: len(pairs) for kind, pairs in planted.items()},
        "planted_found": {
            kind: sum(not named[kind].isdisjoint(pair) for pair in pairs) for kind, pairs in planted.items()
        },
        "findings": {finding["name"]: finding["n"] for finding in done["said"]["findings"]},
        "target_met": done["seconds"] < TARGET_SECONDS,
    }


def noise(reviews: list[tuple[str, int]], n: int, seed: int) -> dict[str, float]:
    """Flip some labels and rank all reviews by how suspicious their labels are."""
    from matinee.data.audit import find_label_errors
    from matinee.model.out_of_fold import out_of_fold_probabilities

    chance = np.random.default_rng(seed)
    chosen = [reviews[row] for row in chance.choice(len(reviews), n, replace=False)]
    texts, truth = [text for text, _ in chosen], np.array([label for _, label in chosen])
    planted = chance.choice(n, round(FLIPPED * n), replace=False)
    labels = truth.copy()
    labels[planted] = 1 - labels[planted]
    start = time.perf_counter()
    found = find_label_errors(labels, out_of_fold_probabilities(texts, labels, 2, np.arange(n), seed=seed))
    seconds = time.perf_counter() - start
    worst = np.argsort(found.quality, kind="stable")[: len(planted)]
    hits = np.isin(found.rows, planted).sum()
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "precision_at_planted": round(float(np.isin(worst, planted).mean()), 4),
        "precision_at_100": round(float(np.isin(worst[:100], planted).mean()), 4),
        "n_flagged": len(found.rows),
        "precision_of_flagged": round(float(hits / max(len(found.rows), 1)), 4),
        "recall_of_flagged": round(float(hits / len(planted)), 4),
    }


def start_of_training() -> dict[str, float]:
    """Time what a training with 1,000 reviews, 200 to validate and 2,000 to test on runs first."""
    from matinee.core.schema import Layer, resolve
    from matinee.data import load_dataset
    from matinee.workflow import audit_dataset

    settings = resolve(Layer({"data": "imdb", "train_size": 1000, "test_size": 2000}))
    dataset = load_dataset(settings.data, seed=0)
    start = time.perf_counter()
    summary = audit_dataset(dataset, settings)
    return {"texts": summary["n"], "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="Measure the audit.")
    parser.add_argument("--reviews", type=int, default=50_000)
    parser.add_argument("--noise-reviews", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--dry-run", action="store_true", help="print, and store nothing")
    asked = parser.parse_args()
    subprocess.run([str(MATINEE), "fetch", "imdb", "minilm"], check=True, stdout=subprocess.DEVNULL)
    reviews = imdb()
    found = {
        "speed": speed(reviews, asked.reviews),
        "label_noise": {
            "reviews": asked.noise_reviews,
            "flipped": FLIPPED,
            "chance": FLIPPED,
            "runs": [noise(reviews, asked.noise_reviews, seed) for seed in asked.seeds],
        },
        "start_of_training": start_of_training(),
    }
    print(json.dumps(found, indent=2))
    if not asked.dry_run:
        store("audit", found)


if __name__ == "__main__":
    main()
