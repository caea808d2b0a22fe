"""The bench of a run: every back end in a process of its own, on the same texts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from matinee.cli.main import run as matinee
from matinee.core.errors import DataError, RunError, SettingsError
from matinee.core.files import file_sha256
from matinee.inference import speed
from matinee.workflow import bench, evaluate, train

ROW = {
    "name",
    "backend",
    "precision",
    "stock",
    "texts_per_second",
    "latency_ms",
    "peak_memory_mb",
    "size_mb",
    "load_s",
    "first_answer_s",
    "accuracy",
    "speedup",
}


@pytest.fixture(scope="module")
def linear_run(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "linear"
    train(tiny_csv, encoder="tfidf", run_dir=folder, test_size=24)
    return folder


@pytest.fixture(scope="module")
def encoder_run(tiny_csv, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "encoder"
    settings = {"pooling": "cls", "head": "random", "max_length": 32, "epochs": 1, "truncation": "head"}
    train(tiny_csv, encoder=str(tiny_encoder), run_dir=folder, test_size=24, validation_size=16, **settings)
    return folder


def test_a_linear_run_has_one_row_and_is_as_right_as_ever(linear_run):
    result = bench(linear_run, repeats=2)
    (row,) = result.rows
    assert row.keys() == ROW
    assert (row["name"], row["stock"], row["speedup"]) == ("tfidf", False, None)
    assert result.n_texts == 24
    assert row["accuracy"] == pytest.approx(evaluate(linear_run).metrics["accuracy"]["value"])
    assert row["texts_per_second"] > 0
    assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
    assert row["load_s"] < row["first_answer_s"]
    assert 10 < row["peak_memory_mb"] < 100_000
    files = [path for path in (linear_run / "model").rglob("*") if path.is_file()]
    assert row["size_mb"] == pytest.approx(sum(path.stat().st_size for path in files) / 1e6, abs=1e-3)


def test_the_command_prints_a_table_and_leaves_it_in_the_run_and_its_manifest(linear_run, capsys):
    assert matinee(["bench", str(linear_run), "--repeats", "1", "--texts", "7"]) == 0
    shown = capsys.readouterr().out
    for part in ("7 texts", "Texts/s", "tfidf", f"Written to {linear_run / 'bench.json'}"):
        assert part in shown
    saved = json.loads((linear_run / "bench.json").read_text())
    assert (saved["format"], saved["n_texts"], saved["notes"]) == (1, 7, [])
    assert [row.keys() for row in saved["rows"]] == [ROW]
    assert saved["machine"]["cores"] >= 1
    files = json.loads((linear_run / "manifest.json").read_text())["files"]
    assert files["bench.json"]["sha256"] == file_sha256(linear_run / "bench.json")
    assert files["report.html"]["sha256"] == file_sha256(linear_run / "report.html")
    assert "tfidf" in (linear_run / "report.html").read_text()


@pytest.mark.slow
def test_the_stock_pipeline_stands_beside_and_says_the_same(encoder_run):
    result = bench(encoder_run, repeats=1)
    rows = {row["name"]: row for row in result.rows}
    assert next(iter(rows)) == "torch"
    assert list(rows)[-2:] == ["pipeline (batch 1)", "pipeline (batch 32)"]
    stock = [row for row in result.rows if row["stock"]]
    assert max(row["speedup"] for row in stock) == 1.0
    best = max(row["texts_per_second"] for row in stock)
    assert rows["torch"]["speedup"] == pytest.approx(rows["torch"]["texts_per_second"] / best, abs=0.01)
    assert all(row["accuracy"] is not None for row in result.rows), "it is a plain transformers model"
    assert result.notes == []
    assert (encoder_run / "figures" / "speed-accuracy.png").is_file()
    assert (encoder_run / "figures" / "speed-accuracy.svg").is_file()


def test_a_back_end_that_cannot_answer_is_left_out_and_named(linear_run, tmp_path, caplog):
    broken = tmp_path / "run"
    shutil.copytree(linear_run, broken)
    for path in (broken / "model").glob("*.safetensors"):
        path.write_bytes(b"broken")
    with pytest.raises(RunError, match="Nothing of .* could be measured"):
        bench(broken, repeats=1)
    assert "tfidf is left out" in caplog.text
    assert "damaged" in caplog.text


def test_a_part_of_the_back_ends_is_not_kept_as_the_whole(linear_run):
    before = (linear_run / "bench.json").read_bytes()
    assert bench(linear_run, backends=["tfidf"], repeats=1, texts=3).path is None
    assert (linear_run / "bench.json").read_bytes() == before


def test_texts_of_ones_own_need_no_labels(linear_run, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text\na wonderful film\na dreadful one\n")
    shutil.copytree(linear_run / "model", tmp_path / "model")
    result = bench(tmp_path / "model", data=path, repeats=1)
    assert (result.n_texts, result.path, result.rows[0]["accuracy"]) == (2, None, None)
    path.write_text("text,label\na wonderful film,positive\na dreadful one,positive\n")
    assert bench(tmp_path / "model", data=path, repeats=1).rows[0]["accuracy"] == 0.5
    with pytest.raises(RunError, match="--data"):
        bench(tmp_path / "model")


def test_mistakes_are_named(linear_run, tmp_path):
    with pytest.raises(SettingsError, match=r"'tfdif' is not there. Did you mean 'tfidf'"):
        bench(linear_run, backends=["tfdif"])
    with pytest.raises(SettingsError, match="at least 1"):
        bench(linear_run, texts=0)
    with pytest.raises(DataError, match="There is no file"):
        bench(linear_run, data=tmp_path / "no.csv")


def test_the_command_prints_json(linear_run, capsys):
    assert matinee(["bench", str(linear_run), "--repeats", "1", "--texts", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tfidf"


def test_a_job_of_ones_own_in_this_process(linear_run):
    texts = ["a wonderful film", "a dreadful one", "a wonderful one"]
    job = {"source": str(linear_run), "backend": "auto", "texts": texts, "singles": 2, "started": time.time() - 100}
    result = speed.measure(job)
    assert result["labels"] == ["positive", "negative", "positive"]
    assert len(result["latencies_ms"]) == 2
    assert result["first_answer_s"] > 100


def test_memory_is_the_program_s_own_and_not_its_parent_s():
    held = bytearray(300_000_000)
    code = "from matinee.inference.speed import peak_memory_mb; print(peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 300 < speed.peak_memory_mb()
    assert held[0] == 0
