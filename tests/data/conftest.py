from __future__ import annotations

import pytest

from matinee.core import hub


@pytest.fixture(autouse=True)
def _own_caches(tmp_path, monkeypatch):
    """Give every test empty caches and no hub."""
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub._probe.cache_clear()


@pytest.fixture
def write_csv(tmp_path):
    """Write rows (text, label, …) to a CSV file and return its path as text."""
    import csv

    def write(rows, name="reviews.csv", header=("text", "label")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return str(path)

    return write
