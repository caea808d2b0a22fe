"""Number formats: what the machine computes natively, and the block that uses it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def best_device() -> torch.device:
    """Return the accelerator if there is one, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def choose_precision(setting: str, device: torch.device) -> str:
    """Return `"bf16"` or `"fp32"` for the setting `precision`.

    `auto` takes bf16 only where the processor multiplies it natively: AVX512-BF16 or AMX on x86, a GPU of compute
    capability 8 or more. Emulated bf16 is slower than fp32 (measurements: docs/lab.md).
    """
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp32"
    if device.type != "cpu":
        return "fp32"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = any(capabilities.get(name) is True for name in ("avx512_bf16", "amx_bf16"))
    return "bf16" if native else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return a block in which matrix products run in bf16, or one that changes nothing."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
