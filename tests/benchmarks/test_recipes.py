"""Recipes held against the default in pairs, and the stored result."""

from __future__ import annotations

import json

import pytest

import machine
import recipes
from matinee.core.schema import Layer, resolve


def a_run(recipe, accuracy, *, fold=0, seed=0):
    scores = {"roc_auc": 0.9, "log_loss_at_best_temperature": 0.3, "ece": 0.02}
    return {"recipe": recipe, "fold": fold, "seed": seed, "accuracy": accuracy, **scores}


def test_gains_are_over_the_folds_and_seeds_that_both_have():
    runs = [
        a_run("base", 0.80),
        a_run("base", 0.90, seed=1),
        a_run("4 epochs", 0.82),
        a_run("4 epochs", 0.91, seed=1),
        a_run("4 epochs", 0.50, seed=2),
    ]
    base, row = recipes.summary(runs)
    assert (base["recipe"], base["accuracy"], base["gain"]["mean"]) == ("base", 0.85, 0.0)
    assert (row["n_runs"], row["gain"]["n_pairs"], row["gain"]["mean"]) == (3, 2, 0.015)
    # Student's t with one degree of freedom: 12.706 standard errors of 0.005.
    assert row["gain"]["high"] - row["gain"]["mean"] == pytest.approx(0.0635, abs=1e-4)


def test_what_failed_counts_nowhere():
    runs = [a_run("base", 0.8), {**a_run("base", 0.0, seed=1), "failed": "out of memory"}]
    assert recipes.summary(runs)[0]["n_runs"] == 1


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_each_recipe_can_be(name):
    resolve(Layer({**recipes.BASE, **recipes.RECIPES[name]}))


@pytest.mark.parametrize("path", sorted(machine.RESULTS.glob("recipes*.json")), ids=lambda path: path.stem)
def test_the_stored_summary_is_that_of_the_stored_runs(path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["base"] == recipes.BASE
    assert stored["changes"] == {name: recipes.RECIPES[name] for name in stored["changes"]}
    assert {run["recipe"] for run in stored["runs"]} == stored["changes"].keys()
    fresh = recipes.summary(stored["runs"])
    for old, new in zip(stored["summary"], fresh, strict=True):
        assert old["recipe"] == new["recipe"]
        assert old["accuracy"] == pytest.approx(new["accuracy"], abs=2e-4)
        assert old["gain"] == pytest.approx(new["gain"], abs=2e-4)
