"""What a second worker brings: scoring by two workers of Ray's, and training by two processes, beside one with a single thread.

python benchmarks/scale.py [--parts score train] [--texts 16000] [--repeats 2] [--prepare] [--dry-run]

Scoring: IMDB reviews from a Parquet file, answered by the OpenVINO int8 export of `minilm` at 256 tokens, the head of which is fitted
and the rest as it came: speed does not depend on what it learned. Each arm is a command as one would type it, in turns:

- one: `matinee score` with a single thread, the measure for all others; the other core may tokenise ahead for it.
- one core: the same, held to a core, which is what a worker has.
- ray: `--engine ray --workers 2`. Its efficiency is its speed over two times that of one.
- two plain: two such commands at once, half of the files each: what the machine gives two processes without Ray.
- threads: the default engine with both threads, which is what one takes on one machine.

A speed is texts over seconds. `texts_per_second` leaves out what comes before the first text and does not grow with their number: Python's
and Ray's start, and for one process opening the classifier (Ray's workers open it while the clock runs). `with_start` is the whole command.

Training: `minilm`, 512 reviews of 256 tokens, one epoch in batches of 32: the stage "fine-tuning" of the run, its two evaluations included;
one process with one thread, one with both, and two with one each, started by torchrun.

What is stored is written into docs/scale.md too.
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

MATINEE = (sys.executable, "-m", "matinee")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "matinee")
GOAL = 0.9
N_FILES = 8
SCORING = ("one", "one core", "ray", "two plain", "threads")
TRAINING = ("one thread", "two threads", "two processes")


def environment(threads):
    """Return this process's environment, with so many threads; 0: nobody says how many."""
    own = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return own if not threads else {**own, "OMP_NUM_THREADS": str(threads)}


# -- scoring ----------------------------------------------------------------------------------------------------------


def prepared():
    """Return the folder of an export that answers, made where it is not there yet."""
    from matinee.core.cache import cache_folder

    run = cache_folder() / "benchmarks" / "scale" / "minilm"
    export = run / "exports" / "openvino-int8"
    if not (run / "manifest.json").is_file():
        run.parent.mkdir(parents=True, exist_ok=True)
        sizes = ("--train-size", "1000", "--validation-size", "200", "--test-size", "400", "--max-length", "256")
        command = ("train", "imdb", "--encoder", "minilm", "--freeze", "all", *sizes, "--run-dir", str(run))
        subprocess.run([*MATINEE, *command, "--overwrite", "-q"], check=True, stdout=subprocess.DEVNULL)
    if not (export / "export.json").is_file():
        limits = ("--max-accuracy-drop", "100", "--max-flips", "100", "--overwrite", "-q")
        command = ("export", str(run), "--to", "openvino", "--precision", "int8", *limits)
        subprocess.run([*MATINEE, *command], check=True, stdout=subprocess.DEVNULL)
    return export


def write_reviews(folder, n_texts):
    """Write the reviews to Parquet files in two folders, half of them each, and return the folders."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from matinee.core.settings import DataSettings
    from matinee.data import load_dataset

    texts = load_dataset(DataSettings(data="imdb"), seed=0).splits["train"].texts[:n_texts]
    if len(texts) < n_texts:
        raise SystemExit(f"IMDB has no more than {len(texts):,} train reviews")
    halves = [folder / "first", folder / "second"]
    for number in range(N_FILES):
        half = halves[number % 2]
        half.mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": texts[number::N_FILES]}), half / f"reviews-{number}.parquet")
    return halves


def started(export, inputs, output, threads, *more, cores=None):
    """Start a process that scores, and says at its end how long it took."""
    code = (
        "import json, os, sys\n"
        "given = json.loads(sys.argv[1])\n"
        "os.sched_setaffinity(0, given['cores'] or os.sched_getaffinity(0))\n"
        "import matinee\n"
        "done = matinee.score(given['run'], given['inputs'], given['output'], overwrite=True, shard_rows=250, **given['more'])\n"
        "print(json.dumps([done.n_scored, done.seconds]))\n"
    )
    given = {"run": str(export), "inputs": inputs, "output": str(output), "more": dict(more), "cores": cores}
    return subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(given)], env=environment(threads), stdout=subprocess.PIPE, text=True
    )


def scored(name, export, halves, output):
    """Return how fast one arm is."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    both = [f"{half}/*.parquet" for half in halves]
    start = time.perf_counter()
    if name == "two plain":
        processes = [started(export, [of], output / half.name, 1) for of, half in zip(both, halves, strict=True)]
    elif name == "ray":
        processes = [started(export, both, output / "scored", 0, ("engine", "ray"), ("workers", 2))]
    else:
        cores = sorted(os.sched_getaffinity(0))[:1] if name == "one core" else None
        processes = [started(export, both, output / "scored", 0 if name == "threads" else 1, cores=cores)]
    said = [process.communicate()[0] for process in processes]
    seconds = time.perf_counter() - start
    if any(process.returncode for process in processes):
        raise SystemExit(f"{name} failed")
    counts, own = zip(*(json.loads(line.splitlines()[-1]) for line in said), strict=True)
    return {"n_texts": sum(counts), "seconds": round(max(own), 2), "with_start": round(seconds, 2)}


def score_part(n_texts, repeats):
    """Return the speed of each arm, in turns, and what two workers are worth."""
    export = prepared()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        halves = write_reviews(folder, n_texts)
        turns = []
        for number in range(repeats):
            order = SCORING if number % 2 == 0 else SCORING[::-1]
            turns.append({arm: scored(arm, export, halves, folder / "out") for arm in order})
            print(json.dumps(turns[-1]), flush=True)
        stored = {"input": n_bytes(halves), "output": n_bytes([folder / "out"])}
    if any(found["n_texts"] != n_texts for turn in turns for found in turn.values()):
        raise SystemExit("an arm has not scored all texts")
    size = {f"{name}_bytes_per_review": round(of / n_texts) for name, of in stored.items()}
    return {"n_texts": n_texts, "backend": "openvino-int8", **size, "turns": turns, **told(turns)}


def n_bytes(folders):
    """Return the bytes of all Parquet files below the folders."""
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*.parquet"))


def told(turns):
    """Return each arm's median speed, and what it is over two times that of one, turn by turn."""
    speeds = {
        arm: {
            "texts_per_second": round(statistics.median(of[arm]["n_texts"] / of[arm]["seconds"] for of in turns), 2),
            "with_start": round(statistics.median(of[arm]["n_texts"] / of[arm]["with_start"] for of in turns), 2),
        }
        for arm in SCORING
    }
    share = {
        arm: [round(of["one"]["seconds"] / of[arm]["seconds"] / 2, 4) for of in turns]
        for arm in SCORING
        if arm != "one"
    }
    efficiency = {arm: round(statistics.median(of), 3) for arm, of in share.items()}
    of_core = statistics.median(of["one core"]["seconds"] / of["ray"]["seconds"] / 2 for of in turns)
    return {
        "speeds": speeds,
        "efficiency_of_ray_against_cores": round(of_core, 3),
        "efficiency": efficiency,
        "efficiency_of_each_turn": share,
        "targets": {f"two workers at least {GOAL:.0%} of two times one": efficiency["ray"] >= GOAL},
    }


# -- training ---------------------------------------------------------------------------------------------------------


def trained(name, folder):
    """Return the seconds of fine-tuning, and the last loss."""
    shutil.rmtree(folder, ignore_errors=True)
    launcher = TORCHRUN if name == "two processes" else MATINEE
    sizes = ("--train-size", "512", "--validation-size", "64", "--test-size", "64", "--max-length", "256")
    settings = ("--epochs", "1", "--batch-size", "32", "--dropout", "0", "--freeze", "embeddings")
    command = ("train", "imdb", "--encoder", "minilm", *sizes, *settings, "--run-dir", str(folder), "-q")
    threads = {"one thread": 1, "two threads": 2, "two processes": 0}[name]
    subprocess.run([*launcher, *command], check=True, env=environment(threads), stdout=subprocess.DEVNULL)
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["seconds"]["fine-tuning"]
    return {"seconds": seconds, "eval_loss": [row["eval_loss"] for row in history if "eval_loss" in row][-1]}


def train_part(repeats):
    """Return how long an epoch takes by one process and by two, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        turns = []
        for number in range(repeats):
            order = TRAINING if number % 2 == 0 else TRAINING[::-1]
            turns.append({arm: trained(arm, Path(folder) / "run") for arm in order})
            print(json.dumps(turns[-1]), flush=True)
    seconds = {arm: round(statistics.median(of[arm]["seconds"] for of in turns), 1) for arm in TRAINING}
    gaps = [abs(of["two processes"]["eval_loss"] - of["one thread"]["eval_loss"]) for of in turns]
    ratios = [of["one thread"]["seconds"] / of["two processes"]["seconds"] / 2 for of in turns]
    return {
        "n_texts": 512,
        "turns": turns,
        "seconds": seconds,
        "efficiency": round(statistics.median(ratios), 3),
        "largest_gap_in_validation_loss": max(gaps),
    }


# -- what docs/scale.md says of it --------------------------------------------------------------------------------------


BEGIN, END = "<!-- figures of benchmarks/results/scale.json -->\n", "<!-- end -->\n"
UNKNOWN = "{what} has not been measured yet: `python benchmarks/scale.py` does."
ARMS = {
    "one": "`matinee score`, one thread",
    "one core": "the same, held to one core",
    "ray": "`--engine ray --workers 2`",
    "two plain": "two commands of one thread at once, without Ray",
    "threads": "`matinee score`, both threads",
}


def page(found):
    """Return what docs/scale.md says between its two marks."""
    score = score_words(found["score"], found) if "score" in found else [UNKNOWN.format(what="Scoring")]
    train = train_words(found["train"]) if "train" in found else [UNKNOWN.format(what="Training")]
    return "\n\n".join([*score, *train]) + "\n"


def score_words(score, found):
    """Return the paragraphs about scoring."""
    rows = [
        f"| {title} | {score['speeds'][arm]['texts_per_second']:.1f} | {score['speeds'][arm]['with_start']:.1f} | "
        f"{percent(score['efficiency'][arm]) if arm in score['efficiency'] else ''} |"
        for arm, title in ARMS.items()
    ]
    table = [
        "| what runs | reviews a second | the start counted too | of two times one thread |",
        "| --- | ---: | ---: | ---: |",
    ]
    met = (
        "which is what we wanted"
        if score["efficiency"]["ray"] >= GOAL
        else f"less than the {percent(GOAL)} that we wanted"
    )
    yield (
        f"{score['n_texts']:,} IMDB reviews, MiniLM at 256 tokens as OpenVINO int8, on {found['machine']['cores']} cores "
        f"({found['machine']['processor']}, {found['date']}), medians of {len(score['turns'])} turns "
        "([scale.json](../benchmarks/results/scale.json)):"
    )
    yield "\n".join([*table, *rows])
    of_core, plain = score["efficiency_of_ray_against_cores"], score["efficiency"]["two plain"]
    n_seconds = score["n_texts"] / score["speeds"]["ray"]["texts_per_second"]
    read, written = (f"{score[f'{name}_bytes_per_review'] / 1000:.2f} kB" for name in ("input", "output"))
    yield (
        f"Two workers of Ray's do {percent(score['efficiency']['ray'])} of two times what one thread does, {met}; of two times what a core "
        f"held by itself does, {percent(of_core)}. Two plain commands at once, with no Ray between them, do {percent(plain)}: that is "
        f"what the machine itself loses. Ray's workers open the classifier after the clock has started, some seconds that a longer job "
        f"does not notice: this one takes {n_seconds:.0f}. A review takes {read} in Parquet, and {written} with its answer. The plan "
        "below rests on another day's measurement and another machine: measure yours."
    )


def train_words(train):
    """Return the paragraph about training."""
    one, both, two = (f"{train['seconds'][arm]:.0f} s" for arm in TRAINING)
    yield (
        f"An epoch of {train['n_texts']} reviews takes {one} with one thread, {both} with two, and {two} with two processes of one thread "
        f"each ({percent(train['efficiency'])} of twice one thread's speed). "
        f"Their validation losses differ by {train['largest_gap_in_validation_loss']:.1e} at most, "
        "in bf16 where the machine has it, as sums are rounded otherwise; the tests, in float32, allow a ten-thousandth."
    )


def percent(share):
    """Return a share in whole per cent."""
    return f"{100 * share:.0f} %"


def write_page(found):
    """Have docs/scale.md say it."""
    path = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(before + BEGIN + page(found) + END + rest.split(END)[1], encoding="utf-8")


def main():
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="What a second worker brings.")
    parser.add_argument("--parts", nargs="+", choices=["score", "train"], default=["score", "train"])
    parser.add_argument("--texts", type=int, default=16_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--prepare", action="store_true", help="make what is scored with, and stop")
    parser.add_argument("--dry-run", action="store_true", help="store nothing")
    given = parser.parse_args()
    prepared()
    if given.prepare:
        return
    path = Path(__file__).parent / "results" / "scale.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {name: before[name] for name in ("score", "train") if name in before}
    if "score" in given.parts:
        found["score"] = score_part(given.texts, given.repeats)
    if "train" in given.parts:
        found["train"] = train_part(given.repeats)
    print(json.dumps(found, indent=2))
    if not given.dry_run:
        write_page(json.loads(store("scale", found).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
