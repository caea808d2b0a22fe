"""Progress of inner work, told to whoever shows the outer one."""

from __future__ import annotations

import os
import signal

import pytest

from matinee.core.interruption import interrupts_held
from matinee.core.progress import install_display, progress, told_to


def test_inner_work_tells_its_share_and_nothing_else_shows():
    told = []
    with told_to(told.append, "Predicting"):
        with progress("Tokenising", 10, "texts") as other:
            other.update(5)
        with progress("Predicting", 8, "texts") as bar:
            bar.update(2)
            bar.update(8, note="done")
        with progress("Predicting", None, "texts") as endless:
            endless.update(3)
    assert told == [0.25, 1.0]


def test_the_display_before_is_back_afterwards_whatever_happens():
    shown = []

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def update(self, completed, note="", seconds_left=None):
            shown.append(completed)

    install_display(lambda *_: Bar())
    with pytest.raises(ValueError, match="inside"), told_to(lambda _: None, "Predicting"):
        raise ValueError("inside")
    with progress("Predicting", 2) as bar:
        bar.update(1)
    assert shown == [1]


def test_held_ctrl_c_takes_effect_inside():
    def work():
        with interrupts_held(), told_to(lambda _: None, "Predicting"), progress("Predicting", 2) as bar:
            os.kill(os.getpid(), signal.SIGINT)
            bar.update(1)
            raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt):
        work()
