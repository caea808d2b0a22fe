"""The back end as the commands and the Python API have it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import matinee
from matinee.cli.main import run as command
from matinee.core.errors import RunError, SettingsError
from matinee.core.types import Predictions
from matinee.inference.backends.onnx import OnnxPredictor
from matinee.inference.backends.torch import TorchPredictor
from matinee.model.artifact import write_validation
from matinee.model.exported import ExportInfo

TEXTS = ["The plot was warm.", "The lead was dreadful."]


@pytest.fixture
def labelled(tmp_path, tiny_rows):
    path = tmp_path / "labelled.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *tiny_rows[:20]])
    return path


def test_predict_takes_a_back_end_and_says_which_one_answers(run, exported, reference, capsys):
    folder = exported("onnx-fp32")
    assert command(["predict", str(run.path), TEXTS[0], "--json", "--backend", "onnx"]) == 0
    printed = capsys.readouterr()
    assert f"Answering with {folder}" in printed.err
    said = json.loads(printed.out)["probabilities"]
    np.testing.assert_allclose(list(said.values()), reference.probabilities(TEXTS[:1])[0], atol=1e-5)
    assert command(["predict", str(run.path), TEXTS[0], "--json", "--backend", "torch"]) == 0
    assert "Answering" not in capsys.readouterr().err
    assert command(["predict", str(run.path), TEXTS[0], "--backend", "openvino"]) == 2
    assert "Make one: matinee export" in capsys.readouterr().err


def test_python_takes_a_back_end(run, exported):
    exported("onnx-fp32")
    assert isinstance(matinee.load(run.path).predictor, OnnxPredictor)
    assert isinstance(matinee.load(run.path, backend="torch").predictor, TorchPredictor)
    fast, slow = (matinee.predict(run.path, TEXTS, backend=name) for name in ("onnx", "torch"))
    np.testing.assert_allclose(fast.probabilities, slow.probabilities, atol=1e-5)
    with pytest.raises(SettingsError, match="Unknown --backend"):
        matinee.predict(run.path, TEXTS, backend="tensorrt")


def test_limits_are_chosen_by_the_answers_of_what_answers(run, exported):
    folder = exported("onnx-fp32")
    labels = np.array([0, 1] * 30)
    probabilities = np.where(np.eye(2)[labels] == 1, 0.75, 0.25)
    names = [str(row) for row in range(60)]
    write_validation(folder, Predictions(names, names, probabilities, ("negative", "positive"), labels))
    info = ExportInfo.read(folder)
    info.write(folder)
    said = matinee.load(run.path).predict(TEXTS, coverage=0.9)
    assert said.set_above == pytest.approx(0.75, abs=1e-6)
    with pytest.raises(RunError, match="holds no validation answers"):
        matinee.load(run.path, backend="torch").predict(TEXTS, coverage=0.9)


def test_evaluate_takes_a_back_end_and_writes_it_down(run, exported, labelled, tmp_path):
    exported("onnx-fp32")
    scores = {}
    for backend in ("auto", "torch"):
        result = matinee.evaluate(run.path, labelled, backend=backend, output=tmp_path / backend)
        scores[backend] = result.metrics
        saved = json.loads((tmp_path / backend / "metrics.json").read_text())
        assert saved["backend"] == {"auto": "onnx-fp32", "torch": "torch-fp32"}[backend]
    assert scores["auto"]["accuracy"] == scores["torch"]["accuracy"]
    assert scores["auto"]["log_loss"]["value"] == pytest.approx(scores["torch"]["log_loss"]["value"], abs=1e-4)


def test_stored_predictions_have_no_back_end(run):
    with pytest.raises(SettingsError, match="--backend needs DATA"):
        matinee.evaluate(run.path, backend="onnx")


def test_an_export_is_evaluated_from_its_own_folder(exported, labelled, tmp_path, capsys):
    folder = exported("openvino-fp32")
    assert command(["evaluate", str(folder), str(labelled), "--json", "--output", str(tmp_path / "scores")]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 20


def test_explanations_are_of_the_classifier_itself(run, exported):
    pytest.importorskip("captum")
    exported("onnx-fp32")
    (why,) = matinee.explain(run.path, TEXTS[:1])
    assert why.method == "integrated_gradients"
