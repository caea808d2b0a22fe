"""Whether somebody works on a trial yet: told by a lock on one machine, by a pulse from another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from matinee.training import workers as module
from matinee.training.study import _PATIENCE
from matinee.training.workers import Workers, pulse


def test_somebody_at_work_is_not_gone(tmp_path):
    with Workers(tmp_path).enrolled() as owner:
        assert not Workers(tmp_path).is_gone(0, owner, None)
        assert Workers(tmp_path).any_at_work()
    assert Workers(tmp_path).is_gone(0, owner, None)
    assert not Workers(tmp_path).any_at_work()


def test_a_killed_process_is_gone_at_once(tmp_path):
    code = f"""
import json, sys, time
from pathlib import Path
from matinee.training.workers import Workers
with Workers(Path({str(tmp_path)!r})).enrolled() as owner:
    print(json.dumps(owner), flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        import json

        owner = json.loads(process.stdout.readline())
        assert not Workers(tmp_path).is_gone(0, owner, None)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert Workers(tmp_path).is_gone(0, owner, None)


def test_elsewhere_a_pulse_tells(tmp_path, monkeypatch):
    now, owner = 1_000.0, {"host": "another", "place": "p", "name": "n"}
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    watching = Workers(tmp_path)
    assert not watching.is_gone(3, owner, 1)  # the first look knows nothing
    now += module.SILENCE - 1
    assert not watching.is_gone(3, owner, 1)
    assert not watching.is_gone(4, owner, 1)
    now += 2
    assert not watching.is_gone(3, owner, 2)  # it beats
    now += module.SILENCE + 1
    assert watching.is_gone(3, owner, 2)


def test_a_trial_that_nobody_came_to_own_is_not_waited_for_as_long_as_a_worker_elsewhere(tmp_path, monkeypatch):
    """A process was killed after it had the trial begun and before it said whose it is."""
    now = 1_000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    watching = Workers(tmp_path)
    assert not watching.is_gone(3, None, None)
    now += module.TAKING - 1
    assert not watching.is_gone(3, None, None)
    now += 2
    assert watching.is_gone(3, None, None)
    assert _PATIENCE < module.TAKING < module.SILENCE  # who still waits for the database's lock is not gone


def test_a_pulse_is_recent_for_five_minutes(monkeypatch):
    monkeypatch.setattr(module.time, "time", lambda: 1_000.0)
    assert module.is_recent([3, 1_000.0 - module.SILENCE + 1])
    assert not module.is_recent([3, 1_000.0 - module.SILENCE - 1])
    assert not module.is_recent(None)


def test_a_pulse_beats_and_ends_whatever_happens_to_it(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_BEATS", 0.001)
    beats, enough = [], threading.Event()

    def beat(n):
        beats.append(n)
        if n >= 3:
            enough.set()
        raise OSError("the drive is away")

    with pulse(beat):
        assert enough.wait(30)
    assert beats[:3] == [1, 2, 3]
    n_beats = len(beats)
    assert not any(thread.name == "pulse" for thread in threading.enumerate())
    assert len(beats) == n_beats
