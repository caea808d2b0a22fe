"""Words alike by an encoder's embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from matinee.core.settings import ModelSettings, TextSettings
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.model.neighbours import _whole_words, words_alike


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return prepare_texts(load_tokenizer(tiny_encoder), TextSettings()).tokenizer


@pytest.fixture(scope="module", params=["mean", "cls"])
def model(request, tiny_encoder, tokenizer):
    """The tiny encoder, with three words put near one another, and others at will."""
    settings = ModelSettings(pooling=request.param, head="random")
    model = build_classifier(tiny_encoder, settings, ("negative", "positive"))
    matrix = next(weight for name, weight in model.named_parameters() if "word_embeddings" in name)
    near = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0)
    with torch.no_grad():
        for word, off in (("wonderful", 0.0), ("superb", 0.05), ("clever", 0.1)):
            noise = torch.randn(32, generator=torch.Generator().manual_seed(len(word)))
            matrix[tokenizer.token_to_id(word)] = near + off * noise
    return model


def test_the_nearest_come_first(model, tokenizer):
    found = words_alike(model, tokenizer, ["wonderful", "film"])
    assert found == {"wonderful": ("superb", "clever")}


def test_as_a_plain_search_says(model, tokenizer):
    matrix = next(weight for name, weight in model.named_parameters() if "word_embeddings" in name).detach().numpy()
    words = [word for word in tokenizer.get_vocab() if word.isalpha() and word.islower() and len(word) > 2]
    vectors = np.array([matrix[tokenizer.token_to_id(word)] for word in words])
    vectors = vectors - vectors.mean(axis=0)
    expected = {}
    for word, vector in zip(words, vectors, strict=True):
        cosines = vectors @ vector / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector))
        near = sorted((-cosine, other) for cosine, other in zip(cosines, words, strict=True) if other != word)
        if near[0][0] <= -0.6:
            expected[word] = tuple(other for cosine, other in near[:5] if cosine <= -0.6)
    assert words_alike(model, tokenizer, words) == expected
    assert len(expected) >= 3


def test_words_that_are_no_token_have_none(model, tokenizer):
    assert words_alike(model, tokenizer, ["unheard", "Wonderful", "", "12", "##a"]) == {}


def test_whole_words_of_a_byte_level_tokenizer():
    """There a word between spaces is another token than the end of a longer one."""
    pieces = ["Ġgood", "good", "Ġfilm", "film", "ing", "Ġa", "a", "ĠGood", *pre_tokenizers.ByteLevel.alphabet()]
    vocabulary = {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}
    merges = ["Ġ g", "o o", "oo d", "Ġg ood", "f i", "l m", "fi lm", "Ġ film", "Ġ a"]
    for merge in merges:
        for piece in (*merge.split(), merge.replace(" ", "")):
            vocabulary.setdefault(piece, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(merge.split()) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    assert _whole_words(tokenizer) == {"good": vocabulary["Ġgood"], "film": vocabulary["Ġfilm"]}
