"""The pieces of benchmarks/search.py: the same points for every way, rates, and parts that are kept beside each other."""

from __future__ import annotations

import argparse
import json

import pytest

import machine
import search as benchmark
from matinee import train

ARGUMENTS = argparse.Namespace(encoder="minilm", train_size=1000, test_size=2000, minutes=1)


def trial(seconds, value, state="complete"):
    return {"state": state, "value": value, "seconds": seconds, "epochs": 3}


def test_points_are_the_same_each_time_and_the_first_is_the_default():
    points = benchmark.drawn_points(5)
    assert points == benchmark.drawn_points(5)
    assert points[0]["learning_rate"] == 1e-4
    assert points[0]["freeze"] is None
    assert len({point["learning_rate"] for point in points}) == 5


def test_rates_and_what_is_as_fast_as_the_target():
    trials = {
        "stock": [trial(100, 0.8), trial(260, 0.9)],
        benchmark.PLAIN: [trial(90, 0.8), trial(90, 0.9)],
        "search": [trial(20, 0.8), trial(10, 0.7, "pruned")] * 6,
    }
    found = benchmark.summary(trials, ARGUMENTS)
    assert found["trials_per_hour"] == {"stock": 20.0, benchmark.PLAIN: 40.0, "search": 240.0}
    assert found["times_stock"]["search"] == 12.0
    assert found["by_pruning_and_features"] == 6.0
    assert found["target_met"]
    assert found["pruned_share"] == {"stock": 0.0, benchmark.PLAIN: 0.0, "search": 0.5}
    # Of the one point that both completed.
    assert found["same_value"] == {"stock": 1.0, benchmark.PLAIN: 1.0}


def test_scores_that_differ_are_told_by_the_way_they_differ_from():
    trials = {
        benchmark.PLAIN: [trial(40, 0.8), trial(40, 0.9), trial(40, 0.7)],
        "unpruned": [trial(40, 0.8), trial(40, 0.8)],
        "search": [trial(10, 0.8), trial(10, 0.8), trial(10, 0.6, "pruned")],
    }
    assert benchmark.same_values(trials) == {benchmark.PLAIN: 0.5, "unpruned": 1.0}
    assert benchmark.same_values({"stock": [trial(40, 0.8)], "search": []}) == {"stock": None}


def test_the_target_is_for_pruning_and_kept_features_not_for_what_a_trial_leaves_out():
    trials = {"stock": [trial(600, 0.8)], benchmark.PLAIN: [trial(40, 0.8)], "search": [trial(10, 0.8)]}
    found = benchmark.summary(trials, ARGUMENTS)
    assert (found["times_stock"]["search"], found["by_pruning_and_features"]) == (60.0, 4.0)
    assert not found["target_met"]
    without = benchmark.summary({name: trials[name] for name in ("stock", "search")}, ARGUMENTS)
    assert without["by_pruning_and_features"] is None
    assert not without["target_met"]


@pytest.mark.parametrize("is_base", [True, False])
def test_what_repeating_kept_from_being_taken_is_tested_beside_the_defaults(tiny_csv, tmp_path, monkeypatch, is_base):
    settings = {"data": str(tiny_csv), "encoder": "tfidf", "track": None}
    monkeypatch.setattr(benchmark, "settings_of", lambda arguments: settings)
    base = train(run_dir=tmp_path / "gain" / ("best" if is_base else "base"), **settings)
    # A trial that has learned almost nothing: the two are told apart.
    record = {"best": {"number": 3, "params": {"train_size": 6}}, "winner": {"is_base": is_base, "params": {}}}
    found = json.loads(json.dumps(benchmark.unrepeated(record, ARGUMENTS, tmp_path)))
    assert found["number"] == 3
    assert found["gain"]["value"] < 0
    assert found["gain"]["value"] == pytest.approx(
        found["accuracy"]["value"] - base.metrics["test"]["accuracy"]["value"]
    )
    monkeypatch.setattr("matinee.workflow.train", None)  # it is there already
    assert json.loads(json.dumps(benchmark.unrepeated(record, ARGUMENTS, tmp_path))) == found
    record["best"] = {"number": 4, "params": {"train_size": 8}}
    with pytest.raises(TypeError, match="not callable"):  # another trial is trained anew, by what is None here
        benchmark.unrepeated(record, ARGUMENTS, tmp_path)
    record["best"] = record["winner"]
    assert benchmark.unrepeated(record, ARGUMENTS, tmp_path) is None


def test_parts_are_kept_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    benchmark.keep(speed={"trials_per_hour": {"stock": 20.0}})
    benchmark.keep(gain={"n_trials": 30})
    stored = json.loads((tmp_path / "search.json").read_text())
    assert stored["speed"]["trials_per_hour"] == {"stock": 20.0}
    assert stored["gain"]["n_trials"] == 30
    assert stored["note"].startswith("Speed: the same settings, drawn at random")
