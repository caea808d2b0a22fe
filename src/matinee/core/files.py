"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from matinee.core.errors import StorageError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_REASONS = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
}
# safetensors wraps the number in its own error; torch's writer says no more than where it failed.
_WRAPPED = re.compile(r"\(os error (\d+)\)")
_TORCH_WRITER = re.compile(r"inline_container|PytorchStreamWriter|unexpected pos")

# Refusals that waiting does not mend.
_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOTDIR, errno.EEXIST}

# Seconds between attempts to reach a drive that is away: about a minute in all.
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

# Bytes of the file that is written to learn why torch could not write its own.
_PROBE = 1 << 20


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn a refused write below `path` into one line that a user can act on.

    Raises:
        StorageError: The disk is full, over quota, read-only, or closed to this user.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise StorageError(
            f"Cannot write {path}: {reason}. Free some room, or choose another place to write to."
        ) from error


def _refusal(error: Exception) -> str | None:
    """Return why the file system refused a write, None if that is not what went wrong."""
    number = _error_number(error)
    if number is None and _is_torch_writer(error):
        return "a file could not be written whole, most likely for want of space"
    return _REASONS.get(number or 0)


def _error_number(error: BaseException) -> int | None:
    """Return the operating system's number of an error, also where a library wrapped it."""
    if isinstance(error, OSError):
        return error.errno
    wrapped = _WRAPPED.search(str(error))
    return int(wrapped[1]) if wrapped else None


def _is_torch_writer(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and _TORCH_WRITER.search(str(error)) is not None


def patiently(work: Callable[[], _Result], folder: Path, what_next: str) -> _Result:
    """Return what `work` returns, tried again for about a minute while `folder` is away: a mounted drive may come back.

    `work` must be such that it can be done again after it failed half-way.

    Args:
        work: Reads from or writes to the folder.
        folder: It must be there. A folder that is made anew while a drive is away would be hidden by the drive's return.
        what_next: What the error says last: what is safe, and what to do.

    Raises:
        UnreachableError: The folder stayed away.
    """
    warned = False
    for pause in (*_PAUSES, None):
        try:
            check_reachable(folder)
            return work()
        except Exception as error:
            reason = why_away(error, folder)
            if reason is None:
                raise
            if pause is None:
                tried = f"{sum(_PAUSES):.0f} seconds"
                raise UnreachableError(f"{folder} could not be reached for {tried}: {reason}. {what_next}") from error
        if not warned:
            logger.warning(f"{folder} cannot be reached: {reason}. Trying again for about a minute.")
            warned = True
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def check_reachable(folder: Path) -> None:
    """Raise FileNotFoundError unless the folder is there."""
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where a drive answers with an error
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))


def why_away(error: Exception, folder: Path) -> str | None:
    """Return why a folder cannot be reached for now, None where an error has another cause, or one that stays."""
    origin = error.__cause__ if isinstance(error, StorageError) and error.__cause__ else error
    number = _error_number(origin)
    if number is None and not os.path.isdir(folder):  # noqa: PTH112 - as above
        number = errno.ENOENT
    if number is None and _is_torch_writer(origin):
        number = _probe(folder)
    return None if number is None or number in _LASTING else os.strerror(number)


def _probe(folder: Path) -> int | None:
    """Return the number of the error that a small file in the folder meets, None where it can be written."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno
    return None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it to `path` at the end, or remove it on any error.

    Raises:
        StorageError: The write was refused.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            flush(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file, or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, or nothing. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object a line, or nothing."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def flush(path: Path) -> None:
    """Have the file on the disk before its name is: a name without content is worse than no file.

    A network drive may say only now that it did not take what was written.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())
