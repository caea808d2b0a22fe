"""A whole run on texts with windows: what it leaves, what it says of itself, and what can be done with it."""

from __future__ import annotations

import csv
import json
import re
import runpy
from itertools import pairwise

import numpy as np
import pytest
import yaml

from matinee.core.errors import InterruptedTrainingError, SettingsError
from matinee.evaluation import read_predictions
from matinee.inference.explain import choose_method
from matinee.inference.explain import explain as explain_texts
from matinee.workflow import audit, evaluate, load, resume, train

SMALL = {
    "epochs": 1,
    "batch_size": 8,
    "max_length": 24,
    "long": "windows",
    "max_windows": 3,
    "train_size": 40,
    "test_size": 24,
    "validation_size": 24,
}
# 3 windows of 22 tokens, and two special ones.
READ = 68
LONG = "The film was wonderful. " * 2_500


@pytest.fixture(scope="module")
def long_csv(tiny_rows, tmp_path_factory):
    """The tiny corpus, with an empty-looking text and one of ten thousand words among the last ones."""
    path = tmp_path_factory.mktemp("long") / "reviews.csv"
    rows = [*tiny_rows[:-2], ("<br />", "negative"), (LONG, "positive")]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def run(long_csv, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(long_csv, encoder=str(tiny_encoder), run_dir=folder, window_pooling="attention", **SMALL)


@pytest.fixture(scope="module")
def own_head(long_csv, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "cls"
    values = {"pooling": "cls", "head": "random", "window_pooling": "max", **SMALL}
    return train(long_csv, encoder=str(tiny_encoder), run_dir=folder, **values)


@pytest.fixture(params=["run", "own_head"])
def either(request):
    return request.getfixturevalue(request.param)


def test_what_is_loaded_says_what_was_said(either):
    said = read_predictions(either.path / "predictions.parquet")["test", "classifier"]
    again = load(either.path).predict(said.texts)
    np.testing.assert_allclose(again.probabilities, said.probabilities, atol=1e-6)
    assert yaml.safe_load((either.path / "config.yaml").read_text())["long"] == "windows"
    assert json.loads((either.path / "model" / "matinee.json").read_text())["text"]["max_windows"] == 3


def test_evaluating_again_gives_the_same_scores(run, long_csv):
    found = evaluate(run.path, data=long_csv)
    assert found.metrics["n"] > 24


def test_the_empty_text_and_ten_thousand_words_are_answered(either):
    said = either.predict(["", LONG, "<br />"]).probabilities
    np.testing.assert_allclose(said.sum(axis=1), 1)
    np.testing.assert_allclose(said[0], said[2], atol=1e-6)


def test_it_is_calibrated(run):
    analysis = json.loads((run.path / "analysis.json").read_text())
    assert analysis["calibration"]["fitted_on"]["n"] == 24


def test_what_reports_call_cut_is_what_is_not_read(run, long_csv):
    lengths = read_predictions(run.path / "predictions.parquet")["test", "classifier"].token_lengths
    assert lengths.max() > 24, "texts beyond one window are the point here"
    facts = json.loads((run.path / "audit.json").read_text())["truncation"]
    assert facts["max_length"] == READ
    plain = audit(long_csv, encoder=run.settings.model.encoder, max_length=24).summary["truncation"]
    assert plain["texts"] > 0.1 > facts["texts"]
    # More than 24 tokens are another window, not a cut.
    analysis = (run.path / "analysis.json").read_text()
    assert "cut to 68 tokens" in analysis
    assert "cut to 24 tokens" not in analysis


def test_explanations_are_by_occlusion(either):
    predictor = load(either.path).predictor
    assert choose_method(predictor) == "occlusion"
    with pytest.raises(SettingsError, match="needs a classifier that reads a text at once"):
        choose_method(predictor, "integrated_gradients")
    text = "the film was dreadful. " * 12
    (found,) = explain_texts(predictor, [text], most_passes=16)
    read = [word.read for word in found.words]
    assert all(read)
    (longer,) = explain_texts(predictor, [text * 3], most_passes=16)
    unread = [word.read for word in longer.words]
    # Three windows, and a gap after the first and the second.
    assert unread[0]
    assert unread[-1]
    assert sum(before and not after for before, after in pairwise(unread)) == 2


def test_the_readme_s_code_says_the_same_of_short_and_long_texts(either, monkeypatch, tmp_path):
    card = (either.path / "model" / "README.md").read_text(encoding="utf-8")
    assert f"Of a text of more than {READ} tokens it reads 3 windows of 24 tokens, spread evenly over it" in card
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[-1]
    (tmp_path / "readme.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(either.path / "model")
    classify = runpy.run_path(str(tmp_path / "readme.py"))["classify"]
    predictor = load(either.path).predictor
    for text in ("the film was wonderful", "", "the plot was boring. " * 7, "seat 4. " * 400):
        np.testing.assert_allclose(list(classify(text).values()), predictor.probabilities([text])[0], atol=1e-5)


def test_an_interrupted_run_goes_on_with_its_windows(run, long_csv, tiny_encoder, tmp_path, monkeypatch):
    values = {"window_pooling": "attention", **SMALL}
    folder = tmp_path / "cut"
    with monkeypatch.context() as patched:
        patched.setattr("matinee.workflow.fitting._save_tuned", interrupt)
        with pytest.raises(InterruptedTrainingError):
            train(long_csv, encoder=str(tiny_encoder), run_dir=folder, **values)
    resumed = resume(folder)
    assert resumed.metrics == run.metrics


def interrupt(*_):
    raise KeyboardInterrupt
