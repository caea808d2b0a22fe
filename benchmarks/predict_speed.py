"""How fast texts are answered: every back end of matinee beside transformers' own pipeline, on IMDB reviews cut at 256 tokens.

python benchmarks/predict_speed.py [--parts minilm distilbert score] [--texts 300] [--slow-texts 64] [--repeats 3] [--prepare]

`minilm` is a classifier fine-tuned on 1,000 reviews; its cascade's first step is tf-idf taught by the classifier itself on reviews
without labels (`matinee distill`). `distilbert` is full size with random weights, on which speed does not depend; its head is
fitted, so that what a back end changes can be seen in its answers too. All accuracies, gaps and flips are those of the exports'
proofs, on 2,000 test reviews for `minilm` and 400 for `distilbert`; thresholds of the cascade come from validation.

Speeds are those of `matinee bench`: each back end in a process of its own, in turns, medians. `naive int8` is the ONNX int8 file as
people run it: batches of 32 in the order given, padded to the longest. `score` scores reviews from a Parquet file; its speed is held
against that of the predictor alone, on the same reviews.

What takes long (the classifiers and their exports) is kept in matinee's cache; `--prepare` makes it and stops, so that a quiet
machine can be waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import store

ROOT = Path(__file__).resolve().parent.parent
MATINEE = Path(sys.executable).parent / "matinee"
MAX_LENGTH = 256
FORMATS = {
    "minilm": (("openvino", "bf16"), ("openvino", "int8"), ("onnx", "fp32"), ("onnx", "int8")),
    "distilbert": (("openvino", "bf16"), ("openvino", "int8"), ("onnx", "int8")),
}
TARGETS = {"best back end": 8.0, "cascade": 25.0, "latency": 4.0, "accuracy": 0.005, "first answer": 1.5}
SCORED = 4_000


def matinee(*arguments, quiet=True):
    """Run a command of matinee."""
    subprocess.run([str(MATINEE), *map(str, arguments), *(["-q"] if quiet else [])], check=True)


# -- what is measured -------------------------------------------------------------------------------------------------


def folder_of(name):
    """Return where a classifier is kept."""
    from matinee.core.cache import cache_folder

    folder = cache_folder() / "benchmarks" / "predict-speed"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def prepared(name):
    """Return the run folder of a classifier with all its exports, made where they are not there yet."""
    run = folder_of(name)
    if not (run / "manifest.json").is_file():
        {"minilm": train_minilm, "distilbert": train_distilbert}[name](run)
    for to, precision in FORMATS[name]:
        if not (run / "exports" / f"{to}-{precision}" / "export.json").is_file():
            # What an export costs is what this benchmark says; the limits are held by its targets.
            limits = ("--max-accuracy-drop", 100, "--max-flips", 100)
            matinee("export", run, "--to", to, "--precision", precision, *limits, "--overwrite")
    if name == "minilm" and not (run / "exports" / "cascade" / "export.json").is_file():
        student = folder_of("student")
        if not (student / "manifest.json").is_file():
            matinee(
                "distill",
                run,
                "--unlabelled",
                "imdb",
                "--into",
                "tfidf",
                "--backend",
                "openvino",
                "--run-dir",
                student,
                "--overwrite",
            )
        matinee("export", run, "--cascade", "--cheap", student, "--max-accuracy-drop", 100, "--overwrite")
    return run


def train_minilm(run):
    """Fine-tune the flagship on texts of 256 tokens."""
    matinee("train", "imdb", "--recipe", "imdb-minilm", "--max-length", MAX_LENGTH, "--run-dir", run, "--overwrite")


def train_distilbert(run):
    """Fit a head on a full-size DistilBERT with random weights."""
    from matinee.model.encoders import locate
    from steps import random_distilbert

    with tempfile.TemporaryDirectory() as folder:
        encoder = Path(folder) / "distilbert"
        random_distilbert(locate("minilm")[0], encoder)
        sizes = ("--train-size", 300, "--validation-size", 100, "--test-size", 400, "--max-length", MAX_LENGTH)
        matinee("train", "imdb", "--encoder", encoder, "--freeze", "all", *sizes, "--run-dir", run, "--overwrite")


# -- speed ------------------------------------------------------------------------------------------------------------


def part(name, n_texts, repeats):
    """Return all rows of one classifier, and how they compare with the stock pipeline."""
    run = prepared(name)
    matinee("bench", run, "--texts", n_texts, "--repeats", repeats)
    benched = json.loads((run / "bench.json").read_text(encoding="utf-8"))
    rows = benched["rows"]
    parities = {
        folder.name: json.loads((folder / "parity.json").read_text(encoding="utf-8"))
        for folder in sorted((run / "exports").iterdir())
        if not folder.name.startswith(".")
    }
    proofs = {name: proof_of(parity) for name, parity in parities.items()}
    sizes = benched["n_texts"]
    naive = statistics.median(naive_int8(run, n_texts) for _ in range(repeats))
    student = {"student": student_alone(n_texts, repeats, rows)} if name == "minilm" else {}
    return {
        "n_texts": sizes,
        "rows": rows,
        "proofs": proofs,
        **student,
        "naive_int8_texts_per_second": round(naive, 1),
        **compared(rows, proofs),
    }


def student_alone(n_texts, repeats, rows):
    """Return how the tf-idf student of the classifier does by itself, beside tf-idf with the true labels alone."""
    run = folder_of("student")
    matinee("bench", run, "--texts", n_texts, "--repeats", repeats)
    (row,) = json.loads((run / "bench.json").read_text(encoding="utf-8"))["rows"]
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    fastest = max(other["texts_per_second"] for other in rows if other["stock"])
    return {
        "texts_per_second": row["texts_per_second"],
        "times_the_faster_pipeline": round(row["texts_per_second"] / fastest, 1),
        "latency_ms": row["latency_ms"],
        "accuracy": metrics["test"]["accuracy"],
        "accuracy_with_true_labels_alone": metrics["baseline"]["accuracy"],
        "n": metrics["test"]["n"],
    }


def proof_of(parity):
    """Return what an export costs, from its proof."""
    accuracy = parity["accuracy"]
    return {
        "n": parity["held_out"]["n"],
        "accuracy_change": None if accuracy is None else accuracy["change"],
        "accuracy": None if accuracy is None else accuracy["candidate"],
        "flips": parity["flips"]["share"],
        "gap": parity["gap"],
        "cheap_share": parity.get("cheap_share"),
    }


def compared(rows, proofs):
    """Return how many times as fast the best back end and the cascade are, and whether the targets are met."""
    stock = {row["name"]: row for row in rows if row["stock"]}
    by_batch = {name: row["texts_per_second"] for name, row in stock.items()}
    own = [row for row in rows if not row["stock"]]
    single = [row for row in own if row["name"] != "cascade" and cost(proofs, row) <= TARGETS["accuracy"]]
    best = max(single, key=lambda row: row["texts_per_second"])
    quickest = min(single, key=lambda row: row["latency_ms"]["p50"])
    found = {
        "best_back_end": best["name"],
        "times_faster": {name: round(best["texts_per_second"] / speed, 2) for name, speed in by_batch.items()},
        "latency_p50_times_better": round(
            min(row["latency_ms"]["p50"] for row in stock.values()) / quickest["latency_ms"]["p50"], 2
        ),
    }
    for row in own:
        if row["name"] == "cascade":
            found["cascade_times_faster"] = {
                name: round(row["texts_per_second"] / speed, 2) for name, speed in by_batch.items()
            }
    slowest_lead = min(found["times_faster"].values())
    found["targets"] = {
        f"best back end at least {TARGETS['best back end']:g} times the faster pipeline": slowest_lead
        >= TARGETS["best back end"],
        f"single text at least {TARGETS['latency']:g} times sooner": found["latency_p50_times_better"]
        >= TARGETS["latency"],
        f"first answer without torch under {TARGETS['first answer']} s": min(row["first_answer_s"] for row in own)
        < TARGETS["first answer"],
    }
    if "cascade" in proofs:
        found["targets"][f"cascade at least {TARGETS['cascade']:g} times, within half a point"] = (
            min(found["cascade_times_faster"].values()) >= TARGETS["cascade"]
            and cost(proofs, {"name": "cascade"}) <= TARGETS["accuracy"]
        )
    return found


def cost(proofs, row):
    """Return by how much a back end is less accurate than torch in float32; torch itself not at all."""
    change = proofs.get(row["name"], {}).get("accuracy_change")
    return 0.0 if change is None else -change["value"]


def naive_int8(run, n_texts):
    """Return the texts a second of the ONNX int8 file as people run it, in a process of its own."""
    command = [sys.executable, __file__, "--naive", str(run), str(n_texts)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def run_naive(run, n_texts):
    """Answer texts with ONNX Runtime: batches of 32 in the order given, each padded to its longest."""
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    folder = Path(run) / "exports" / "onnx-int8"
    texts = reviews(Path(run), n_texts)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()
    info = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(folder / info["model"], providers=["CPUExecutionProvider"])

    def answer(batch):
        encoded = tokenizer.encode_batch(batch)
        ids = np.array([row.ids for row in encoded], dtype=np.int64)
        mask = np.array([row.attention_mask for row in encoded], dtype=np.int64)
        return session.run(None, {"input_ids": ids, "attention_mask": mask})

    answer(texts[:32])
    start = time.perf_counter()
    for at in range(0, len(texts), 32):
        answer(texts[at : at + 32])
    print(len(texts) / (time.perf_counter() - start))


def reviews(run, n):
    """Return test reviews of a run."""
    from matinee.evaluation import read_predictions

    return read_predictions(run / "predictions.parquet")["test", "classifier"].texts[:n]


# -- bulk scoring -----------------------------------------------------------------------------------------------------


def score_part(repeats):
    """Return how fast `matinee score` is beside the predictor alone, and its peak memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = prepared("minilm")
    texts = reviews(run, SCORED)
    texts = (texts * (SCORED // len(texts) + 1))[:SCORED]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "reviews.parquet"
        # Numbered, since texts that are alike are computed once.
        numbered = [f"{number} {text}" for number, text in enumerate(texts)]
        pq.write_table(pa.table({"text": numbered, "row": list(range(len(numbered)))}), source)
        turns = [score_turn(run, source, Path(folder) / "scored", numbered) for _ in range(repeats)]
    share = statistics.median(turn["score"] / turn["alone"] for turn in turns)
    peak = max(turn["peak_memory_mb"] for turn in turns)
    return {
        "n_texts": SCORED,
        "backend": "openvino-int8",
        "turns": turns,
        "share_of_the_predictors_speed": round(share, 3),
        "peak_memory_mb": peak,
        "targets": {"at least 90 % of the predictor's speed": share >= 0.9, "under 1.5 GB": peak < 1500},
    }


def score_turn(run, source, output, texts):
    """Time the predictor alone and then `matinee score`, start of the process included."""
    export = run / "exports" / "openvino-int8"
    job = {"source": str(export), "backend": "auto", "texts": texts, "singles": 1, "started": time.time()}
    worker = [sys.executable, "-m", "matinee.inference.speed"]
    done = subprocess.run(worker, input=json.dumps(job), check=True, capture_output=True, text=True)
    alone = json.loads(done.stdout.splitlines()[-1])["texts_per_second"]
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    process = subprocess.Popen([str(MATINEE), "score", str(export), str(source), str(output), "-q"])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit("matinee score failed")
    return {
        "alone": round(alone, 1),
        "score": round(len(texts) / seconds, 1),
        "peak_memory_mb": round(usage.ru_maxrss * 1024 / 1e6),
    }


def main():
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="Measure how fast texts are answered.")
    parser.add_argument("--parts", nargs="+", default=["minilm", "distilbert", "score"])
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--slow-texts", type=int, default=64, help="for DistilBERT")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prepare", action="store_true", help="make what is measured, and stop")
    parser.add_argument("--naive", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.naive:
        run_naive(asked.naive[0], int(asked.naive[1]))
        return
    if asked.prepare:
        for name in asked.parts:
            prepared("minilm" if name == "score" else name)
        return
    found = {}
    for name in asked.parts:
        if name == "score":
            found[name] = score_part(asked.repeats)
        else:
            found[name] = part(name, asked.texts if name == "minilm" else asked.slow_texts, asked.repeats)
        print(json.dumps({name: found[name]}, indent=2), flush=True)
    store("predict-speed", {"max_length": MAX_LENGTH, "repeats": asked.repeats, **found})


if __name__ == "__main__":
    main()
