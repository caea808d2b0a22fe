"""The benchmark scripts are no package: their folder is put where Python looks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(FOLDER))


@pytest.fixture(scope="session")
def reviews(tiny_rows):
    """Texts, and labels as numbers."""
    return [text for text, _ in tiny_rows], [int(label == "positive") for _, label in tiny_rows]
