"""A search and a leaderboard as their workflows write them: `study.json` and `board.json`, with something of everything in it."""

from __future__ import annotations

import json
import math

BASE = {
    "data": "imdb",
    "train_size": 1000,
    "encoder": "minilm",
    "learning_rate": 1e-4,
    "freeze": None,
    "epochs": 3.0,
    "batch_size": 16,
    "track": ["tensorboard"],
    "seed": 0,
}
SPACE = {
    "learning_rate": {"low": 1e-5, "high": 5e-4, "log": True},
    "epochs": {"low": 1, "high": 5, "step": 1},
    "freeze": [None, "2", "all"],
    "dropout": {"low": 0.0, "high": 0.3},
}


def trial(number, state="complete", value=None, *, scores=(), reason=None, **params):
    params = {"learning_rate": 1e-4, "epochs": 3, "freeze": None, "dropout": 0.1, **params}
    return {
        "number": number,
        "state": state,
        "value": value,
        "params": params,
        "is_base": number == 0,
        "epochs": [list(pair) for pair in scores],
        "seconds": 60.0 if state == "complete" else 15.0,
        "reason": reason,
    }


TRIALS = [
    trial(0, value=0.86, scores=[(1.0, 0.82), (2.0, 0.85), (3.0, 0.86)]),
    trial(1, value=0.83, scores=[(1.0, 0.83)], learning_rate=2e-5, epochs=1, freeze="all"),
    trial(2, value=0.88, scores=[(1.0, 0.84), (2.0, 0.88)], learning_rate=4.9e-4, epochs=2),
    trial(3, "pruned", scores=[(1.0, 0.8)], freeze="2", reason="below the median of the trials before it"),
    trial(4, "failed", reason="the loss is not a number"),
    trial(5, "pruned", reason="out of memory", dropout=0.25),
    trial(6, value=0.87, scores=[(1.0, 0.85), (2.0, 0.87)], epochs=2),
]


def finalist(number, values, mean):
    params = TRIALS[number]["params"]
    return {
        "number": number,
        "is_base": number == 0,
        "params": params,
        "seeds": [1, 2, 3],
        "values": values,
        "mean": mean,
    }


def study(**changes):
    """Return a search that is over: trial 2 won, and half a point is left on test."""
    found = {
        "format": 1,
        "data": "imdb",
        "base": BASE,
        "space": SPACE,
        "metric": "accuracy",
        "higher_is_better": True,
        "n_validation": 200,
        "sampler": "tpe",
        "pruner": "median",
        "n_trials": 7,
        "seconds": 600.0,
        "counts": {"complete": 4, "pruned": 2, "failed": 1, "lost": 0},
        "trials": TRIALS,
        "best": {"number": 2, "value": 0.88, "params": TRIALS[2]["params"]},
        "importance": {"learning_rate": 0.6, "freeze": 0.3, "epochs": 0.08, "dropout": 0.02},
        "finalists": [
            finalist(0, [0.86, 0.85, 0.87], 0.86),
            finalist(2, [0.88, 0.87, 0.86], 0.87),
        ],
        "winner": {"params": TRIALS[2]["params"], "is_base": False, "mean": 0.87, "base_mean": 0.86},
        "chosen_of": 7,
        "test": {
            "n": 2000,
            "winner": {"accuracy": {"value": 0.87, "low": 0.8545, "high": 0.884}},
            "base": {"accuracy": {"value": 0.865, "low": 0.8493, "high": 0.8793}},
            "gain": {"value": 0.005, "low": -0.006, "high": 0.016},
            "validation_gain": 0.01,
        },
    }
    return json.loads(json.dumps({**found, **changes}))


NAMES = ("tfidf", "minilm", "mpnet")
SIZES = (200, 1000, 5000)
FITS = {"tfidf": (0.07, 1.35, 0.36), "minilm": (0.07, 1.1, 0.43), "mpnet": (0.06, 0.4, 0.45)}
COSTS = {"tfidf": (0.004, 900.0, 250.0, 12.0), "minilm": (0.3, 21.0, 1500.0, 91.0), "mpnet": (1.9, 4.2, 3900.0, 440.0)}


def accuracy_of(name, size):
    a, b, c = FITS[name]
    return round(1 - a - b * size**-c, 4)


def board(sizes=SIZES, names=NAMES, **changes):
    """Return a leaderboard of three encoders at three sizes; one more was skipped, and one training failed."""
    found = {
        "format": 1,
        "data": "imdb",
        "n_test": 2000,
        "label_names": ["negative", "positive"],
        "sizes": list(sizes),
        "seeds": [0, 1, 2],
        "machine": {"system": "Linux x86_64", "processor": "a processor", "cores": 2, "memory_gb": 8.2},
        "encoders": [
            *(
                {"name": name, "settings": {"learning_rate": 3e-5} if name == "mpnet" else {}, "skipped": None}
                for name in names
            ),
            {"name": "bert", "settings": {}, "skipped": "its weights are not here, and the hub cannot be reached"},
        ],
        "cells": [
            {"encoder": name, "size": size, "seed": seed, "state": "complete", "reason": None}
            for name in names
            for size in sizes
            for seed in range(3)
        ],
        "rows": [_row(name, size) for size in sizes for name in names],
        "curves": [_curve(name, sizes) for name in names],
        "pairs": [
            _pair(size, one, two) for size in sizes for place, one in enumerate(names) for two in names[place + 1 :]
        ],
        "verdict": "Take mpnet where half an hour of training is nothing; else minilm.",
    }
    found["cells"][0] |= {"state": "failed", "reason": "its process was ended: out of memory"}
    found["rows"][0]["n_seeds"] = 2
    return json.loads(json.dumps({**found, **changes}))


def _row(name, size):
    mean, (each, rate, memory, disk) = accuracy_of(name, size), COSTS[name]
    return {
        "encoder": name,
        "size": size,
        "n_seeds": 3,
        "accuracy": {"mean": mean, "low": mean - 0.015, "high": mean + 0.015, "min": mean - 0.005, "max": mean + 0.005},
        "log_loss": 0.33,
        "ece": 0.021,
        "training_seconds": 4 + each * size,
        "texts_per_second": rate,
        "peak_memory_mb": memory,
        "model_mb": disk,
    }


def _curve(name, sizes):
    points = [
        [size, accuracy_of(name, size), accuracy_of(name, size) - 0.015, accuracy_of(name, size) + 0.015]
        for size in sizes
    ]
    if len(sizes) < 3:
        return {
            "encoder": name,
            "fit": None,
            "reason": "a curve takes three sizes or more",
            "points": points,
            "ahead": [],
        }
    last = sizes[-1]
    return {
        "encoder": name,
        "fit": dict(zip("abc", FITS[name], strict=True)),
        "reason": None,
        "points": points,
        "ahead": [_ahead(name, last, more) for more in (500, 3 * last, 9 * last)],
    }


def _ahead(name, last, more):
    there, gain, wide = (
        accuracy_of(name, last + more),
        accuracy_of(name, last + more) - accuracy_of(name, last),
        0.004 * math.log(more),
    )
    return {
        "more": more,
        "size": last + more,
        "accuracy": {"value": there, "low": there - wide, "high": there + wide},
        "gain": {"value": gain, "low": gain - wide / 2, "high": gain + wide / 2},
        "is_guess": more > 3 * last,
    }


def _pair(size, one, two):
    gain = accuracy_of(one, size) - accuracy_of(two, size)
    better = None if abs(gain) < 0.03 else one if gain > 0 else two
    p = 0.2 if better is None else 0.0001
    return {
        "size": size,
        "first": one,
        "second": two,
        "gain": {"value": gain, "low": gain - 0.015, "high": gain + 0.015},
        "p_value": p / 3,
        "p_adjusted": p,
        "better": better,
    }
