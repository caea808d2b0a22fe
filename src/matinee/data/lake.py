"""Files on this machine's disks, in S3, Google Cloud Storage and Azure. They are listed, copied and written whole.

A place in a store is spelled as fsspec spells it, `s3://bucket/reviews/*.parquet`; what has no `://` lies on this machine, or on a
drive that all machines have mounted at the same path. Credentials come from the environment, as each file system reads them.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from matinee.core.errors import DataError, MatineeError, NotAvailableError, SettingsError, StorageError
from matinee.core.files import atomic_path, storage_errors
from matinee.data.rows import LONGEST
from matinee.data.sources.files import is_glob, matching
from matinee.data.streaming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# Stores, by every name that fsspec has for them. All take whole objects and have no hosts in their addresses: what holds for one
# holds for the others. (sftp://, hdfs:// and their like name a machine, and show files that are half written.)
_STORES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs"}

# Seconds between attempts at a place that may come back: busy stores answer with errors for a while.
_PAUSES = (1.0, 4.0, 15.0)

# What will not be otherwise a minute later.
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

# What only a disk of this machine says: it is where copies are kept.
_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

# By what a store tells one version of an object from the next.
_STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime")

# Bytes of a line that are copied: of one that is longer, more characters than `rows` takes, so that it is set aside there too.
_LONGEST_LINE = 4 * LONGEST
_LINE_PIECE = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file to read.

    Attributes:
        name: As it is spelled, for people.
        size: Bytes.
        mark: What it is known by again: plain JSON values.
    """

    name: str
    size: int
    mark: dict[str, Any]

    @property
    def ending(self) -> str:
        """The ending of its name, in lower case, with the dot."""
        return PurePosixPath(self.name).suffix.lower()


def is_remote(name: str | Path) -> bool:
    """Return whether a name is an address, and not a path on this machine."""
    return "://" in str(name) and not str(name).startswith("file://")


def local_path(name: str | Path) -> Path:
    """Return the path of a name that is not remote."""
    return Path(str(name).removeprefix("file://")).expanduser()


@cache
def _file_system(store: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(store)
    except ImportError as error:
        # fsspec says which package it is.
        raise NotAvailableError(f"{store}:// cannot be read here: {one_line(error)}.") from error


def file_system(name: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it.

    Raises:
        NotAvailableError: The package that reads such places is not installed.
        SettingsError: It is in no store that matinee knows.
    """
    protocol = name.partition("://")[0]
    if protocol not in _STORES:
        raise SettingsError(
            f"{name}: {protocol}:// is no place that matinee reads; s3://, gs:// and abfs:// are, and drives that are mounted."
        )
    found = _file_system(_STORES[protocol])
    with place_errors(name):
        return found, str(found._strip_protocol(name))


def known_place(name: str) -> str:
    """Return the one spelling of a path or an address, however it was spelled."""
    if not is_remote(name):
        return str(local_path(name).resolve())
    _, path = file_system(name)
    return _address(name, path)


def _address(name: str, path: str) -> str:
    return f"{_STORES[name.partition('://')[0]]}://{path.strip('/')}"


def find_sources(names: Sequence[str], output: str) -> list[Source]:
    """Return the files that paths, addresses and globs of both name, each once, in order; of a glob's those that are no output.

    Args:
        names: Of files.
        output: Folder that is written to: a glob may match what an earlier start has left there.

    Raises:
        DataError: There is no such file, none but the output, or a name is one of the output.
        NotAvailableError: A place cannot be reached.
    """
    written = known_place(output)
    found: dict[str, Source] = {}
    is_shared = False
    for name in names:
        is_pattern = any(sign in name for sign in "*?[") if is_remote(name) else is_glob(str(local_path(name)))
        for place, source in _remote_sources(name) if is_remote(name) else _local_sources(name):
            if not f"{place}/".startswith(f"{written}/"):
                found.setdefault(place, source)
            elif not is_pattern:
                raise DataError(f"{place} is input and output at once: choose another output.")
            else:
                is_shared = True
    if is_shared and not found:
        raise DataError(
            f"{', '.join(names)}: there is no file to read but what lies in the output {output}. "
            "Input and output must not share a folder: choose another output."
        )
    if not found:
        raise DataError("No input: there is no file to read.")
    return list(found.values())


def _local_sources(name: str) -> Iterator[tuple[str, Source]]:
    """Yield files of this machine, each with the one spelling of its path."""
    for path in matching(str(local_path(name))):
        if path.is_dir():
            raise DataError(f"{path} is a folder: name its files, as in {path}/*.parquet.")
        yield str(path.resolve()), Source(str(path.absolute()), path.stat().st_size, fingerprint(path))


def _remote_sources(name: str) -> Iterator[tuple[str, Source]]:
    """Yield files of a store, each with its address."""
    system, path = file_system(name)
    with place_errors(name):
        # What a store was asked before may be out of date.
        system.invalidate_cache()
        if any(sign in path for sign in "*?["):
            found = again(lambda: system.glob(path, detail=True), name)
            infos = [info for info in found.values() if info["type"] == "file"]
        else:
            infos = [again(lambda: system.info(path), name)]
    if not infos:
        raise DataError(f"No file matches {name!r}.")
    for info in sorted(infos, key=lambda info: str(info["name"])):
        if info["type"] != "file":
            raise DataError(f"{name} is a folder: name its files, as in {name.rstrip('/')}/*.parquet.")
        address = _address(name, str(info["name"]))
        mark = {"path": address, "bytes": int(info["size"]), "stamp": _stamp(info)}
        yield address, Source(address, int(info["size"]), mark)


def _stamp(info: Mapping[str, Any]) -> str:
    return next((str(info[key]) for key in _STAMPS if info.get(key)), "")


def check_unchanged(source: Source) -> None:
    """Raise DataError if a file is not the one that was found when the job was started."""
    with place_errors(source.name):
        if is_remote(source.name):
            system, path = file_system(source.name)
            system.invalidate_cache()
            info = again(lambda: system.info(path), source.name)
            is_same = (int(info["size"]), _stamp(info)) == (source.size, source.mark["stamp"])
        else:
            found = local_path(source.name).stat()
            is_same = (found.st_size, found.st_mtime) == (source.size, source.mark["modified"])
    if not is_same:
        raise DataError(f"{source.name} has changed meanwhile: choose another output, and start again")


def copy_range(source: Source, start: int, stop: int, target: Path) -> None:
    """Copy the lines of a text file that begin in a range of its bytes.

    Args:
        source: The file.
        start: First byte of the range; a line that began before it belongs to the range before.
        stop: The byte behind the range; a line that begins before it is copied to its end.
        target: File to write.
    """

    def copy() -> None:
        with opened(source) as file, target.open("wb") as copied:
            if start:
                file.seek(start - 1)
                while (piece := file.readline(_LINE_PIECE)) and not piece.endswith(b"\n"):
                    pass
            while file.tell() < stop and _copy_line(file, copied):
                pass

    with place_errors(source.name):
        again(copy, source.name)


def _copy_line(file: IO[bytes], copied: IO[bytes]) -> bool:
    """Copy a line, of one that is far too long the beginning; return whether there was one."""
    size, is_any = 0, False  # bytes of the line; in old texts lines end in CR alone
    while piece := file.readline(_LINE_PIECE):
        is_any, is_end = True, piece.endswith(b"\n")
        if size > _LONGEST_LINE:
            line_end = re.search(rb"[\r\n]", piece)
            piece = piece[line_end.start() :] if line_end else b""
        copied.write(piece)
        _, is_new, rest = piece.rpartition(b"\r")
        size = len(rest) if is_new else size + len(piece)
        if is_end:
            break
    return is_any


def copy_start(source: Source, n_bytes: int, target: Path) -> None:
    """Copy the first bytes of a file."""

    def copy() -> None:
        with opened(source) as file:
            target.write_bytes(file.read(n_bytes))

    with place_errors(source.name):
        again(copy, source.name)


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """Open a file to be read, as bytes and at any place."""
    if is_remote(source.name):
        system, path = file_system(source.name)
        with system.open(path, "rb", block_size=4 << 20) as file:
            yield BufferedReader(file, 1 << 20)  # fsspec's files know no bounded readline
    else:
        with local_path(source.name).open("rb", buffering=1 << 20) as file:
            yield file


def put(written: Path, folder: str, name: str) -> None:
    """Put a finished file into a folder, under its name whole or not at all; one that is there is replaced.

    Raises:
        StorageError: The place does not take it.
    """
    if not is_remote(folder):
        target = local_path(folder) / name
        with storage_errors(target), atomic_path(target) as temporary:
            shutil.copyfile(written, temporary)
        return
    system, path = file_system(folder)
    with place_errors(folder, writing=True):
        # An object appears when it is whole. Elsewhere a half-written file may be seen; it counts for nothing without its note.
        again(lambda: system.put_file(str(written), f"{path}/{name}"), folder)


def put_text(text: str, folder: str, name: str) -> None:
    """Write a small text file into a folder, whole."""
    if not is_remote(folder):
        target = local_path(folder) / name
        with storage_errors(target), atomic_path(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return
    system, path = file_system(folder)
    with place_errors(folder, writing=True):
        again(lambda: system.pipe_file(f"{path}/{name}", text.encode()), folder)


def get_text(folder: str, name: str) -> str | None:
    """Return a small text file of a folder; None where there is none."""
    if not is_remote(folder):
        try:
            return (local_path(folder) / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
    system, path = file_system(folder)
    with place_errors(folder):
        try:
            return str(again(lambda: system.cat_file(f"{path}/{name}"), folder).decode())
        except FileNotFoundError:
            return None


def names_in(folder: str) -> list[str]:
    """Return the names in a folder, sorted; none where it is not there."""
    return sorted(sizes_in(folder))


def sizes_in(folder: str) -> dict[str, int]:
    """Return the bytes of what lies in a folder, by name; nothing where it is not there."""
    if not is_remote(folder):
        here = local_path(folder)
        return {child.name: child.stat().st_size for child in here.iterdir()} if here.is_dir() else {}
    system, path = file_system(folder)
    with place_errors(folder):
        system.invalidate_cache()
        try:
            found = again(lambda: system.ls(path, detail=True), folder)
        except FileNotFoundError:
            return {}
    sizes = {str(info["name"]).rstrip("/"): int(info["size"] or 0) for info in found}
    return {name.rpartition("/")[2]: size for name, size in sizes.items() if name != path}


def remove(folder: str, names: Sequence[str]) -> None:
    """Remove files of a folder; those that are not there are removed already."""
    if not is_remote(folder):
        for name in names:
            (local_path(folder) / name).unlink(missing_ok=True)
        return
    system, path = file_system(folder)
    with place_errors(folder, writing=True):
        if names:
            system.rm([f"{path}/{name}" for name in names])


def again(work: Callable[[], _Result], name: str) -> _Result:
    """Return what `work` returns, tried again a few times where a place does not answer."""
    for pause in _PAUSES:
        try:
            return work()
        except (MatineeError, *_LASTING):
            raise
        except Exception as error:
            if not is_remote(name) or _is_full(error) or not _may_pass(error):
                raise
            logger.warning(f"{name}: {one_line(error)}. Trying again in {pause:.0f} s.")
        time.sleep(pause)
    return work()


def _is_full(error: Exception) -> bool:
    """Return whether it is a disk of this machine that takes no more."""
    return isinstance(error, OSError) and error.errno in _DISK_IS_FULL


def _may_pass(error: Exception) -> bool:
    return not any(word in type(error).__name__ for word in ("Credentials", "Validation", "Param"))


@contextmanager
def place_errors(name: str, *, writing: bool = False) -> Iterator[None]:
    """Turn what a file system raises into one line.

    Raises:
        DataError: There is no such file.
        NotAvailableError: A place cannot be read; StorageError: it, or a copy on this machine, cannot be written to.
    """
    try:
        yield
    except MatineeError:
        raise
    except KeyboardInterrupt:
        raise
    except FileNotFoundError as error:
        if writing:
            raise StorageError(f"Cannot write to {name}: there is no such bucket or folder.") from error
        raise DataError(f"There is no file {name}.") from error
    except Exception as error:
        said = f"{one_line(error) or type(error).__name__}".rstrip(".")
        if _is_full(error):
            raise StorageError(
                f"{tempfile.gettempdir()} takes no more: {said}. Free some room there, or set TMPDIR to another folder."
            ) from error
        if writing:
            raise StorageError(f"Cannot write to {name}: {said}.") from error
        check = " Check the address, and the credentials in the environment." if is_remote(name) else ""
        raise NotAvailableError(f"{name} cannot be read: {said}.{check}") from error


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split())[:300].rstrip(".")
