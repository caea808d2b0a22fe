"""Reading and tokenising: 25,000 IMDB reviews to token ids, and a 1 GB CSV, with the peak memory of each in its own process.

python benchmarks/reading.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import store

TARGET_TOKENISING_SECONDS = 15
CSV_BYTES = 1_000_000_000

TOKENISE = """
import json, time
from matinee.core.settings import DataSettings, TextSettings
from matinee.data import load_dataset
from matinee.model.artifact import load_tokenizer
from matinee.model.encoders import locate
from matinee.model.load import prepare_texts

splits = load_dataset(DataSettings(data="imdb"), seed=0).splits.values()
texts = [text for split in splits for text in split.texts]
texts += texts[: 25_000 - len(texts)]
preparation = prepare_texts(load_tokenizer(locate("minilm")[0]), TextSettings())
start = time.perf_counter()
ids = preparation.encode(texts)
print(json.dumps({"texts": len(ids), "tokens": sum(map(len, ids)), "seconds": time.perf_counter() - start}))
"""

READ = """
import json, sys, time
from matinee.core.settings import DataSettings
from matinee.data import load_dataset

start = time.perf_counter()
dataset = load_dataset(DataSettings(data=sys.argv[1]), seed=0)
texts = sum(len(split) for split in dataset.splits.values())
print(json.dumps({"texts": texts, "seconds": time.perf_counter() - start}))
"""


def run(code: str, *arguments: str) -> dict[str, float]:
    """Run a piece of Python in a fresh process; return what it printed, and its peak memory."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the measured process failed")
    return {**json.loads(output), "peak_memory_gb": round(usage.ru_maxrss * 1024 / 1e9, 3)}


def write_csv(path: Path) -> None:
    """Write about 1 GB of made-up reviews."""
    words = [f"word{number}" for number in range(500)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        row = 0
        while file.tell() < CSV_BYTES:
            for _ in range(1_000):
                text = " ".join(words[(row * 7 + position * position) % len(words)] for position in range(300))
                writer.writerow([f"review {row}, {text}", row % 2])
                row += 1


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of every figure."""
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="Measure reading and tokenising.")
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    tokenising = medians([run(TOKENISE) for _ in range(repeats)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.csv"
        write_csv(path)
        reading = {"bytes": path.stat().st_size, **medians([run(READ, str(path)) for _ in range(repeats)])}
    found = {
        "repeats": repeats,
        "tokenising": {**tokenising, "target_met": tokenising["seconds"] < TARGET_TOKENISING_SECONDS},
        "reading_csv": {**reading, "target_met": reading["peak_memory_gb"] * 1e9 < 2 * reading["bytes"]},
    }
    print(json.dumps(found, indent=2))
    store("reading", found)


if __name__ == "__main__":
    main()
