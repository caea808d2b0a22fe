"""Predictors whose reasons are known."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from matinee.core.settings import ModelSettings, TextSettings
from matinee.inference.backends.torch import TorchPredictor
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts


class Lexicon:
    """Log-odds of "good" are the sum of its words' weights."""

    label_names = ("bad", "good")
    threshold = None

    def __init__(self, weights, bias=0.0):
        self.weights, self.bias = weights, bias
        self.n_texts = self.n_calls = 0

    def probabilities(self, texts):
        self.n_texts += len(texts)
        self.n_calls += 1
        odds = [self.bias + sum(self.weights.get(word, 0) for word in re.findall(r"\w+", text)) for text in texts]
        good = np.array([1 / (1 + math.exp(-value)) for value in odds])
        return np.column_stack([1 - good, good])


class BagOfVectors(torch.nn.Module):
    """Logits are a linear map of the sum of the word vectors: each token's part is known."""

    def __init__(self, n_tokens, n_labels, width=8):
        super().__init__()
        self.vectors = torch.nn.Embedding(n_tokens, width)
        self.head = torch.nn.Linear(width, n_labels)

    def get_input_embeddings(self):
        return self.vectors

    def forward(self, input_ids, attention_mask):
        summed = (self.vectors(input_ids) * attention_mask[..., None]).sum(dim=1)
        return SequenceClassifierOutput(logits=self.head(summed))


@pytest.fixture
def lexicon():
    return Lexicon


@pytest.fixture(scope="session")
def preparation(tiny_encoder):
    return prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=64))


@pytest.fixture
def bag(preparation):
    torch.manual_seed(0)
    return TorchPredictor(BagOfVectors(preparation.tokenizer.get_vocab_size(), 2), preparation, ("bad", "good"))


@pytest.fixture
def transformer(tiny_encoder, preparation):
    """A classifier whose answers differ enough to have reasons."""

    def build(labels=("bad", "good"), **values):
        torch.manual_seed(0)
        model = build_classifier(tiny_encoder, ModelSettings(**values), labels)
        last = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
        with torch.no_grad():
            last.weight.mul_(100)
        return TorchPredictor(model, preparation, labels)

    return build
