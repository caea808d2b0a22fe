"""Texts to token ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
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


def test_tracing_says_where_each_token_stands(tokenizer):
    text = "The FILM<br />was WARM, caf&eacute; \U0001f600!"
    traced = prepared(tokenizer, max_length=64).trace(text)
    tokens = tokenizer.convert_ids_to_tokens(traced.ids.tolist())
    assert traced.text == text
    assert traced.special.tolist() == [True, *[False] * (len(tokens) - 2), True]
    assert traced.spans[[0, -1]].tolist() == [[-1, -1], [-1, -1]]
    stands = {token: text[start:end] for token, (start, end) in zip(tokens, traced.spans.tolist(), strict=True)}
    known = {token: stands[token] for token in ("the", "film", "was", "warm", ",", "[UNK]", "!")}
    assert known == {
        "the": "The",
        "film": "FILM",
        "was": "was",
        "warm": "WARM",
        ",": ",",
        "[UNK]": "\U0001f600",
        "!": "!",
    }
    # The accent is stripped by the tokenizer, after our cleaning has made a letter of the entity.
    assert stands["##e"] == "&eacute;"


@settings(max_examples=100)
@given(
    text=st.lists(
        st.sampled_from(["the film", "<br />", "&amp;", "\u0130", "e\u0301", " ", "W\u00c4RM", "\u200b", "seat 4"])
        | st.text(max_size=5),
        max_size=30,
    ).map("".join),
    truncation=st.sampled_from(["head", "tail", "head+tail"]),
    lowercase=st.booleans(),
)
def test_tracing_gives_the_ids_of_encoding_in_the_order_of_the_text(tokenizer, text, truncation, lowercase):
    preparation = prepared(tokenizer, max_length=16, truncation=truncation, lowercase=lowercase)
    (encoded,) = preparation.encode([text])
    traced = preparation.trace(text)
    assert traced.ids.tolist() == encoded.tolist()
    assert traced.ids.dtype == encoded.dtype
    plain = traced.spans[~traced.special]
    assert (plain[:, 0] < plain[:, 1]).all()
    assert (np.diff(plain[:, 0]) >= 0).all()
    assert plain.max(initial=0) <= len(text)
    assert int(traced.special.sum()) == 2


def test_tracing_what_truncation_leaves(tokenizer, long_text):
    traced = prepared(tokenizer, max_length=10, truncation="head+tail", head_share=0.5).trace(long_text)
    shown = [long_text[start:end] for start, end in traced.spans[1:-1].tolist()]
    assert shown[:3] == ["seat", "0", "seat"]
    assert "".join(shown[-2:]) == "99"
    assert traced.spans[-2, 1] == len(long_text)


def test_tracing_lower_cases_where_encoding_does(tokenizer):
    cased = Tokenizer(WordLevel({"film": 5, "[UNK]": 1}, unk_token="[UNK]"))
    preparation = replace(prepared(tokenizer), tokenizer=cased, settings=TextSettings(max_length=8, lowercase=True))
    assert preparation.trace("FILM").ids.tolist() == preparation.encode(["FILM"])[0].tolist() == [5]


def test_the_mask_is_the_tokenizer_s_own_or_the_padding(tokenizer):
    preparation = prepared(tokenizer)
    assert preparation.mask_id == tokenizer.mask_token_id
    without = Tokenizer(WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    assert replace(preparation, tokenizer=without, pad_id=7).mask_id == 7
    other = Tokenizer(WordLevel({"a": 0, "<mask>": 3, "[UNK]": 1}, unk_token="[UNK]"))
    assert replace(preparation, tokenizer=other).mask_id == 3


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
