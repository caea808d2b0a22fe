"""The program as a person meets it: results on standard output, one line per error, exit codes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from matinee.cli.main import run as matinee

SMALL = ("--epochs", "1", "--max-length", "32", "--test-size", "24", "--validation-size", "16")


@pytest.fixture(scope="module")
def trained(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "linear"
    assert matinee(["train", str(tiny_csv), "--encoder", "tfidf", "--run-dir", str(folder), "--test-size", "24"]) == 0
    return folder


def test_training_shows_scores_beside_the_baseline(tiny_csv, tiny_encoder, tmp_path, capsys):
    folder = tmp_path / "run"
    code = matinee(["train", str(tiny_csv), "--encoder", str(tiny_encoder), "--run-dir", str(folder), *SMALL])
    shown = capsys.readouterr()
    assert code == 0
    for part in ("Classifier", "Frozen encoder", "tf-idf baseline", "Accuracy", "F1 (positive)", "Confusion matrix"):
        assert part in shown.out
    assert "Against the linear baseline, on the same texts:" in shown.out
    assert "Test texts: random rows of train, stratified (file)" in shown.out
    accuracy = json.loads((folder / "metrics.json").read_text())["test"]["accuracy"]
    assert f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in shown.out
    assert f"Run folder: {folder}" in shown.out
    assert "Epoch 1: validation loss" in shown.err
    assert "{'" not in shown.out + shown.err


def test_quiet_says_nothing_but_results(tiny_csv, tmp_path, capsys):
    assert matinee(["train", str(tiny_csv), "--encoder", "tfidf", "--run-dir", str(tmp_path / "run"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_predict_prints_a_table_or_json(trained, capsys):
    assert matinee(["predict", str(trained), "a wonderful film", "[bold]dreadful[/bold]"]) == 0
    table = capsys.readouterr().out
    assert "positive" in table
    assert "[bold]dreadful[/bold]" in table
    assert matinee(["predict", str(trained), "a wonderful film", "--json"]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record["label"] == "positive"


def test_predict_reads_standard_input_and_writes_csv(trained, tmp_path):
    command = [sys.executable, "-c", "from matinee.cli.main import main; main()", "predict", str(trained)]
    done = subprocess.run(
        [*command, "--input", "-", "--output", str(tmp_path / "said.csv")],
        input="a wonderful film\n\na dreadful one\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    with (tmp_path / "said.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows if row["text"]] == ["positive", "negative"]


def test_evaluate_prints_tables_or_json(trained, tiny_csv, capsys):
    assert matinee(["evaluate", str(trained)]) == 0
    assert "By label" in capsys.readouterr().out
    assert matinee(["evaluate", str(trained), str(tiny_csv), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["n"] == 120
    assert sum(map(sum, scores["confusion_matrix"])) == 120


def test_encoders_are_listed(capsys):
    assert matinee(["encoders"]) == 0
    assert "minilm" in capsys.readouterr().out
    assert matinee(["encoders", "--json"]) == 0
    assert {json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()} >= {"minilm", "tfidf"}


BAD_FILES = {
    "empty.csv": b"",
    "header-only.csv": b"text,label\n",
    "no-text.csv": b"id,label\n1,a\n2,b\n",
    "no-label.csv": b"text,id\ngood,1\nbad,2\n",
    "one-class.csv": b"text,label\ngood,a\nfine,a\n",
    "no-labels.csv": b"text,label\ngood,a\nbad,\nso-so,b\n",
    "empty-text.csv": b"text,label\ngood,a\n,b\nso-so,b\n",
    "latin.csv": b"text,label\nbon,a\ntr\xe8s bon,b\n",
    "broken.jsonl": b'{"text": "good", "label": 1}\n{"text": "bad", "lab\n',
    "broken.parquet": b"PAR1 but not really",
}
PARTS = {
    "empty.csv": "empty",
    "header-only.csv": "row",
    "no-text.csv": "--text-column",
    "no-label.csv": "--label-column",
    "one-class.csv": "class",
    "no-labels.csv": "label",
    "empty-text.csv": "text",
    "latin.csv": "--encoding",
    "broken.jsonl": "line 2",
    "broken.parquet": "Parquet",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_clear_line(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(BAD_FILES[name])
    run_dir = tmp_path / "run"
    assert matinee(["train", str(tmp_path / name), "--encoder", "tfidf", "--run-dir", str(run_dir), "--quiet"]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert PARTS[name] in shown.err
    assert not shown.out
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train"], "Nothing to learn from"),
        (["train", "x.csv", "--trian-size", "3"], "--train-size"),
        (["train", "x.csv", "--train-size", "lots", "--epochs", "-1"], "--epochs must be"),
        (["train", "--resume", "nowhere"], "no run to resume"),
        (["train", "x.csv", "--resume", "nowhere"], "give no others"),
        (["train", "imbd"], "imdb"),
        (["train", "imdb", "--encoder", "tfidf", "--offline"], "offline"),
        (["predict", "nowhere", "text"], "no run folder"),
        (["predict", "nowhere"], "a text"),
        (["predict", "nowhere", "text", "--output", "said.docx"], ".jsonl"),
        (["evaluate", "nowhere"], "no run folder"),
        (["fetch", "imbd"], "Did you mean 'imdb'"),
        (["fetch", "distilbert"], "hub"),
        (["bogus"], "No such command"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_2(arguments, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert matinee(arguments) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not shown.out
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(capsys, tmp_path):
    assert matinee(["predict", str(tmp_path / "nowhere"), "text", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(trained, tiny_csv):
    program = f"{sys.executable} -c 'from matinee.cli.main import main; main()'"
    done = subprocess.run(
        ["bash", "-c", f"{program} predict {trained} --input {tiny_csv} --json | head -n 1"],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert json.loads(done.stdout)["label"] in {"negative", "positive"}
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
