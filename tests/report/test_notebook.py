"""A run as a notebook shows it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from matinee.report.notebook import run_html

_spec = importlib.util.spec_from_file_location("fragment", Path(__file__).parents[1] / "fragment.py")
fragment = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fragment)


def interval(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


METRICS = {
    "test": {"n": 2000, "accuracy": interval(0.87), "log_loss": interval(0.3)},
    "baseline": {"n": 2000, "accuracy": interval(0.82), "log_loss": {"value": 0.4, "low": None, "high": None}},
    "gain_over_baseline": {"accuracy": {"value": 0.05, "low": 0.03, "high": 0.07}},
}
CHECK = {"severity": "warning", "code": "M402", "title": "It fails more often", "found": "On <b>some</b> texts."}


def shown(**values):
    made = {
        "path": "runs/demo",
        "settings": {"encoder": "minilm", "data": "imdb"},
        "metrics": METRICS,
        "checks": [CHECK],
        "seconds": {"training": 300.0, "report": 12.0},
        "n_labels": 2,
    }
    return fragment.Fragment(run_html(**(made | values)))


def test_what_was_trained_on_what_and_how_good_it_is():
    page = shown()
    assert page.text.startswith("minilm on imdb · 5 minutes The classifier labels 87.0% of texts right")
    assert "5.0 points more than a simple word-count baseline" in page.text
    assert "On 2,000 test texts, with 95% intervals" in page.text
    assert page.text.endswith("Folder: runs/demo; report.html in it has everything.")


def test_each_score_stands_beside_the_baseline_s():
    rows = {row[0]: row[1:] for row in shown().rows}
    assert rows[""] == ["This classifier", "Word-count baseline (tf-idf)"]
    assert rows["Accuracy"] == ["0.870 0.850 to 0.890", "0.820 0.800 to 0.840"]
    assert rows["Log-loss (lower is better)"] == ["0.300 0.280 to 0.320", "0.400"]


def test_checks():
    page = shown()
    assert page.rows[-1] == ["warning M402", "It fails more often. On <b>some</b> texts."]
    assert "The checks found nothing wrong." in shown(checks=[]).text
    many = shown(checks=[CHECK] * 8)
    assert many.text.count("M402") == 5
    assert "… and 3 more." in many.text


@pytest.mark.parametrize("metrics", [{}, {"test": {"n": 3}}], ids=["not scored", "no score known"])
def test_a_run_without_scores(metrics):
    assert "is not known" in shown(metrics=metrics, seconds={}).text


def test_it_stays_small_whatever_the_names():
    html = run_html("x" * 10_000, {"encoder": "<e>" * 5_000, "data": None}, METRICS, [CHECK] * 500, {}, n_labels=2)
    page = fragment.Fragment(html)
    assert page.text.startswith("<e><e>")
    assert len(html) < 12_000
