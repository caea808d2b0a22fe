"""Our own kernels compute what torch's do, and leave the model as it was."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModel, BertConfig, MPNetConfig

from matinee.model import attention
from matinee.model.attention import NAME, cpu_attention
from matinee.model.classifier import MeanPooledClassifier
from matinee.model.dropout import ByteDropout, keep_mask
from matinee.model.fast import fast_kernels

SDPA = nn.functional.scaled_dot_product_attention


def inputs(n_texts, n_heads, n_tokens, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n_texts, n_heads, n_tokens, width, generator=generator).requires_grad_() for _ in range(3)]


def test_torch_s_kernels_are_left_alone_where_they_are_asked_for():
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    model = MeanPooledClassifier(AutoModel.from_config(config), 2, 0.1, "mean")
    with fast_kernels(model, "bf16", "torch") as chosen:
        assert chosen == []
        assert not any(isinstance(module, ByteDropout) for module in model.modules())
    with fast_kernels(model, "bf16") as chosen:
        assert "byte-drawn dropout" in chosen


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 12), st.integers(1, 8), st.integers(1, 4), st.booleans())
def test_attention_and_its_gradients_are_torch_s(n_texts, n_heads, n_tokens, width, per_chunk, masked):
    query, key, value = inputs(n_texts, n_heads, n_tokens, width)
    mask = None
    if masked:
        lengths = torch.arange(n_texts) % n_tokens + 1
        hidden = torch.arange(n_tokens)[None] >= lengths[:, None]
        mask = torch.zeros(n_texts, 1, n_tokens, n_tokens).masked_fill(
            hidden[:, None, None], torch.finfo(torch.float32).min
        )
    size = attention._WEIGHTS_AT_A_TIME
    attention._WEIGHTS_AT_A_TIME = per_chunk * n_heads * n_tokens * n_tokens
    try:
        bias = None if mask is None else mask[:, :, :1]
        ours = attention._Attention.apply(query, key, value, bias, width**-0.5, 0.0)
        gradients = torch.autograd.grad(ours.square().sum(), (query, key, value))
    finally:
        attention._WEIGHTS_AT_A_TIME = size
    theirs = SDPA(query, key, value, attn_mask=mask).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    expected = torch.autograd.grad(theirs.square().sum(), (query, key, value))
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)


def test_dropped_attention_weights_have_the_gradients_of_what_was_computed():
    query, key, value = (part.double().detach().requires_grad_() for part in inputs(2, 2, 5, 4))

    def compute(*parts):
        torch.manual_seed(0)
        return cpu_attention(nn.Module(), *parts, None, dropout=0.5)[0]

    assert torch.autograd.gradcheck(compute, (query, key, value))
    whole = cpu_attention(nn.Module(), query, key, value, None)[0]
    assert not torch.allclose(compute(query, key, value), whole)
    torch.testing.assert_close(whole, SDPA(query, key, value).transpose(1, 2))


@pytest.mark.parametrize("probability", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mask_drops_as_often_as_asked_and_keeps_the_mean(probability, dtype):
    torch.manual_seed(0)
    mask = keep_mask(torch.empty(300, 1001, dtype=dtype), probability)
    assert mask.dtype == dtype
    assert (mask == 0).float().mean().item() == pytest.approx(round(probability * 256) / 256, abs=2e-3)
    assert mask.float().mean().item() == pytest.approx(1, abs=5e-3)
    by_place = (mask.view(-1)[: 300 * 1000].view(-1, 8) == 0).float().mean(dim=0)
    assert (by_place - by_place.mean()).abs().max() < 6e-3, "every byte of a draw counts the same"


def test_dropout_repeats_with_the_seed_and_its_gradient_has_the_same_mask():
    layer, activations = ByteDropout(0.3), torch.randn(40, 30, requires_grad=True)
    torch.manual_seed(1)
    dropped = layer(activations)
    (gradient,) = torch.autograd.grad(dropped.sum(), activations)
    torch.testing.assert_close(gradient * activations, dropped)
    torch.manual_seed(1)
    assert torch.equal(layer(activations), dropped)
    assert torch.equal(layer.eval()(activations), activations)
    assert torch.equal(ByteDropout(0.0)(activations), activations)


def bert(**values):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, **values
    )
    return MeanPooledClassifier(AutoModel.from_config(config), 2, 0.1)


def kernels(model):
    return model.config._attn_implementation, [type(module) for module in model.modules()]


def test_the_model_is_as_it_was_afterwards():
    model = bert()
    before = kernels(model)
    with fast_kernels(model, "bf16") as chosen:
        assert kernels(model)[0] == NAME
        assert ByteDropout in kernels(model)[1]
        assert nn.Dropout not in kernels(model)[1]
        assert len(chosen) == 2
    assert kernels(model) == before


def test_a_whole_encoder_says_the_same_with_our_kernels():
    model = bert(attention_probs_dropout_prob=0.1).eval()
    input_ids = torch.randint(0, 50, (3, 9))
    attention_mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [1] * 7 + [0] * 2])
    plain = model(input_ids, attention_mask).logits
    with fast_kernels(model, "bf16"), torch.autocast("cpu", torch.bfloat16):
        ours = model(input_ids, attention_mask).logits
    torch.testing.assert_close(ours, plain, atol=0.02, rtol=0.05)
    with fast_kernels(model, "fp32"):
        assert kernels(model)[0] == NAME, "dropout of attention weights is what torch's kernel is slow at"
        assert torch.equal(model(input_ids, attention_mask).logits, plain), "and without it torch's is the faster one"


def test_torch_s_attention_stays_where_it_is_the_faster_one():
    model = bert(attention_probs_dropout_prob=0.0)
    with fast_kernels(model, "fp32"):
        assert kernels(model)[0] == "sdpa"


def test_an_architecture_with_an_attention_of_its_own_is_left_alone():
    config = MPNetConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    model = MeanPooledClassifier(AutoModel.from_config(config), 2, 0.1)
    with fast_kernels(model, "bf16") as chosen:
        assert len(chosen) == 1
        assert kernels(model)[0] != NAME
