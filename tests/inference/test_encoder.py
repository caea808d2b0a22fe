"""What all back ends of a transformer share, held against a fake that computes nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.settings import TextSettings
from matinee.inference.backends import encoder as module
from matinee.inference.backends.encoder import EncoderPredictor, n_threads, text_chunks
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.model.logits import pool_rows, softmax
from matinee.model.windows import pool_windows
from matinee.tokens.windows import Windows


class Recorder(EncoderPredictor):
    """Logits are the number of tokens and a hash of them."""

    def __init__(self, preparation):
        super().__init__(preparation, ("a", "b"))
        self.calls = []

    def rows(self, inputs, done):
        self.calls.append([row.tobytes() for row in inputs])
        done(len(inputs))
        return np.array([[len(row) / 10, row.sum() % 97 / 10] for row in inputs], dtype=np.float32)


@pytest.fixture
def recorder(tiny_encoder):
    return Recorder(prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=32)))


def test_texts_that_are_alike_are_computed_once(recorder):
    said = recorder.probabilities(["a film", "", "A  film", "the plot", "", "a film"])
    ((*inputs,),) = recorder.calls
    assert len(inputs) == len(set(inputs)) == 3
    np.testing.assert_array_equal(said[[0, 1]], said[[2, 4]])
    np.testing.assert_array_equal(said[0], said[5])
    assert not np.array_equal(said[0], said[3])


def test_answers_are_in_order_over_chunks(recorder, monkeypatch):
    texts = [f"seat {n} " * (n % 7) for n in range(50)]
    whole = recorder.probabilities(texts)
    monkeypatch.setattr(module, "CHUNK_TEXTS", 8)
    np.testing.assert_array_equal(recorder.probabilities(texts), whole)
    assert len(recorder.calls) == 1 + 7


def test_the_next_chunk_is_tokenised_while_one_is_computed(recorder, monkeypatch):
    """`rows` of the first chunk waits until the second one's texts have been cleaned: elsewhere, or it waits for ever."""
    monkeypatch.setattr(module, "CHUNK_TEXTS", 1)
    second, compute, clean = threading.Event(), recorder.rows, type(recorder.preparation).clean

    def noticed(preparation, text):
        if text == "second":
            second.set()
        return clean(preparation, text)

    def wait(inputs, done):
        assert second.wait(timeout=60)
        return compute(inputs, done)

    monkeypatch.setattr(type(recorder.preparation), "clean", noticed)
    monkeypatch.setattr(recorder, "rows", wait)
    assert len(recorder.probabilities(["first", "second"])) == 2


def test_what_goes_wrong_in_the_thread_is_raised(recorder, monkeypatch):
    def broken(preparation, texts):
        raise ZeroDivisionError

    monkeypatch.setattr(type(recorder.preparation), "encode_chunk", broken)
    with pytest.raises(ZeroDivisionError):
        recorder.probabilities(["a film"])


def test_progress_counts_texts_to_the_end(recorder, monkeypatch):
    from matinee.core.progress import install_display

    class Bar:
        def __init__(self):
            self.seen = []

        def __call__(self, description, total, unit):
            self.about = (description, total, unit)
            return self

        def __enter__(self):
            return self

        def __exit__(self, *reason):
            pass

        def update(self, completed, note="", seconds_left=None):
            self.seen.append(completed)

    bar = Bar()
    install_display(bar)
    monkeypatch.setattr(module, "CHUNK_TEXTS", 4)
    recorder.probabilities([""] * 10)
    assert bar.about == ("Predicting", 10, "texts")
    assert bar.seen == sorted(bar.seen)
    assert bar.seen[-1] == 10


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 30))
def test_chunks_are_all_texts_in_order_and_within_bounds(lengths, most_texts, most_characters):
    texts = [str(row % 10) * length for row, length in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_TEXTS", most_texts)
        patch.setattr(module, "CHUNK_CHARACTERS", most_characters)
        chunks = [list(chunk) for chunk in text_chunks(texts)]
    assert [text for chunk in chunks for text in chunk] == texts
    for chunk in chunks:
        assert 1 <= len(chunk) <= most_texts
        assert len(chunk) == 1 or sum(map(len, chunk)) <= most_characters


def test_batches_are_padded_in_steps_but_not_beyond_what_the_encoder_reads(recorder):
    inputs = [np.arange(1, n + 1, dtype=np.int32) for n in (30, 3, 17)]
    batches = list(recorder.padded_batches(inputs, max_tokens=64, max_texts=2))
    assert sorted(row for batch, _ in batches for row in batch) == [0, 1, 2]
    for batch, feed in batches:
        for row, ids, mask in zip(batch, feed["input_ids"], feed["attention_mask"], strict=True):
            np.testing.assert_array_equal(ids[mask == 1], inputs[row])
            assert len(ids) in {16, 32}


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_rows_are_pooled_as_in_training(pooling, counts, seed):
    rows = np.random.default_rng(seed).normal(scale=4, size=(sum(counts), 4)).astype(np.float32)
    pooled = pool_rows(rows, np.array(counts), Windows(16, pooling))
    expected = pool_windows(torch.from_numpy(rows), counts, pooling).numpy()
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    starts = np.cumsum(counts) - counts
    single = np.array(counts) == 1
    n_labels = 3 if pooling == "attention" else 4
    np.testing.assert_array_equal(pooled[single], rows[starts][single][:, :n_labels])


def test_softmax_is_torch_s():
    logits = np.array([[1000.0, 0.0, -1000.0], [0.1, 0.2, 0.3]])
    np.testing.assert_allclose(softmax(logits), torch.softmax(torch.from_numpy(logits), dim=-1).numpy(), atol=1e-15)


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("2,4", 2), ("", None), ("0", None), ("many", None)])
def test_threads_are_those_asked_for_else_those_allowed(monkeypatch, asked, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda process: {1, 5, 6}, raising=False)
    assert n_threads() == (expected or 3)
