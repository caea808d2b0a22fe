"""Frozen features that are read again: the same to the bit, and computed anew where anything else would be meant."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matinee.core.settings import ModelSettings, TextSettings
from matinee.model.classifier import build_classifier
from matinee.model.feature_cache import FeatureCache, feature_key
from matinee.model.features import frozen_features
from matinee.model.load import load_tokenizer, prepare_texts


@pytest.fixture(scope="module")
def ids(tiny_encoder, tiny_rows):
    return prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=48)).encode(
        [text for text, _ in tiny_rows[:20]]
    )


@pytest.fixture
def model(tiny_encoder):
    torch.manual_seed(0)
    return build_classifier(tiny_encoder, ModelSettings(), ("negative", "positive"))


def test_read_again_they_are_the_same_to_the_bit(model, ids, tmp_path):
    plain = frozen_features(model, ids, 0, "fp32")
    cache = FeatureCache(tmp_path)
    for _ in range(2):
        assert np.array_equal(frozen_features(model, ids, 0, "fp32", None, cache), plain)
    later = FeatureCache(tmp_path)
    assert np.array_equal(frozen_features(model, ids, 0, "fp32", None, later), plain)
    assert (cache.n_computed, later.n_computed) == (1, 0)


def test_dropout_and_the_head_make_no_difference(model, ids, tiny_encoder):
    key = feature_key(model, ids, 0, "fp32", None)
    torch.manual_seed(1)
    other = build_classifier(tiny_encoder, ModelSettings(dropout=0.5), ("negative", "positive"))
    assert not torch.equal(other.head.weight, model.head.weight)
    assert feature_key(other, ids, 0, "fp32", None) == key


def test_other_weights_texts_numbers_or_layers_are_other_features(model, ids, tiny_encoder):
    fewer = build_classifier(tiny_encoder, ModelSettings(layers=1), ("negative", "positive"))
    changed = [row.copy() for row in ids]
    changed[0][1] += 1
    keys = {
        feature_key(model, ids, 0, "fp32", None),
        feature_key(fewer, ids, 0, "fp32", None),
        feature_key(model, changed, 0, "fp32", None),
        feature_key(model, ids[1:], 0, "fp32", None),
        feature_key(model, ids, 0, "bf16", None),
        feature_key(model, ids, 0, "fp32", None, "torch"),
    }
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1e-3
    assert len(keys | {feature_key(model, ids, 0, "fp32", None)}) == 7


def test_nobody_can_change_what_the_next_one_reads(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.get("a", lambda: np.ones((2, 2), np.float32))[:] = 7
    assert (cache.get("a", lambda: np.zeros((2, 2), np.float32)) == 1).all()


def test_a_damaged_file_is_computed_again(tmp_path):
    FeatureCache(tmp_path).get("a", lambda: np.ones((2, 2), np.float32))
    (tmp_path / "a.safetensors").write_bytes(b"half of it")
    assert (FeatureCache(tmp_path).get("a", lambda: np.full((2, 2), 3, np.float32)) == 3).all()


def test_the_disk_is_not_filled(tmp_path):
    cache = FeatureCache(tmp_path, most_bytes=1_000)
    for name in "abc":
        cache.get(name, lambda: np.ones((10, 10), np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors", "b.safetensors"]
    cache.get("c", lambda: pytest.fail("it is in memory"))


def test_a_file_that_another_process_has_just_named_is_no_trouble(tmp_path, monkeypatch):
    """A temporary name is listed, and gone before its size is asked for."""
    from pathlib import Path

    (tmp_path / "there.safetensors").write_bytes(bytes(10))
    listed = [tmp_path / ".half-written.safetensors", tmp_path / "there.safetensors"]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(listed))
    cache = FeatureCache(tmp_path)
    assert cache._bytes_on_disk() == 10
    assert np.array_equal(cache.get("key", lambda: np.ones((2, 3), np.float32)), np.ones((2, 3), np.float32))
    assert (tmp_path / "key.safetensors").is_file()
