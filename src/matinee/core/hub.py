"""The Hugging Face hub and its cache on this machine, asked so that no hub costs seconds and never a stack trace."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matinee.core.errors import MatineeError, NotAvailableError
from matinee.core.files import storage_errors
from matinee.core.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matinee.core.progress import Bar

RepoType = Literal["model", "dataset"]

PROBE_SECONDS = 5.0

_log = logging.getLogger(__name__)
_offline = False


def set_offline(offline: bool) -> None:
    """Forbid (True) or allow all network access of this process from now on: the `--offline` flag."""
    global _offline  # noqa: PLW0603 - one process, one network
    _offline = offline


def is_offline() -> bool:
    """Return whether `--offline` forbids all network access; HF_HUB_OFFLINE forbids the hub alone (`hub_reachable`)."""
    return _offline


@contextmanager
def offline(forbidden: bool = True) -> Iterator[None]:
    """Forbid network access inside the block; `forbidden` False leaves things as they are."""
    before = _offline
    set_offline(before or forbidden)
    try:
        yield
    finally:
        set_offline(before)


def is_repo_id(name: str) -> bool:
    """Return whether a name has the form of a repository on the hub, `owner/name`."""
    owner, _, rest = name.partition("/")
    return bool(owner and rest) and "/" not in rest and not name.startswith((".", "~"))


def hub_reachable() -> bool:
    """Return whether the hub may be asked and answers; at most one request of 5 seconds per process.

    The hub library itself repeats every failing request for about 23 seconds.
    """
    from huggingface_hub import constants

    return not (is_offline() or constants.HF_HUB_OFFLINE) and _probe(constants.ENDPOINT)


@cache
def _probe(endpoint: str) -> bool:
    answers: list[int] = []
    # A thread, because no timeout of an HTTP client covers a name server that does not answer.
    thread = threading.Thread(target=_ask, args=(endpoint, answers), daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    # Private endpoints may answer 401, 404 or 405 at their root; a proxy that blocks the hub says 403, 407 or 5xx.
    reachable = bool(answers) and answers[0] < 500 and answers[0] not in {403, 407, 451}
    _log.debug("Hub probe: %s", answers or "no answer")
    return reachable


def _ask(endpoint: str, answers: list[int]) -> None:
    from huggingface_hub import get_session

    try:
        answers.append(get_session().head(endpoint, timeout=PROBE_SECONDS, follow_redirects=True).status_code)
    except Exception as error:  # noqa: BLE001 - the HTTP library differs between versions of the hub library
        _log.debug("Hub probe failed: %s", error)


def cached_snapshot(
    repo_id: str,
    repo_type: RepoType,
    patterns: Sequence[str],
    revision: str | None = None,
    *,
    required: Sequence[str] = (),
) -> Path | None:
    """Return the folder of a hub repository in the Hugging Face cache, or None; never touches the network.

    Args:
        repo_id: `user/name`.
        repo_type: `"model"` or `"dataset"`.
        patterns: Names of the files that are wanted (`*.parquet`); at least one must be there.
        revision: Branch, tag or commit; the main branch where not given.
        required: Patterns that must each match a file: older hub libraries take an interrupted download for complete.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repo_id, repo_type=repo_type, revision=revision, allow_patterns=list(patterns), local_files_only=True
            )
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    found = any(fnmatch(file, pattern) for file in files for pattern in patterns)
    complete = all(any(fnmatch(file, pattern) for file in files) for pattern in required)
    return folder if found and complete else None


def download_snapshot(repo_id: str, repo_type: RepoType, patterns: Sequence[str], revision: str | None = None) -> Path:
    """Download the matching files of a hub repository into the Hugging Face cache and return their folder.

    Files alone: no code of the repository runs. Callers choose patterns that match no pickle.

    Raises:
        NotAvailableError: Offline, no such repository, one that asks for permission, or the network failed.
        StorageError: The cache cannot be written to.
    """
    from huggingface_hub import constants, snapshot_download

    if not hub_reachable():
        raise NotAvailableError(_unreachable(repo_id))
    storage = Path(constants.HF_HUB_CACHE)
    try:
        with storage_errors(storage), progress(f"Downloading {repo_id}", unit="bytes") as bar:
            blobs = storage / f"{repo_type}s--{repo_id.replace('/', '--')}" / "blobs"
            with _watched(blobs, bar):
                return Path(
                    snapshot_download(
                        repo_id,
                        repo_type=repo_type,
                        revision=revision,
                        allow_patterns=list(patterns),
                        tqdm_class=_quiet_tqdm(),
                    )
                )
    except MatineeError:
        raise
    except Exception as error:
        raise NotAvailableError(_explain(error, repo_id, repo_type, revision)) from error


def _unreachable(repo_id: str) -> str:
    if is_offline():
        return f"{repo_id} is not on this machine and --offline forbids fetching it; fetch it once without --offline."
    return (
        f"{repo_id} is not on this machine and the Hugging Face hub cannot be reached (no network, a proxy, or "
        "HF_HUB_OFFLINE is set); copy it here and give its folder instead."
    )


def _explain(error: Exception, repo_id: str, repo_type: str, revision: str | None) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{repo_id} asks for permission: accept its terms on its hub page, then log in with `hf auth login`."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The hub's {repo_type} {repo_id} has no revision {revision!r}."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"The hub has no {repo_type} {repo_id!r} that you may read; check its name, or log in with `hf auth login`."
        )
    if isinstance(error, errors.HFValidationError):
        return f"{repo_id!r} is not a hub id; expected user/name."
    return f"{repo_id} could not be downloaded from the hub ({type(error).__name__}); try again later."


@contextmanager
def _watched(folder: Path, bar: Bar) -> Iterator[None]:
    """Show the growth of `folder`: the size of what is downloaded, whatever way the hub library takes."""
    before, done = folder_size(folder), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            bar.update(max(0, folder_size(folder) - before))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below `folder`; files and folders that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118 - as os.walk gives it
    return total


def _quiet_tqdm() -> Any:
    """Return a progress bar class for the hub library that shows nothing: ours is shown."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined, unused-ignore]

    class Quiet(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call, unused-ignore]

    return Quiet
