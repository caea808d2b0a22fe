"""Who works on a study, and whether they still do: a killed process cannot say that it is gone.

On one machine a lock file tells at once: the operating system lets go of it when its process ends, however it ends. From
another machine a pulse tells: a number beside the trial that goes up as long as somebody works on it. Of one that was killed
before it said whose the trial is, time alone tells.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock, Timeout

from matinee.core.files import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_BEATS = 20.0

SILENCE = 300.0
"""Seconds without a beat after which a worker on another machine is taken for gone: a drive or a database may be away for a while."""

TAKING = 90.0
"""Seconds in which who takes a trial has said so, a SQLite file that is locked for a while included; after them a trial that nobody owns is
taken for one whose process was killed in between. Who says so later finds it taken over, and takes another one."""

Owner = dict[str, str]
"""Who works on a trial, as it is kept beside the trial: the machine, the folder of lock files, the name of its own one."""


class Workers:
    """The processes that work on a study from one folder.

    Args:
        folder: Where their lock files are; made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._beats: dict[int, tuple[object, float]] = {}

    @contextmanager
    def enrolled(self) -> Iterator[Owner]:
        """Hold a lock file in the block, and give what tells others whose it is."""
        name = uuid4().hex[:12]
        path = self.folder / f"{name}.lock"
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path):
                yield {"host": platform.node(), "place": self._place(), "name": name}
        finally:
            path.unlink(missing_ok=True)

    def is_gone(self, number: int, owner: Mapping[str, str] | None, beat: object) -> bool:
        """Return whether nobody works on a trial any more.

        Args:
            number: The trial's.
            owner: Who said that they do; None: nobody has yet.
            beat: Their pulse.
        """
        if owner is not None and self.are_here(owner):
            return self._is_free(self.folder / f"{owner['name']}.lock")
        before, since = self._beats.get(number, (None, 0.0))
        if not since or before != beat:
            self._beats[number] = beat, time.monotonic()
            return False
        return time.monotonic() - since > (TAKING if owner is None else SILENCE)

    def are_here(self, owner: Mapping[str, str]) -> bool:
        """Return whether the lock file of who works on a trial is one of this folder, on this machine."""
        return (owner["host"], owner["place"]) == (platform.node(), self._place())

    def any_at_work(self) -> bool:
        """Return whether a process of this machine works on the study from this folder: this one too, while it is enrolled."""
        return self.folder.is_dir() and not all(self._is_free(path) for path in list(self.folder.glob("*.lock")))

    def _is_free(self, path: Path) -> bool:
        if not path.exists():
            return True
        try:
            with FileLock(path, blocking=False):
                pass
        except Timeout:
            return False
        path.unlink(missing_ok=True)
        return True

    def _place(self) -> str:
        return sha256(str(self.folder.resolve()).encode()).hexdigest()[:12]


def is_recent(beat: object) -> bool:
    """Return whether a pulse, its number and its second since the epoch, was told not long ago by the clock of who told it."""
    return isinstance(beat, (list, tuple)) and abs(time.time() - beat[1]) < SILENCE


@contextmanager
def pulse(beat: Callable[[int], None]) -> Iterator[None]:
    """Call `beat` with a number that goes up, every now and then, from a thread of its own; what it raises is no concern."""
    over = threading.Event()

    def beats() -> None:
        n = 0
        while not over.wait(SECONDS_BETWEEN_BEATS):
            n += 1
            try:
                beat(n)
            except Exception as error:  # noqa: BLE001 - the storage is away for a while, or for good: the trial's end will tell
                logger.debug(f"No pulse: {error}")

    thread = threading.Thread(target=beats, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
