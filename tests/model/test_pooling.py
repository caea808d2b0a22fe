"""Attention pooling and the head under several dropout masks, against their definitions."""

from __future__ import annotations

import re
import runpy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from matinee.core.errors import RunError, SettingsError
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.inference.backends.torch import TorchPredictor
from matinee.model.artifact import ClassifierInfo, save_classifier
from matinee.model.classifier import MeanPooledClassifier, build_classifier
from matinee.model.load import load_classifier, load_tokenizer, prepare_texts
from matinee.model.precision import autocast
from matinee.report import model_card

LABELS = ("bad", "so-so", "good")
TEXTS = ["The film was wonderful.", "dreadful", "", "seat 4. " * 60]
IDS = torch.tensor([[2, 40, 41, 3, 0, 0], [2, 60, 61, 62, 63, 3]])
MASK = (IDS != 0).long()


def built(folder, **values):
    torch.manual_seed(0)
    return build_classifier(folder, ModelSettings(**values), LABELS).eval()


def attentive(folder):
    """Return a classifier whose query has learned something."""
    model = built(folder, pooling="attention")
    with torch.no_grad():
        model.query.normal_(std=0.5)
    return model


def test_a_new_query_gives_the_mean(tiny_encoder):
    with torch.no_grad():
        mean, weighted = (built(tiny_encoder, pooling=pooling)(IDS, MASK).logits for pooling in ("mean", "attention"))
    torch.testing.assert_close(weighted, mean, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_tokens_are_weighted_by_the_softmax_of_their_products_with_the_query(tiny_encoder, precision):
    model, reference = attentive(tiny_encoder), AutoModel.from_pretrained(tiny_encoder).eval()
    with torch.no_grad(), autocast(torch.device("cpu"), precision):
        ours = model.features(IDS, MASK)
        for row, features in zip(IDS, ours, strict=True):
            hidden = reference(row[row != 0][None]).last_hidden_state[0].float().numpy()
            weights = np.exp(hidden @ model.query.numpy())
            expected = (weights[:, None] * hidden).sum(axis=0) / weights.sum()
            np.testing.assert_allclose(features.numpy(), expected, atol=1e-5 if precision == "fp32" else 0.05)


def test_the_query_learns(tiny_encoder):
    model = built(tiny_encoder, pooling="attention")
    model(IDS, MASK, labels=torch.tensor([0, 2])).loss.backward()
    assert model.query.grad.abs().max() > 1e-6


def save(folder, tiny_encoder):
    model, tokenizer = attentive(tiny_encoder), load_tokenizer(tiny_encoder)
    preparation = prepare_texts(tokenizer, TextSettings(max_length=64, truncation="head"))
    info = ClassifierInfo("transformer", "tiny", LABELS, "attention", preparation.settings)
    save_classifier(folder, model, preparation, tokenizer, info)
    return TorchPredictor(model, preparation, LABELS)


def test_what_is_saved_loads_and_says_the_same_and_so_does_the_readme_s_code(
    tiny_encoder, tmp_path, monkeypatch, capsys
):
    predictor = save(tmp_path / "model", tiny_encoder)
    said = predictor.probabilities(TEXTS)
    loaded = load_classifier(tmp_path / "model")
    again = TorchPredictor(loaded.model, loaded.preparation, loaded.label_names)
    np.testing.assert_array_equal(again.probabilities(TEXTS), said)
    settings = resolve(Layer({"data": "x", "pooling": "attention", "truncation": "head", "max_length": 64}))
    card = model_card(settings, {}, LABELS)
    assert "cannot express attention pooling" in card
    (tmp_path / "readme.py").write_text(re.findall(r"```python\n(.*?)```", card, re.DOTALL)[-1], encoding="utf-8")
    monkeypatch.chdir(tmp_path / "model")
    classify = runpy.run_path(str(tmp_path / "readme.py"))["classify"]
    for text in ("the film was wonderful", "seat 4. " * 100):
        np.testing.assert_allclose(list(classify(text).values()), predictor.probabilities([text])[0], atol=1e-5)
    assert "so-so" in capsys.readouterr().out


def test_a_head_without_its_query_is_damage(tiny_encoder, tmp_path):
    save(tmp_path / "model", tiny_encoder)
    path = tmp_path / "model" / "head.safetensors"
    save_file({name: of for name, of in load_file(path).items() if name != "query"}, path)
    with pytest.raises(RunError, match="head.safetensors is missing or damaged"):
        load_classifier(tmp_path / "model")


def test_the_head_sees_several_masks_in_training_and_none_in_use(tiny_encoder):
    model = built(tiny_encoder, multi_sample_dropout=3, dropout=0.5)
    assert model(IDS, MASK).logits.shape == (2, 3)
    model.encoder.eval()
    model.dropout.train()
    model.training = True
    labels = torch.tensor([0, 2])
    torch.manual_seed(1)
    ours = model(IDS, MASK, labels=labels)
    assert ours.logits.shape == (2, 9)
    torch.manual_seed(1)
    features = model.features(IDS, MASK)
    each = [model.head(model.dropout(features)) for _ in range(3)]
    assert not torch.equal(each[0], each[1])
    torch.testing.assert_close(ours.logits, torch.cat(each, dim=1))
    losses = [torch.nn.functional.cross_entropy(logits, labels) for logits in each]
    torch.testing.assert_close(ours.loss, torch.stack(losses).mean())


def test_an_encoder_without_dropout_of_its_own_has_no_masks_to_offer(tiny_encoder, monkeypatch):
    from matinee.model import classifier

    monkeypatch.setattr(classifier, "hidden_dropout", lambda config: 0.0)
    with pytest.raises(SettingsError, match="--multi-sample-dropout needs dropout, and this encoder has none"):
        built(tiny_encoder, multi_sample_dropout=2)


def test_pooling_by_attention_is_a_mean_pooled_classifier(tiny_encoder):
    assert isinstance(built(tiny_encoder, pooling="attention"), MeanPooledClassifier)
    assert built(tiny_encoder).query is None
