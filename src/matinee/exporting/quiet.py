"""Keeps the reports of the libraries that convert models off the terminal: matinee says what matters itself."""

from __future__ import annotations

import ctypes
import io
import logging
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_TELEMETRY = "openvino_telemetry"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence log lines, warnings and whatever is printed to standard output inside the block.

    Their warnings are about how they were written, not about the model: whether that is right, the proof says.
    """
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def import_nncf() -> Any:
    """Return NNCF, imported without its usage statistics, which it would send over the network unasked."""
    if "nncf" not in sys.modules:
        known = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment] # Python's way to say that a module cannot be imported
        try:
            with quiet():
                import nncf
        finally:
            sys.modules.pop(_TELEMETRY)
            if known is not None:
                sys.modules[_TELEMETRY] = known
    import nncf

    return nncf


class _SignalStack(ctypes.Structure):
    """C's `stack_t`, as Linux has it."""

    _fields_: ClassVar = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put back, after the block, the stack that this thread's signal handlers run on.

    Each OpenVINO core whose plugin for CPUs is loaded sets one of its own, and frees it with the plugin: NNCF makes and drops such
    cores, and the next Ctrl-C would be a segmentation fault.
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
