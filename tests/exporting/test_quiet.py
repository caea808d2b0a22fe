"""What converters leave behind in the process that calls them."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings

import pytest

from matinee.exporting.quiet import _SignalStack, quiet, signal_stack_kept

_SIZE = 1 << 16


def _signal_stack() -> _SignalStack:
    stack = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack


def _use(address: int, flags: int, size: int) -> None:
    stack = _SignalStack(address, flags, size)
    assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lay the structure out in another way")
def test_the_stack_of_signal_handlers_is_put_back() -> None:
    before, another = _signal_stack(), ctypes.create_string_buffer(_SIZE)

    def fail_under_another() -> None:
        with signal_stack_kept():
            _use(ctypes.addressof(another), 0, _SIZE)
            seen.append(_signal_stack().address)
            raise FileNotFoundError

    seen: list[int | None] = []
    with pytest.raises(FileNotFoundError):
        fail_under_another()
    after = _signal_stack()
    _use(before.address or 0, before.flags, before.size)  # so that a failure of this test harms no other
    assert seen == [ctypes.addressof(another)]
    assert (after.address, after.flags, after.size) == (before.address, before.flags, before.size)


def test_quiet_silences_and_then_speaks_again(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("converter")
    with quiet():
        print("graph")  # noqa: T201 - what a converter does
        logger.error("graph")
        warnings.warn("graph", stacklevel=1)
    assert capsys.readouterr().out == ""
    assert not caplog.records
    logger.error("after")
    assert [record.message for record in caplog.records] == ["after"]
