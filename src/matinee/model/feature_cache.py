"""Frozen features that are computed once and read again: trials of a search differ in how they train, not in what the encoder says."""

from __future__ import annotations

import logging
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from matinee.core.errors import StorageError
from matinee.core.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matinee.model.classifier import MeanPooledClassifier
    from matinee.tokens.windows import Windows

logger = logging.getLogger(__name__)

_NAME = "features"

MOST_BYTES = 2_000_000_000
"""What a cache takes on the disk at most: 25,000 texts of width 768 are 77 MB, for one length and one encoder."""

_MOST_IN_MEMORY = 200_000_000


class FeatureCache:
    """Keeps features by what they are computed from, in memory and, for later processes, in a folder.

    They are found again by the encoder's weights and the token ids themselves, not by names of settings: what gives the
    same key gives the same numbers, to the bit.

    Args:
        folder: Where files go, made with the first one; None: memory alone.
        most_bytes: What they take there at most; once it is reached, further features are kept in memory alone.
    """

    def __init__(self, folder: Path | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.n_computed = 0
        self._kept: dict[str, NDArray[np.float32]] = {}

    def get(self, key: str, compute: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return what is kept under the key, else what `compute` gives, which is kept from now on."""
        if key not in self._kept:
            found = self._read(key)
            if found is None:
                found = compute()
                self.n_computed += 1
                self._write(key, found)
            self._remember(key, found)
        return self._kept[key].copy()  # nobody changes what the next one reads

    def _remember(self, key: str, features: NDArray[np.float32]) -> None:
        """Keep features in memory, in the place of the oldest ones where these would be too many."""
        while self._kept and sum(of.nbytes for of in self._kept.values()) + features.nbytes > _MOST_IN_MEMORY:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = features

    def _read(self, key: str) -> NDArray[np.float32] | None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            return np.asarray(load_file(path)[_NAME])
        except (OSError, KeyError, SafetensorError):
            return None  # damaged, or removed meanwhile: it is computed again

    def _write(self, key: str, features: NDArray[np.float32]) -> None:
        from safetensors.numpy import save_file

        path = self._path(key)
        if path is None or self._bytes_on_disk() + features.nbytes > self.most_bytes:
            return
        try:
            with atomic_path(path) as temporary:
                save_file({_NAME: np.ascontiguousarray(features)}, temporary)
        except (OSError, StorageError) as error:
            logger.debug(f"Features are not kept for later: {error}")

    def _bytes_on_disk(self) -> int:
        if self.folder is None or not self.folder.is_dir():
            return 0
        total = 0
        for path in self.folder.glob("*.safetensors"):
            with suppress(FileNotFoundError):  # another process has given a file its name since
                total += path.stat().st_size
        return total

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.safetensors"


def feature_key(
    model: MeanPooledClassifier,
    ids: Sequence[NDArray[np.int32]],
    pad_id: int,
    precision: str,
    windows: Windows | None,
    kernels: str = "auto",
) -> str:
    """Return a digest of all that frozen features depend on: weights but the head's, texts, and how both are computed.

    A batch's sums depend on how many threads share them, in the last bit, so that their number belongs to it too.
    """
    digest = blake2b(digest_size=20)
    device = next(model.parameters()).device.type
    digest.update(
        f"{type(model.encoder).__name__} {pad_id} {precision} {windows} {device} {torch.get_num_threads()} {kernels}".encode()
    )
    for name, weight in sorted(model.state_dict().items()):
        if not name.startswith("head."):
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(_bytes_of(weight))
    for row in ids:
        digest.update(len(row).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(row).tobytes())
    return digest.hexdigest()


def _bytes_of(weight: Any) -> memoryview:
    plain = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(plain.numpy())
