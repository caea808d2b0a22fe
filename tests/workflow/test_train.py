"""A whole training on tiny things: what it leaves, and what can be done with it."""

from __future__ import annotations

import json
import logging

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from transformers import pipeline

from matinee.core.errors import DataError, NotAvailableError, RunError, SettingsError
from matinee.evaluation import read_predictions
from matinee.workflow import evaluate, explain, load, predict_file, report, resume, train

SMALL = {"epochs": 2, "batch_size": 16, "max_length": 48, "learning_rate": 5e-3, "test_size": 24, "validation_size": 16}

# Every file that the design names.
FILES = {
    "analysis.json",
    "audit.json",
    "report.html",
    "config.yaml",
    "environment.json",
    "data.json",
    "history.jsonl",
    "checkpoints",
    "model",
    "predictions.parquet",
    "metrics.json",
    "figures",
    "manifest.json",
}
METRICS = {"accuracy", "f1", "precision", "recall", "roc_auc", "log_loss", "brier", "ece"}


@pytest.fixture(scope="module")
def run(tiny_csv, tiny_encoder, tmp_path_factory):
    return train(tiny_csv, encoder=str(tiny_encoder), run_dir=tmp_path_factory.mktemp("runs") / "mean", **SMALL)


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory):
    """A user's own file: other column names, three classes, a comma and a line end in a text."""
    path = tmp_path_factory.mktemp("own") / "tickets.csv"
    words = {"praise": "wonderful", "complaint": "dreadful", "question": "when"}
    lines = [f'{n},"seat {n}, row\n{words[kind]} {words[kind]}",{kind}' for n in range(30) for kind in sorted(words)]
    path.write_text("\n".join(["id,Message,Category", *lines]) + "\n", encoding="utf-8")
    return path


def test_a_run_shows_itself(run):
    accuracy = run.metrics["test"]["accuracy"]["value"]
    assert repr(run).startswith(f"<Run {run.path}: accuracy {accuracy:.3f} [")
    page = run._repr_html_()
    assert f"<strong>{accuracy:.3f}</strong>" in page
    assert "Word-count baseline (tf-idf)" in page
    assert str(run.path) in page


def test_the_folder_holds_everything_the_design_names(run):
    assert {path.name for path in run.path.iterdir()} >= FILES
    assert {path.name for path in (run.path / "figures").iterdir()} == {
        f"{name}.{ending}"
        for name in ("confusion_matrix", "loss", "accuracy", "f1", "curves")
        for ending in ("png", "svg")
    }


def test_metrics_stand_beside_the_baseline_with_intervals(run):
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert metrics == run.metrics
    for part in ("validation", "test", "baseline", "frozen_features"):
        assert metrics[part]["n"] == (16 if part == "validation" else 24)
        for name in METRICS:
            score = metrics[part][name]
            assert score["low"] <= score["value"] <= score["high"]
    assert metrics["test"]["accuracy"]["value"] > 0.6


def test_the_config_repeats_the_run(run, tmp_path):
    values = yaml.safe_load((run.path / "config.yaml").read_text())
    assert values["learning_rate"] == 5e-3
    again = train(recipe=run.path / "config.yaml", run_dir=tmp_path / "again")
    assert again.metrics == run.metrics
    np.testing.assert_array_equal(again.predict(["fine"]).probabilities, run.predict(["fine"]).probabilities)


def test_environment_and_data_are_on_record(run):
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["packages"]["torch"]
    data = json.loads((run.path / "data.json").read_text())
    assert data["splits"]["test"]["n"] == 24
    assert data["source"] == "file"


def test_predictions_are_what_the_saved_classifier_says(run):
    table = pq.read_table(run.path / "predictions.parquet").to_pylist()
    rows = [row for row in table if row["split"] == "test" and row["predictor"] == "classifier"]
    said = load(run.path).predict([row["text"] for row in rows])
    np.testing.assert_allclose(said.probabilities[:, 1], [row["probability_positive"] for row in rows], atol=1e-6)
    assert {row["predictor"] for row in table} == {"classifier", "tfidf", "frozen_features"}


def test_one_record_per_text(run):
    (record,) = load(run.path / "model").predict(["The film was wonderful."])
    assert set(record) == {"text", "label", "score", "probabilities"}
    assert record["score"] == record["probabilities"][record["label"]]
    assert sum(record["probabilities"].values()) == pytest.approx(1)


def test_evaluating_a_run_gives_its_own_scores(run):
    again = evaluate(run.path)
    assert again.metrics == run.metrics["test"]
    assert again.baselines["tfidf"] == run.metrics["baseline"]
    assert evaluate(run.path, split="validation").metrics == run.metrics["validation"]


def test_evaluating_on_other_data_leaves_scores_and_pictures(run, tiny_csv):
    result = evaluate(run.path, tiny_csv)
    assert result.metrics["n"] == 120
    assert result.folder.parent == run.path / "evaluations"
    assert evaluate(run.path, tiny_csv, split="validation").folder != result.folder
    saved = json.loads((result.folder / "metrics.json").read_text())
    assert saved["test"] == result.metrics
    assert (result.folder / "figures" / "confusion_matrix.png").stat().st_size > 5_000


def test_files_are_predicted_in_order(run, tiny_csv, tmp_path):
    said = predict_file(run.path, input=tiny_csv, output=tmp_path / "said.jsonl")
    records = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert [record["text"] for record in records] == said.texts
    assert len(records) == 120


def test_three_classes_need_no_flag(three_classes, tiny_encoder, tmp_path):
    run = train(three_classes, encoder=str(tiny_encoder), run_dir=tmp_path / "run", epochs=1)
    assert run.metrics["test"].keys() >= METRICS | {"f1_weighted", "precision_weighted", "recall_weighted"}
    assert run.predict(["dreadful"]).label_names == ("complaint", "praise", "question")
    assert evaluate(run.path, three_classes).metrics["n"] == 90


def test_the_original_project_s_recipe_runs_on_a_distilbert_folder(tiny_csv, tiny_encoder, tmp_path):
    run = train(
        tiny_csv,
        recipe="recipes/imdb-distilbert.yaml",
        encoder=str(tiny_encoder),
        run_dir=tmp_path / "run",
        train_size=64,
        validation_size=16,
        test_size=24,
    )
    assert (run.settings.training.learning_rate, run.settings.training.batch_size) == (5e-5, 32)
    assert "frozen_features" not in run.metrics
    config = json.loads((run.path / "model" / "config.json").read_text())
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    texts = ["The film was wonderful.", "dreadful, clumsy and cold", "seat 4. " * 300]
    theirs = pipeline("text-classification", model=str(run.path / "model"), truncation=True, top_k=None)(texts)
    for row, scores in zip(run.predict(texts).probabilities, theirs, strict=True):
        by_label = {score["label"]: score["score"] for score in scores}
        np.testing.assert_allclose([by_label["negative"], by_label["positive"]], row, atol=1e-5)


def test_the_linear_baseline_is_a_full_citizen(tiny_csv, tmp_path):
    run = train(tiny_csv, encoder="tfidf", run_dir=tmp_path / "run", test_size=24)
    assert run.metrics["test"] == run.metrics["baseline"]
    assert run.metrics["test"]["accuracy"]["value"] > 0.8
    assert {path.name for path in run.path.iterdir()} >= FILES
    assert (run.path / "history.jsonl").read_text() == ""
    assert load(run.path).predict(["wonderful"])[0]["label"] == "positive"
    assert evaluate(run.path, tiny_csv).metrics["n"] == 120


def test_so_is_the_nb_weighted_one_with_the_baseline_beside_it(tiny_csv, tmp_path):
    run = train(tiny_csv, encoder="nblr", run_dir=tmp_path / "run", test_size=24)
    assert run.metrics["test"]["log_loss"] != run.metrics["baseline"]["log_loss"]
    assert run.metrics["test"]["accuracy"]["value"] > 0.8
    assert {path.name for path in run.path.iterdir()} >= FILES
    assert {path.name for path in run.path.glob("model/nblr.*")} == {"nblr.json", "nblr.safetensors"}
    assert "`nblr.safetensors` the weights" in (run.path / "model" / "README.md").read_text()
    again = evaluate(run.path)
    assert again.metrics == run.metrics["test"]
    assert again.baselines["tfidf"] == run.metrics["baseline"]
    np.testing.assert_array_equal(load(run.path).predict(run.test.texts).probabilities, run.test.probabilities)
    (explanation,) = explain(run.path, ["a wonderful film"])
    assert explanation.method == "linear"


def test_texts_come_in_any_kind_of_row(run):
    texts = ["The film was wonderful.", "dreadful"]
    expected = run.predict(texts).probabilities
    classifier = load(run.path)
    for given in (tuple(texts), np.array(texts), np.array(texts, dtype=object)):
        np.testing.assert_array_equal(classifier.predict(given).probabilities, expected)
    for given, part in ((["a", None], "got NoneType"), ("one text", "list of strings"), (np.zeros((2, 2)), "one-dim")):
        with pytest.raises(DataError, match=part):
            classifier.predict(given)
    assert len(classifier.predict([])) == 0


def test_twenty_rare_labels(tmp_path):
    path = tmp_path / "many.csv"
    lines = [f"word{label} seat {row},label {label}" for label in range(20) for row in range(5)]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    run = train(path, encoder="tfidf", run_dir=tmp_path / "run")
    assert len(run.predict(["word3"]).label_names) == 20
    assert (run.path / "figures" / "confusion_matrix.png").is_file()


def test_evaluating_on_texts_that_were_trained_on_is_said(run, tiny_csv, caplog):
    with caplog.at_level(logging.WARNING, logger="matinee"):
        result = evaluate(run.path, tiny_csv)
    assert result.seen == 80
    assert "80 of the 120 texts" in caplog.text
    assert json.loads((result.folder / "metrics.json").read_text())["seen_in_training"] == 80


@pytest.mark.parametrize(
    ("values", "error", "part"),
    [
        ({"data": None}, SettingsError, "Nothing to learn from"),
        ({"data": "nowhere.csv"}, DataError, "nowhere.csv"),
        ({"encoder": "distillbert"}, NotAvailableError, "Did you mean 'distilbert'"),
        ({"recipe": "imdb-minilim"}, SettingsError, "Did you mean 'imdb-minilm'"),
        ({"max_length": 1024}, SettingsError, "--max-length must be at most 512"),
        ({"train_size": 5000}, DataError, "5,000"),
        ({"epoch": 3}, SettingsError, "Did you mean 'epochs'"),
    ],
)
def test_what_is_wrong_is_said_before_a_folder_is_made(values, error, part, tiny_csv, tiny_encoder, tmp_path):
    arguments = {"data": tiny_csv, "encoder": str(tiny_encoder), "run_dir": tmp_path / "run", **values}
    with pytest.raises(error) as caught:
        train(**arguments)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_kept_unless_overwritten(run, tiny_csv):
    with pytest.raises(RunError, match="--overwrite"):
        train(tiny_csv, encoder="tfidf", run_dir=run.path)
    with pytest.raises(RunError, match="nothing to resume"):
        resume(run.path)
    assert (run.path / "manifest.json").is_file()


def test_a_recipe_that_is_no_recipe(tmp_path):
    for content, part in (("- a\n", "must hold settings"), ("a: [\n", "not valid YAML (line"), ("epohcs: 3", "epochs")):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(content)
        with pytest.raises(SettingsError) as caught:
            train("imdb", recipe=recipe)
        assert part in str(caught.value)


def test_calibration_mends_log_loss_and_changes_no_answer(run):
    """The weights hold the temperature: dividing it out again gives what the fine-tuned classifier said at first."""
    from matinee.evaluation import fit_temperature, temper
    from matinee.model.artifact import ClassifierInfo

    temperature = ClassifierInfo.read(run.path / "model").temperature
    stored = read_predictions(run.path / "predictions.parquet")["validation", "classifier"]
    raw = temper(stored.probabilities, 1 / temperature)
    assert fit_temperature(raw, stored.labels) == pytest.approx(temperature, rel=1e-3)
    assert (raw.argmax(axis=1) == stored.predicted).all()
    np.testing.assert_allclose(load(run.path).predict(stored.texts).probabilities, stored.probabilities, atol=1e-5)


def test_without_calibration_the_weights_are_left_alone(tiny_csv, tmp_path):
    train(tiny_csv, encoder="tfidf", calibration="none", run_dir=tmp_path / "raw", test_size=24, validation_size=16)
    train(tiny_csv, encoder="tfidf", run_dir=tmp_path / "mended", test_size=24, validation_size=16)
    saved = {name: json.loads((tmp_path / name / "model" / "matinee.json").read_text()) for name in ("raw", "mended")}
    assert saved["raw"]["temperature"] == 1
    assert saved["mended"]["temperature"] != 1
    texts = ["the film was wonderful", "the plot was dreadful"]
    one, other = (load(tmp_path / name).predict(texts) for name in ("raw", "mended"))
    assert one.predicted.tolist() == other.predicted.tolist()
    assert not np.allclose(one.probabilities, other.probabilities)


def test_a_threshold_is_chosen_saved_and_obeyed(tiny_csv, tmp_path):
    small = {"encoder": "tfidf", "test_size": 24, "validation_size": 16}
    found = train(tiny_csv, optimise="precision@1.0", run_dir=tmp_path / "run", **small)
    threshold = json.loads((tmp_path / "run" / "model" / "matinee.json").read_text())["threshold"]
    validation = read_predictions(tmp_path / "run" / "predictions.parquet")["validation", "classifier"]
    assert validation.threshold == threshold
    assert (validation.predicted[validation.labels == 1] == 1).all(), "every positive text is found, as was asked"
    said = load(tmp_path / "run").predict(found.test.texts)
    assert said.predicted.tolist() == (said.probabilities[:, 1] >= threshold).tolist()


def test_a_threshold_needs_two_labels_and_a_known_objective(three_classes, tmp_path):
    with pytest.raises(SettingsError, match="--optimise needs two labels"):
        train(three_classes, encoder="tfidf", optimise="f1", run_dir=tmp_path / "run")
    with pytest.raises(SettingsError, match="must be f1, balanced_accuracy or precision@R"):
        train(three_classes, encoder="tfidf", optimise="recall", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class TestAbstaining:
    TEXTS = ("the film was wonderful", "the plot was dreadful", "we had good seats")

    def test_below_a_probability(self, run):
        records = load(run.path).predict(self.TEXTS, abstain_below=0.999999).records()
        assert {record["label"] for record in records} == {"uncertain"}

    def test_by_a_target_chosen_on_validation(self, run):
        from matinee.evaluation import threshold_for_accuracy
        from matinee.model.artifact import read_validation

        validation = read_validation(run.path / "model")
        limit = threshold_for_accuracy(validation, 0.3)
        if limit is None:
            with pytest.raises(SettingsError, match="do not show"):
                load(run.path).predict(self.TEXTS, target_accuracy=0.3)
        else:
            assert load(run.path).predict(self.TEXTS, target_accuracy=0.3).abstain_below == limit

    def test_a_target_out_of_reach_is_told(self, run):
        with pytest.raises(SettingsError, match="16 validation texts"):
            load(run.path).predict(self.TEXTS, target_accuracy=0.9999)

    def test_sets_with_too_few_validation_texts_hold_every_label(self, run, caplog):
        with caplog.at_level(logging.WARNING, "matinee"):
            (record, *_) = load(run.path).predict(self.TEXTS, coverage=0.99).records()
        assert len(record["set"]) == 2
        assert "too few for sets" in caplog.text

    @pytest.mark.parametrize("policy", [{"abstain_below": 1.5}, {"coverage": 0.0}, {"target_accuracy": 1}])
    def test_numbers_out_of_range(self, run, policy):
        with pytest.raises(SettingsError, match="must lie between 0 and 1"):
            load(run.path).predict(self.TEXTS, **policy)

    def test_two_limits_at_once(self, run):
        with pytest.raises(SettingsError, match="give one of them"):
            load(run.path).predict(self.TEXTS, abstain_below=0.7, target_accuracy=0.9)


class TestReport:
    def test_what_it_is_made_from_is_kept_too(self, run):
        analysis = json.loads((run.path / "analysis.json").read_text(encoding="utf-8"))
        assert set(analysis) == {
            "calibration",
            "coverage",
            "conformal",
            "slices",
            "causes",
            "mistakes",
            "explanations",
            "checks",
        }
        after = analysis["calibration"]["after"]["ece"]["value"]
        assert after == pytest.approx(run.metrics["test"]["ece"]["value"])
        assert json.loads((run.path / "audit.json").read_text(encoding="utf-8"))["classes"]

    def test_the_page_tells_the_scores(self, run):
        page = (run.path / "report.html").read_text(encoding="utf-8")
        assert f"{run.metrics['test']['accuracy']['value']:.3f}" in page
        assert "<script>alert" not in page

    def test_written_anew_it_is_in_the_manifest(self, tiny_csv, tmp_path):
        train(tiny_csv, encoder="tfidf", run_dir=tmp_path / "run", test_size=24, validation_size=16)
        path = tmp_path / "run" / "report.html"
        path.unlink()
        assert report(tmp_path / "run").path == path
        manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["files"]["report.html"]["bytes"] == path.stat().st_size
        assert report(tmp_path / "run", output=tmp_path / "other.html").path == tmp_path / "other.html"

    def test_a_folder_that_is_no_run(self, tmp_path):
        with pytest.raises(RunError, match="no run folder"):
            report(tmp_path / "nothing")

    def test_slices_of_your_own_and_markup_in_texts(self, tmp_path):
        path = tmp_path / "own.csv"
        bad, good = '"<script>alert(1)</script> a bad seat {n}",bad', '"a good seat {n}",good'
        rows = [line.format(n=n) for n in range(40) for line in (bad, good)]
        path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
        found = train(path, encoder="tfidf", slices={"ends in 1": "1$"}, run_dir=tmp_path / "run")
        analysis = json.loads((found.path / "analysis.json").read_text(encoding="utf-8"))
        assert "own:ends in 1" in [row["name"] for row in analysis["slices"]["rows"]]
        assert "<script>alert(1)" not in (found.path / "report.html").read_text(encoding="utf-8")


def test_next_to_no_validation_texts_calibrate_nothing(tiny_csv, tmp_path, caplog):
    with caplog.at_level("INFO", logger="matinee"):
        train(tiny_csv, encoder="tfidf", run_dir=tmp_path / "run", test_size=24, validation_size=6)
    assert "Not calibrated: 6 validation texts are too few" in caplog.text
    analysis = json.loads((tmp_path / "run" / "analysis.json").read_text(encoding="utf-8"))
    assert analysis["calibration"]["reason"] == "6 validation texts are too few to calibrate on."
