"""What tests of training share: the tiny corpus as a training reads it."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.core.settings import TextSettings
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.training import TokenizedSplit


@pytest.fixture(scope="session")
def tokenized(tiny_encoder, tiny_rows):
    """Return a function that gives rows of the tiny corpus as a split: `tokenized(0, 64)`."""
    ids = prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=48)).encode(
        [text for text, _ in tiny_rows]
    )
    labels = np.array([("negative", "positive").index(label) for _, label in tiny_rows], dtype=np.int64)
    return lambda start, stop: TokenizedSplit(ids[start:stop], labels[start:stop])
