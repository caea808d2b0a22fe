"""Fine-tuning on texts with windows: a step is about texts, whatever their windows."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.model import windows as windows_module
from matinee.model.classifier import build_classifier
from matinee.model.features import frozen_features
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.model.windows import add_window_query, reading_windows
from matinee.tokens.windows import Windows, split_windows
from matinee.training import TokenizedSplit, fit, start_head
from matinee.training.trainer import Collator

LABELS = ("negative", "positive")
TEXT = TextSettings(long="windows", max_length=16, max_windows=4)
WINDOWS = Windows.of(TEXT)
PLAIN = {"dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture(scope="module")
def labels(tiny_rows):
    return np.array([LABELS.index(label) for _, label in tiny_rows], dtype=np.int64)


def encoded(tiny_encoder, tiny_rows, settings=TEXT):
    return prepare_texts(load_tokenizer(tiny_encoder), settings).encode([text for text, _ in tiny_rows])


@pytest.fixture(scope="module")
def splits(tiny_encoder, tiny_rows, labels):
    ids = encoded(tiny_encoder, tiny_rows)
    assert {len(split_windows(row, WINDOWS)) for row in ids} == {1, 2, 3, 4}
    return [TokenizedSplit(ids[part], labels[part], windows=WINDOWS) for part in (slice(48), slice(48, 80))]


def model_of(folder, *, query=False, **values):
    torch.manual_seed(0)
    model = build_classifier(folder, ModelSettings(**values), LABELS)
    if query:
        add_window_query(model)
    return model


def fitted(folder, model, splits, **values):
    run = RunFolder(folder)
    if not run.checkpoints.exists():
        run.create(overwrite=False)
        run.checkpoints.mkdir()
    values = {"precision": "fp32", "batch_size": 4, "epochs": 1, "learning_rate": 1e-3, "averaging": 0, **values}
    settings = resolve(Layer(values)).training
    torch.manual_seed(0)
    fit(model, *splits, settings, label_names=LABELS, pad_id=0, precision="fp32", run=run)
    return model


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_a_batch_holds_the_windows_of_its_texts_in_order(splits):
    train, _ = splits
    rows = [train[row] for row in range(6)]
    batch = Collator(0, 16, WINDOWS)(rows)
    counts = batch["n_windows"].tolist()
    assert counts == [len(split_windows(row["input_ids"], WINDOWS)) for row in rows]
    assert next(iter(batch)) == "labels"
    assert batch["labels"].tolist() == [row["labels"] for row in rows]
    expected = [window for row in rows for window in split_windows(row["input_ids"], WINDOWS)]
    for given, mask, window in zip(batch["input_ids"], batch["attention_mask"], expected, strict=True):
        assert given[mask == 1].tolist() == window.tolist()


@pytest.mark.parametrize(("pooling", "how"), [("mean", "mean"), ("mean", "attention"), ("cls", "max")])
def test_one_batch_of_four_texts_is_four_of_one(tmp_path, tiny_encoder, splits, pooling, how):
    own = [TokenizedSplit(split.ids[:24], split.labels[:24], windows=Windows(16, how)) for split in splits]
    values = {"pooling": pooling, "head": "random", "query": how == "attention", **PLAIN}
    one = fitted(tmp_path / "one", model_of(tiny_encoder, **values), own)
    many = fitted(tmp_path / "many", model_of(tiny_encoder, **values), own, batch_size=1, gradient_accumulation=4)
    change = (weights(one) - weights(model_of(tiny_encoder, **values))).abs().max()
    assert change > 1e-3
    assert (weights(one) - weights(many)).abs().max() < 0.02 * change


def test_a_step_descends_the_texts_mean_loss(tmp_path, tiny_encoder, splits):
    """Against a loop over texts and windows: one step of plain AdamW at the full rate, with weights to compare."""
    train = TokenizedSplit(splits[0].ids[:4], splits[0].labels[:4], windows=WINDOWS)
    ours = fitted(tmp_path / "run", model_of(tiny_encoder, **PLAIN), (train, splits[1]), warmup_ratio=0, weight_decay=0)
    naive = model_of(tiny_encoder, **PLAIN)
    losses = []
    for row, label in zip(train.ids, train.labels, strict=True):
        parts = [torch.from_numpy(part.astype(np.int64))[None] for part in split_windows(row, WINDOWS)]
        logits = sum(naive(part, torch.ones_like(part)).logits[0] for part in parts) / len(parts)
        losses.append(-torch.log_softmax(logits, dim=-1)[label])
    (sum(losses) / len(losses)).backward()
    torch.nn.utils.clip_grad_norm_(naive.parameters(), 1.0)
    torch.optim.AdamW(naive.parameters(), lr=1e-3, weight_decay=0).step()
    before = weights(model_of(tiny_encoder, **PLAIN))
    change, expected = weights(ours) - before, weights(naive) - before
    # The first step of Adam is the gradient's sign: where a gradient is next to nothing, so is what the sign says.
    agree = (change - expected).abs() < 1e-5
    assert agree.float().mean() > 0.99
    assert torch.corrcoef(torch.stack([change, expected]))[0, 1] > 0.99


def test_texts_that_fit_train_to_the_same_bits_as_without_windows(tmp_path, tiny_encoder, tiny_rows, labels):
    ids = encoded(tiny_encoder, tiny_rows, TextSettings(max_length=256))
    found = []
    for name, windows in (("without", None), ("with", Windows(256, "mean"))):
        own = [TokenizedSplit(ids[at : at + 16], labels[at : at + 16], windows=windows) for at in (0, 16)]
        found.append(weights(fitted(tmp_path / name, model_of(tiny_encoder, dropout=0.1), own)))
    assert torch.equal(*found)


def test_windows_computed_in_slices_train_alike(tmp_path, tiny_encoder, splits):
    own = [TokenizedSplit(split.ids[:16], split.labels[:16], windows=WINDOWS) for split in splits]
    whole = fitted(tmp_path / "whole", model_of(tiny_encoder, **PLAIN), own)
    sliced = fitted(tmp_path / "sliced", model_of(tiny_encoder, **PLAIN), own, batch_tokens=16 * 3)
    change = (weights(whole) - weights(model_of(tiny_encoder, **PLAIN))).abs().max()
    assert (weights(whole) - weights(sliced)).abs().max() < 0.02 * change


def test_the_query_learns_and_is_kept_in_checkpoints(tmp_path, tiny_encoder, splits):
    own = [TokenizedSplit(split.ids, split.labels, windows=Windows(16, "attention")) for split in splits]
    model = fitted(tmp_path / "run", model_of(tiny_encoder, query=True), own, averaging=0.25)
    assert model.window_query.abs().max() > 0
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("checkpoint-*")
    assert {"window_query"} <= load_file(checkpoint / "model.safetensors").keys()
    assert torch.equal(load_file(checkpoint / "averaged.safetensors")["window_query"], model.window_query.detach())


@pytest.mark.parametrize("how", ["mean", "attention"])
def test_the_fitted_head_is_right_for_pooled_logits(tiny_encoder, splits, how):
    train, validation = splits
    model = model_of(tiny_encoder, query=how == "attention").eval()
    features = [frozen_features(model, of.ids, 0, "fp32", WINDOWS) for of in (train, validation)]
    head = start_head(model, features[0], train.labels, seed=0)
    batch = Collator(0, 16, WINDOWS)([validation[row] for row in range(len(validation))])
    del batch["labels"]
    with torch.no_grad():
        said = torch.softmax(reading_windows(model, Windows(16, how))(**batch).logits, dim=-1).numpy()
    np.testing.assert_allclose(said, head.probabilities(features[1]), atol=1e-5)
    assert features[0].shape == (len(train), 32)


def test_frozen_layers_states_are_cut_into_the_same_windows(tmp_path, tiny_encoder, splits, monkeypatch):
    own = [TokenizedSplit(split.ids[:16], split.labels[:16], windows=WINDOWS) for split in splits]
    reused = fitted(tmp_path / "reused", model_of(tiny_encoder, **PLAIN), own, freeze="1")
    # `matinee.training.fit` is the function.
    monkeypatch.setattr(sys.modules[fit.__module__], "_MOST_STATES", 0)
    anew = fitted(tmp_path / "anew", model_of(tiny_encoder, **PLAIN), own, freeze="1")
    change = (weights(anew) - weights(model_of(tiny_encoder, **PLAIN))).abs().max()
    assert (weights(reused) - weights(anew)).abs().max() < 0.02 * change


def test_a_resumed_training_ends_with_the_same_weights(tmp_path, tiny_encoder, splits, monkeypatch):
    """With dropout, learned weights of windows, averaged weights, and slices whose activations are computed anew."""
    own = [TokenizedSplit(split.ids, split.labels, windows=Windows(16, "attention")) for split in splits]
    values = {"epochs": 3, "batch_size": 8, "averaging": 0.5, "patience": 0, "batch_tokens": 48}
    whole = fitted(tmp_path / "whole", model_of(tiny_encoder, query=True), own, **values)
    checkpoints, pool, n_since = tmp_path / "cut" / "checkpoints", windows_module.pool_windows, 0

    def cut_off(*given):
        nonlocal n_since
        n_since += (checkpoints / "checkpoint-6").exists()
        if n_since == 12:  # in the second epoch, and in the middle of an update
            raise KeyboardInterrupt
        return pool(*given)

    monkeypatch.setattr(windows_module, "pool_windows", cut_off)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "cut", model_of(tiny_encoder, query=True), own, **values)
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-6"]
    resumed = fitted(tmp_path / "cut", model_of(tiny_encoder, query=True), own, **values)
    assert torch.equal(weights(resumed), weights(whole))
