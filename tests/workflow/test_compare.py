"""Comparing runs: what stands in the rows, names that tell folders apart, and refusals."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from matinee.core.errors import DataError, RunError, SettingsError
from matinee.evaluation import read_predictions, score, write_predictions
from matinee.workflow import compare, train

SMALL = {"test_size": 24, "validation_size": 16}


@pytest.fixture(scope="module")
def runs(tiny_csv, tiny_encoder, tmp_path_factory):
    """A fine-tuned encoder and the linear classifier, trained and scored on the same texts."""
    folder = tmp_path_factory.mktemp("runs")
    tuned = train(tiny_csv, encoder=str(tiny_encoder), run_dir=folder / "tuned", epochs=1, max_length=32, **SMALL)
    return tuned, train(tiny_csv, encoder="tfidf", run_dir=folder / "linear", **SMALL)


@pytest.fixture
def copies(runs, tmp_path):
    """Make copies of the runs at given places."""

    def make(*places):
        for run, place in zip(runs, places, strict=True):
            shutil.copytree(run.path, tmp_path / place)
        return [tmp_path / place for place in places]

    return make


def test_each_run_has_its_scores_size_and_time(runs):
    result = compare([run.path for run in runs])
    assert (result.n, result.split, result.label_names) == (24, "test", ("negative", "positive"))
    for run, row in zip(runs, result.runs, strict=True):
        assert row.name == run.path.name
        for name in ("accuracy", "f1", "log_loss", "ece"):
            assert getattr(row, name) == run.metrics["test"][name]
        assert row.model_bytes == sum(path.stat().st_size for path in (run.path / "model").rglob("*") if path.is_file())
    seconds = [json.loads((run.path / "manifest.json").read_text())["seconds"] for run in runs]
    assert result.runs[0].training_seconds >= seconds[0]["fine-tuning"]
    assert result.runs[1].training_seconds == seconds[1]["baseline"]
    assert [row.encoder for row in result.runs][1] == "tfidf"


def test_the_pair_is_that_of_the_stored_answers(runs):
    result = compare([run.path for run in runs])
    tuned, linear = (run.test.predicted == run.test.labels for run in runs)
    (pair,) = result.pairs
    assert (pair["first"], pair["second"]) == ("tuned", "linear")
    assert pair["only_first_right"] == np.sum(tuned & ~linear)
    assert pair["only_second_right"] == np.sum(linear & ~tuned)
    assert result.verdict == pair["sentence"]
    assert result.n_disagree == np.sum(runs[0].test.predicted != runs[1].test.predicted)
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == json.loads(json.dumps(result.to_json()))
    assert list(result.to_json()) == [
        *("split", "n", "label_names", "runs", "pairs", "n_disagree", "disagreements", "verdict"),
    ]


def test_the_validation_split_can_be_compared_too(runs):
    result = compare([run.path for run in runs], split="validation")
    assert (result.n, result.split) == (16, "validation")
    assert result.runs[0].accuracy == runs[0].metrics["validation"]["accuracy"]


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (("one/run", "two/run"), ("one/run", "two/run")),
        (("a/same/run", "b/same/run"), ("a/same/run", "b/same/run")),
        (("one/run", "two/other"), ("run", "other")),
        (("run", "deeper/run"), (None, "deeper/run")),
    ],
)
def test_folders_of_one_name_stay_distinguishable(copies, tmp_path, places, names):
    shown = tuple(row.name for row in compare(copies(*places)).runs)
    assert shown == tuple(name or f"{tmp_path.name}/run" for name in names)


def test_names_do_not_depend_on_how_the_path_was_typed(copies, monkeypatch, tmp_path):
    copies("one/run", "two/run")
    monkeypatch.chdir(tmp_path / "one" / "run")
    assert [row.name for row in compare([".", "../../two/run"]).runs] == ["one/run", "two/run"]


@pytest.mark.parametrize("n_runs", [0, 1])
def test_one_run_is_no_comparison(runs, n_runs):
    with pytest.raises(SettingsError, match=f"at least two runs, got {n_runs}"):
        compare([run.path for run in runs][:n_runs])


def test_a_run_named_twice_is_refused(runs):
    path = runs[0].path
    with pytest.raises(SettingsError, match="tuned is named twice"):
        compare([path, runs[1].path, path.parent / "linear" / ".." / "tuned"])


def test_a_run_that_is_not_there_or_not_complete_is_refused(runs, copies):
    with pytest.raises(RunError, match="no run folder"):
        compare([runs[0].path, "nowhere"])
    one, other = copies("one", "two")
    (other / "manifest.json").unlink()
    with pytest.raises(RunError, match="not complete"):
        compare([one, other])


def test_runs_on_other_texts_are_refused_with_the_number(runs, copies):
    one, other = copies("one", "two")
    stored = read_predictions(other / "predictions.parquet")
    said = stored["test", "classifier"]
    said.texts[:5] = [f"another text {i}" for i in range(5)]
    write_predictions(other / "predictions.parquet", stored)
    with pytest.raises(DataError, match="one and two cannot be compared, their texts differ: 5 of the 24"):
        compare([one, other])


def test_runs_without_such_a_split_are_refused(runs, copies):
    one, other = copies("one", "two")
    stored = read_predictions(other / "predictions.parquet")
    write_predictions(other / "predictions.parquet", {key: of for key, of in stored.items() if key[0] == "test"})
    with pytest.raises(RunError, match="two holds no predictions of a validation split"):
        compare([one, other], split="validation")


def test_scores_are_those_of_the_answers_given(runs, copies):
    """A run with a decision threshold is scored with it."""
    one, other = copies("one", "two")
    stored = read_predictions(other / "predictions.parquet")
    said = stored["test", "classifier"]
    strict = type(said)(said.ids, said.texts, said.probabilities, said.label_names, said.labels, threshold=0.9999)
    write_predictions(other / "predictions.parquet", {**stored, ("test", "classifier"): strict})
    row = compare([one, other]).runs[1]
    assert row.accuracy == score(strict, only=["accuracy"])["accuracy"]
    assert row.accuracy["value"] == pytest.approx(np.mean(said.labels == 0))
