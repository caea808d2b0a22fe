"""How accurate from how few labels: matinee against what people use, on the same IMDB reviews and the same encoder.

python benchmarks/accuracy.py [--arms matinee tfidf …] [--sizes 200 500 1000 5000] [--seeds 0 1 2 3 4] [--again]
python benchmarks/accuracy.py --jobs 12 [--minutes 3] …
python benchmarks/accuracy.py --summary

`--shared` says that the machine does other work too: such cells count for accuracy and memory, not for time.
`--jobs` does several cells at once, in processes that each do one after the other: these count for accuracy alone.

A cell is one arm with one number of labels and one seed. Each runs in a process of its own and is stored in
results/accuracy.json at once: a later call goes on where the last one stopped, and takes up what failed only with `--again`.
Nothing but the classifier is made: no baseline beside it, no report.

All cells are scored on the same 2,000 reviews, a contiguous block that no seed changes. Cells of one size and seed learn from
the same reviews, drawn by matinee's own loader; `train_fingerprint` shows it. Beside `size` labels each may use `size / 5`
more to validate by: matinee chooses its epoch and a temperature with them, tf-idf, NB-weighted and frozen features a temperature, the
stock way and SetFit nothing. matinee and frozen features read as many tokens of a review as the recipe says, from both its ends,
stock and SetFit the first 256, as people use them; SetFit's steps are capped (`--setfit-steps`), at 200 labels already. The arm
`matinee-within` has no more labels than the others: it learns from four fifths of
`size` and validates by the rest.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import machine

SIZES, SEEDS = [200, 500, 1000, 5000], [0, 1, 2, 3, 4]
N_TEST, MAX_LENGTH = 2000, 256
USUAL = ["tfidf", "nblr", "frozen", "matinee", "matinee-quick", "matinee-within", "stock", "setfit"]
ARMS = [*USUAL, "mpnet"]
RECIPES = {
    "matinee": "imdb-minilm",
    "matinee-quick": "imdb-minilm-quick",
    "matinee-within": "imdb-minilm",
    "mpnet": "imdb-mpnet",
}
# What --recipe finds beside this script, where the installed matinee does not ship it.
RECIPE_FOLDER = Path(__file__).resolve().parent.parent / "recipes"
TARGETS = {"matinee": 0.89, "mpnet": 0.925}
SETFIT = ["setfit==1.2.0", "sentence-transformers==6.2.0", "transformers==5.23.0"]


# -- a cell, in a process of its own ----------------------------------------------------------------------------------


def run_cell(arm, size, seed, setfit_steps):
    """Return what one cell measures."""
    measure = {"stock": stock_cell, "setfit": setfit_cell}.get(arm, matinee_cell)
    return measure(arm, size, seed, setfit_steps)


def sizes_of(arm, size):
    """Return the settings that decide which texts a cell learns from and is scored on."""
    n_validation = size // 5
    n_train = size - n_validation if arm == "matinee-within" else size
    return {"data": "imdb", "train_size": n_train, "validation_size": n_validation, "test_size": N_TEST}


def matinee_cell(arm, size, seed, setfit_steps):  # noqa: ARG001 - all cells are called alike
    """Fit with matinee: a recipe, the frozen encoder, or a linear classifier."""
    import transformers.trainer

    from matinee.core.schema import Layer, resolve
    from matinee.workflow.fitting import Watch, check_encoder, locate_encoder
    from matinee.workflow.recipes import read_recipe

    recipe = recipe_of(arm)
    layers = [read_recipe(recipe)] if recipe else []
    settings = resolve(*layers, Layer({"seed": seed, **settings_of(arm), **sizes_of(arm, size)}))
    encoder, dataset, watch, curve = locate_encoder(settings), load(arm, size, seed), Watch(), _curve()
    check_encoder(encoder, settings)
    transformers.trainer.DEFAULT_CALLBACKS.append(curve)
    try:
        predictor, kept_epoch = fitted(dataset, settings, encoder, watch)
    finally:
        transformers.trainer.DEFAULT_CALLBACKS.remove(curve)
    said = {name: answers(predictor, dataset.splits[name].texts) for name in ("validation", "test")}
    before = sum(watch.seconds[name] for name in ("tokenising", "fitted head"))
    return {
        **scored(dataset, said),
        "seconds": {
            "fit": round(sum(watch.seconds.values()), 1),
            "stages": {name: round(of, 1) for name, of in watch.seconds.items()},
        },
        "curve": [[round(before + seconds, 1), step, accuracy] for seconds, step, accuracy in curve.points],
        "kept_epoch": kept_epoch,
    }


def fitted(dataset, settings, encoder, watch):
    """Return a calibrated predictor, and the epoch whose weights it has; None for a linear one."""
    from matinee.core.run import RunFolder
    from matinee.workflow.calibrating import calibrate
    from matinee.workflow.fitting import fine_tune, fit_linear

    if encoder.folder is None:
        with watch.stage("fitting"):
            predictor = fit_linear(dataset, settings, encoder.name)
            calibrate(predictor, dataset.splits["validation"], settings.training)
        return predictor, None
    with tempfile.TemporaryDirectory() as folder:
        tuned = fine_tune(dataset, settings, encoder, RunFolder(Path(folder)), watch, throwaway=True)
    return tuned.predictor, tuned.result.kept_epoch


def answers(predictor, texts):
    """Return label probabilities, shape (n_texts, n_labels)."""
    from matinee.inference import predict

    return predict(predictor, texts).probabilities


def recipe_of(arm):
    """Return the recipe of an arm, None where it has none."""
    name = RECIPES.get(arm)
    path = RECIPE_FOLDER / f"{name}.yaml"
    return str(path) if path.is_file() else name


def settings_of(arm):
    """Return an arm's settings: the frozen encoder reads the texts as the recipe of `matinee` does."""
    if arm in {"tfidf", "nblr"}:
        return {"encoder": arm}
    if arm != "frozen":
        return {}
    from dataclasses import asdict

    from matinee.core.schema import resolve
    from matinee.workflow.recipes import read_recipe

    recipe = resolve(read_recipe(recipe_of("matinee")))
    return {"encoder": recipe.model.encoder, "pooling": "mean", "freeze": "all", **asdict(recipe.text)}


def _curve():
    """Return a callback that keeps (seconds since training began, step, validation accuracy)."""
    from transformers import TrainerCallback

    class Curve(TrainerCallback):
        def __init__(self):
            self.points, self.start = [], 0.0

        def on_train_begin(self, args, state, control, **kwargs):  # noqa: ARG002
            self.start = time.perf_counter()

        def on_evaluate(self, args, state, control, metrics, **kwargs):  # noqa: ARG002
            self.points.append((time.perf_counter() - self.start, state.global_step, metrics["eval_accuracy"]))

    return Curve()


def stock_cell(arm, size, seed, setfit_steps):  # noqa: ARG001
    """Train the stock way."""
    from matinee.model.encoders import locate
    from stock import Stock

    dataset = load(arm, size, seed)
    train = dataset.splits["train"]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        stock = Stock(locate("minilm")[0], train.texts, train.labels.tolist(), folder, seed=seed)
        stock.train()
    seconds = time.perf_counter() - start
    said = {name: stock.probabilities(dataset.splits[name].texts) for name in ("validation", "test")}
    return {**scored(dataset, said), "seconds": {"fit": round(seconds, 1)}}


def setfit_cell(arm, size, seed, setfit_steps):
    """Train with SetFit, in its own environment."""
    from matinee.model.encoders import locate

    dataset = load(arm, size, seed)
    train = dataset.splits["train"]
    given = {
        "encoder": str(locate("minilm")[0]),
        "max_length": MAX_LENGTH,
        "most_steps": setfit_steps,
        "seed": seed,
        "train": {"texts": list(train.texts), "labels": train.labels.tolist()},
        "predict": {name: list(dataset.splits[name].texts) for name in ("validation", "test")},
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "given.json", Path(folder) / "result.json"
        paths[0].write_text(json.dumps(given), encoding="utf-8")
        script = Path(__file__).with_name("setfit_arm.py")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [str(setfit_python()), str(script), *map(str, paths)]
        done = subprocess.run(command, check=False, env=environment, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"SetFit failed: {' '.join(done.stderr.strip().splitlines()[-2:])}")
        found = json.loads(paths[1].read_text(encoding="utf-8"))
    said = {name: np.array(rows) for name, rows in found["probabilities"].items()}
    return {
        **scored(dataset, said),
        "seconds": {name: round(seconds, 1) for name, seconds in found["seconds"].items()},
        "peak_memory_gb": found["peak_memory_gb"],
        "settings": found["settings"],
    }


def load(arm, size, seed):
    """Return the texts of a cell."""
    from matinee.core.schema import Layer, resolve
    from matinee.data import load_dataset

    return load_dataset(resolve(Layer(sizes_of(arm, size))).data, seed=seed)


def scored(dataset, said):
    """Return the scores of label probabilities on test, and the accuracy on validation."""
    from matinee.core.types import Predictions
    from matinee.evaluation import score

    test, validation = dataset.splits["test"], dataset.splits["validation"]
    predictions = Predictions(test.ids, test.texts, said["test"], dataset.label_names, test.labels)
    return {
        **score(predictions, only=["accuracy", "log_loss", "ece"]),
        "validation_accuracy": float((said["validation"].argmax(axis=1) == validation.labels).mean()),
        "train_fingerprint": dataset.about["splits"]["train"]["fingerprint"],
    }


def setfit_python():
    """Return a Python that has SetFit: this one, or that of an environment made for it in matinee's cache."""
    from matinee.core.cache import cache_folder

    if importlib.util.find_spec("setfit") is not None:
        return sys.executable
    folder = cache_folder() / "benchmarks" / "setfit"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if python.is_file() and subprocess.run([str(python), "-c", "import setfit"], check=False).returncode == 0:
        return python
    venv.create(folder, with_pip=True, clear=True)
    wanted = [*SETFIT, f"torch=={importlib.metadata.version('torch')}"]
    for command in (["-m", "pip", "install", "--quiet", *wanted], ["-c", "import setfit"]):
        done = subprocess.run([str(python), *command], check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"SetFit cannot be had here. {' '.join(done.stderr.strip().splitlines()[-3:])}")
    return python


# -- the grid ---------------------------------------------------------------------------------------------------------


def settings_hash(arm):
    """Return a hash of what an arm's recipe says: cells of another recipe under the same name are measured anew."""
    from matinee.core.schema import Layer, resolve
    from matinee.workflow.recipes import read_recipe

    recipe = recipe_of(arm)
    return machine.settings_hash(resolve(*([read_recipe(recipe)] if recipe else []), Layer(settings_of(arm))))


def key_of(arm, size, seed):
    """Return what a cell is stored under."""
    return f"{arm}/{size}/{seed}"


def stored_cells():
    """Return the cells measured so far, with the settings that their arms have now."""
    path = machine.RESULTS / "accuracy.json"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.is_file() else {}
    current = {arm: settings_hash(arm) for arm in {cell["arm"] for cell in cells.values()}}
    return {key: cell for key, cell in cells.items() if cell["settings_hash"] == current[cell["arm"]]}


def keep(cell):
    """Store a cell beside those that are there by now; several calls may do so at once."""
    from filelock import FileLock

    with FileLock(machine.RESULTS / ".accuracy.lock"):
        cell = {**cell, "settings_hash": settings_hash(cell["arm"])}
        cells = {**stored_cells(), key_of(cell["arm"], cell["size"], cell["seed"]): cell}
        ordered = dict(
            sorted(cells.items(), key=lambda item: (item[1]["size"], ARMS.index(item[1]["arm"]), item[1]["seed"]))
        )
        about = {"test_texts": N_TEST, "split_seed": 0, "note": " ".join(__doc__.split("\n\n")[-1].split())}
        machine.store("accuracy", {**about, "summary": summary(ordered), "cells": ordered})


def measure_among_others(arm, size, seed, setfit_steps):
    """Run a cell in this process, which does others before and after; neither time nor memory counts."""
    about = {"arm": arm, "size": size, "seed": seed, "date": datetime.now(UTC).date().isoformat(), "shared": True}
    start = time.perf_counter()
    try:
        found = run_cell(arm, size, seed, setfit_steps)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the other cells go on
        return {**about, "failed": f"{type(error).__name__}: {error}"[-500:]}
    found["seconds"]["process"] = round(time.perf_counter() - start, 1)
    return {**about, **found, "computed_on": machine.computed_on(), "peak_memory_gb": None}


def run_together(grid, asked):
    """Do cells in several processes at once, and begin none once the time is over."""
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

    until, waiting, running = time.monotonic() + 60 * asked.minutes, list(grid), set()
    with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool:
        while running or (waiting and time.monotonic() < until):
            while waiting and len(running) < asked.jobs and time.monotonic() < until:
                running.add(pool.submit(measure_among_others, *waiting.pop(0), asked.setfit_steps))
            over, running = wait(running, return_when=FIRST_COMPLETED)
            for future in over:
                yield future.result()


def measure(arm, size, seed, setfit_steps):
    """Run a cell in a fresh process; what fails is a cell too, with the reason."""
    about = {"arm": arm, "size": size, "seed": seed, "date": datetime.now(UTC).date().isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [sys.executable, __file__, "--cell", arm, str(size), str(seed), str(result)]
        start = time.perf_counter()
        with log.open("w", encoding="utf-8") as file:
            command += ["--setfit-steps", str(setfit_steps)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if status or not result.is_file():
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return {**about, "failed": " ".join(lines[-2:])[-500:] or f"it ended with status {status}"}
        found = json.loads(result.read_text(encoding="utf-8"))
    # SetFit's memory is that of its own process, not of the one that read the data for it.
    memory = {"peak_memory_gb": round(usage.ru_maxrss * 1024 / 1e9, 2), **found}["peak_memory_gb"]
    found["seconds"]["process"] = round(seconds, 1)
    return {**about, **found, "computed_on": machine.computed_on(), "peak_memory_gb": memory}


def summary(cells):
    """Return a row per number of labels and arm: means over the seeds, and the paired difference to matinee."""
    groups = {}
    for cell in cells.values():
        if "failed" not in cell:
            groups.setdefault((cell["size"], cell["arm"]), {})[cell["seed"]] = cell
    return [_row(size, arm, of, groups) for (size, arm), of in groups.items()]


def _row(size, arm, of, groups):
    values = [cell["accuracy"]["value"] for cell in of.values()]
    seconds = [cell["seconds"]["fit"] for cell in alone(of).values()]
    row = {
        "size": size,
        "arm": arm,
        "n_seeds": len(values),
        "accuracy": {
            "mean": round(statistics.mean(values), 4),
            "min": round(min(values), 4),
            "max": round(max(values), 4),
        },
        "log_loss": round(statistics.mean(cell["log_loss"]["value"] for cell in of.values()), 4),
        "fit_seconds": round(statistics.median(seconds), 1) if seconds else None,
        "peak_memory_gb": max((cell["peak_memory_gb"] for cell in of.values() if cell["peak_memory_gb"]), default=None),
    }
    if len(values) > 1:
        row["accuracy"]["sd"] = round(statistics.stdev(values), 4)
    if arm != "matinee":
        row["matinee_ahead_by"] = paired(groups.get((size, "matinee"), {}), of)
    else:
        row["time_to_accuracy"] = time_to_accuracy(alone(of), alone(groups.get((size, "stock"), {})))
    if arm in TARGETS and size == 1000:
        row["target"], row["target_met"] = TARGETS[arm], statistics.mean(values) >= TARGETS[arm]
    return row


def alone(cells):
    """Return the cells that had the machine to themselves, by seed."""
    return {seed: cell for seed, cell in cells.items() if not cell.get("shared")}


def paired(own, other):
    """Return matinee's accuracy less another arm's over the seeds that both have: mean and 95 % interval of its mean.

    None where they have no seed in common. From Student's t over the seeds; one seed has no interval.
    """
    from scipy.stats import t

    gains = [own[seed]["accuracy"]["value"] - other[seed]["accuracy"]["value"] for seed in own.keys() & other.keys()]
    if not gains:
        return None
    found = {"n_seeds": len(gains), "mean": round(statistics.mean(gains), 4)}
    if len(gains) > 1:
        error = statistics.stdev(gains) / len(gains) ** 0.5 * float(t.ppf(0.975, len(gains) - 1))
        found |= {"low": round(found["mean"] - error, 4), "high": round(found["mean"] + error, 4)}
    return found


def time_to_accuracy(own, stock):
    """Return the seconds until matinee's validation accuracy is what the stock way ends with, over common seeds.

    Both from the moment the texts are there, matinee's validation included. A seed that never gets there counts as not reached.
    """
    seeds = sorted(own.keys() & stock.keys())
    reached = {}
    for seed in seeds:
        goal = stock[seed]["validation_accuracy"]
        reached[seed] = next((point[0] for point in own[seed]["curve"] if point[2] >= goal), None)
    times = [seconds for seconds in reached.values() if seconds is not None]
    if not times:
        return {"n_seeds": len(seeds), "n_reached": 0}
    return {
        "n_seeds": len(seeds),
        "n_reached": len(times),
        "matinee_seconds": round(statistics.median(times), 1),
        "stock_seconds": round(statistics.median(stock[seed]["seconds"]["fit"] for seed in seeds), 1),
    }


def show(cells):
    """Print the table."""
    print(
        f"{'labels':>6} {'arm':<15}{'seeds':>5}  {'accuracy':<24}{'log-loss':>8}{'fit s':>9}{'GB':>6}  matinee ahead by"
    )
    for row in summary(cells):
        accuracy, ahead = row["accuracy"], row.get("matinee_ahead_by")
        spread = f"{accuracy['mean']:.4f} ({accuracy['min']:.3f} to {accuracy['max']:.3f})"
        words = "" if ahead is None else f"{ahead['mean']:+.4f}"
        if ahead is not None and "low" in ahead:
            words += f" [{ahead['low']:+.4f}, {ahead['high']:+.4f}]"
        if "time_to_accuracy" in row and row["time_to_accuracy"]["n_reached"]:
            of = row["time_to_accuracy"]
            words = f"stock's accuracy after {of['matinee_seconds']} s for {of['stock_seconds']} s ({of['n_reached']}/{of['n_seeds']})"
        seconds = f"{row['fit_seconds']:>9.1f}" if row["fit_seconds"] is not None else f"{'':>9}"
        memory = f"{row['peak_memory_gb']:>6.2f}" if row["peak_memory_gb"] else f"{'':>6}"
        columns = f"{row['log_loss']:>8.4f}{seconds}{memory}"
        print(f"{row['size']:>6} {row['arm']:<15}{row['n_seeds']:>5}  {spread:<24}{columns}  {words}")
    for key, cell in cells.items():
        if "failed" in cell:
            print(f"FAILED {key}: {cell['failed']}")


def main():
    """Measure what is missing, store, print."""
    parser = argparse.ArgumentParser(description="Compare accuracies from few labels.")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=USUAL)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="labels to learn from")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--again", action="store_true", help="measure cells anew that are stored already, or failed")
    parser.add_argument("--summary", action="store_true", help="print the table and measure nothing")
    parser.add_argument("--shared", action="store_true", help="the machine does other work too: times do not count")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once: neither times nor memory count then")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="with --jobs: no cell is begun after that")
    parser.add_argument("--setfit-steps", type=int, default=250, help="cap of SetFit's steps, 32 texts read in each")
    parser.add_argument("--cell", nargs=4, metavar=("ARM", "SIZE", "SEED", "RESULT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cell:
        arm, size, seed, result = asked.cell
        found = run_cell(arm, int(size), int(seed), asked.setfit_steps)
        Path(result).write_text(json.dumps(found), encoding="utf-8")
        return
    grid = [(arm, size, seed) for seed in asked.seeds for size in asked.sizes for arm in asked.arms]
    known = {} if asked.again else stored_cells()
    grid = [cell for cell in grid if key_of(*cell) not in known and not asked.summary]
    alone = (measure(*cell, asked.setfit_steps) for cell in grid)
    for cell in alone if asked.jobs == 1 else run_together(grid, asked):
        keep({**cell, "shared": True} if asked.shared else cell)
        said = cell.get("failed") or f"{cell['accuracy']['value']:.4f} in {cell['seconds']['process']} s"
        print(f"{key_of(cell['arm'], cell['size'], cell['seed'])}: {said}", flush=True)
    show(stored_cells())


if __name__ == "__main__":
    main()
