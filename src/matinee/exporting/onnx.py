"""ONNX: one graph from token ids to what the classifier says of each input, pooling, head and temperature inside."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from matinee.core.errors import NotAvailableError
from matinee.exporting.quiet import quiet
from matinee.model.classifier import longest_input
from matinee.model.fast import transformer_of
from matinee.model.windows import window_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "rows"

# Texts and tokens of the inputs that the graph is traced with: any will do that are neither 0 nor 1.
_TRACED = (2, 16)


class _Rows(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return window_rows(self.model(input_ids=input_ids, attention_mask=attention_mask))


def write_onnx(model: Any, path: Path) -> None:
    """Write a classifier as an ONNX graph for any number of inputs of any length that the encoder has positions for.

    The graph takes `input_ids` and `attention_mask`, int64, shape (B, T), and gives `rows`, float32: see
    `matinee.model.windows.window_rows`.

    Args:
        model: A classifier on the CPU; it is as it was afterwards.
        path: The file to write.

    Raises:
        NotAvailableError: PyTorch cannot trace the architecture, or what it wrote is no valid graph.
    """
    import onnx

    inputs = (torch.ones(_TRACED, dtype=torch.int64), torch.ones(_TRACED, dtype=torch.int64))
    longest = longest_input(model.config)
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=longest)}
    with quiet(), _plain_attention(model), torch.no_grad():
        try:
            torch.onnx.export(
                _Rows(model).eval(),
                inputs,
                str(path),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=(shape, shape),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            onnx.checker.check_model(str(path))
        except (torch.onnx.errors.OnnxExporterError, onnx.checker.ValidationError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise NotAvailableError(
                f"A {model.config.model_type} classifier cannot be written as ONNX by torch {torch.__version__}: {reason}"
            ) from error


def quantise_onnx(source: Path, target: Path) -> None:
    """Write an int8 copy of a graph: weights by output channel, activations by what each input turns out to be.

    Signed weights: ONNX Runtime computes unsigned ones more slowly.

    Raises:
        NotAvailableError: The graph holds no product of activations and weights that could be int8.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_name("prepared.onnx")
    with quiet():
        # Folds what stands between a weight and its product, so that the product is seen to have a constant factor.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_dynamic(
            prepared, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
        )
    prepared.unlink()
    if not any(node.op_type == "MatMulInteger" for node in onnx.load(str(target)).graph.node):
        raise NotAvailableError(
            "ONNX Runtime found nothing in this classifier to compute in int8: pass --precision fp32."
        )


@contextmanager
def _plain_attention(model: Any) -> Iterator[None]:
    """Have attention traced as softmax(QKᵀ + mask) V.

    Torch's fused kernel leaves checks for rows without any token in the graph, which OpenVINO cannot fuse: int8 on two
    cores 96 texts/s with them, 107 without (MiniLM, 256 tokens).
    """
    transformer = transformer_of(model)
    before = getattr(transformer.config, "_attn_implementation", None)
    if before in {None, "eager"}:
        yield
        return
    transformer.set_attn_implementation("eager")
    try:
        yield
    finally:
        transformer.set_attn_implementation(before)
