"""Which settings make a difference with 1,000 labels, or fewer: recipes that differ from the default in one thing, on development data.

python benchmarks/recipes.py [--labels 1000] [--workers 1] [--seeds 0 1 2] [--folds 2] [--minutes 60] [--only NAME …] [--summary]

Development data alone: the reviews that the test block of `imdb.py` and its validation block leave, a fold of which is held out
to score on (2,000 reviews, contiguous blocks of each label, with gaps) and another small one to choose the epoch by. Folds and
seeds are the same for every recipe, so that recipes are compared in pairs. Runs are done seed by seed, so that a call that is cut
off has about as many seeds of each. Each is written down at once, and a later call does what is missing. Times are not measured:
workers share a machine. Other numbers of labels than 1,000, with a fifth as many more to choose the epoch by, are stored apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from scipy.stats import t

import machine

LABELS, N_TEST = 1000, 2000
BASE = {
    "data": "imdb",
    "encoder": "minilm",
    "max_length": 384,
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "warmup_ratio": 0.3,
    "averaging": 0.25,
}

# What a recipe changes, by its name. The first is the default itself.
RECIPES = {
    "base": {},
    "freeze 2": {"freeze": "2"},
    "rate 5e-5": {"learning_rate": 5e-5},
    "rate 2e-4": {"learning_rate": 2e-4},
    "4 epochs": {"epochs": 4},
    "6 epochs": {"epochs": 6},
    "10 epochs": {"epochs": 10, "patience": 0},
    "batch 8": {"batch_size": 8},
    "batch 32": {"batch_size": 32},
    "warm-up 10 %": {"warmup_ratio": 0.1},
    "no averaging": {"averaging": 0.0},
    "averaging 0.5": {"averaging": 0.5},
    "256 tokens": {"max_length": 256},
    "512 tokens": {"max_length": 512},
    "half from the head": {"head_share": 0.5},
    "head": {"truncation": "head"},
    "tail": {"truncation": "tail"},
    "cls": {"pooling": "cls", "head": "random"},
    "attention pooling": {"pooling": "attention"},
    "random head": {"head": "random"},
    "layer decay 0.9": {"layer_decay": 0.9},
    "layer decay 0.75": {"layer_decay": 0.75},
    "layer decay 0.75, rate 2e-4": {"layer_decay": 0.75, "learning_rate": 2e-4},
    "1 fresh layer": {"reinit_layers": 1},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "R-Drop 1": {"r_drop": 1.0},
    "4 dropout masks": {"multi_sample_dropout": 4},
    "no dropout": {"dropout": 0.0},
    "dropout 0.2": {"dropout": 0.2},
    "attention dropout 0.1": {"attention_dropout": 0.1},
    "both dropouts 0.2": {"dropout": 0.2, "attention_dropout": 0.2},
    "window": {"augment": "window"},
    "delete": {"augment": "delete:0.1"},
    "swap": {"augment": "swap:0.1"},
    "synonym": {"augment": "synonym:0.1"},
    "mixup": {"augment": "mixup"},
    "windows": {"long": "windows", "max_length": 256, "max_windows": 4},
    "focal": {"loss": "focal"},
    "weight decay 0.1": {"weight_decay": 0.1},
    "warm-up 10 %, attention dropout 0.1": {"warmup_ratio": 0.1, "attention_dropout": 0.1},
    "the same, batch 8": {"warmup_ratio": 0.1, "attention_dropout": 0.1, "batch_size": 8},
    "the same, 512 tokens": {"warmup_ratio": 0.1, "attention_dropout": 0.1, "max_length": 512},
    "the same, batch 8, 512 tokens": {
        "warmup_ratio": 0.1,
        "attention_dropout": 0.1,
        "batch_size": 8,
        "max_length": 512,
    },
    "the same, freeze 2, 512 tokens": {
        "warmup_ratio": 0.1,
        "attention_dropout": 0.1,
        "freeze": "2",
        "max_length": 512,
    },
    "the same, tail": {"warmup_ratio": 0.1, "attention_dropout": 0.1, "truncation": "tail"},
    "the same, windows": {
        "warmup_ratio": 0.1,
        "attention_dropout": 0.1,
        "long": "windows",
        "max_length": 256,
        "max_windows": 4,
    },
    "R-Drop 1, warm-up 10 %": {"r_drop": 1.0, "warmup_ratio": 0.1},
    "R-Drop 1, warm-up 10 %, 512 tokens": {"r_drop": 1.0, "warmup_ratio": 0.1, "max_length": 512},
    "R-Drop 1, warm-up 10 %, 512 tokens, 10 epochs": {
        "r_drop": 1.0,
        "warmup_ratio": 0.1,
        "max_length": 512,
        "epochs": 10,
        "patience": 0,
    },
    "R-Drop 1, warm-up 10 %, 512 tokens, 6 epochs, batch 8": {
        "r_drop": 1.0,
        "warmup_ratio": 0.1,
        "max_length": 512,
        "epochs": 6,
        "batch_size": 8,
        "patience": 0,
    },
    "R-Drop 1, warm-up 10 %, attention dropout 0.1": {"r_drop": 1.0, "warmup_ratio": 0.1, "attention_dropout": 0.1},
    "frozen encoder": {"freeze": "all"},
    "6 epochs, R-Drop 1": {"epochs": 6, "r_drop": 1.0},
    "6 epochs, window": {"epochs": 6, "augment": "window"},
    "6 epochs, mixup": {"epochs": 6, "augment": "mixup"},
    "6 epochs, delete": {"epochs": 6, "augment": "delete:0.1"},
    "6 epochs, rate 5e-5": {"epochs": 6, "learning_rate": 5e-5},
    "6 epochs, label smoothing 0.1": {"epochs": 6, "label_smoothing": 0.1},
    "6 epochs, freeze 2": {"epochs": 6, "freeze": "2"},
    "6 epochs, 512 tokens": {"epochs": 6, "max_length": 512},
}

_state = {}


def development_data(fold, seed):
    """Return a dataset of development reviews alone: `train` drawn by the seed, `validation` and `test` held out by the fold."""
    from matinee.core.schema import Layer, resolve
    from matinee.core.types import Dataset
    from matinee.data import load_dataset
    from matinee.data.sources.imdb import IMDB
    from matinee.data.split import block_holdout, stratified_sample

    n_validation = _state["labels"] // 5
    if "pool" not in _state:
        whole = resolve(Layer({"data": "imdb", "validation_size": LABELS // 5, "test_size": 2000}))
        _state["pool"] = load_dataset(whole.data, seed=0)
    names, pool = _state["pool"].label_names, _state["pool"].splits["train"]
    parts = block_holdout(pool.labels, n_validation, N_TEST, split_seed=fold + 1, gap=IMDB.gap)
    drawn = stratified_sample(pool.labels[parts.train], _state["labels"], np.random.default_rng([seed, 77]))
    splits = {"train": parts.train[drawn], "validation": parts.validation, "test": parts.test}
    return Dataset("development", names, {name: pool.take(rows) for name, rows in splits.items()})


def measure(name, fold, seed):
    """Train a recipe and return its scores on the held-out fold; what fails is a result too, with the reason."""
    about = {"recipe": name, "fold": fold, "seed": seed}
    start = time.perf_counter()
    try:
        found = _measured(RECIPES[name], fold, seed)
    except Exception as error:  # noqa: BLE001 - the other runs go on
        return {**about, "failed": f"{type(error).__name__}: {error}"[:300]}
    return {**about, "settings": {**BASE, **RECIPES[name]}, **found, "seconds": round(time.perf_counter() - start, 1)}


def _measured(changes, fold, seed):
    from matinee.core.run import RunFolder
    from matinee.core.schema import Layer, resolve
    from matinee.evaluation import fit_temperature, score, temper
    from matinee.inference import predict
    from matinee.workflow.fitting import Watch, fine_tune, locate_encoder

    settings = resolve(Layer({**BASE, **changes, "seed": seed}))
    dataset = development_data(fold, seed)
    with tempfile.TemporaryDirectory() as folder:
        tuned = fine_tune(dataset, settings, locate_encoder(settings), RunFolder(Path(folder)), Watch(), throwaway=True)
    test = dataset.splits["test"]
    said = predict(tuned.predictor, test.texts, ids=test.ids, labels=test.labels)
    best = replace(said, probabilities=temper(said.probabilities, fit_temperature(said.probabilities, test.labels)))
    scores = score(said, only=["accuracy", "roc_auc", "log_loss", "ece"])
    return {
        **{name: of["value"] for name, of in scores.items() if name != "n"},
        "log_loss_at_best_temperature": score(best, only=["log_loss"])["log_loss"]["value"],
        "validation_accuracy": float(
            (tuned.calibrated.validation.predicted == dataset.splits["validation"].labels).mean()
        ),
        "kept_epoch": tuned.result.kept_epoch,
        "train_fingerprint": fingerprint(dataset.splits["train"].texts),
    }


def fingerprint(texts):
    """Return what tells one sample of texts from another."""
    return sha256("\n".join(texts).encode()).hexdigest()[:16]


def begin(threads, labels):
    """Prepare a worker: it shares the machine with others."""
    import logging

    import torch

    _state["labels"] = labels
    logging.getLogger("matinee").setLevel(logging.ERROR)
    torch.set_num_threads(threads)


def name_of(labels):
    """Return the name under which runs with so many labels are stored."""
    return "recipes" if labels == LABELS else f"recipes-{labels}"


def stored(labels):
    """Return the runs in results/, and those of a call that was cut off, with the settings that recipes have now."""
    path = machine.RESULTS / f"{name_of(labels)}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"runs": []}
    runs = [{**run, "settings": {**kept["base"], **kept["changes"][run["recipe"]]}} for run in kept["runs"]]
    log = log_path(labels)
    runs += [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    return [
        run for run in runs if "failed" not in run and run["settings"] == {**BASE, **RECIPES.get(run["recipe"], {})}
    ]


def log_path(labels):
    """Return where runs are kept one by one, before they are stored together."""
    from matinee.core.cache import cache_folder

    return cache_folder() / "benchmarks" / f"{name_of(labels)}.jsonl"


def key(of):
    """Return what a run is known by."""
    return of["recipe"], of["fold"], of["seed"]


def work(asked):
    """Do what is missing, seed by seed, until the time is over; each run is written down at once."""
    done, path = {key(of) for of in stored(asked.labels)}, log_path(asked.labels)
    grid = [(name, fold, seed) for seed in asked.seeds for fold in range(asked.folds) for name in asked.only]
    waiting = [task for task in grid if task not in done]
    until, context = time.monotonic() + 60 * asked.minutes, multiprocessing.get_context("spawn")
    path.parent.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // asked.workers)
    with (
        path.open("a", encoding="utf-8") as log,
        ProcessPoolExecutor(asked.workers, context, initializer=begin, initargs=(threads, asked.labels)) as pool,
    ):
        running = set()
        while running or (waiting and time.monotonic() < until):
            while waiting and len(running) < asked.workers and time.monotonic() < until:
                running.add(pool.submit(measure, *waiting.pop(0)))
            over, running = wait(running, return_when=FIRST_COMPLETED)
            for future in over:
                found = future.result()
                log.write(json.dumps(found) + "\n")
                log.flush()
                print(
                    found.get("failed") or f"{found['accuracy']:.4f} in {found['seconds']} s", *key(found), flush=True
                )


def summary(runs):
    """Return a row for each recipe: means, and the difference in accuracy to the base over the runs that both have."""
    of = {key(run): run for run in runs if "failed" not in run}
    rows = []
    for name in RECIPES:
        own = {at[1:]: run for at, run in of.items() if at[0] == name}
        pairs = [(run, of["base", *at]) for at, run in own.items() if ("base", *at) in of]
        if not pairs:
            continue
        gains = [run["accuracy"] - base["accuracy"] for run, base in pairs]
        row = {"recipe": name, "n_runs": len(own)}
        for metric in ("accuracy", "roc_auc", "log_loss_at_best_temperature", "ece"):
            row[metric] = round(statistics.mean(run[metric] for run in own.values()), 4)
        row["gain"] = {"mean": round(statistics.mean(gains), 4), "n_pairs": len(gains)}
        if len(gains) > 1 and name != "base":
            error = statistics.stdev(gains) / len(gains) ** 0.5 * float(t.ppf(0.975, len(gains) - 1))
            row["gain"] |= {"low": round(row["gain"]["mean"] - error, 4), "high": round(row["gain"]["mean"] + error, 4)}
        rows.append(row)
    return rows


def show(rows):
    """Print the table, the best first."""
    print(f"{'recipe':<32}{'runs':>5}{'accuracy':>10}{'ROC-AUC':>9}{'log-loss*':>10}  gain over the base")
    for row in sorted(rows, key=lambda row: -row["accuracy"]):
        gain = row["gain"]
        words = f"{100 * gain['mean']:+.2f}" + (
            f" [{100 * gain['low']:+.2f}, {100 * gain['high']:+.2f}]" if "low" in gain else ""
        )
        columns = f"{row['accuracy']:>10.4f}{row['roc_auc']:>9.4f}{row['log_loss_at_best_temperature']:>10.4f}"
        print(f"{row['recipe']:<32}{row['n_runs']:>5}{columns}  {words}")


def main():
    """Measure what is missing, store, print."""
    parser = argparse.ArgumentParser(description="Compare recipes on development data.")
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--workers", type=int, default=1, help="processes at once")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="no run is begun after that")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), metavar="NAME")
    parser.add_argument("--summary", action="store_true", help="store and print what is there, and measure nothing")
    asked = parser.parse_args()
    if not asked.summary:
        work(asked)
    unstored = ("settings", "seconds")
    latest = {key(run): {name: of for name, of in run.items() if name not in unstored} for run in stored(asked.labels)}
    runs = list(latest.values())
    runs.sort(key=lambda run: (list(RECIPES).index(run["recipe"]), run["fold"], run["seed"]))
    rows = summary(runs)
    changes = {row["recipe"]: RECIPES[row["recipe"]] for row in rows}
    about = {"computed_on": machine.computed_on(), "labels": asked.labels, "base": BASE, "changes": changes}
    machine.store(name_of(asked.labels), {**about, "summary": rows, "runs": runs})
    show(rows)


if __name__ == "__main__":
    main()
