"""The folder that keeps what was fetched, filled so that nobody ever takes half a download for a whole one."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.files import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from filelock import AcquireReturnProxy, FileLock

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder for fetched data and weights, which may not exist yet: MATINEE_CACHE, else the platform's own."""
    if chosen := os.environ.get("MATINEE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "matinee" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "matinee"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matinee"


def cached(name: str) -> Path | None:
    """Return the complete folder that `fetched_once` left under this name, or None."""
    folder = cache_folder() / name
    return folder if folder.is_dir() else None


def fetched_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cache's folder of this name, made by `make` unless it is there already.

    A folder appears under its name by one rename, after `make` returned: an attempt that failed, was interrupted or
    was killed is never taken for complete, and what it left is removed by the next one. Two processes that ask at
    once make it once; the second waits.

    Args:
        name: Name of the folder, without separators.
        make: Fills the empty folder it is given; whatever it raises passes through.

    Raises:
        StorageError: The cache cannot be written to.
    """
    from filelock import FileLock

    if (folder := cached(name)) is not None:
        return folder
    root = cache_folder()
    with storage_errors(root):
        (root / "locks").mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / "locks" / f"{name}.lock")
        with _waiting_aloud(lock, name):
            return cached(name) or _made(root, name, make)


def _waiting_aloud(lock: FileLock, name: str) -> AcquireReturnProxy[Any]:
    """Take the lock; say so where another process holds it."""
    from filelock import Timeout

    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _log.info("Waiting: another process is fetching %s.", name)
        return lock.acquire()


def _made(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    # Under the lock this name's temporary folder is nobody else's, so what is there is a killed attempt's.
    temporary, folder = root / "partial" / name, root / name
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        make(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
