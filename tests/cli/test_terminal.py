"""Progress: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import io
import sys
import time

from matinee.cli import terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_one_line_with_what_is_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    with terminal._display("Fine-tuning", 40, "steps") as bar:
        bar.update(3, "epoch 1 of 3, loss 0.412, 9 texts/s, 1,500 tokens/s", 125.4)
        bar.bars.refresh()
    shown = sys.stderr.getvalue()
    assert "3/40" in shown
    assert "0:02:05" in shown
    assert "epoch 1 of 3, loss 0.412, 9 texts/s, 1,500 tokens/s" in shown


def test_the_bar_guesses_where_nobody_knows_what_is_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "160")
    with terminal._display("Predicting", 40, "texts") as bar:
        bar.update(0)
        bar.bars.refresh()
    assert "-:--:--" in sys.stderr.getvalue()


def test_elsewhere_a_line_comes_now_and_then(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with terminal._display("Fine-tuning", 40, "steps") as bar:
        bar.update(1, "epoch 1 of 3", 300)
        now[0] = 30.0
        bar.update(3, "epoch 1 of 3", 250)
        bar.update(4, "epoch 1 of 3", 240)
        now[0] = 60.0
        bar.update(5)
    assert capsys.readouterr().err.splitlines() == [
        "Fine-tuning: 3 of 40 steps, epoch 1 of 3, about 4 minutes left",
        "Fine-tuning: 5 of 40 steps",
    ]
