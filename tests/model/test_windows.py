"""Pooled logits against a loop over texts and windows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from matinee.core.errors import RunError
from matinee.core.settings import ModelSettings, TextSettings
from matinee.inference import load_predictor
from matinee.inference.backends.torch import TorchPredictor
from matinee.model import windows as windows_module
from matinee.model.artifact import ClassifierInfo, save_classifier
from matinee.model.classifier import build_classifier
from matinee.model.features import frozen_features
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.model.windows import add_window_query, pool_features, pool_windows, reading_windows
from matinee.tokens.windows import Windows, split_windows

LABELS = ("bad", "so-so", "good")
LONG = " ".join(f"the plot was {word} seat {n}." for n, word in enumerate(["boring", "superb", "cold", "warm"] * 12))
TEXTS = ["The film was wonderful.", LONG, "", "👍 très bien, 映画", LONG[:200], "the pace was boring " * 300]
TEXT = TextSettings(long="windows", max_length=24, max_windows=6)

# The architecture's own head gives no features to weigh windows by.
KINDS = [("mean", "mean"), ("mean", "max"), ("mean", "attention"), ("cls", "mean"), ("cls", "max")]


def predictor_of(tiny_encoder, pooling, how, **values):
    """Return a predictor with random weights, the window query's too."""
    torch.manual_seed(0)
    head = {"mean": "fitted", "cls": "random"}[pooling]
    model = build_classifier(tiny_encoder, ModelSettings(pooling=pooling, head=head), LABELS).eval()
    # As weak as random weights begin, they would hardly tell one window from another.
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(8)
        if how == "attention":
            add_window_query(model)
            model.window_query.normal_(std=0.3)
    settings = replace(TEXT, window_pooling=how, **values)
    return TorchPredictor(model, prepare_texts(load_tokenizer(tiny_encoder), settings), LABELS)


@pytest.fixture(params=KINDS, ids="-".join)
def predictor(request, tiny_encoder):
    return predictor_of(tiny_encoder, *request.param)


def one_by_one(predictor):
    """Return the texts' logits from a loop over texts and windows, each window computed alone, without padding."""
    model, preparation = predictor.model, predictor.preparation
    how = preparation.settings.window_pooling
    said = []
    with torch.no_grad():
        for ids in preparation.encode(TEXTS):
            logits, scores = [], []
            for window in split_windows(ids, Windows.of(preparation.settings)):
                given = torch.from_numpy(window.astype(np.int64))[None]
                logits.append(model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0].double())
                if how == "attention":
                    hidden = model.encoder(given).last_hidden_state[0].mean(dim=0)
                    scores.append(float(hidden.double() @ model.window_query.double()))
            if how == "mean":
                said.append(sum(logits) / len(logits))
            elif how == "max":
                said.append(torch.tensor([max(float(of[label]) for of in logits) for label in range(len(LABELS))]))
            else:
                weights = np.exp(scores) / np.exp(scores).sum()
                said.append(sum(weight * of for weight, of in zip(weights, logits, strict=True)))
    return torch.stack([row.double() for row in said])


def test_probabilities_are_those_of_a_loop_over_texts_and_windows(predictor):
    expected = torch.softmax(one_by_one(predictor), dim=-1).numpy()
    np.testing.assert_allclose(predictor.probabilities(TEXTS), expected, atol=2e-6)


def test_short_texts_get_the_same_bits_as_without_windows(predictor):
    short = [TEXTS[0], TEXTS[2], TEXTS[3]]
    plain = replace(predictor.preparation, settings=replace(predictor.preparation.settings, long="truncate"))
    said, model = predictor.probabilities(short), predictor.model
    if predictor.preparation.settings.window_pooling == "attention":
        model.window_query = None
    np.testing.assert_array_equal(TorchPredictor(model, plain, LABELS).probabilities(short), said)


def test_neither_order_nor_batch_matters(predictor):
    said = predictor.probabilities(TEXTS)
    alone = np.vstack([predictor.probabilities([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, said, atol=1e-6)
    np.testing.assert_allclose(predictor.probabilities(TEXTS[::-1])[::-1], said, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_long_texts_are_read_to_the_end(tiny_encoder, pooling):
    predictor = predictor_of(tiny_encoder, pooling, "mean")
    other = LONG.replace("was warm seat 47", "was dreadful seat 47")
    assert other != LONG
    first, second = predictor.probabilities([LONG, other])
    assert np.abs(first - second).max() > 1e-3


def test_calibration_divides_pooled_logits(predictor):
    before = np.log(predictor.probabilities(TEXTS))
    predictor.divide_logits(2.5)
    expected = np.exp(before / 2.5) / np.exp(before / 2.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predictor.probabilities(TEXTS), expected, atol=1e-6)


def test_what_is_saved_loads_and_says_the_same(predictor, tiny_encoder, tmp_path):
    preparation, pooling = predictor.preparation, "mean" if hasattr(predictor.model, "head") else "cls"
    info = ClassifierInfo("transformer", "tiny", LABELS, pooling, preparation.settings)
    save_classifier(tmp_path / "model", predictor.model, preparation, load_tokenizer(tiny_encoder), info)
    saved = json.loads((tmp_path / "model" / "matinee.json").read_text())["text"]
    assert {name: saved[name] for name in ("long", "window_stride", "max_windows")} == {
        "long": "windows",
        "window_stride": 0.25,
        "max_windows": 6,
    }
    again = load_predictor(tmp_path / "model")
    assert again.preparation.settings == preparation.settings
    np.testing.assert_array_equal(again.probabilities(TEXTS), predictor.probabilities(TEXTS))


def test_a_folder_without_its_query_is_damaged(tiny_encoder, tmp_path):
    predictor = predictor_of(tiny_encoder, "mean", "attention")
    info = ClassifierInfo("transformer", "tiny", LABELS, "mean", predictor.preparation.settings)
    predictor.model.window_query = None
    save_classifier(tmp_path / "model", predictor.model, predictor.preparation, load_tokenizer(tiny_encoder), info)
    with pytest.raises(RunError, match=r"head.safetensors is missing or damaged"):
        load_predictor(tmp_path / "model")


def test_a_new_query_weighs_all_windows_alike(tiny_encoder):
    predictor = predictor_of(tiny_encoder, "mean", "attention")
    with torch.no_grad():
        predictor.model.window_query.zero_()
    mean = predictor_of(tiny_encoder, "mean", "mean").probabilities(TEXTS)
    np.testing.assert_allclose(predictor.probabilities(TEXTS), mean, atol=1e-6)


def test_the_mean_of_features_through_the_head_is_the_mean_of_logits(tiny_encoder):
    predictor = predictor_of(tiny_encoder, "mean", "mean")
    ids = predictor.preparation.encode(TEXTS)
    features = frozen_features(predictor.model, ids, 0, "fp32", Windows.of(TEXT))
    with torch.no_grad():
        said = torch.softmax(predictor.model.head(torch.from_numpy(features)), dim=-1)
    np.testing.assert_allclose(predictor.probabilities(TEXTS), said, atol=2e-6)


def test_pooled_features_are_means():
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    pooled = pool_features(rows, np.array([1, 3, 2]))
    np.testing.assert_allclose(pooled, [rows[0], rows[1:4].mean(axis=0), rows[4:].mean(axis=0)])
    assert pool_features(rows, np.ones(6, dtype=np.int64)) is rows


@pytest.mark.parametrize("how", ["mean", "max"])
def test_one_window_s_logits_stay_as_they_are(how):
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    pooled = pool_windows(rows, [1, 3, 1], how)
    assert torch.equal(pooled[[0, 2]], rows[[0, 4]])
    assert torch.equal(pool_windows(rows, [1] * 5, how), rows)


@pytest.mark.parametrize(("pooling", "how"), KINDS)
def test_slices_give_the_same_loss_and_gradients(tiny_encoder, pooling, how):
    model = predictor_of(tiny_encoder, pooling, how).model
    ids = torch.randint(5, 50, (7, 24), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["n_windows"] = torch.tensor([1, 4, 2])
    found = {}
    for tokens in (10_000, 24 * 2):
        model.zero_grad()
        logits = reading_windows(model, Windows(24, how), tokens)(**batch).logits
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2, 1])).backward()
        found[tokens] = [logits.detach(), *(of.grad.clone() for of in model.parameters() if of.grad is not None)]
    for whole, sliced in zip(*found.values(), strict=True):
        torch.testing.assert_close(sliced, whole, atol=1e-6, rtol=1e-4)
    assert logits.shape == (3, len(LABELS))


def test_a_slice_computed_anew_has_the_same_dropout(tiny_encoder, monkeypatch):
    model = predictor_of(tiny_encoder, "mean", "mean").model.train()
    ids = torch.randint(5, 50, (6, 24), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["n_windows"] = torch.tensor([4, 2])
    gradients = []
    for keeps in (False, True):
        if keeps:
            monkeypatch.setattr(windows_module, "checkpoint", lambda run, *given, use_reentrant: run(*given))
        torch.manual_seed(0)
        model.zero_grad()
        logits = reading_windows(model, Windows(24, "mean"), 24 * 2)(**batch).logits
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
        gradients.append([of.grad.clone() for of in model.parameters() if of.grad is not None])
    for anew, kept in zip(*gradients, strict=True):
        assert torch.equal(anew, kept)
