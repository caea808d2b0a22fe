"""How many trials an hour, and what thirty of them gain, on 1,000 IMDB reviews with MiniLM.

python benchmarks/search.py [--parts speed gain] [--ways ...] [--minutes 30] [--trials 30] [--train-size 1000] [--encoder minilm]

Speed: the same settings, drawn at random from the default space, are tried in several ways (`--ways`), in turns of a few minutes each
so that a machine that slows down slows all; each way's trials are counted over the time that they took. `search` is a trial of `matinee
search`: scored on validation alone, frozen features kept, stopped by the median pruner. `unpruned without features` is the same without
these two, and what they gain against it is what the target is for; `unpruned` tells the two apart. `stock` trains each as a whole run, with
baselines, test texts and report: the ratio to it is told separately, since some of it is no more than what a trial leaves out.

Gain: a search as one would run it, with the defaults of `matinee search`: thirty trials from the encoder's default settings, finalists
repeated, winner and defaults refitted and tested once on the same 2,000 reviews; the difference with its interval, whatever it is.
`unrepeated` is what a search that believes its highest validation score would have taken: where that is another trial than the
winner, it is refitted and tested beside the defaults too.

The gain goes on where it was stopped: its trials are stored as they end. The speed is measured anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import machine

N_TEST = 2000
# How many times as many trials an hour pruning and kept features shall bring: `search` by `PLAIN`.
TARGET = 5.0
PLAIN = "unpruned without features"
WAYS = ("stock", PLAIN, "unpruned", "search")


def settings_of(arguments):
    """Return the settings that all ways begin with: the defaults, with so many labels and a fifth as many more to choose by."""
    return {
        "data": "imdb",
        "encoder": arguments.encoder,
        "train_size": arguments.train_size,
        "validation_size": max(20, arguments.train_size // 5),
        "test_size": arguments.test_size,
        "track": None,
    }


def drawn_points(n_points):
    """Return settings drawn at random from the default space, the same ones each time."""
    from matinee.core.schema import resolve
    from matinee.training.study import open_study
    from matinee.training.workers import Workers
    from matinee.workflow.spaces import read_space

    space = read_space(None)
    with tempfile.TemporaryDirectory() as folder:
        study = open_study(f"journal:{folder}/points", "points", Workers(Path(folder)), space=space, seed=0)
        study.add(space.base_of(resolve()))
        with study.workers.enrolled() as owner:
            return [study.take(owner).values for _ in range(n_points)]


class Ours:
    """Trials of a search, whose points are given, one at a time.

    Args:
        arguments: Of this program.
        folder: Of the study.
        pruner: `"median"` or `"none"`.
        keeps_features: Whether frozen features are kept.
    """

    def __init__(self, arguments, folder, pruner, *, keeps_features):
        from matinee.core.schema import Layer, resolve
        from matinee.workflow.spaces import read_space
        from matinee.workflow.study_plan import Plan, StudyFolder
        from matinee.workflow.train import prepare
        from matinee.workflow.trials import TrialRunner

        base = resolve(Layer(settings_of(arguments)))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.plan = Plan(
            StudyFolder(folder),
            f"sqlite:///{folder}/study.db",
            folder.name,
            base,
            read_space(None),
            "accuracy",
            0,
            "random",
            pruner,
        )
        self.study = self.plan.open_trials()
        self.runner = TrialRunner(self.plan, prepare(base)[1])
        if not keeps_features:
            self.runner._features = lambda: None

    def run(self, point, *, is_base):
        """Return what one trial measures."""
        from matinee.core.space import varied

        self.study.add(point, **({"base": True} if is_base else {}))
        start = time.perf_counter()
        with self.study.workers.enrolled() as owner:
            trial = self.study.take(owner)
            with trial.alive():
                outcome = self.runner.run(trial, varied(self.plan.base, point))
            trial.close(outcome)
        seconds = time.perf_counter() - start
        return {
            "state": outcome.state,
            "value": outcome.value,
            "seconds": round(seconds, 1),
            "epochs": len(outcome.epochs),
        }


class Stock:
    """Each trial a whole run.

    Args:
        arguments: Of this program.
        folder: Where runs are made, and removed again.
    """

    def __init__(self, arguments, folder):
        self.settings = settings_of(arguments)
        self.folder = folder

    def run(self, point, *, is_base):  # noqa: ARG002 - all ways are called alike
        """Return what one trial measures."""
        from matinee.workflow import train

        start = time.perf_counter()
        run = train(run_dir=self.folder / "run", overwrite=True, **{**self.settings, **point})
        seconds = time.perf_counter() - start
        value = run.metrics["validation"]["accuracy"]["value"]
        shutil.rmtree(self.folder / "run")
        return {"state": "complete", "value": value, "seconds": round(seconds, 1), "epochs": None}


def measure_speed(arguments, folder):
    """Return the trials of each way, by turns, until each has had its time."""
    makers = {
        "stock": lambda: Stock(arguments, folder),
        PLAIN: lambda: Ours(arguments, folder / "plain", "none", keeps_features=False),
        "unpruned": lambda: Ours(arguments, folder / "kept", "none", keeps_features=True),
        "search": lambda: Ours(arguments, folder / "pruned", "median", keeps_features=True),
    }
    ways = {name: makers[name]() for name in arguments.ways}
    points, trials = drawn_points(200), {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    most = 60 * arguments.minutes
    while min(seconds.values()) < most:
        name = min(ways, key=lambda way: seconds[way])
        number = len(trials[name])
        found = ways[name].run(points[number], is_base=not number)
        trials[name].append({**found, "point": points[number]})
        seconds[name] += found["seconds"]
        print(f"{name}: trial {number}, {found['state']}, {found['value']}, {found['seconds']} s", flush=True)
        keep(speed=summary(trials, arguments))
    return summary(trials, arguments)


def summary(trials, arguments):
    """Return trials an hour by way, and how many times as many as whole runs, and as trials without pruning and kept features."""
    rates = {
        name: 3600 * len(of) / max(1e-9, sum(trial["seconds"] for trial in of)) for name, of in trials.items() if of
    }
    by_pruning_and_features = rates["search"] / rates[PLAIN] if {"search", PLAIN} <= set(rates) else None
    stock = rates.get("stock")
    return {
        "settings": settings_of(arguments),
        "minutes_each": arguments.minutes,
        "trials_per_hour": {name: round(rate, 1) for name, rate in rates.items()},
        "times_stock": {name: round(rate / stock, 2) for name, rate in rates.items()} if stock else None,
        "pruned_share": {
            name: round(sum(trial["state"] == "pruned" for trial in of) / len(of), 3)
            for name, of in trials.items()
            if of
        },
        "by_pruning_and_features": by_pruning_and_features and round(by_pruning_and_features, 2),
        "target": TARGET,
        "target_met": by_pruning_and_features is not None and by_pruning_and_features >= TARGET,
        "same_value": same_values(trials),
        "trials": trials,
    }


def same_values(trials):
    """Return by other way the share of settings that score the same there and in a search, of those that both completed."""
    shares = {}
    for name in (name for name in trials if name != "search"):
        pairs = [
            (one["value"], other["value"])
            for one, other in zip(trials[name], trials.get("search", []), strict=False)
            if one["state"] == other["state"] == "complete"
        ]
        shares[name] = round(sum(one == other for one, other in pairs) / len(pairs), 3) if pairs else None
    return shares


def measure_gain(arguments, folder):
    """Return what a search gains; the study stays, so that it goes on where it was stopped."""
    from matinee.workflow import search

    study = search(n_trials=arguments.trials, study_dir=folder / "gain", **settings_of(arguments))
    record = study.record
    trials = [
        {name: trial[name] for name in ("number", "state", "value", "seconds", "params")} for trial in record["trials"]
    ]
    kept = (
        "n_trials",
        "seconds",
        "counts",
        "best",
        "importance",
        "finalists",
        "winner",
        "test",
        "metric",
        "sampler",
        "pruner",
    )
    found = {"settings": settings_of(arguments), **{name: record[name] for name in kept}, "trials": trials}
    return {**found, "unrepeated": unrepeated(record, arguments, folder)}


def unrepeated(record, arguments, folder):
    """Return how the trial of the highest score does on the test texts, and how much better than the settings the search began with.

    None where it is what the search took: nothing is left to be told then.
    """
    from matinee.core.run import RunFolder
    from matinee.core.schema import Layer, resolve
    from matinee.workflow import compare, train

    best, winner = record["best"], record["winner"]
    if best["params"] == winner["params"]:
        return None
    settings, run = {**settings_of(arguments), **best["params"]}, RunFolder(folder / "unrepeated")
    if not run.is_complete or run.read_config() != resolve(Layer(settings)):
        train(run_dir=run.path, overwrite=True, **settings)
    base = folder / "gain" / ("best" if winner["is_base"] else "base")
    compared = compare([run.path, base])
    (pair,) = compared.pairs
    return {
        "number": best["number"],
        "accuracy": compared.runs[0].accuracy,
        "gain": pair["accuracy"],
        **{name: pair[name] for name in ("p", "detectable", "only_first_right", "only_second_right")},
    }


def keep(**parts):
    """Store parts beside those that are there."""
    path = machine.RESULTS / "search.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {name: stored[name] for name in ("speed", "gain") if name in stored}
    today = datetime.now(UTC).date().isoformat()
    found |= {name: {"date": today, **of} for name, of in parts.items()}
    note = " ".join(" ".join(__doc__.split("\n\n")[2:]).split())
    machine.store("search", {"note": note, **found})


def main():
    """Measure what was asked for, and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=("speed", "gain"), default=["speed", "gain"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["stock", PLAIN, "search"])
    parser.add_argument("--minutes", type=float, default=30.0, help="of each way")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--train-size", type=int, default=1000)
    parser.add_argument("--test-size", type=int, default=N_TEST)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--folder", default="searches/benchmark", help="where the studies are")
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    if "speed" in arguments.parts:
        speed = measure_speed(arguments, folder)
        print(json.dumps({name: of for name, of in speed.items() if name != "trials"}, indent=2))
    if "gain" in arguments.parts:
        gain = measure_gain(arguments, folder)
        keep(gain=gain)
        print(json.dumps({name: gain[name] for name in ("winner", "test", "unrepeated")}, indent=2))


if __name__ == "__main__":
    main()
