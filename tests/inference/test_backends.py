"""Every back end keeps the contract."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from matinee.core.settings import ModelSettings, TextSettings
from matinee.inference import load_predictor
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

TEXT = TextSettings(max_length=64)
WINDOWS = TextSettings(max_length=64, long="windows", max_windows=4)


class TestTorchMean(_contract.TemperedContract):
    @pytest.fixture
    def predictor(self, tiny_encoder):
        return torch_predictor(tiny_encoder, ModelSettings())


class TestTorchCls(_contract.TemperedContract):
    most_characters = 1_000_000

    @pytest.fixture
    def predictor(self, tiny_encoder):
        return torch_predictor(tiny_encoder, ModelSettings(pooling="cls", head="random"))


class TestTorchBf16(_contract.PredictorContract):
    tolerance, most_characters = 0.02, 1_000_000

    @pytest.fixture
    def predictor(self, build):
        return build(precision="bf16")


class TestTorchWindows(_contract.PredictorContract):
    @pytest.fixture
    def predictor(self, build):
        return build(text=WINDOWS)


class TestLinear(_contract.TemperedContract):
    @pytest.fixture(params=[fit_tfidf, fit_nblr])
    def predictor(self, tiny_rows, request):
        labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
        model = request.param([text for text, _ in tiny_rows], labels, 2, seed=0)
        return LinearPredictor(model, ("negative", "positive"))


class ExportContract(_contract.PredictorContract):
    """Subclasses name an export of the classifier `reference`, and how far from it the export may be."""

    backend, precision, text = "", "", TEXT
    most_characters = 1_000_000
    distance = 1e-5

    @pytest.fixture(scope="class")
    @classmethod
    def predictor(cls, write_export, tmp_path_factory):
        folder = tmp_path_factory.mktemp("export") / "made"
        return load_predictor(write_export(folder, cls.backend, cls.precision, text=cls.text))

    def test_it_says_what_torch_says(self, predictor, build):
        expected = build(text=self.text).probabilities(_contract.TEXTS)
        # Answers that are all alike would agree with anything.
        assert np.ptp(expected[:, 0]) > 0.1
        np.testing.assert_allclose(predictor.probabilities(_contract.TEXTS), expected, atol=self.distance)

    def test_ctrl_c_leaves_it_usable(self, predictor):
        def interrupt(n_done):
            raise KeyboardInterrupt

        inputs = predictor.preparation.encode(_contract.MANY)
        before = predictor.probabilities(_contract.MANY)
        with pytest.raises(KeyboardInterrupt):
            predictor.rows(inputs, interrupt)
        np.testing.assert_array_equal(predictor.probabilities(_contract.MANY), before)


class TestOpenVino(ExportContract):
    backend, precision = "openvino", "fp32"
    most_characters = 10_000_000


class TestOpenVinoWindows(ExportContract):
    backend, precision, text = "openvino", "fp32", WINDOWS


class TestOpenVinoBf16(ExportContract):
    backend, precision = "openvino", "bf16"
    tolerance = distance = 0.05


class TestOpenVinoInt8(ExportContract):
    backend, precision = "openvino", "int8"
    tolerance, distance = 0.05, 0.15


class TestOnnx(ExportContract):
    backend, precision = "onnx", "fp32"

    @pytest.mark.parametrize("threads", [1, 3])
    def test_the_number_of_threads_changes_no_answer(self, predictor, monkeypatch, threads):
        before = predictor.probabilities(_contract.MANY)
        monkeypatch.setattr("matinee.inference.backends.onnx.n_threads", lambda: threads)
        np.testing.assert_allclose(predictor.probabilities(_contract.MANY), before, atol=1e-6)


class TestOnnxWindows(ExportContract):
    backend, precision, text = "onnx", "fp32", WINDOWS


class TestOnnxInt8(ExportContract):
    backend, precision = "onnx", "int8"
    distance = 0.15


class TestCascade(_contract.PredictorContract):
    most_characters = 1_000_000

    @pytest.fixture(scope="class")
    @classmethod
    def predictor(cls, write_cascade, tmp_path_factory):
        return load_predictor(write_cascade(tmp_path_factory.mktemp("cascade") / "made", 0.7))

    def test_each_answers_its_own_texts(self, predictor, linear, reference):
        texts = [*_contract.TEXTS, *_contract.MANY]
        cheap, said = linear.probabilities(texts), predictor.probabilities(texts)
        sure = cheap.max(axis=1) >= 0.7
        assert 0 < sure.sum() < len(texts)
        np.testing.assert_array_equal(said[sure], cheap[sure])
        np.testing.assert_allclose(said[~sure], reference.probabilities(texts)[~sure], atol=1e-5)


@pytest.mark.parametrize("backend", ["openvino", "onnx"])
@pytest.mark.parametrize("how", ["mean", "max"])
def test_windows_are_pooled_as_torch_pools_them(write_export, build, tmp_path, backend, how):
    text = TextSettings(max_length=24, long="windows", window_pooling=how, max_windows=5)
    said = load_predictor(write_export(tmp_path / "made", backend, text=text)).probabilities(_contract.TEXTS)
    np.testing.assert_allclose(said, build(text=text).probabilities(_contract.TEXTS), atol=1e-5)


def torch_predictor(folder, settings):
    torch.manual_seed(0)
    preparation = prepare_texts(load_tokenizer(folder), TEXT)
    return TorchPredictor(build_classifier(folder, settings, ("a", "b", "c")), preparation, ("a", "b", "c"))


def test_openvino_leaves_signal_handlers_a_stack_when_another_thread_drops_it():
    """In a process of its own: without the core that stays, Ctrl-C is a segmentation fault there."""
    code = (
        "import signal, threading\n"
        "from matinee.inference.backends.openvino import openvino_core\n"
        "held = [openvino_core()]\n"
        "thread = threading.Thread(target=held.clear)\n"
        "thread.start()\n"
        "thread.join()\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('heard')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "heard\n", done
