"""Fewer layers: which ones are kept, and that what is saved is what was trained."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from matinee.core.errors import SettingsError
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.model.classifier import build_classifier
from matinee.model.layers import encoder_layers, keep_layers
from matinee.model.quiet import quiet_transformers

SIZES = {"hidden_size": 16, "num_hidden_layers": 7, "num_attention_heads": 2, "intermediate_size": 16}
DISTIL = {"dim": 16, "n_layers": 7, "n_heads": 2, "hidden_dim": 16}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
KINDS = ["bert", "distilbert", "roberta", "mpnet", "modernbert", "electra"]


def config_of(kind):
    sizes = DISTIL if kind == "distilbert" else SIZES
    return AutoConfig.for_model(kind, vocab_size=60, num_labels=2, **SPECIAL, **sizes)


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForSequenceClassification])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_is_left(kind, auto, tmp_path):
    torch.manual_seed(0)
    model = auto.from_config(config_of(kind)).eval()
    base = model if auto is AutoModel else model.base_model
    before = list(encoder_layers(base, "layers"))
    keep_layers(base, 3)
    left = encoder_layers(base, "layers")
    assert [next(place for place, one in enumerate(before) if one is layer) for layer in left] == [0, 3, 6]
    ids = torch.arange(4, 52)[None]
    with quiet_transformers(), torch.no_grad():
        expected = model(input_ids=ids)[0]
        model.save_pretrained(tmp_path)
        again, report = auto.from_pretrained(tmp_path, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        torch.testing.assert_close(again.eval()(input_ids=ids)[0], expected)


@pytest.mark.parametrize(("n_layers", "kept"), [(12, 6), (12, 1), (12, 12), (6, 4)], ids=lambda n: str(n))
def test_they_are_evenly_spread(n_layers, kept):
    model = AutoModel.from_config(AutoConfig.for_model("bert", **{**SIZES, "num_hidden_layers": n_layers}))
    before = list(encoder_layers(model, "layers"))
    keep_layers(model, kept)
    places = [before.index(layer) for layer in encoder_layers(model, "layers")]
    # Of twelve layers DistilBERT's authors took these six.
    known = {(12, 6): [0, 2, 4, 7, 9, 11], (12, 1): [0], (12, 12): list(range(12)), (6, 4): [0, 2, 3, 5]}
    assert places == known[n_layers, kept]
    assert model.config.num_hidden_layers == kept


def test_more_layers_than_there_are_is_refused(tiny_encoder):
    assert len(encoder_layers(build_classifier(tiny_encoder, ModelSettings(layers=1), "ab").encoder, "layers")) == 1
    with pytest.raises(SettingsError, match="--layers must be at most 2, the layers of this encoder, got 3"):
        build_classifier(tiny_encoder, ModelSettings(layers=3), "ab")
    with pytest.raises(SettingsError, match="layers: needs an encoder that has layers"):
        resolve(Layer({"layers": 3, "encoder": "tfidf"}))
