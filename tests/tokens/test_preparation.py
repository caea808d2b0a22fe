"""Texts to token ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from matinee.core.settings import TextSettings
from matinee.model.load import prepare_texts
from matinee.tokens import length_batches, pad


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture(scope="module")
def long_text():
    return " ".join(f"seat {n}" for n in range(100))


def prepared(tokenizer, **values):
    return prepare_texts(tokenizer, TextSettings(**values))


@pytest.mark.parametrize("side", ["head", "tail"])
def test_one_ended_truncation_is_what_transformers_does(tokenizer, long_text, side):
    (ours,) = prepared(tokenizer, max_length=20, truncation=side).encode([long_text])
    tokenizer.truncation_side = "right" if side == "head" else "left"
    assert ours.tolist() == tokenizer(long_text, truncation=True, max_length=20)["input_ids"]


def test_short_texts_are_whole_whatever_the_truncation(tokenizer):
    text = "The film was wonderful."
    expected = tokenizer(text)["input_ids"]
    for truncation in ("head", "tail", "head+tail"):
        (ours,) = prepared(tokenizer, max_length=64, truncation=truncation).encode([text])
        assert ours.tolist() == expected


def test_head_and_tail_take_their_shares(tokenizer, long_text):
    (ours,) = prepared(tokenizer, max_length=42, truncation="head+tail", head_share=0.25).encode([long_text])
    whole = tokenizer(long_text)["input_ids"]
    assert ours.tolist() == [whole[0], *whole[1:11], *whole[-31:]]


def test_cleaning_and_lower_case_come_first(tokenizer):
    preparation = prepared(tokenizer)
    a, b = preparation.encode(["The FILM<br /><br />was &quot;warm&quot;", 'the film was "warm"'])
    assert a.tolist() == b.tolist()


def test_lower_case_is_the_tokenizer_s_own_unless_said(tokenizer):
    assert prepared(tokenizer).settings.lowercase is True
    assert prepared(tokenizer, lowercase=False).settings.lowercase is False


def test_the_empty_text_is_its_special_tokens(tokenizer):
    (ours,) = prepared(tokenizer).encode([""])
    assert ours.tolist() == tokenizer("")["input_ids"]


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200), max_length=st.integers(8, 40), share=st.floats(0.05, 0.95))
def test_no_text_is_ever_too_long_or_loses_its_special_tokens(tokenizer, text, max_length, share):
    preparation = prepared(tokenizer, max_length=max_length, head_share=share)
    (ours,) = preparation.encode([text])
    assert 2 <= len(ours) <= max_length
    assert (ours[0], ours[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


def test_the_tokenizer_s_own_truncation_is_off(tokenizer, long_text):
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(5)
    try:
        (ours,) = prepared(tokenizer, max_length=100).encode([long_text])
    finally:
        backend.no_truncation()
    assert len(ours) == 100


def test_preparations_are_values(tokenizer):
    preparation = prepared(tokenizer)
    assert replace(preparation, pad_id=7).pad_id == 7


@given(
    lengths=st.lists(st.integers(0, 600), max_size=200), max_tokens=st.integers(1, 2000), max_texts=st.integers(1, 32)
)
def test_batches_hold_every_text_once_within_the_budget(lengths, max_tokens, max_texts):
    batches = length_batches(lengths, max_tokens=max_tokens, max_texts=max_texts)
    rows = [int(row) for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) <= max_texts
        assert len(batch) == 1 or len(batch) * longest <= max_tokens
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)


def test_padding():
    input_ids, attention_mask = pad([np.array([5, 6, 7], dtype=np.int32), np.array([8], dtype=np.int32)], pad_id=9)
    assert input_ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@given(longest=st.integers(0, 70), multiple=st.integers(1, 16), at_most=st.none() | st.integers(0, 80))
def test_rounded_padding_never_exceeds_the_limit(longest, multiple, at_most):
    length = pad([np.ones(longest, dtype=np.int32)], 0, multiple=multiple, at_most=at_most)[0].shape[1]
    assert longest <= length < longest + multiple
    assert length % multiple == 0 or length == max(longest, at_most)
