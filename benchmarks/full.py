"""All of IMDB with `minilm`: accuracy on a hold-out, time by stage and peak memory of one training.

python benchmarks/full.py [--seed 0] [--train-size all] [--keep FOLDER] [FLAG OF MATINEE TRAIN ...]

One `matinee train imdb --recipe recipes/imdb-full.yaml` with the settings below, in a process of its own. The test texts are those of
`imdb.py`. Further flags are handed on and win, as in `--max-length 320 --freeze 2`; trainings with other settings or seeds are stored
beside each other. Only a training on all texts is stored. Data and weights are fetched beforehand, so downloads are not in the times.
With --keep, a training that was stopped goes on; nothing is stored then, since what it took before is not in its time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from machine import RESULTS, store
from matinee.core.environment import describe_environment
from matinee.core.errors import MatineeError
from matinee.core.schema import Layer, flatten, resolve
from matinee.workflow.recipes import read_recipe

ROOT = Path(__file__).resolve().parent.parent
MATINEE = Path(sys.executable).parent / "matinee"
TARGET_ACCURACY, TARGET_SECONDS = 0.92, 3600

RECIPE = "imdb-full"
# What differs from the recipe: MiniLM learns at the defaults' rate, and 512 tokens hold seven of eight reviews whole (256 six of ten).
SETTINGS = {"encoder": "minilm", "learning_rate": 1e-4, "max_length": 512}
# What a training ran with: it stands beside each, since they may come from several machines.
ABOUT = ("machine", "packages")
PREDICTORS = {"classifier": "test", "frozen_features": "frozen_features", "tfidf": "baseline"}


def train(folder: Path, arguments: list[str]) -> tuple[float, float, bool]:
    """Train, or finish a training that was stopped; return wall seconds, peak memory in GB, and whether it was whole."""
    stopped = (folder / "config.yaml").is_file()
    command = ["train", "--resume", str(folder)] if stopped else ["train", "imdb", *arguments, "--run-dir", str(folder)]
    start = time.perf_counter()
    process = subprocess.Popen([str(MATINEE), *command])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the training failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9, not stopped


def measured(folder: Path) -> dict[str, object]:
    """Return what a run says of itself: sizes, stages, scores, and the evaluations on its way."""
    metrics, manifest, data = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("metrics", "manifest", "data")
    )
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "source": data["source"],
        "splits": {name: split["n"] for name, split in data["splits"].items()},
        "stages": {name: round(seconds, 1) for name, seconds in manifest["seconds"].items()},
        "kept_epoch": metrics["kept_epoch"],
        "evaluations": [
            {name: row.get(name) for name in ("epoch", "eval_loss", "eval_accuracy", "train_accuracy")}
            for row in history
            if "eval_loss" in row
        ],
        **{name: metrics[part] for name, part in PREDICTORS.items()},
    }


def main() -> None:
    """Fetch, train, print, store."""
    parser = argparse.ArgumentParser(description="Train on all of IMDB.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-size", default="all", help="fewer, to try it out: nothing is stored then")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the run is left")
    given, more = parser.parse_known_args()
    try:
        settings = settings_of(more)
    except (MatineeError, ValueError) as error:
        parser.error(f"flags of matinee train come as --name value: {error}")
    flags = {**SETTINGS, "train_size": given.train_size, "seed": given.seed}
    arguments = ["--recipe", str(ROOT / "recipes" / f"{RECIPE}.yaml")]
    for name, value in flags.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    subprocess.run([str(MATINEE), "fetch", "imdb", "minilm"], check=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary) / "run"
        seconds, memory, whole = train(folder, [*arguments, *more])
        found = measured(folder)
    accuracy = found["classifier"]["accuracy"]["value"]
    targets = {
        f"accuracy at least {TARGET_ACCURACY}": accuracy >= TARGET_ACCURACY,
        f"under {TARGET_SECONDS // 60} minutes": seconds < TARGET_SECONDS,
    }
    training = {
        "date": datetime.now(UTC).date().isoformat(),
        "settings": settings,
        "seed": given.seed,
        "seconds": round(seconds, 1),
        "peak_memory_gb": round(memory, 2),
        "targets": targets,
        **found,
        **{name: value for name, value in describe_environment().items() if name in ABOUT},
    }
    print(json.dumps({name: value for name, value in training.items() if name not in PREDICTORS}, indent=2))
    print(json.dumps({name: found[name]["accuracy"] for name in PREDICTORS}, indent=2))
    if given.train_size == "all" and whole:
        path = RESULTS / "full.json"
        stored = json.loads(path.read_text(encoding="utf-8"))["trainings"] if path.is_file() else []
        store("full", {"recipe": RECIPE, "trainings": beside(stored, training)})


def settings_of(flags: list[str]) -> dict[str, object]:
    """Return what differs from the recipe, by name: the settings above, and those of further flags, each with its value behind it."""
    given = {
        flag.removeprefix("--").replace("-", "_"): value for flag, value in zip(flags[::2], flags[1::2], strict=True)
    }
    recipe = read_recipe(RECIPE)
    of_recipe, resolved = flatten(resolve(recipe)), flatten(resolve(recipe, Layer({**SETTINGS, **given})))
    return {name: value for name, value in resolved.items() if value != of_recipe[name]}


def beside(stored: list[dict[str, object]], training: dict[str, object]) -> list[dict[str, object]]:
    """Return the trainings with one more, which takes the place of one with the same settings and seed on the same machine."""
    same = ("settings", "seed", "machine")
    others = [each for each in stored if any(each[name] != training[name] for name in same)]
    return [*others, training]


if __name__ == "__main__":
    main()
