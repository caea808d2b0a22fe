"""`matinee encoders`."""

from __future__ import annotations

from typing import Any


def encoders() -> list[dict[str, Any]]:
    """Return one plain dict per known encoder: name, hub_id, n_parameters (millions), sources, here, note. No network."""
    from matinee.model.encoders import catalogue

    return catalogue()
