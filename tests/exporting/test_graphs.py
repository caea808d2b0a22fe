"""The graph says what the classifier says, whatever the architecture and the shape of its input."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
)

from matinee.core.errors import NotAvailableError
from matinee.exporting.onnx import quantise_onnx, write_onnx
from matinee.exporting.openvino import calibration_inputs, feed_forward_ends, quantise_carefully, read_graph
from matinee.model.classifier import MeanPooledClassifier
from matinee.model.windows import add_window_query, window_rows

SIZES = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
SHAPES = [(1, 2), (1, 17), (3, 1), (5, 40)]


def bert():
    return BertForSequenceClassification(BertConfig(**SIZES, max_position_embeddings=64, num_labels=3))


def electra():
    return ElectraForSequenceClassification(
        ElectraConfig(**SIZES, embedding_size=16, max_position_embeddings=64, num_labels=3)
    )


def roberta():
    return MeanPooledClassifier(RobertaModel(RobertaConfig(**SIZES, max_position_embeddings=66)), 3, 0.1, "attention")


def mpnet():
    """With learned weights of windows, whose score is another column."""
    model = MeanPooledClassifier(MPNetModel(MPNetConfig(**SIZES, max_position_embeddings=66)), 3, 0.1)
    add_window_query(model)
    torch.nn.init.normal_(model.window_query)
    return model


def inputs(shape):
    chance = np.random.default_rng(sum(shape))
    lengths = chance.integers(1, shape[1] + 1, shape[0])
    lengths[0] = shape[1]
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    return {"input_ids": np.where(mask, chance.integers(5, 60, shape), 1), "attention_mask": mask}


def rows_of(model, shape):
    with torch.inference_mode():
        return window_rows(model(**{name: torch.from_numpy(of) for name, of in inputs(shape).items()})).numpy()


@pytest.mark.parametrize("build", [bert, electra, roberta, mpnet])
def test_every_architecture_and_shape(build, tmp_path):
    torch.manual_seed(0)
    model, path = build().eval(), tmp_path / "model.onnx"
    before = {shape: rows_of(model, shape) for shape in SHAPES}
    attention = model.config._attn_implementation
    write_onnx(model, path)
    session = onnxruntime.InferenceSession(path)
    assert [each.name for each in session.get_inputs()] == ["input_ids", "attention_mask"]
    for shape, rows in before.items():
        (found,) = session.run(["rows"], inputs(shape))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, rows, atol=1e-5)
        np.testing.assert_array_equal(rows_of(model, shape), rows)  # the model is as it was
    assert model.config._attn_implementation == attention
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    quantise_onnx(path, tmp_path / "int8.onnx")
    (found,) = onnxruntime.InferenceSession(tmp_path / "int8.onnx").run(["rows"], inputs((1, 17)))
    np.testing.assert_allclose(found, before[1, 17], atol=0.05)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "model.onnx"]


@pytest.mark.slow
def test_accuracy_control_takes_layers_back_until_the_rows_are_good_enough(onnx):
    graph = read_graph(onnx.path / "model.onnx")
    assert len(feed_forward_ends(graph)) == 2  # one in each of the encoder's layers; neither the head nor attention
    chance = np.random.default_rng(0)
    ids = [np.array([2, *chance.integers(5, 90, 12), 3], dtype=np.int32) for _ in range(6)]
    items = calibration_inputs(ids, pad_id=0)
    expected, seen = rows_by_openvino(graph, items), []

    def agreement(rows):
        seen.append(1 - float(np.abs(rows - expected).max()))
        return seen[-1]

    careful = quantise_carefully(graph, items, items, agreement, most=1e-3)
    assert min(seen) < 1 - 1e-3, "int8 alone is not good enough here"
    np.testing.assert_allclose(rows_by_openvino(careful, items), expected, atol=1e-3)


def rows_by_openvino(graph, items):
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(item)[0] for item in items])


class NotTraceable(torch.nn.Module):
    """Takes another way for another text: no single graph says what it says."""

    config = BertConfig(**SIZES)
    encoder = torch.nn.Linear(1, 1)

    def forward(self, input_ids, attention_mask):
        raise RuntimeError("data-dependent\nand more")


def test_a_model_that_cannot_be_traced_is_one_line(tmp_path):
    with pytest.raises(NotAvailableError, match="A bert classifier cannot be written as ONNX by torch") as caught:
        write_onnx(NotTraceable(), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


def test_nncf_gets_no_chance_to_send_statistics():
    code = (
        "from matinee.exporting.quiet import import_nncf\n"
        "from unittest.mock import MagicMock\n"
        "import openvino_telemetry\n"
        "import_nncf()\n"
        "from nncf.telemetry import telemetry\n"
        "assert telemetry is MagicMock or isinstance(telemetry, MagicMock), telemetry\n"
        "import sys\n"
        "assert sys.modules['openvino_telemetry'] is openvino_telemetry\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
