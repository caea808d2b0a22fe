"""Ctrl-C is held back, and never lost."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from matinee.core.interruption import check_interrupt, interrupts_held, interrupts_remembered
from matinee.core.progress import progress


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def interrupted(work, block=interrupts_held):
    """Return whether a piece of work ends in KeyboardInterrupt."""
    try:
        with block():
            work()
    except KeyboardInterrupt:
        return True
    return False


def test_it_takes_effect_at_a_check_and_not_before():
    done = []

    def work():
        press_ctrl_c()
        done.append("what was under way")
        check_interrupt()
        done.append("what came after")

    assert interrupted(work)
    assert done == ["what was under way"]


def test_it_takes_effect_at_the_end_where_nothing_checks():
    assert interrupted(press_ctrl_c)
    assert not interrupted(lambda: None)


def test_a_library_that_swallows_everything_does_not_swallow_it():
    def work():
        with suppress(BaseException):
            press_ctrl_c()

    assert interrupted(work)


def test_where_it_is_remembered_it_takes_effect_at_once():
    done = []

    def work():
        press_ctrl_c()
        done.append("what was under way")

    assert interrupted(work, interrupts_remembered)
    assert not done
    check_interrupt()  # it is over with the block


def test_where_it_is_remembered_and_was_swallowed_it_takes_effect_at_the_next_check():
    done = []

    def work():
        with suppress(BaseException):
            press_ctrl_c()
        done.append("what was under way")
        check_interrupt()
        done.append("what came after")

    assert interrupted(work, interrupts_remembered)
    assert done == ["what was under way"]


def test_where_it_is_remembered_and_was_swallowed_it_takes_effect_at_the_end():
    def work():
        with suppress(BaseException):
            press_ctrl_c()

    assert interrupted(work, interrupts_remembered)
    assert not interrupted(lambda: None, interrupts_remembered)


@pytest.mark.parametrize("block", [interrupts_held, interrupts_remembered])
def test_it_is_heard_where_whoever_started_the_process_has_it_ignored(block):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert interrupted(press_ctrl_c, block)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_one_is_not_held_back():
    done = []

    def work():
        press_ctrl_c()
        done.append("once")
        press_ctrl_c()
        done.append("twice")

    assert interrupted(work)
    assert done == ["once"]


def test_progress_is_a_place_where_it_takes_effect():
    done = []

    def work():
        with progress("Reading", 3, "texts") as bar:
            for n in range(3):
                if n == 1:
                    press_ctrl_c()
                done.append(n)
                bar.update(n + 1)

    assert interrupted(work)
    assert done == [0, 1]


def test_afterwards_all_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with interrupts_held():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    check_interrupt()


def test_in_another_thread_nothing_changes():
    found = []

    def work():
        with interrupts_held():
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
