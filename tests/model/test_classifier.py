"""The classifier against its reference: plain transformers."""

from __future__ import annotations

import json
import re
import runpy

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from matinee.core.errors import NotAvailableError, RunError, SettingsError
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.inference.backends.torch import TorchPredictor
from matinee.model.artifact import ClassifierInfo, save_classifier, write_card
from matinee.model.classifier import MeanPooledClassifier, build_classifier, longest_input
from matinee.model.load import load_classifier, load_tokenizer, prepare_texts
from matinee.report import model_card

LABELS = ("bad", "so-so", "good")
TEXTS = ["The film was wonderful.", "dreadful", "", "👍 très bien, 映画", "seat 4. " * 60]


def built(folder, **values):
    torch.manual_seed(0)
    return build_classifier(folder, ModelSettings(**values), LABELS).eval()


@pytest.fixture(params=["mean", "cls"])
def saved(request, tiny_encoder, tmp_path):
    """A classifier with a random head, and the folder that it was saved in."""
    head = {"mean": "fitted", "cls": "random"}[request.param]
    model = built(tiny_encoder, pooling=request.param, head=head)
    tokenizer = load_tokenizer(tiny_encoder)
    preparation = prepare_texts(tokenizer, TextSettings(max_length=64, truncation="head"))
    info = ClassifierInfo("transformer", "tiny", LABELS, request.param, preparation.settings)
    save_classifier(tmp_path / "model", model, preparation, tokenizer, info)
    return TorchPredictor(model, preparation, LABELS), tmp_path / "model"


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


def test_the_readme_s_code_gives_the_same_probabilities(saved, monkeypatch, capsys):
    predictor, folder = saved
    pooling = json.loads((folder / "matinee.json").read_text())["pooling"]
    settings = resolve(Layer({"data": "x", "pooling": pooling, "head": "random", "truncation": "head"}))
    score = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("accuracy", "f1", "precision", "recall")}
    score |= {name: {"value": None, "low": None, "high": None} for name in ("roc_auc", "log_loss", "brier", "ece")}
    write_card(folder, model_card(settings, {"test": {"n": 5, **score}, "baseline": {"n": 5, **score}}, LABELS))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| accuracy | 0.500 [0.400, 0.600] |" in card
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[1]
    monkeypatch.chdir(folder)
    script = folder.parent / "readme.py"
    script.write_text(code, encoding="utf-8")
    runpy.run_path(str(script))
    printed = capsys.readouterr().out
    (ours,) = predictor.probabilities(["your own sentence"])
    numbers = [float(number) for number in re.findall(r"0\.\d+", printed)]
    if pooling == "mean":
        np.testing.assert_allclose(numbers, ours, atol=1e-5)
    else:
        assert LABELS[ours.argmax()] in printed
        np.testing.assert_allclose(numbers, [ours.max()], atol=1e-5)


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
