"""Long texts as windows: every part of a text in an input of its own, where truncation would leave parts out.

All windows of a text are of the same length, `max_length`, so that nothing of them is padding and each has the same say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.settings import TextSettings

_Row = TypeVar("_Row", bound=Any)


def window_starts(n_tokens: int, room: int, settings: TextSettings) -> list[int]:
    """Return where each window of a text begins, in tokens.

    There are as few windows as overlap their neighbours by `window_stride`, at most `max_windows`, and they are spread
    evenly: the first one begins with the text, the last one ends with it. A text longer than all its windows together
    has gaps between them, as wide as each other.

    Args:
        n_tokens: Of the text, special tokens not counted.
        room: Tokens of a window, special tokens not counted.
        settings: Overlap and most windows.
    """
    beyond = max(n_tokens - room, 0)
    step = max(1, room - round(settings.window_stride * room))
    n_windows = min(1 + -(-beyond // step), settings.max_windows)
    return [beyond * window // max(n_windows - 1, 1) for window in range(n_windows)]


@dataclass(frozen=True)
class Windows:
    """How texts were laid out in windows, and what becomes of these.

    Attributes:
        length: Tokens of each window of a text that has several, special tokens included.
        pooling: How the windows' logits become the text's: `"mean"`, `"max"` or `"attention"`.
    """

    length: int
    pooling: str

    @classmethod
    def of(cls, settings: TextSettings) -> Windows | None:
        """Return the windows that the settings ask for; None where long texts are truncated."""
        return cls(settings.max_length, settings.window_pooling) if settings.long == "windows" else None


def split_windows(ids: _Row, windows: Windows | None) -> list[_Row]:
    """Return the inputs of a text, which `TextPreparation.encode` lays end to end; one where nothing has windows.

    Args:
        ids: Token ids, or anything else that has a row for each of them.
        windows: How the text was laid out.
    """
    if windows is None or len(ids) <= windows.length:
        return [ids]
    return [ids[start : start + windows.length] for start in range(0, len(ids), windows.length)]


def all_windows(
    ids: Sequence[NDArray[np.int32]], windows: Windows | None
) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
    """Return the inputs of all texts in a row, and how many each text has, shape (n_texts,)."""
    split = [split_windows(row, windows) for row in ids]
    return [window for row in split for window in row], np.fromiter(map(len, split), np.int64, len(split))
