"""Write what `matinee advise` knows of encoders: src/matinee/workflow/known/results.json, from benchmarks/results/.

python scripts/known_results.py            write it
python scripts/known_results.py --check    exit 1 where it differs from what would be written

Benchmarks that were not run yet are left out. Times are turned into seconds for a token that is read once, so that trainings of other
lengths, sizes and epochs can be told from them: `matinee.workflow.known.readings` says how many readings a training is worth. The
machine is faster on some days than on others: times are those of the day of train-speed.json, by what a benchmark of the speed of
training found that its matrix products reach on the day of each.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from matinee.core.schema import Layer, resolve, settings_fields
from matinee.core.settings import LINEAR, Settings
from matinee.workflow.known import RESULTS, TEXTS_BETWEEN, readings
from matinee.workflow.recipes import read_recipe

STORED = Path(__file__).resolve().parent.parent / "benchmarks" / "results"

# Stages of a run that make the classifier and read the hold-outs with the frozen encoder beside it.
LEARNING = ("tokenising", "fitted head", "frozen baseline", "fine-tuning", "calibrating")

# What benchmarks/accuracy.py calls the classifiers that are matinee's.
ARMS = {"matinee": "minilm", "mpnet": "mpnet", "tfidf": "tfidf", "nblr": "nblr"}

# Benchmarks that tell what the machine's matrix products reach on their day; the first one's day is what times are told for.
PEAKS = ("train-speed", "train-speed-compile")

# Two standard errors in 95 of 100 cases.
Z = 1.96


class Collected:
    """What has been read so far."""

    def __init__(self) -> None:
        self.rows: dict[tuple[object, ...], dict[str, Any]] = {}
        self.paces: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.memory: list[dict[str, Any]] = []
        self.lengths = stored("lengths")
        peaks = [of for of in map(stored, PEAKS) if of is not None]
        self.peaks = {of["date"]: float(of["peak_gflops"]["bf16"]) for of in reversed(peaks)}
        self.reference = float(peaks[0]["peak_gflops"]["bf16"]) if peaks else 1.0

    def accuracy(self, source: str, settings: Settings, size: int, figures: dict[str, Any], **about: Any) -> None:
        """Take in an accuracy: `mean`, over seeds from `min` to `max`, or with `low` and `high` of an interval.

        Benchmarks begin with the same seeds: of two with the same settings, the one with fewer seeds has no trainings of its own.
        """
        mean, n_test = float(figures["mean"] if "mean" in figures else figures["value"]), about.get("n_test")
        error = Z * math.sqrt(mean * (1 - mean) / n_test) if n_test else 0.0
        low = figures.get("low", min(figures.get("min", mean), mean - error))
        high = figures.get("high", max(figures.get("max", mean), mean + error))
        ends = {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4)}
        row = {"data": "imdb", "encoder": settings.model.encoder, "size": size, **about, **ends}
        row |= {"settings": _own(settings, size, frozen=about.get("frozen", False)), "from": source}
        key = (size, about.get("frozen", False), n_test, *_learnt_with(settings))
        if key not in self.rows or self.rows[key]["n_seeds"] < row["n_seeds"]:
            self.rows[key] = row

    def time(self, source: str, settings: Settings, seconds: float, n_readings: float) -> None:
        """Take in how long so many readings took."""
        encoder = settings.model.encoder
        tokens = self.tokens(settings)
        if tokens and seconds:
            date = (stored(source) or {}).get("date")
            faster = 1.0 if encoder in LINEAR else self.peaks.get(date, self.reference) / self.reference
            pace = float(f"{faster * seconds / n_readings / tokens:.3g}")
            self.paces[encoder].append({"seconds_per_token": pace, "from": source})

    def tokens(self, settings: Settings) -> float | None:
        """Return how many tokens of a review are read; a linear classifier reads all."""
        if self.lengths is None:
            return None
        if settings.model.encoder in LINEAR:
            return float(self.lengths["tokens"])
        found = self.lengths["by_max_length"].get(str(settings.text.max_length))
        return float(found["tokens"]) if found else None

    def peak(self, source: str, encoder: str, size: int, gigabytes: float) -> None:
        """Take in how much memory a training took."""
        self.memory.append({"encoder": encoder, "size": size, "gb": round(gigabytes, 2), "from": source})


def _learnt_with(settings: Settings) -> tuple[object, ...]:
    """Return what decides what a classifier learns from its texts; for a linear one that is its name."""
    encoder = settings.model.encoder
    return (encoder,) if encoder in LINEAR else (settings.text, settings.model, replace(settings.training, seed=0))


def _own(settings: Settings, size: int, *, frozen: bool) -> dict[str, object]:
    """Return in what a training of so many texts differed from the defaults, but for its data, seed and encoder.

    Of a linear classifier that is nothing. Where only the head is fitted, nothing of the rest of training counts.
    """
    if settings.model.encoder in LINEAR:
        return {}
    own = settings.flat()
    if own["evaluations_per_epoch"] == math.ceil(size / TEXTS_BETWEEN):
        own["evaluations_per_epoch"] = None  # as it is where nobody says how many
    groups = {"text", "model", *([] if frozen else ["training"])}
    differs = {
        name: own[name]
        for name, field in settings_fields().items()
        if field.group in groups and name not in {"encoder", "seed"} and own[name] != field.default
    }
    return {**differs, "freeze": "all"} if frozen else differs


def stored(name: str) -> dict[str, Any] | None:
    """Return a stored result, None where there is none."""
    path = STORED / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def flagship(found: Collected, name: str = "imdb-minilm") -> None:
    """Read benchmarks/imdb.py: minilm, its frozen features, and tf-idf from 1,000 labels."""
    document = stored(name)
    if document is None:
        return
    settings, runs = resolve(read_recipe(document["recipe"])), document["runs"]
    size, n_test = int(settings.data.train_size or 0), runs[0]["classifier"]["n"]
    about = {"n_seeds": len(runs), "n_test": n_test}
    scores = document["summary"]["accuracy"]
    for predictor, of, more in (
        ("classifier", settings, {}),
        ("frozen_features", settings, {"frozen": True}),
        ("tfidf", resolve(Layer({"encoder": "tfidf"})), {}),
    ):
        found.accuracy(name, of, size, scores[predictor], **about, **more)
    n_validation = int(settings.data.validation_size or 0)
    for of, seconds in (
        (settings, [learning(run["stages"]) for run in runs]),
        (resolve(Layer({"encoder": "tfidf"})), [run["stages"]["baseline"] for run in runs]),
    ):
        found.time(name, of, median(seconds), readings(of, size, n_validation, n_test))
    found.peak(name, settings.model.encoder, size, document["summary"]["peak_memory_gb_max"])


def full(found: Collected, name: str = "full") -> None:
    """Read benchmarks/full.py: minilm, and tf-idf, from all reviews."""
    document = stored(name)
    if document is None:
        return
    for training in document["trainings"]:
        settings = resolve(read_recipe(document["recipe"]), Layer(training["settings"]))
        n = training["splits"]
        about = {"n_seeds": 1, "n_test": n["test"]}
        for predictor, of in (("classifier", settings), ("tfidf", resolve(Layer({"encoder": "tfidf"})))):
            found.accuracy(name, of, n["train"], training[predictor]["accuracy"], **about)
        n_readings = readings(settings, n["train"], n["validation"], n["test"])
        found.time(name, settings, learning(training["stages"]), n_readings)
        found.peak(name, settings.model.encoder, n["train"], training["peak_memory_gb"])


def board(found: Collected, name: str = "leaderboard") -> None:
    """Read benchmarks/leaderboard.py: a row for each encoder and number of labels."""
    document = stored(name)
    if document is None:
        return
    document = document.get("board", document)
    own = {each["name"]: each["settings"] for each in document["encoders"]}
    for row in document["rows"]:
        if row["accuracy"]["mean"] is None:
            continue  # no cell of it is complete yet
        encoder, size, n_test = row["encoder"], row["size"], document["n_test"]
        settings = resolve(Layer({**own[encoder], "encoder": encoder}))
        found.accuracy(name, settings, size, row["accuracy"], n_seeds=row["n_seeds"], n_test=n_test)
        n_readings = readings(settings, size, max(1, round(size / 5)))
        # Small trainings are mostly what any training takes at least.
        largest = max(other["size"] for other in document["rows"] if other["encoder"] == encoder)
        if row.get("training_seconds") and size == largest:
            found.time(name, settings, row["training_seconds"], n_readings)
        if row.get("peak_memory_mb"):
            found.peak(name, encoder, size, row["peak_memory_mb"] / 1000)


def grid(found: Collected, name: str = "accuracy") -> None:
    """Read benchmarks/accuracy.py: matinee's own classifiers from few labels to many."""
    document = stored(name)
    if document is None:
        return
    rows = [row for row in document["summary"] if row["arm"] in ARMS]
    for row in rows:
        encoder, size = ARMS[row["arm"]], row["size"]
        settings = resolve(Layer({"encoder": encoder}) if encoder in LINEAR else read_recipe(f"imdb-{encoder}"))
        found.accuracy(name, settings, size, row["accuracy"], n_seeds=row["n_seeds"], n_test=document["test_texts"])
        timed = [other["size"] for other in rows if other["arm"] == row["arm"] and other["fit_seconds"]]
        if timed and size == max(timed):
            found.time(name, settings, row["fit_seconds"], readings(settings, size, size // 5))
            found.peak(name, encoder, size, row["peak_memory_gb"])


def speed(found: Collected, name: str = "train-speed") -> None:
    """Read benchmarks/train_speed.py: seconds of an epoch, without and with frozen layers."""
    document = stored(name)
    if document is None:
        return
    texts = document["texts"]
    for encoder, of in document["encoders"].items():
        for arm, freeze in (("matinee", None), ("two frozen layers", 2)):
            values = {"encoder": encoder, "max_length": texts["max_length"], "freeze": freeze, "epochs": 1}
            settings = resolve(Layer(values))
            # The steps of an epoch alone: no head, no evaluation.
            alone = readings(settings, texts["epoch"], 0) - texts["epoch"]
            found.time(name, settings, of["seconds_per_epoch"][arm]["median"], alone)


def learning(stages: dict[str, float]) -> float:
    """Return the seconds of the stages whose readings `readings` counts."""
    return sum(stages.get(stage, 0.0) for stage in LEARNING)


def collected() -> dict[str, Any]:
    """Return what results.json holds."""
    found = Collected()
    for read in (flagship, grid, board, full, speed):
        read(found)
    speeds = stored("train-speed") or {}
    return {
        "format": 1,
        "machine": speeds.get("machine", {}),
        "gflops": speeds.get("peak_gflops", {}),
        "accuracy": sorted(
            found.rows.values(), key=lambda row: (row["encoder"], row["size"], bool(row.get("frozen")), row["from"])
        ),
        "paces": dict(sorted(found.paces.items())),
        "memory": sorted(found.memory, key=lambda row: (row["encoder"], row["size"], row["from"])),
    }


def main() -> int:
    """Write the file, or say whether it is fresh."""
    parser = argparse.ArgumentParser(description="Write what `matinee advise` knows of encoders.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file is stale")
    text = json.dumps(collected(), indent=2) + "\n"
    if parser.parse_args().check:
        if RESULTS.is_file() and RESULTS.read_text(encoding="utf-8") == text:
            return 0
        print(f"{RESULTS.name} is stale: run python scripts/known_results.py", file=sys.stderr)
        return 1
    RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
