"""What all back ends of a transformer classifier share: texts to inputs on the way in, logits to probabilities on the way out.

A back end computes rows of logits from token ids. Everything that would let two of them disagree stands here, once.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.progress import progress
from matinee.model.logits import pool_rows, softmax
from matinee.tokens import LENGTH_STEP, length_batches, pad
from matinee.tokens.windows import Windows, all_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from matinee.core.progress import Bar
    from matinee.tokens import TextPreparation

# Texts that are tokenised ahead while those before them are computed. Sorting by length pays within a chunk: enough texts
# for it, and few enough characters that a chunk of books does not fill the memory.
CHUNK_TEXTS, CHUNK_CHARACTERS = 1_024, 8_000_000

# From this many inputs on a back end works for throughput, several inputs at once; below it all cores share one input.
MANY_INPUTS = 32


class EncoderPredictor(ABC):
    """A transformer classifier, whatever computes it.

    Args:
        preparation: From texts to token ids, as in training.
        label_names: In the order of the logits.
        threshold: As in `Predictor`.
    """

    def __init__(
        self, preparation: TextPreparation, label_names: tuple[str, ...], threshold: float | None = None
    ) -> None:
        self.preparation = preparation
        self.label_names = label_names
        self.threshold = threshold

    @abstractmethod
    def rows(self, inputs: Sequence[NDArray[np.int32]], done: Callable[[int], None]) -> NDArray[np.float32]:
        """Return what the classifier says of each input, in the order given.

        Args:
            inputs: Token ids of each, special tokens included; at least one, no two alike.
            done: Told how many are computed, now and then.

        Returns:
            As `matinee.model.windows.window_rows` has it, shape (n_inputs, n_columns).
        """

    @property
    def n_columns(self) -> int:
        """Columns of `rows`: one per label, and one more for the score where windows are weighed."""
        settings = self.preparation.settings
        return len(self.label_names) + int(settings.long == "windows" and settings.window_pooling == "attention")

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels)."""
        if len(texts) == 0:
            return np.empty((0, len(self.label_names)))
        said, n_done = [], 0
        with progress("Predicting", len(texts), "texts") as bar:
            for ids in self._tokenised_ahead(texts):
                said.append(self._answer(ids, bar, n_done))
                n_done += len(ids)
                bar.update(n_done)
        return np.concatenate(said)

    def padded_batches(
        self, inputs: Sequence[NDArray[np.int32]], *, max_tokens: int, max_texts: int
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]]:
        """Give batches of inputs of like length, longest first: their row numbers, and what an exported graph takes."""
        lengths = [len(row) for row in inputs]
        longest = max(self.preparation.settings.max_length, *lengths)
        for batch in length_batches(lengths, max_tokens=max_tokens, max_texts=max_texts):
            rows = [inputs[row] for row in batch]
            input_ids, attention_mask = pad(rows, self.preparation.pad_id, multiple=LENGTH_STEP, at_most=longest)
            yield batch, {"input_ids": input_ids, "attention_mask": attention_mask}

    def _tokenised_ahead(self, texts: Sequence[str]) -> Iterator[list[NDArray[np.int32]]]:
        """Give the token ids of chunk after chunk; the next chunk's are made in a thread meanwhile: tokenizers leave Python."""
        chunks = text_chunks(texts)
        with ThreadPoolExecutor(1, "tokenising") as thread:
            ahead = thread.submit(self.preparation.encode_chunk, next(chunks))
            for chunk in chain(chunks, [None]):
                ids = ahead.result()
                if chunk is not None:
                    ahead = thread.submit(self.preparation.encode_chunk, chunk)
                yield ids

    def _answer(self, ids: Sequence[NDArray[np.int32]], bar: Bar, n_before: int) -> NDArray[np.float64]:
        """Return the probabilities of some texts; inputs that are alike are computed once."""
        windows = Windows.of(self.preparation.settings)
        inputs, counts = all_windows(ids, windows)
        places: dict[bytes, int] = {}
        places_of = np.array([places.setdefault(row.tobytes(), len(places)) for row in inputs], dtype=np.int64)
        distinct = [np.frombuffer(key, dtype=np.int32) for key in places]

        def done(n_inputs: int) -> None:
            bar.update(n_before + len(ids) * n_inputs / len(distinct))

        return softmax(pool_rows(self.rows(distinct, done)[places_of], counts, windows))


def text_chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut texts into chunks of at most `CHUNK_TEXTS` and about `CHUNK_CHARACTERS`, one text at least."""
    start = n_characters = 0
    for row, text in enumerate(texts):
        n_characters += len(text)
        if row > start and (row - start == CHUNK_TEXTS or n_characters > CHUNK_CHARACTERS):
            yield texts[start:row]
            start, n_characters = row, len(text)
    yield texts[start:]


def n_threads() -> int:
    """Return how many threads to compute with: OMP_NUM_THREADS where it is set, else the cores this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
