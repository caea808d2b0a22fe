"""Spaces that come with matinee, and the reading of one from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matinee.core.errors import SettingsError, did_you_mean
from matinee.core.space import Space
from matinee.workflow.recipes import read_yaml

DEFAULT = "default"


def shipped_spaces() -> dict[str, Path]:
    """Return the spaces that come with matinee, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


def read_space(space: str | Path | Mapping[str, Any] | None) -> Space:
    """Return a space, checked.

    Args:
        space: A YAML file, the name of a shipped space, or a mapping from setting to a list or a range; None: the default one.

    Raises:
        SettingsError: There is no such file, it is not YAML, or what it says cannot be searched.
    """
    if isinstance(space, Mapping):
        return Space.read(space, "the space")
    name, known = str(space or DEFAULT), shipped_spaces()
    path = Path(name).expanduser()
    if not path.is_file():
        if path.name != name or path.stem not in known:
            raise SettingsError(
                f"There is no space {name}.{did_you_mean(path.stem, known)} Shipped: {', '.join(known)}."
            )
        path = known[path.stem]
    return Space.read(read_yaml(path, f"Space {name}") or {}, f"space {name}")
