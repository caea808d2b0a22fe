"""What reviews without labels add to 1,000 with: students of a fine-tuned encoder, on three seeds, beside the labels alone.

python benchmarks/unlabelled.py [--seeds 0 1 2] [--texts 10000] [--summary]
python benchmarks/unlabelled.py --teacher imdb-mpnet --students alone [--texts 12000]

For each seed, by commands of matinee alone, all scored on the same 2,000 test reviews:

1. `teacher`: an encoder fine-tuned on 1,000 reviews by a recipe, the flagship's if not said (`matinee train imdb --recipe imdb-minilm`);
   its export in int8 answers for it from here on;
2. `words`: tf-idf that learns what the teacher says of the reviews that the splits leave (`matinee distill … --into tfidf`);
3. `student`: `minilm` that learns for one epoch what the mean of both says of some of those (`matinee distill … --into minilm`);
4. `alone`: as `student`, taught by the teacher without `words`: plain self-training, or a small student of a large encoder.

`minilm` learns by the flagship's recipe, but each text under one dropout: many texts need no second. Students of the flagship are held
against their own encoder on the labels alone, one of `mpnet` against the goal for 1,000 labels. Runs are kept in matinee's cache, and
each seed is stored as it is done, in `unlabelled.json` or `unlabelled-mpnet.json`, so that the script can be stopped and goes on where
it was.
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
FLAGSHIP = "imdb-minilm"
GAINS = {"student": 0.015, "words": 0.03}
ACCURACY = 0.89
STUDENTS = ["words", "student", "alone"]


def run(folder, *arguments):
    """Make a run where it is not there yet; return the seconds that it took, None where it was there."""
    if (folder / "manifest.json").is_file():
        return None
    start = time.perf_counter()
    command = [str(COMMAND), *map(str, arguments), "--run-dir", str(folder), "--overwrite", "-q"]
    subprocess.run(command, check=True)
    return round(time.perf_counter() - start, 1)


def measure(recipe, students, seed, n_texts):
    """Make what a seed needs; return scores and gains."""
    from matinee.core.cache import cache_folder

    home = cache_folder() / "benchmarks" / "unlabelled" / recipe / str(seed)
    home.mkdir(parents=True, exist_ok=True)
    teacher, words = home / "teacher", home / "words"
    run(teacher, "train", "imdb", "--recipe", recipe, "--seed", seed)
    if not any((teacher / "exports").glob("*/export.json")):
        subprocess.run([str(COMMAND), "export", str(teacher), "--to", "openvino", "--int8", "-q"], check=True)
    pool = ("--unlabelled", "imdb", "--backend", "auto")
    some = ("--into", "minilm", "--recipe", FLAGSHIP, "--r-drop", 0, "--epochs", 1, "--unlabelled-size", n_texts)
    found = {"teacher": accuracy_of(teacher)}
    if {"words", "student"} & set(students):
        run(words, "distill", teacher, *pool, "--into", "tfidf")
        metrics = json.loads((words / "metrics.json").read_text(encoding="utf-8"))
        found["words"] = {
            **accuracy_of(words),
            "labels_alone": metrics["baseline"]["accuracy"],
            "gain": metrics["test"]["accuracy"]["value"] - metrics["baseline"]["accuracy"]["value"],
        }
    for name, teachers in {"student": [teacher, words], "alone": [teacher]}.items():
        if name not in students:
            continue
        folder = home / f"{name}-{n_texts}"
        run(folder, "distill", *teachers, *pool, *some)
        (pair,) = matinee.compare([teacher, folder]).pairs
        found[name] = {**accuracy_of(folder), "against_teacher": pair}
        found[name]["gain"] = found[name]["accuracy"]["value"] - found["teacher"]["accuracy"]["value"]
    return {"seed": seed, "unlabelled_texts": n_texts, "settings_hashes": hashes(recipe), **found}


def hashes(recipe):
    """Return what tells cells of the recipes as they are now from those of older ones: of the teacher, and of the student."""
    from matinee.core.schema import resolve
    from matinee.workflow.recipes import read_recipe

    return [machine.settings_hash(resolve(read_recipe(name))) for name in (recipe, FLAGSHIP)]


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


def summary(cells, recipe):
    """Return mean accuracy and gain over its teacher (of `words`: over the labels alone) of each classifier; whether targets are met."""
    rows = {}
    for name in ("teacher", *STUDENTS):
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
    if recipe == FLAGSHIP:
        met = {
            f"{name} gains at least {100 * least:g} points": rows[name]["gain"]["mean"] >= least
            for name, least in GAINS.items()
            if name in rows
        }
    else:
        met = {
            f"{name} has at least {ACCURACY:g}": rows[name]["accuracy"]["mean"] >= ACCURACY
            for name in ("student", "alone")
            if name in rows
        }
    return {"rows": rows, "targets": met}


def name_of(recipe):
    """Return the name of what is stored of a teacher's recipe."""
    return "unlabelled" if recipe == FLAGSHIP else f"unlabelled-{recipe.removeprefix('imdb-')}"


def stored(recipe):
    """Return the seeds measured so far."""
    path = machine.RESULTS / f"{name_of(recipe)}.json"
    return json.loads(path.read_text(encoding="utf-8"))["seeds"] if path.is_file() else []


def joined(cells, new):
    """Return the cells with a new one: students that its seed had stay, cells of other settings or other numbers of texts go."""
    same = ("unlabelled_texts", "settings_hashes")
    alike = {of["seed"]: of for of in cells if all(of.get(name) == new[name] for name in same)}
    alike[new["seed"]] = {**alike.get(new["seed"], {}), **new}
    return [alike[seed] for seed in sorted(alike)]


def main():
    """Measure what is missing, store, print."""
    parser = argparse.ArgumentParser(description="Measure what unlabelled reviews add.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--texts", type=int, default=10_000, help="unlabelled reviews that the student reads")
    parser.add_argument("--teacher", default=FLAGSHIP, metavar="RECIPE", help="recipe of the teacher")
    parser.add_argument("--students", nargs="+", choices=STUDENTS, default=STUDENTS[:2])
    parser.add_argument("--summary", action="store_true", help="print what is stored and measure nothing")
    given = parser.parse_args()
    recipe = given.teacher
    if not given.summary:
        subprocess.run([str(COMMAND), "fetch", "imdb", "minilm"], check=True)
        for seed in given.seeds:
            cells = joined(stored(recipe), measure(recipe, given.students, seed, given.texts))
            machine.store(name_of(recipe), {"summary": summary(cells, recipe), "seeds": cells})
    print(json.dumps(summary(stored(recipe), recipe), indent=2))


if __name__ == "__main__":
    main()
