"""The classifier against its reference: plain transformers."""

from __future__ import annotations

import json
import re
import runpy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from matinee.core.errors import NotAvailableError, RunError, SettingsError
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.core.types import Predictions
from matinee.inference import load_predictor
from matinee.inference.backends.torch import TorchPredictor
from matinee.model.artifact import ClassifierInfo, read_validation, save_classifier, write_card
from matinee.model.classifier import MeanPooledClassifier, build_classifier, divide_logits, longest_input
from matinee.model.load import load_classifier, load_tokenizer, prepare_texts
from matinee.report import model_card

LABELS = ("bad", "so-so", "good")
TEXTS = ["The film was wonderful.", "dreadful", "", "👍 très bien, 映画", "seat 4. " * 60]


def built(folder, **values):
    torch.manual_seed(0)
    return build_classifier(folder, ModelSettings(**values), LABELS).eval()


def save(tiny_encoder, folder, pooling, truncation="head"):
    """Return a predictor with a random head, and the folder that its classifier was saved in."""
    model = built(tiny_encoder, pooling=pooling, head={"mean": "fitted", "cls": "random"}[pooling])
    tokenizer = load_tokenizer(tiny_encoder)
    preparation = prepare_texts(tokenizer, TextSettings(max_length=64, truncation=truncation))
    info = ClassifierInfo("transformer", "tiny", LABELS, pooling, preparation.settings)
    save_classifier(folder / "model", model, preparation, tokenizer, info)
    return TorchPredictor(model, preparation, LABELS), folder / "model"


@pytest.fixture(params=["mean", "cls"])
def saved(request, tiny_encoder, tmp_path):
    return save(tiny_encoder, tmp_path, request.param)


def test_mean_pooling_leaves_padding_out(tiny_encoder):
    model = built(tiny_encoder)
    assert isinstance(model, MeanPooledClassifier)
    reference = AutoModel.from_pretrained(tiny_encoder).eval()
    short = torch.tensor([[2, 40, 41, 3]])
    padded = torch.tensor([[2, 40, 41, 3, 0, 0, 0]])
    with torch.no_grad():
        expected = reference(short).last_hidden_state.mean(dim=1)
        ours = model.features(padded, (padded != 0).long())
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)


def test_loss_is_the_cross_entropy_of_the_logits(tiny_encoder):
    model = built(tiny_encoder)
    ids, labels = torch.tensor([[2, 40, 3], [2, 41, 3]]), torch.tensor([2, 0])
    output = model(ids, torch.ones_like(ids), labels=labels)
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(output.logits, labels))


def test_cls_pooling_is_the_architecture_s_own_class(tiny_encoder):
    assert type(built(tiny_encoder, pooling="cls", head="random")).__name__ == "DistilBertForSequenceClassification"


def test_dropout_settings_reach_the_encoder(tiny_encoder):
    config = built(tiny_encoder, dropout=0.3, attention_dropout=0.05).config
    assert (config.dropout, config.attention_dropout) == (0.3, 0.05)
    assert built(tiny_encoder, dropout=0.3).dropout.p == 0.3
    untouched = built(tiny_encoder, attention_dropout=None).config
    assert (untouched.dropout, untouched.attention_dropout) == (0.1, 0.1)


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "mpnet"])
def test_logits_are_divided_in_every_architecture_s_own_head(kind):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model(kind, vocab_size=60, num_labels=3, pad_token_id=1, **sizes)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    ids = torch.tensor([[2, 40, 41, 3]])
    with torch.no_grad():
        before = model(ids).logits
        divide_logits(model, 4.0)
        torch.testing.assert_close(model(ids).logits, before / 4)


def test_a_model_without_a_last_layer_cannot_be_calibrated():
    model = torch.nn.Sequential(torch.nn.Linear(4, 7))
    model.config = AutoConfig.for_model("bert", num_labels=2)
    with pytest.raises(SettingsError, match="--calibration none"):
        divide_logits(model, 2.0)


def test_validation_answers_and_threshold_are_saved_with_the_classifier(tiny_encoder, tmp_path):
    tokenizer = load_tokenizer(tiny_encoder)
    preparation = prepare_texts(tokenizer, TextSettings(max_length=64))
    info = ClassifierInfo("transformer", "tiny", ("bad", "good"), "mean", preparation.settings, 1.7, 0.25)
    model = build_classifier(tiny_encoder, ModelSettings(), ("bad", "good"))
    said = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    validation = Predictions(["a", "b", "c"], ["x", "y", "z"], said, ("bad", "good"), np.array([0, 1, 1]))
    save_classifier(tmp_path / "model", model, preparation, tokenizer, info, validation)
    assert ClassifierInfo.read(tmp_path / "model") == info
    read = read_validation(tmp_path / "model")
    assert sorted(zip(read.probabilities[:, 1], read.labels, strict=True)) == [(0.1, 0), (0.3, 1), (0.8, 1)]
    assert read.predicted.tolist() == (read.probabilities[:, 1] >= 0.25).tolist()
    assert load_predictor(tmp_path / "model").threshold == 0.25
    (tmp_path / "model" / "validation.json").write_text("{}")
    with pytest.raises(RunError, match="validation.json is damaged"):
        read_validation(tmp_path / "model")


def test_what_is_saved_loads_and_says_the_same(saved):
    predictor, folder = saved
    loaded = load_classifier(folder)
    assert loaded.label_names == LABELS
    assert loaded.preparation.settings == predictor.preparation.settings
    again = TorchPredictor(loaded.model, loaded.preparation, loaded.label_names)
    np.testing.assert_array_equal(again.probabilities(TEXTS), predictor.probabilities(TEXTS))


def test_no_file_is_a_pickle(saved):
    _, folder = saved
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".txt", ".jinja"}


def test_plain_transformers_open_the_folder(saved):
    predictor, folder = saved
    if json.loads((folder / "matinee.json").read_text())["pooling"] == "mean":
        pytest.skip("mean pooling is more than its configuration can say: see the next test")
    classify = pipeline("text-classification", model=str(folder), top_k=None, truncation=True)
    for text, ours in zip(TEXTS, predictor.probabilities(TEXTS), strict=True):
        theirs = {row["label"]: row["score"] for row in classify([text])[0]}
        np.testing.assert_allclose([theirs[label] for label in LABELS], ours, atol=1e-5)


@pytest.mark.parametrize("truncation", ["head", "tail", "head+tail"])
def test_the_readme_s_code_says_the_same_of_short_and_long_texts(
    tiny_encoder, tmp_path, truncation, monkeypatch, capsys
):
    predictor, folder = save(tiny_encoder, tmp_path, "mean", truncation)
    (code,) = code_in_card(folder, "mean", truncation)
    monkeypatch.chdir(folder)
    namespace = runpy.run_path(str(script(tmp_path, code)))
    for text in ("the film was wonderful", "seat 4. " * 100):
        np.testing.assert_allclose(
            list(namespace["classify"](text).values()), predictor.probabilities([text])[0], atol=1e-5
        )
    assert "so-so" in capsys.readouterr().out


def test_the_readme_s_pipeline_says_the_same(tiny_encoder, tmp_path, monkeypatch, capsys):
    predictor, folder = save(tiny_encoder, tmp_path, "cls", "head")
    (code,) = code_in_card(folder, "cls", "head")
    monkeypatch.chdir(folder)
    runpy.run_path(str(script(tmp_path, code)))
    (ours,) = predictor.probabilities(["your own sentence"])
    printed = capsys.readouterr().out
    assert LABELS[ours.argmax()] in printed
    np.testing.assert_allclose(float(re.search(r"0\.\d+", printed)[0]), ours.max(), atol=1e-5)


def code_in_card(folder, pooling, truncation):
    """Write the folder's README and return its code without matinee."""
    values = {"data": "x", "pooling": pooling, "head": "random", "truncation": truncation, "max_length": 64}
    score = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("accuracy", "f1", "precision", "recall")}
    score |= {"roc_auc": {"value": None, "low": None, "high": None}, "ece": {"value": 0.25, "low": None, "high": None}}
    score |= {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("log_loss", "brier")}
    scores = {"test": {"n": 5, **score}, "baseline": {"n": 5, **score}}
    write_card(folder, model_card(resolve(Layer(values)), scores, LABELS))
    card = (folder / "README.md").read_text(encoding="utf-8")
    for row in ("| accuracy | 0.500 [0.400, 0.600] |", "| roc_auc | – |", "| ece | 0.250 |"):
        assert row in card
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)[1:]


def script(folder, code):
    path = folder / "readme.py"
    path.write_text(code, encoding="utf-8")
    return path


def test_any_hugging_face_classifier_is_a_classifier(tiny_encoder, tmp_path):
    config = AutoConfig.from_pretrained(tiny_encoder, num_labels=2, id2label={0: "no", 1: "yes"})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.label_names == ("no", "yes")
    assert loaded.preparation.settings.max_length == 512


def test_an_encoder_alone_is_no_classifier(tiny_encoder):
    with pytest.raises(RunError, match="is not a classifier: it holds DistilBertForMaskedLM"):
        load_classifier(tiny_encoder)


def test_damage_is_one_line(saved):
    _, folder = saved
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(NotAvailableError, match="cannot be loaded"):
        load_classifier(folder)
    (folder / "matinee.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        load_classifier(folder)


def test_half_a_classifier_is_no_classifier(saved):
    _, folder = saved
    if (folder / "head.safetensors").exists():
        (folder / "head.safetensors").unlink()
        error, part = RunError, "head.safetensors is missing"
    else:
        weights = load_file(folder / "model.safetensors")
        save_file({name: w for name, w in weights.items() if "classifier" not in name}, folder / "model.safetensors")
        error, part = NotAvailableError, "lacks weights that the classifier needs, classifier.bias"
    with pytest.raises(error, match=part):
        load_classifier(folder)


def test_a_newer_format_is_named(saved):
    _, folder = saved
    info = json.loads((folder / "matinee.json").read_text())
    (folder / "matinee.json").write_text(json.dumps({**info, "format": 99}))
    with pytest.raises(RunError, match="install a newer matinee"):
        load_classifier(folder)


def test_positions_are_counted_as_each_architecture_does(tiny_encoder):
    from transformers import MPNetConfig, RobertaConfig

    assert longest_input(AutoConfig.from_pretrained(tiny_encoder)) == 512
    assert longest_input(RobertaConfig(max_position_embeddings=514)) == 512
    assert longest_input(MPNetConfig(max_position_embeddings=514)) == 512


def test_dropout_that_an_encoder_has_not_is_refused(tiny_encoder, monkeypatch):
    from matinee.model import classifier

    monkeypatch.setattr(classifier, "_HIDDEN_DROPOUT", ("no_such_name",))
    with pytest.raises(SettingsError, match="--dropout cannot be set for a distilbert encoder"):
        built(tiny_encoder, dropout=0.5)
