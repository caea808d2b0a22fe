"""The section of fast versions: proofs, speeds, and the picture of both."""

from __future__ import annotations

import re

import pytest

from matinee.report import PageContents, render_page
from matinee.report.backends import fast_versions


def parity(**more):
    change = {"value": -0.001, "low": -0.004, "high": 0.002}
    return {
        "name": "openvino-int8",
        "backend": "openvino",
        "precision": "int8",
        "reference": "torch fp32",
        "held_out": {"split": "test", "n": 2000, "n_labelled": 2000},
        "gap": {"largest": 0.047, "mean": 0.0053},
        "flips": {"n": 14, "share": 0.007, "limit": 0.01},
        "accuracy": {"reference": 0.885, "candidate": 0.884, "change": change, "limit": 0.005},
        "odd": {"n": 15, "largest_gap": 0.03, "flips": 1},
        "calibration": {"split": "training", "n": 300},
        "texts_per_second": 96.0,
        "reference_texts_per_second": 20.0,
        "size_mb": 34.2,
        "attempts": [{"recipe": "plain"}],
        **more,
    }


def speed(backend, precision, rate, accuracy=0.885, stock=False):
    return {
        "backend": backend,
        "precision": precision,
        "stock": stock,
        "texts_per_second": rate,
        "latency_ms": {"p50": 55.0, "p95": 90.5, "p99": 120.0},
        "peak_memory_mb": 400.0,
        "size_mb": 91.0,
        "load_s": 1.25,
        "first_answer_s": 3.5,
        "accuracy": accuracy,
        "speedup": rate / 20,
    }


BENCH = {
    "machine": {"processor": "Some processor", "cores": 2},
    "n_texts": 500,
    "max_length": 256,
    "rows": [speed("pipeline", "batch 1", 20.0, stock=True), speed("openvino", "int8", 107.0, accuracy=0.884)],
}


def test_without_anything_it_says_how_to_make_one():
    assert "matinee export RUN" in fast_versions(None, None)["reason"]
    assert "matinee export RUN" in fast_versions([], {})["reason"]


def test_a_proof_reads_in_words_and_points():
    (row,) = fast_versions([parity()], None)["proofs"]
    assert row["name"] == "openvino int8"
    assert row["flips"] == "0.7%"
    assert row["flips_limit"] == "limit 1.0%"
    assert row["accuracy"] == "−0.1"
    assert row["interval"] == "95% interval −0.4 to +0.2"
    assert row["speedup"] == "4.8 × torch"
    assert row["note"] == "calibrated on 300 texts of training"
    assert row["odd"] == "1 of 15"


def test_what_is_special_about_an_export_is_said():
    cascade = parity(backend="cascade", flips={"n": 90, "share": 0.045, "limit": None}, cheap_share=0.7)
    careful = parity(name="mine", attempts=[{"recipe": "plain"}, {"recipe": "accuracy control"}], accuracy=None)
    first, second = fast_versions([cascade, careful], None)["proofs"]
    assert first["note"] == "the linear classifier answers 70%"
    assert first["flips_limit"] == ""
    assert second["name"] == "openvino int8 (mine)"
    assert second["note"].endswith("accuracy control, as less cost too much on validation")
    assert (second["accuracy"], second["interval"]) == ("–", "")


def test_the_bench_is_a_table_and_its_rows_are_numbered_in_the_picture():
    found = fast_versions([parity()], BENCH)
    assert [(row["place"], row["name"], row["speedup"]) for row in found["bench"]] == [
        ("1", "pipeline batch 1", "1.0 ×"),
        ("2", "openvino int8", "5.3 ×"),
    ]
    assert found["bench"][0]["tail"] == "90 ms · 120 ms"
    assert found["about"] == "500 texts, 256 tokens at most, Some processor, 2 cores"
    assert re.findall(r'<text class="title" [^>]*text-anchor="start">(\d)</text>', found["chart"]) == ["1", "2"]
    places = [
        float(x) for x in re.findall(r'<(?:rect class="marker" x|circle class="marker" cx)="([\d.]+)"', found["chart"])
    ]
    assert places[0] < places[1]


def test_without_a_bench_the_picture_is_of_the_proofs_and_torch():
    found = fast_versions([parity()], None)
    assert found["legend"] == [(1, "torch fp32"), (2, "openvino int8")]
    assert found["chart"].count('class="marker"') == 2


def test_one_point_makes_no_picture():
    assert fast_versions(None, {"rows": [speed("torch", "fp32", 20.0)]})["chart"] == ""
    assert fast_versions([parity(accuracy=None)], None)["chart"] == ""


@pytest.mark.parametrize("broken", [{"rows": [{"backend": "torch"}]}, {"rows": "no"}, [], "text"])
def test_a_damaged_part_breaks_no_page(broken):
    page = render_page(PageContents(name="run", exports=[{"backend": "onnx"}, 3], bench=broken))
    assert 'id="fast"' in page


def test_the_page_holds_it_escaped():
    page = render_page(PageContents(name="run", exports=[parity(name="<script>x")], bench=BENCH))
    section = page[page.index('<section id="fast"') : page.index('<section id="data"')]
    assert "&lt;script&gt;x" in section
    assert "Some processor" in section
    assert "matinee bench" not in section
