"""Frozen layers: named rightly, left alone, and computed once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from matinee.core.errors import SettingsError
from matinee.model.classifier import MeanPooledClassifier
from matinee.model.freezing import freeze, lower_states, n_frozen_layers, states_bytes, upper_layers_only
from matinee.tokens import pad

SMALL = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
CONFIGS = {
    "bert": BertConfig(**SMALL),
    "distilbert": DistilBertConfig(vocab_size=60, dim=32, n_layers=3, n_heads=2, hidden_dim=48),
    "roberta": RobertaConfig(**SMALL, pad_token_id=0, max_position_embeddings=64),
    "mpnet": MPNetConfig(**SMALL, pad_token_id=0, max_position_embeddings=64),
    "modernbert": ModernBertConfig(**SMALL, pad_token_id=0, reference_compile=False),
}
IDS = [np.arange(5, 5 + n, dtype=np.int32) for n in (3, 20, 9, 20)]


@pytest.fixture(params=CONFIGS, name="model")
def _model(request):
    torch.manual_seed(0)
    return MeanPooledClassifier(AutoModel.from_config(CONFIGS[request.param]), 2, 0.1)


def logits(model, **inputs):
    with torch.no_grad():
        return model.eval()(**inputs).logits


@pytest.mark.parametrize("how", ["1", "2", "3"])
def test_upper_layers_on_lower_states_are_the_whole_model(model, how):
    input_ids, attention_mask = (torch.from_numpy(part) for part in pad(IDS, 0))
    whole = logits(model, input_ids=input_ids, attention_mask=attention_mask)
    n_frozen = freeze(model, how)
    states = lower_states(model, n_frozen, IDS, 0, "fp32")
    assert [len(state) for state in states] == [3, 20, 9, 20]
    padded = torch.zeros(*input_ids.shape, 32)
    for row, state in enumerate(states):
        padded[row, : len(state)] = state
    with upper_layers_only(model, n_frozen):
        upper = logits(model, inputs_embeds=padded, attention_mask=attention_mask)
        names = [name for name, _ in model.named_parameters()]
    torch.testing.assert_close(upper, whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits(model, input_ids=input_ids, attention_mask=attention_mask), whole)
    assert not any("word" in name or "tok_embeddings" in name for name in names)


def test_only_what_is_named_is_frozen(model):
    assert freeze(model, "2") == 2
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not any("embeddings" in name and "LayerNorm" not in name for name in trained)
    layers = {
        name.split(".")[3 if ".encoder.layer" in name or ".transformer.layer" in name else 2]
        for name in trained
        if "layer." in name or "layers." in name
    }
    assert layers == {"2"}
    assert {"head.weight", "head.bias"} <= trained


def test_frozen_layers_have_no_dropout_and_others_keep_theirs(model):
    before = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    freeze(model, "1")
    after = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert sum(p > 0 for p in after) < sum(p > 0 for p in before) or not any(before[:-1])
    assert after[-1] == before[-1]


def test_embeddings_alone(model):
    assert freeze(model, "embeddings") == 0
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen
    assert all("embeddings" in name or "relative_attention_bias" in name for name in frozen)


def test_nothing_is_frozen_where_nothing_is_asked(model):
    assert freeze(model, None) == 0
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_more_layers_than_there_are():
    with pytest.raises(SettingsError, match="at most 6, the layers of this encoder, got 7"):
        n_frozen_layers("7", 6)


def test_the_memory_that_states_take(model):
    states = lower_states(model, 1, IDS, 0, "bf16")
    assert states_bytes(model, IDS, "bf16") == sum(state.numel() * 2 for state in states)
    assert states[0].dtype == torch.bfloat16


def test_what_frozen_states_depend_on_is_frozen_too():
    """MPNet's layers share the embeddings of relative positions: were they trained, frozen states would grow stale."""
    model = MeanPooledClassifier(AutoModel.from_config(CONFIGS["mpnet"]), 2, 0.1)
    freeze(model, "1")
    assert not model.encoder.encoder.relative_attention_bias.weight.requires_grad


def test_embeddings_of_another_width_are_refused():
    config = ElectraConfig(**SMALL, embedding_size=16)
    model = MeanPooledClassifier(AutoModel.from_config(config), 2, 0.1)
    with pytest.raises(SettingsError, match="ElectraModel, whose embeddings have a width of their own"):
        freeze(model, "1")
