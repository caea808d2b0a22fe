"""Stress tests of whole runs."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from matinee.core.errors import DataError, RunError, SettingsError
from matinee.core.files import file_sha256
from matinee.core.run import RunFolder
from matinee.evaluation.behaviour import CAPABILITIES
from matinee.workflow import stress, train


@pytest.fixture(scope="module")
def run_dir(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stress") / "run"
    train(tiny_csv, encoder="tfidf", run_dir=folder, test_size=24)
    return folder


@pytest.fixture
def topics_csv(tmp_path):
    """Texts about sports and about food: no sentiment, and not English."""
    path = tmp_path / "topics.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for number in range(30):
            writer.writerow((f"Der Ball flog in Berlin ins Tor, Spiel {number}", "Sport"))
            writer.writerow((f"Suppe und Brot in Paris, Rezept {number}", "Essen"))
    return path


def write_pairs(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label", "pair", "edit"), *rows])
    return path


def test_a_linear_classifier_knows_words_and_no_negation(run_dir):
    result = stress(run_dir, n=30)
    rates = {row["name"]: row["rate"]["value"] for row in result.capabilities}
    assert list(rates) == list(CAPABILITIES)
    assert rates["upper-case"] == rates["layout"] == 0
    assert rates["negated-praise"] > 0.3
    assert {row["name"] for row in result.above(0.3)} == {name for name, rate in rates.items() if rate > 0.3}
    assert result.skipped == []
    about = {key: result.about[key] for key in ("topic", "own_texts", "sentiment", "english")}
    signs = {"negative": ["negative"], "positive": ["positive"]}
    assert about == {"topic": "film", "own_texts": 24, "sentiment": signs, "english": True}


def test_the_result_stands_in_the_run_and_its_manifest(run_dir):
    result = stress(run_dir, n=8)
    run = RunFolder(run_dir)
    assert result.path == run.stress
    assert json.loads(run.stress.read_text(encoding="utf-8")) == result.to_json()
    run.check_complete()
    files = run.read_json(run.manifest)["files"]
    assert files["stress.json"]["sha256"] == file_sha256(run.stress)
    assert "predictions.parquet" in files


def test_it_is_the_same_every_time(run_dir):
    assert stress(run_dir, n=8).to_json() == stress(run_dir, n=8).to_json()
    assert stress(run_dir, n=8, seed=1).to_json() != stress(run_dir, n=8).to_json()


def test_a_model_folder_has_no_texts_of_its_own_and_nothing_is_written(run_dir, tmp_path):
    shutil.copytree(run_dir / "model", tmp_path / "model")
    result = stress(tmp_path / "model", n=8, topic="hotel")
    assert result.path is None
    assert result.about["own_texts"] == 0
    assert all("own_texts" not in row["parts"] for row in result.capabilities)
    assert "stress.json" not in {path.name for path in tmp_path.rglob("*")}


def test_an_output_file_is_written_instead(run_dir, tmp_path):
    before = (run_dir / "manifest.json").read_bytes()
    (run_dir / "stress.json").unlink(missing_ok=True)
    result = stress(run_dir, n=8, output=tmp_path / "said.json")
    assert json.loads((tmp_path / "said.json").read_text(encoding="utf-8")) == result.to_json()
    assert not (run_dir / "stress.json").exists()
    assert (run_dir / "manifest.json").read_bytes() == before


def test_other_labels_and_languages_leave_changes_to_own_texts(topics_csv, tmp_path):
    folder = tmp_path / "run"
    train(topics_csv, encoder="tfidf", run_dir=folder, test_size=20)
    result = stress(folder)
    assert {row["name"] for row in result.capabilities} == {
        "places",
        "typos",
        "upper-case",
        "lower-case",
        "emoji",
        "layout",
    }
    reasons = {row["name"]: row["reason"] for row in result.skipped}
    assert reasons["negated-praise"] == "the test texts do not look English"
    assert reasons["names"] == "no text holds anything to change"
    assert result.about["sentiment"] is None
    with pytest.raises(DataError, match="nothing to ask"):
        stress(folder / "model")
    assert stress(folder / "model", sentiment="Essen,Sport", n=8).about["sentiment"] == {
        "negative": ["Essen"],
        "positive": ["Sport"],
    }


def test_pairs_are_scored_beside_or_alone(run_dir, tmp_path, topics_csv):
    rows = [(f"Seat {i}. The film was {word}.", label, i, edit)
            for i in range(10) for word, label, edit in (("brilliant", "positive", 0), ("boring", "Negative", 1))]  # fmt: skip
    pairs = write_pairs(tmp_path / "pairs.csv", rows)
    result = stress(run_dir, pairs=pairs, pair_column="pair", edit_column="edit", n=8)
    assert result.pairs is not None
    assert result.pairs["n"] == 10
    assert result.pairs["consistency"]["value"] == 1
    assert json.loads((run_dir / "stress.json").read_text(encoding="utf-8"))["pairs"] == result.pairs
    assert stress(run_dir, n=8).pairs is None
    assert json.loads((run_dir / "stress.json").read_text(encoding="utf-8"))["pairs"] == result.pairs, "forgotten"
    folder = tmp_path / "run"
    train(topics_csv, encoder="tfidf", run_dir=folder, test_size=20)
    topics = write_pairs(tmp_path / "topics-pairs.csv", [("Tor Ball", "Sport", 1, 0), ("Suppe Brot", "Essen", 1, 1)])
    alone = stress(folder / "model", pairs=topics, pair_column="pair")
    assert (alone.capabilities, alone.pairs["originals"]["value"]) == ([], 1)


def test_pairs_of_three_are_refused(run_dir, tmp_path):
    rows = [("a", "positive", 1, 0), ("b", "negative", 1, 1), ("c", "negative", 1, 1)]
    with pytest.raises(DataError, match="'1' has 3 rows"):
        stress(run_dir, pairs=write_pairs(tmp_path / "pairs.csv", rows), pair_column="pair", n=8)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"n": 3}, "--n must be at least 4"),
        ({"topic": "flim"}, "Did you mean 'film'"),
        ({"pairs": "x.csv"}, "--pair-column"),
        ({"pair_column": "pair"}, "give --pairs FILE"),
        ({"sentiment": "0,1"}, "no label '0'"),
    ],
)
def test_a_wrong_setting_is_named(run_dir, arguments, part):
    with pytest.raises(SettingsError, match=part):
        stress(run_dir, **arguments)


def test_a_run_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        stress(tmp_path / "nowhere")
