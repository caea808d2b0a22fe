"""Number formats: what the machine computes natively, and the block that uses it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from matinee.core.errors import SettingsError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


# What torch calls native bf16 on x86, and on ARM.
_NATIVE = {"avx512_bf16", "amx_bf16"}
_UNMEASURED = {"bf16", "sve_bf16"}


def best_device() -> torch.device:
    """Return the accelerator if there is one, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def choose_precision(setting: str, device: torch.device) -> str:
    """Return `"bf16"` or `"fp32"` for the setting `precision`.

    `auto` takes bf16 only where the processor multiplies it natively: AVX512-BF16 or AMX on x86, a GPU of compute
    capability 8 or more. Emulated bf16 is slower than fp32 (measurements: docs/lab.md). On ARM it is taken where it is
    asked for: nobody has measured it there.

    Raises:
        SettingsError: bf16 is asked for, and would be emulated.
    """
    if setting == "fp32":
        return setting
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        native, has = major >= 8, f"compute capability {major}.{minor}, and 8.0 is the first with it"
    elif device.type == "cpu":
        found = _cpu_formats()
        native = bool(found & (_NATIVE if setting == "auto" else _NATIVE | _UNMEASURED))
        has = "neither AVX512-BF16 nor AMX"
    else:
        native, has = False, "no known support"
    if setting == "bf16" and not native:
        raise SettingsError(
            f"--precision bf16: this machine has no arithmetic for it ({device.type}: {has}), so that it would be slower "
            "than fp32. Pass --precision auto or fp32."
        )
    return "bf16" if native else "fp32"


def _cpu_formats() -> set[str]:
    """Return what torch says the processor can do."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return {name for name, able in capabilities.items() if able is True}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return a block in which matrix products run in bf16, or one that changes nothing."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
