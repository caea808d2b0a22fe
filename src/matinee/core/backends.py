"""What can compute a classifier's answers: the values of `--backend`."""

from __future__ import annotations

AUTO = "auto"
"""The fastest export of the run that is proved to say the same, else PyTorch."""

TORCH = "torch"
TORCH_BF16 = "torch-bf16"
OPENVINO = "openvino"
ONNX = "onnx"

BACKENDS = (AUTO, TORCH, TORCH_BF16, OPENVINO, ONNX)

CASCADE = "cascade"
"""A linear classifier that hands on what it is not sure of: a kind of export, not asked for by name."""
