"""What reviews without labels add to 1,000 with: students of a fine-tuned encoder, on three seeds, beside the labels alone.

python benchmarks/unlabelled.py [--seeds 0 1 2] [--texts 10000] [--summary]

For each seed, by commands of matinee alone, all scored on the same 2,000 test reviews:

1. `teacher`: the flagship, `minilm` fine-tuned on 1,000 reviews (`matinee train imdb --recipe imdb-minilm`); its export in int8 answers
   for it from here on;
2. `words`: tf-idf that learns what the teacher says of the reviews that the splits leave (`matinee distill … --into tfidf`);
3. `student`: `minilm` that learns for one epoch what the mean of both says of some of those (`matinee distill … --into minilm`);
4. `alone`: as `student`, taught by the teacher without `words` (with `--alone`): plain self-training.

Each student is held against its own encoder on the labels alone. Runs are kept in matinee's cache, and each seed is stored as it is
done, so that the script can be stopped and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import machine
import matinee

COMMAND = Path(sys.executable).parent / "matinee"
TARGETS = {"student": 0.015, "words": 0.03}
RECIPE = ("--recipe", "imdb-minilm")


def run(folder, *arguments):
    """Make a run where it is not there yet; return the seconds that it took, None where it was there."""
    if (folder / "manifest.json").is_file():
        return None
    start = time.perf_counter()
    command = [str(COMMAND), *map(str, arguments), "--run-dir", str(folder), "--overwrite", "-q"]
    subprocess.run(command, check=True)
    return round(time.perf_counter() - start, 1)


def measure(seed, n_texts, alone):
    """Make what a seed needs; return scores and gains."""
    from matinee.core.cache import cache_folder

    home = cache_folder() / "benchmarks" / "unlabelled" / str(seed)
    home.mkdir(parents=True, exist_ok=True)
    teacher, words, student = (home / name for name in ("teacher", "words", "student"))
    run(teacher, "train", "imdb", *RECIPE, "--seed", seed)
    if not any((teacher / "exports").glob("*/export.json")):
        subprocess.run([str(COMMAND), "export", str(teacher), "--to", "openvino", "--int8", "-q"], check=True)
    pool = ("--unlabelled", "imdb", "--backend", "auto")
    some = ("--into", "minilm", *RECIPE, "--epochs", 1, "--unlabelled-size", n_texts)
    run(words, "distill", teacher, *pool, "--into", "tfidf")
    run(student, "distill", teacher, words, *pool, *some)
    students = [student]
    if alone:
        students.append(home / "alone")
        run(students[-1], "distill", teacher, *pool, *some)
    metrics = json.loads((words / "metrics.json").read_text(encoding="utf-8"))
    found = {
        "teacher": accuracy_of(teacher),
        "words": {
            **accuracy_of(words),
            "labels_alone": metrics["baseline"]["accuracy"],
            "gain": metrics["test"]["accuracy"]["value"] - metrics["baseline"]["accuracy"]["value"],
        },
    }
    for folder in students:
        compared = matinee.compare([teacher, folder])
        (pair,) = compared.pairs
        found[folder.name] = {**accuracy_of(folder), "against_teacher": pair}
        found[folder.name]["gain"] = found[folder.name]["accuracy"]["value"] - found["teacher"]["accuracy"]["value"]
    return {"seed": seed, "unlabelled_texts": n_texts, **found}


def accuracy_of(folder):
    """Return a run's test accuracy with its interval, calibration error and texts.

    No seconds: the seeds may share the machine with other work.
    """
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["test"]
    return {
        "accuracy": metrics["accuracy"],
        "ece": metrics["ece"]["value"],
        "n": metrics["n"],
    }


def summary(cells):
    """Return mean accuracy and gain of each classifier over the seeds, and whether the targets are met."""
    rows = {}
    for name in ("teacher", "words", "student", "alone"):
        of = [cell[name] for cell in cells if name in cell]
        if not of:
            continue
        values, gains = [each["accuracy"]["value"] for each in of], [each["gain"] for each in of if "gain" in each]
        rows[name] = {
            "n_seeds": len(of),
            "accuracy": {"mean": round(statistics.mean(values), 4), "min": min(values), "max": max(values)},
        }
        if gains:
            spread = statistics.stdev(gains) if len(gains) > 1 else None
            rows[name]["gain"] = {
                "mean": round(statistics.mean(gains), 4),
                "min": round(min(gains), 4),
                "max": round(max(gains), 4),
                "sd": None if spread is None else round(spread, 4),
            }
    met = {
        f"{name} gains at least {100 * target:g} points": rows[name]["gain"]["mean"] >= target
        for name, target in TARGETS.items()
        if name in rows
    }
    return {"rows": rows, "targets": met}


def stored():
    """Return the seeds measured so far."""
    path = machine.RESULTS / "unlabelled.json"
    return json.loads(path.read_text(encoding="utf-8"))["seeds"] if path.is_file() else []


def main():
    """Measure what is missing, store, print."""
    parser = argparse.ArgumentParser(description="Measure what unlabelled reviews add.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--texts", type=int, default=10_000, help="unlabelled reviews that the student reads")
    parser.add_argument("--alone", action="store_true", help="plain self-training too")
    parser.add_argument("--summary", action="store_true", help="print what is stored and measure nothing")
    given = parser.parse_args()
    if not given.summary:
        subprocess.run([str(COMMAND), "fetch", "imdb", "minilm"], check=True)
        for seed in given.seeds:
            cell = measure(seed, given.texts, given.alone)
            cells = sorted([cell, *(of for of in stored() if of["seed"] != seed)], key=lambda of: of["seed"])
            machine.store("unlabelled", {"summary": summary(cells), "seeds": cells})
    print(json.dumps(summary(stored()), indent=2))


if __name__ == "__main__":
    main()
