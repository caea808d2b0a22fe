"""Every back end keeps the contract."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from matinee.core.settings import ModelSettings, TextSettings
from matinee.inference.backends.linear import LinearPredictor
from matinee.inference.backends.torch import TorchPredictor
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.model.nblr import fit_nblr
from matinee.model.tfidf import fit_tfidf

_spec = importlib.util.spec_from_file_location("contract", Path(__file__).with_name("contract.py"))
assert _spec is not None
assert _spec.loader is not None
_contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_contract)


class TestTorchMean(_contract.PredictorContract):
    @pytest.fixture
    def predictor(self, tiny_encoder):
        return torch_predictor(tiny_encoder, ModelSettings())


class TestTorchCls(_contract.PredictorContract):
    @pytest.fixture
    def predictor(self, tiny_encoder):
        return torch_predictor(tiny_encoder, ModelSettings(pooling="cls", head="random"))


class TestLinear(_contract.PredictorContract):
    @pytest.fixture(params=[fit_tfidf, fit_nblr])
    def predictor(self, tiny_rows, request):
        labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
        model = request.param([text for text, _ in tiny_rows], labels, 2, seed=0)
        return LinearPredictor(model, ("negative", "positive"))


def torch_predictor(folder, settings):
    torch.manual_seed(0)
    preparation = prepare_texts(load_tokenizer(folder), TextSettings())
    return TorchPredictor(build_classifier(folder, settings, ("a", "b", "c")), preparation, ("a", "b", "c"))
