from __future__ import annotations

import numpy as np
import pytest

from matinee.data.audit import NO_LABEL, Rows


@pytest.fixture
def make_rows():
    """Make rows of (text, label or None, split), in the order of the splits."""

    def make(*rows):
        splits = tuple(name for name in ("all", "train", "validation", "test") if name in {row[2] for row in rows})
        names = tuple(sorted({row[1] for row in rows if row[1] is not None}))
        rows = sorted(rows, key=lambda row: splits.index(row[2]))
        return Rows(
            ids=[f"{row[2]}-{number}" for number, row in enumerate(rows, start=1)],
            texts=[row[0] for row in rows],
            labels=np.array([NO_LABEL if row[1] is None else names.index(row[1]) for row in rows]),
            splits=np.array([splits.index(row[2]) for row in rows]),
            split_names=splits,
            label_names=names,
        )

    return make


@pytest.fixture
def by_code():
    """Index findings by their codes."""
    return lambda findings: {finding.code: finding for finding in findings}
