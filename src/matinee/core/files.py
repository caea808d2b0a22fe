"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
            f"Cannot write {path}: {reason}. "
            "Free some room, or choose another place with --run-dir, --output or MATINEE_CACHE."
        ) from error


def _refusal(error: Exception) -> str | None:
    """Return why the file system refused a write, None if that is not what went wrong."""
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0)
    if wrapped := _WRAPPED.search(str(error)):
        return _REASONS.get(int(wrapped[1]))
    if isinstance(error, RuntimeError) and _TORCH_WRITER.search(str(error)):
        return "a file could not be written whole, most likely for want of space"
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
            _flush(temporary)
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


def _flush(path: Path) -> None:
    """Have the file on the disk before its name is: a name without content is worse than no file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
