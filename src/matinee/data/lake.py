"""Files wherever fsspec reaches: on this machine's disks, in S3 and its like. They are listed, copied and written whole.

A place is spelled as fsspec spells it, `s3://bucket/reviews/*.parquet`; what has no `://` lies on this machine, or on a drive that
all machines have mounted at the same path. Credentials and addresses come from the environment, as each file system reads them.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from matinee.core.errors import DataError, MatineeError, NotAvailableError, SettingsError, StorageError
from matinee.core.files import atomic_path, storage_errors
from matinee.data.streaming import find_inputs, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# Seconds between attempts at a place that may come back: busy stores answer with errors for a while.
_PAUSES = (1.0, 4.0, 15.0)

# What will not be otherwise a minute later.
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


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
def _file_system(protocol: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(protocol)
    except ImportError as error:
        # fsspec says which package it is.
        raise NotAvailableError(f"{protocol}:// cannot be read here: {one_line(error)}.") from error
    except ValueError as error:
        raise SettingsError(
            f"{protocol}:// is no place that fsspec knows; among those it does are s3://, gs://, abfs:// and hdfs://."
        ) from error


def file_system(name: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it.

    Raises:
        NotAvailableError: The package that reads such places is not installed.
        SettingsError: There are no such places.
    """
    protocol = name.partition("://")[0]
    found = _file_system(protocol)
    with place_errors(name):
        return found, str(found._strip_protocol(name))


def find_sources(names: Sequence[str], output: Sequence[Path]) -> list[Source]:
    """Return the files that paths, addresses and globs of both name, each once, in order.

    Args:
        names: Of files.
        output: What is written on this machine: a glob may match it.

    Raises:
        DataError: There is no such file.
        NotAvailableError: A place cannot be reached.
    """
    found: dict[str, Source] = {}
    for name in names:
        of_name = _remote_sources(name) if is_remote(name) else _local_sources(name, output)
        for source in of_name:
            found.setdefault(source.name, source)
    return list(found.values())


def _local_sources(name: str, output: Sequence[Path]) -> list[Source]:
    paths = find_inputs([str(local_path(name))], output)
    return [Source(str(path.absolute()), path.stat().st_size, fingerprint(path)) for path in paths if _is_file(path)]


def _is_file(path: Path) -> bool:
    if path.is_dir():
        raise DataError(f"{path} is a folder: name its files, as in {path}/*.parquet.")
    return True


def _remote_sources(name: str) -> list[Source]:
    system, path = file_system(name)
    protocol = name.partition("://")[0]
    with place_errors(name):
        if any(sign in path for sign in "*?["):
            # What a store was asked before may be out of date.
            system.invalidate_cache()
            infos = [info for info in system.glob(path, detail=True).values() if info["type"] == "file"]
        else:
            infos = [again(lambda: system.info(path), name)]
    if not infos:
        raise DataError(f"No file matches {name!r}.")
    sources = []
    for info in sorted(infos, key=lambda info: str(info["name"])):
        address = f"{protocol}://{str(info['name']).lstrip('/') if protocol != 'memory' else info['name']}"
        if info["type"] != "file":
            raise DataError(f"{name} is a folder: name its files, as in {name.rstrip('/')}/*.parquet.")
        stamp = next(
            (str(info[key]) for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime") if info.get(key)), ""
        )
        sources.append(
            Source(address, int(info["size"]), {"path": address, "bytes": int(info["size"]), "stamp": stamp})
        )
    return sources


def copy_range(source: Source, start: int, stop: int, target: Path) -> None:
    """Copy the lines of a text file that begin in a range of its bytes.

    Args:
        source: The file.
        start: First byte of the range; a line that began before it belongs to the range before.
        stop: The byte behind the range; a line that begins before it is copied to its end.
        target: File to write.
    """

    def copy() -> None:
        with _opened(source) as file, target.open("wb") as copied:
            if start:
                file.seek(start - 1)
                file.readline()
            while file.tell() < stop and (line := file.readline()):
                copied.write(line)

    again(copy, source.name)


def copy_start(source: Source, n_bytes: int, target: Path) -> None:
    """Copy the first bytes of a file."""

    def copy() -> None:
        with _opened(source) as file:
            target.write_bytes(file.read(n_bytes))

    again(copy, source.name)


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    if is_remote(source.name):
        system, path = file_system(source.name)
        with system.open(path, "rb", block_size=4 << 20) as file:
            yield file
    else:
        with local_path(source.name).open("rb", buffering=1 << 20) as file:
            yield file


def opened(source: Source) -> Any:
    """Return a context manager that opens a file to be read, as bytes and at any place."""
    return _opened(source)


def put(written: Path, folder: str, name: str) -> None:
    """Put a finished file into a folder, under its name whole or not at all; one that is there is replaced.

    Raises:
        StorageError: The place does not take it.
    """
    if not is_remote(folder):
        target = local_path(folder) / name
        with storage_errors(target), atomic_path(target) as temporary:
            temporary.write_bytes(written.read_bytes())
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
    if not is_remote(folder):
        here = local_path(folder)
        return sorted(child.name for child in here.iterdir()) if here.is_dir() else []
    system, path = file_system(folder)
    with place_errors(folder):
        system.invalidate_cache()
        try:
            found = again(lambda: system.ls(path, detail=False), folder)
        except FileNotFoundError:
            return []
    return sorted({str(name).rstrip("/").rpartition("/")[2] for name in found} - {"", path.rpartition("/")[2]})


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
            if not is_remote(name) or not _may_pass(error):
                raise
            logger.warning(f"{name}: {one_line(error)}. Trying again in {pause:.0f} s.")
        time.sleep(pause)
    return work()


def _may_pass(error: Exception) -> bool:
    return not any(word in type(error).__name__ for word in ("Credentials", "Validation", "Param"))


@contextmanager
def place_errors(name: str, *, writing: bool = False) -> Iterator[None]:
    """Turn what a file system raises into one line.

    Raises:
        DataError: There is no such file.
        NotAvailableError: A place cannot be read; StorageError: it cannot be written to.
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
        if writing:
            raise StorageError(f"Cannot write to {name}: {said}.") from error
        raise NotAvailableError(
            f"{name} cannot be reached: {said}. Check the address, and the credentials in the environment."
        ) from error


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split())[:300].rstrip(".")
