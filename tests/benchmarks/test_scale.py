"""What docs/scale.md says of two workers is what is stored, and the benchmark's arithmetic is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scale

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "benchmarks" / "results" / "scale.json"
TURNS = [
    {
        "one": {"n_texts": 600, "seconds": 100.0, "with_start": 105.0},
        "one core": {"n_texts": 600, "seconds": 110.0, "with_start": 115.0},
        "ray": {"n_texts": 600, "seconds": 52.0, "with_start": 60.0},
        "two plain": {"n_texts": 600, "seconds": 51.0, "with_start": 55.0},
        "threads": {"n_texts": 600, "seconds": 60.0, "with_start": 65.0},
    }
]


def test_the_page_says_what_is_stored():
    found = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}
    assert scale.BEGIN + scale.page(found) + scale.END in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_efficiency_is_speed_over_two_times_that_of_one():
    told = scale.told(TURNS)
    assert told["speeds"]["ray"] == {"texts_per_second": 11.54, "with_start": 10.0}
    assert told["efficiency"] == pytest.approx(
        {"one core": 0.455, "ray": 0.962, "two plain": 0.98, "threads": 0.833}, abs=1e-3
    )
    assert told["efficiency_of_ray_against_cores"] == pytest.approx(1.058, abs=1e-3)
    assert all(told["targets"].values())
    slow = [{**TURNS[0], "ray": {"n_texts": 600, "seconds": 60.0, "with_start": 68.0}}]
    assert not any(scale.told(slow)["targets"].values())


def test_the_page_tells_a_goal_that_was_missed():
    score = {
        "n_texts": 600,
        "turns": TURNS,
        **scale.told(TURNS),
        "input_bytes_per_review": 838,
        "output_bytes_per_review": 860,
    }
    train = {
        "n_texts": 512,
        "seconds": {"one thread": 80.0, "two threads": 45.0, "two processes": 44.0},
        "efficiency": 0.91,
        "largest_gap_in_validation_loss": 2e-6,
    }
    found = {"score": score, "train": train, "machine": {"cores": 2, "processor": "A"}, "date": "2026-01-01"}
    page = scale.page(found)
    assert "| `--engine ray --workers 2` | 11.5 | 10.0 | 96 % |" in page
    assert "96 % of two times what one thread does, which is what we wanted" in page
    assert "takes 80 s with one thread, 45 s with two, and 44 s with two processes" in page
    missed = {**found, "score": {**score, "efficiency": {**score["efficiency"], "ray": 0.84}}}
    assert "84 % of two times what one thread does, less than the 90 % that we wanted" in scale.page(missed)
    assert scale.page({}).count("has not been measured yet") == 2
    without = scale.page({name: of for name, of in found.items() if name != "train"})
    assert "| `--engine ray --workers 2` |" in without
    assert without.count("Training has not been measured yet") == without.count("measured yet") == 1
