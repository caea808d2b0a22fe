"""Long texts as windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from matinee.core.errors import SettingsError
from matinee.core.schema import Layer, resolve
from matinee.core.settings import TextSettings
from matinee.model.load import prepare_texts
from matinee.tokens.windows import Windows, all_windows, split_windows, window_starts

ROOM = 18  # of windows of 20 tokens


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


def text_settings(**values):
    return TextSettings(**{"long": "windows", "max_length": 20, **values})


def seats(n_tokens):
    """Return a text of so many tokens, none twice in a row."""
    return " ".join(("seat", "film")[n % 2] for n in range(n_tokens))


def parted(tokenizer, text, **values):
    preparation = prepare_texts(tokenizer, text_settings(**values))
    (ids,) = preparation.encode([text])
    return [window.tolist() for window in split_windows(ids, Windows.of(preparation.settings))]


@given(n_tokens=st.integers(0, 400), room=st.integers(6, 60), stride=st.floats(0, 0.9), most=st.integers(2, 12))
def test_windows_are_spread_evenly_and_overlap_as_asked(n_tokens, room, stride, most):
    settings = text_settings(window_stride=stride, max_windows=most)
    starts = window_starts(n_tokens, room, settings)
    assert 1 <= len(starts) <= most
    assert starts[0] == 0
    assert starts[-1] == max(n_tokens - room, 0)
    gaps = np.diff(starts)
    assert gaps.max(initial=0) - gaps.min(initial=n_tokens) <= 1
    assert (gaps > 0).all()
    overlap = round(stride * room)
    if len(starts) < most:
        assert gaps.max(initial=0) <= max(1, room - overlap)
        # One window fewer would not do.
        assert len(starts) == 1 or (len(starts) - 2) * max(1, room - overlap) < n_tokens - room
    read = {token for start in starts for token in range(start, min(start + room, n_tokens))}
    assert len(read) == min(n_tokens, most * room)


def test_each_window_is_an_input_of_its_own(tokenizer):
    text = " ".join(f"seat {n % 10}" for n in range(20))
    whole = tokenizer(text)["input_ids"]
    starts = window_starts(len(whole) - 2, ROOM, text_settings())
    expected = [[whole[0], *whole[1 + start : 1 + start + ROOM], whole[-1]] for start in starts]
    assert len(expected) == 3
    assert parted(tokenizer, text) == expected


@pytest.mark.parametrize("n_tokens", [0, 1, ROOM - 1, ROOM])
def test_a_text_that_fits_is_what_it_is_without_windows(tokenizer, n_tokens):
    (plain,) = prepare_texts(tokenizer, TextSettings(max_length=20)).encode([seats(n_tokens)])
    assert parted(tokenizer, seats(n_tokens)) == [plain.tolist()]


def test_one_token_more_is_two_windows(tokenizer):
    windows = parted(tokenizer, seats(ROOM + 1))
    assert [len(window) for window in windows] == [20, 20]
    assert windows[0][2:-1] == windows[1][1:-2]


def test_ten_thousand_words_are_as_many_windows_as_allowed(tokenizer):
    assert len(parted(tokenizer, seats(10_000))) == 8
    assert len(parted(tokenizer, seats(10_000), max_windows=200)) == 200


def test_a_review_of_2500_tokens_is_read_whole_by_default():
    assert TextSettings(long="windows").tokens_read() > 2_500


@given(n_tokens=st.integers(0, 300), most=st.integers(2, 9))
def test_tokens_read_is_what_is_read(n_tokens, most):
    settings = text_settings(max_windows=most)
    starts = window_starts(n_tokens, ROOM, settings)
    read = {token for start in starts for token in range(start, min(start + ROOM, n_tokens))}
    assert len(read) == min(n_tokens, settings.tokens_read() - 2)


def test_tokens_read_of_truncated_texts():
    assert TextSettings(max_length=64).tokens_read() == 64


def test_lengths_are_those_of_the_whole_text(tokenizer):
    assert prepare_texts(tokenizer, text_settings()).token_lengths([seats(500), ""]) == [502, 2]


def test_all_windows_in_a_row():
    rows = [np.arange(n, dtype=np.int32) for n in (5, 16, 8, 2)]
    windows, counts = all_windows(rows, Windows(8, "mean"))
    assert counts.tolist() == [1, 2, 1, 1]
    assert [window.tolist() for window in windows[1:3]] == [[*range(8)], [*range(8, 16)]]
    assert all_windows(rows, None)[0] == rows
    assert all_windows([], Windows(8, "mean"))[0] == []


@given(
    words=st.lists(st.sampled_from(["the film", "<br />", "&eacute;", "W\u00c4RM", "seat 4"]), max_size=80).map(" ".join),
    most=st.integers(2, 6),
)  # fmt: skip
def test_tracing_gives_the_ids_of_encoding_and_says_what_is_read(tokenizer, words, most):
    preparation = prepare_texts(tokenizer, text_settings(max_windows=most))
    (encoded,) = preparation.encode([words])
    traced = preparation.trace(words)
    assert traced.ids.tolist() == encoded.tolist()
    windows = split_windows(encoded, Windows.of(preparation.settings))
    assert int(traced.special.sum()) == 2 * len(windows)
    spans = [span for span in map(tuple, traced.spans.tolist()) if span[0] >= 0]
    n_tokens = preparation.token_lengths([words])[0] - 2
    if n_tokens <= most * ROOM:
        whole = prepare_texts(tokenizer, TextSettings(max_length=8192)).trace(words)
        assert set(spans) == {span for span in map(tuple, whole.spans.tolist()) if span[0] >= 0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_stride": 0.95}, "window_stride must be a number between 0 and 0.9"),
        ({"window_stride": -0.1}, "window_stride must be a number between 0 and 0.9"),
        ({"max_windows": 1}, "max_windows must be a whole number between 2 and 256"),
        ({"long": "window"}, "Did you mean 'windows'"),
        ({"window_pooling": "attention", "pooling": "cls", "head": "random"}, "attention needs pooling 'mean'"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        resolve(Layer({"long": "windows", **values}))


def test_truncation_is_the_default_and_knows_no_windows():
    settings = resolve(Layer({})).text
    assert settings.long == "truncate"
    assert Windows.of(settings) is None
    with pytest.raises(SettingsError, match="window_pooling: needs long 'windows'"):
        resolve(Layer({"window_pooling": "max"}))
