"""The pieces of benchmarks/train_speed.py, on a tiny encoder: what is timed is what is said."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch

import steps
import train_speed
from stock import Stock

pytestmark = pytest.mark.filterwarnings("ignore")  # the stock way is not ours to keep clean


def test_the_stock_way_pads_all_to_256_and_drops_out(tiny_encoder, reviews, tmp_path):
    texts, labels = (part[:40] for part in reviews)
    stock = Stock(tiny_encoder, texts, labels, tmp_path, epochs=1)
    rows = stock.encode(texts, labels)
    assert {len(row["input_ids"]) for row in rows} == {256}
    arguments = stock.trainer.args
    assert (arguments.per_device_train_batch_size, arguments.learning_rate, arguments.bf16) == (32, 5e-5, False)
    assert stock.trainer.model.config.attention_dropout == 0.1
    before = stock.probabilities(texts)
    np.testing.assert_allclose(before.sum(axis=1), 1)
    with steps.clocked() as clock:
        pass
    stock.train()
    assert not np.allclose(before, stock.probabilities(texts))
    assert clock.seconds == []  # it watches no Trainer that was made before


@pytest.fixture(scope="module")
def measured(tiny_encoder, reviews):
    # Matinee takes tags out of the texts, the stock way does not.
    plain = [(text, label) for text, label in zip(*reviews, strict=True) if "<br" not in text]
    texts, labels = zip(*plain[:72], strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = steps.stock_steps(tiny_encoder, texts, labels)
        own = steps.matinee_steps(tiny_encoder, texts, labels)
    return stock, own


def test_both_sides_take_the_same_steps(measured):
    stock, own = measured
    assert [len(side["step_seconds"]) for side in measured] == [3, 3]
    assert stock["shapes"] == [[32, 256], [32, 256], [8, 256]]
    assert [n for n, _ in own["shapes"]] == [32, 32, 8]
    assert sum(stock["n_tokens"]) == sum(own["n_tokens"])  # of the same texts, none of them cut
    assert all(length < 200 for _, length in own["shapes"])
    assert min(stock["step_seconds"] + own["step_seconds"]) > 0
    assert steps.share_of_peak(stock, 1.0) > 0


def test_operations_are_those_of_the_layers(measured):
    matrices = measured[0]["matrices"]
    # Two layers of four matrices 32 x 32 and two of 32 x 64, and the classification head's two.
    assert matrices == {"parameters": 2 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32 + 32 * 2, "layers": 2, "width": 32}
    assert steps.operations(matrices, 1, 0) == 0
    assert steps.operations(matrices, 8, 16) == 6 * matrices["parameters"] * 128 + 12 * 2 * 32 * 8 * 256


def test_the_sample_is_spread_by_length():
    lengths = np.random.default_rng(0).integers(10, 257, 1024)
    rows = steps.spread_by_length(lengths, 256)
    assert len(set(rows.tolist())) == 256
    assert abs(lengths[rows].mean() - lengths.mean()) < 1
    assert np.abs(np.sort(lengths[rows]) - np.sort(lengths)[2::4]).max() <= 3


def test_the_ablation_leaves_the_model_as_it_was(tiny_encoder, reviews):
    texts, labels = (part[:96] for part in reviews)
    found = train_speed.ablation(tiny_encoder, texts, labels, 2, compiled=False)
    assert [row["switched_on"] for row in found["rows"]][0::7] == ["stock", "frozen embeddings"]
    assert all(len(row["step_seconds"]) == 2 for row in found["rows"])
    assert set(found["adamw_seconds"]) == {"plain", "fused"}
    bench = train_speed.Bench(tiny_encoder, attention_dropout=True)
    before = str(bench.model)
    for variant in train_speed.variants(compiled=False):
        with train_speed.kernels(bench.model, variant), train_speed.frozen_embeddings(bench.model):
            assert (str(bench.model) == before) == (variant.kernels == "torch")
            assert not bench.model.base_model.embeddings.word_embeddings.weight.requires_grad
    assert str(bench.model) == before
    assert all(parameter.requires_grad for parameter in bench.model.parameters())


def test_factors_multiply():
    seconds = {"stock": [4.0, 4.0], "no attention dropout": [2.0, 2.0], "own attention": [1.0, 1.0]}
    rows = train_speed.ablation_rows({**seconds, "torch.compile, without our kernels": [0.5, 0.5]})
    assert [row["own_factor"] for row in rows] == [1.0, 2.0, 2.0, 4.0]
    assert [row["factor_so_far"] for row in rows] == [1.0, 2.0, 4.0, 8.0]
    assert rows[0]["seconds_per_epoch"] == 128.0


@pytest.mark.slow
def test_a_cell_runs_in_a_process_of_its_own(tiny_encoder, tmp_path, reviews):
    sample = tmp_path / "sample.json"
    texts, labels = (part[:4] for part in reviews)
    given = {"texts": texts, "labels": labels, "stock": [1, 0], "matinee": [0], "rounds": 1}
    sample.write_text(json.dumps(given))
    found = train_speed.in_fresh_process("stock", tiny_encoder, sample)
    assert found["shapes"] == [[2, 256]]
    assert 0.1 < found["peak_memory_gb"] < 8


def test_the_peak_is_a_speed():
    assert steps.peak_gflops(torch.float32, sizes=((64, 64, 64),), repeats=2) > 0
