"""What each back end needs installed, and what to say where it is not."""

from __future__ import annotations

from importlib.util import find_spec

from matinee.core.backends import CASCADE, ONNX, OPENVINO
from matinee.core.errors import NotAvailableError

# What an export is answered from with, whatever computes it; matinee's own declared requirements would bring torch.
_BASE = (
    "PyYAML>=6.0",
    "click>=8.2",
    "filelock>=3.16",
    "huggingface-hub>=1.0",
    "numpy>=1.26",
    "pyarrow>=17",
    "rich>=13.9",
    "tokenizers>=0.22",
)
_OF_BACKEND = {
    OPENVINO: ("openvino>=2026.0",),
    ONNX: ("onnxruntime>=1.23",),
    CASCADE: ("safetensors>=0.5", "scikit-learn>=1.6", "threadpoolctl>=3.1"),  # its linear classifier
}
# The module to look for, and how to get it.
_MODULES = {
    "torch": ("torch", "PyTorch", "matinee"),
    OPENVINO: ("openvino", "OpenVINO", '"matinee[openvino]"'),
    ONNX: ("onnxruntime", "ONNX Runtime", '"matinee[onnx]"'),
    "linear": ("sklearn", "scikit-learn", "scikit-learn"),
}


def runtime_requirements(*backends: str) -> list[str]:
    """Return all that must be installed, beside matinee without its own requirements, to answer from an export.

    Args:
        backends: `"openvino"` or `"onnx"`; for a cascade `"cascade"` and the back end of its encoder.

    Returns:
        Lines of a requirements.txt, sorted.
    """
    wanted = {*_BASE, *(requirement for backend in backends for requirement in _OF_BACKEND[backend])}
    return sorted(wanted, key=str.lower)


def missing(backend: str) -> str | None:
    """Return what is not installed of what a back end needs, and how to get it; None where all is there.

    Args:
        backend: `"torch"`, `"openvino"`, `"onnx"` or `"linear"`.
    """
    module, name, package = _MODULES[backend]
    return None if find_spec(module) else f"{name} is not installed: pip install {package}"


def check_installed(backend: str, needed_for: str) -> None:
    """Raise NotAvailableError, with the line that installs it, if what a back end needs is not there.

    Args:
        backend: As in `missing`.
        needed_for: What would be answered from, for the message.
    """
    reason = missing(backend)
    if reason is not None:
        raise NotAvailableError(f"{needed_for} cannot answer: {reason}.")
