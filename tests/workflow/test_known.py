"""What is known of encoders: fresh, from stored files alone, and asked for in a way that invents nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from matinee.core.schema import Layer, resolve
from matinee.core.settings import LINEAR
from matinee.core.suggested import suggested_settings
from matinee.training import evaluations, head
from matinee.workflow import known as room
from matinee.workflow.known import Known, known, readings
from matinee.workflow.recipes import read_recipe

ROOT = Path(__file__).resolve().parents[2]


def test_the_file_is_what_the_stored_results_make():
    command = [sys.executable, str(ROOT / "scripts" / "known_results.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_row_names_a_stored_result():
    stored = json.loads(room.RESULTS.read_text(encoding="utf-8"))
    named = [*stored["accuracy"], *(pace for paces in stored["paces"].values() for pace in paces)]
    assert named
    assert {row["from"] for row in named} <= {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert all(0.5 < row["low"] <= row["mean"] <= row["high"] < 1 for row in stored["accuracy"])


def test_the_flagship_is_as_the_benchmark_has_it():
    document = json.loads((ROOT / "benchmarks" / "results" / "imdb-minilm.json").read_text(encoding="utf-8"))
    expected = known().expected("minilm", 1000)
    (row,) = [row for row in expected.rests_on if row["from"] == "imdb-minilm"]
    assert row["mean"] == document["summary"]["accuracy"]["classifier"]["mean"]
    assert (row["n_seeds"], row["n_test"]) == (len(document["runs"]), document["runs"][0]["classifier"]["n"])
    assert row["low"] <= document["summary"]["accuracy"]["classifier"]["min"]


def test_settings_are_those_that_are_no_defaults_and_that_had_a_part_in_it():
    rows = {(row["from"], row["encoder"], row.get("frozen", False)): row["settings"] for row in known().rows}
    recipe = read_recipe("imdb-minilm").values
    own = {name: recipe[name] for name in ("max_length", "warmup_ratio", "r_drop")}
    assert rows["imdb-minilm", "minilm", False] == own
    assert rows["imdb-minilm", "minilm", True] == {"max_length": own["max_length"], "freeze": "all"}
    # The recipe asks for as many evaluations as so many texts have anyway.
    assert rows["full", "minilm", False] == {"max_length": 512, "epochs": 2.0, "batch_size": 32, "warmup_ratio": 0.1}
    assert all(not row["settings"] for row in known().rows if row["encoder"] in LINEAR)


def test_times_are_told_for_one_speed_of_the_machine_that_had_several():
    """What a training took is foretold where matrix products are as fast as they were on its day."""
    results = ROOT / "benchmarks" / "results"
    board, peak, lengths = (
        json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("leaderboard", "train-speed-compile", "lengths")
    )
    assert board["date"] == peak["date"]
    faster = peak["peak_gflops"]["bf16"] / known().gflops["bf16"]
    assert faster > 1.5
    (took,) = [row for row in board["rows"] if (row["encoder"], row["size"]) == ("mpnet", 1000)]
    settings = resolve(Layer({"encoder": "mpnet", **suggested_settings("mpnet")}))
    tokens = lengths["by_max_length"][str(settings.text.max_length)]["tokens"]
    low, high = known().seconds("mpnet", readings(settings, 1000, 200) * tokens)
    assert 0.8 * low / faster < took["training_seconds"] < 1.3 * high / faster


def test_numbers_that_training_has_too_are_the_same():
    assert room.HEAD_TEXTS == head.HEAD_TEXTS
    assert room.TEXTS_BETWEEN == evaluations.TEXTS_BETWEEN


def row(size, mean, encoder="bert", **more):
    return {
        "data": "imdb",
        "encoder": encoder,
        "size": size,
        "mean": mean,
        "low": mean - 0.01,
        "high": mean + 0.01,
        "n_seeds": 3,
        **more,
    }


ROWS = (row(200, 0.80), row(1000, 0.85), row(1000, 0.87), row(5000, 0.90), row(1000, 0.7, frozen=True))
MEMORY = [{"encoder": "bert", "size": size, "gb": gb} for size, gb in ((1000, 2.6), (1000, 2.5), (20_000, 6.1))]
STORED = Known(ROWS, {"bert": [{"seconds_per_token": 1e-4}, {"seconds_per_token": 3e-4}]}, MEMORY, {}, {})


@pytest.mark.parametrize(
    ("n_labels", "low", "high", "rests_on"),
    [
        (1000, 0.84, 0.88, [1000, 1000]),
        (1200, 0.84, 0.88, [1000, 1000]),
        (2500, 0.84, 0.91, [1000, 1000, 5000]),
        (400, 0.79, 0.88, [200, 1000, 1000]),
        (100, None, 0.81, [200]),
        (50_000, 0.89, None, [5000]),
    ],
)
def test_what_to_expect_lies_between_what_is_stored(n_labels, low, high, rests_on):
    expected = STORED.expected("bert", n_labels)
    assert [each["size"] for each in expected.rests_on] == rests_on
    assert (expected.low, expected.high) == (pytest.approx(low), pytest.approx(high))


def test_nothing_is_expected_of_what_was_never_measured():
    assert STORED.expected("roberta", 1000) is None
    assert STORED.seconds("roberta", 1000) is None
    assert STORED.expected("bert", 1000, frozen=True).rests_on == (ROWS[-1],)


def test_times_are_as_far_apart_as_they_were():
    assert STORED.seconds("bert", 1e6) == (pytest.approx(100), pytest.approx(300))


def test_ways_are_compared_by_a_number_of_labels_that_is_stored_of_both():
    others = (
        row(200, 0.82, "roberta"),
        row(5000, 0.895, "roberta"),
        row(25_000, 0.95, "minilm"),
        row(1000, 0.99, "mpnet", data="mine"),
    )
    stored = Known((*ROWS, *others), {}, [], {}, {})
    bert, roberta = ("bert", False), ("roberta", False)
    # Nearest to 1,000 labels roberta has 200 and bert 1,000, where it scored more.
    assert stored.is_better(roberta, bert, 900)
    assert not stored.is_better(bert, roberta, 900)
    assert stored.is_better(bert, roberta, 4000)
    for other in ("minilm", "mpnet", "distilbert"):
        assert not stored.is_better((other, False), bert, 1000)
        assert not stored.is_better(bert, (other, False), 1000)


def test_one_way_is_clearly_better_where_the_intervals_part():
    stored = Known((*ROWS, row(1000, 0.89, "roberta"), row(1000, 0.91, "mpnet")), {}, [], {}, {})
    bert = ("bert", False)
    assert stored.is_better(("roberta", False), bert, 1000)
    assert not stored.is_better(("roberta", False), bert, 1000, clearly=True)
    assert stored.is_better(("mpnet", False), bert, 1000, clearly=True)
    assert stored.is_better(bert, ("bert", True), 1000, clearly=True)


def test_neither_far_more_labels_nor_one_seed_leave_no_doubt():
    stored = Known((*ROWS, row(1000, 0.91, "mpnet"), row(1000, 0.91, "roberta", n_seeds=1)), {}, [], {}, {})
    bert, mpnet, roberta = ("bert", False), ("mpnet", False), ("roberta", False)
    assert stored.is_better(mpnet, bert, 2900, clearly=True)
    assert stored.is_better(mpnet, bert, 20_000)
    assert not stored.is_better(mpnet, bert, 20_000, clearly=True)
    nearer = Known((*stored.rows, row(2500, 0.90, "mpnet", n_seeds=1), row(2500, 0.90, n_seeds=1)), {}, [], {}, {})
    assert nearer.is_better(mpnet, bert, 2500, clearly=True)
    assert stored.is_better(roberta, bert, 1000)
    assert not stored.is_better(roberta, bert, 1000, clearly=True)


@pytest.mark.parametrize(("n_labels", "gigabytes"), [(300, 2.6), (1000, 2.6), (12_000, 6.1)])
def test_memory_is_that_of_the_nearest_number_of_labels(n_labels, gigabytes):
    assert STORED.memory_gb("bert", n_labels) == gigabytes
    assert STORED.memory_gb("roberta", n_labels) is None


class TestReadings:
    def test_of_the_recipe(self):
        settings = resolve(Layer({"epochs": 3}))
        head_, training, evaluated, calibrated = 1000 + 200 + 2000, 3 * 3 * 1000, 4 * 200, 2 * 200
        assert readings(settings, 1000, 200, 2000) == head_ + training + evaluated + calibrated
        assert readings(settings, 1000, 200, 2000, scored=True) == readings(settings, 1000, 200, 2000) + 2 * 2000

    def test_frozen_layers_cost_a_forward_pass(self):
        all_, some = (readings(resolve(Layer({"freeze": freeze})), 1000, 200) for freeze in (None, 3))
        assert all_ - some == pytest.approx(3 * 1000 * 3 * (1 - 2 / 3))
        assert readings(resolve(Layer({"freeze": "all"})), 1000, 200) == 1000 + 200 + 2 * 200

    def test_r_drop_makes_two_passes(self):
        once, twice = (readings(resolve(Layer({"r_drop": weight, "freeze": 3})), 1000, 200) for weight in (0, 1))
        assert twice - once == pytest.approx(3 * 1000 * 3 / 2)

    def test_of_many_texts_the_head_reads_a_sample_and_epochs_are_evaluated_within(self):
        settings = resolve(Layer({"epochs": 2}))
        assert readings(settings, 22_000, 1000) == 5000 + 1000 + 2 * 3 * 22_000 + 11 * 1000 + 2 * 1000

    def test_a_linear_classifier_reads_each_text_once(self):
        assert readings(resolve(Layer({"encoder": "tfidf"})), 1000, 200, 2000) == 3200
