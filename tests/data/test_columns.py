from __future__ import annotations

from pathlib import Path

import pytest

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.data.columns import Columns, choose_columns
from matinee.data.readers import Table


def table(*columns, headerless=False):
    return Table(Path("reviews.csv"), columns, lambda _: iter(()), headerless=headerless)


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        (("text", "label"), "text", "label"),
        (("review", "sentiment"), "review", "sentiment"),
        (("label", "title", "text"), "text", "label"),
        (("Sentence", "Class"), "Sentence", "Class"),
        (("id", "reviewText", "overall"), "reviewText", "overall"),
        (("reviews.title", "reviews.text", "reviews.rating"), "reviews.text", "reviews.rating"),
        (("review_id", "review_body", "star_rating"), "review_body", "star_rating"),
        (("tweet_id", "airline_sentiment", "text"), "text", "airline_sentiment"),
        (("comments", "categories_id", "targets"), "comments", "targets"),
        (("content", "score", "label"), "content", "label"),
        (("X", "message", "Y"), "message", "Y"),
    ],
)
def test_guesses(columns, text, label):
    assert choose_columns(table(*columns), DataSettings()) == Columns(text, label)


def test_what_is_given_wins():
    settings = DataSettings(text_column="title", label_column="stars", group_column="film")
    assert choose_columns(table("text", "label", "title", "stars", "film"), settings) == Columns(
        "title", "stars", "film"
    )


def test_a_label_named_like_a_text():
    settings = DataSettings(label_column="review")
    assert choose_columns(table("review", "comment"), settings) == Columns("comment", "review")


def test_labels_are_not_always_wanted():
    assert choose_columns(table("text"), DataSettings(label_column="gone"), labelled=False) == Columns("text")


@pytest.mark.parametrize(
    ("columns", "settings", "said"),
    [
        (("a", "label"), DataSettings(), r"holds texts; name it with --text-column\. Its columns: 'a', 'label'"),
        (("text", "b"), DataSettings(), r"holds labels; name it with --label-column\. Its columns: 'text', 'b'"),
        (
            ("text", "label"),
            DataSettings(text_column="txet"),
            r"no column 'txet' \(--text-column\)\. Did you mean 'text'",
        ),
        (("text", "label"), DataSettings(group_column="film"), r"no column 'film' \(--group-column\)"),
        (("text", "label"), DataSettings(label_column="text", text_column="text"), "both name 'text'"),
    ],
)
def test_what_cannot_be_found_is_named(columns, settings, said):
    with pytest.raises(DataError, match=said):
        choose_columns(table(*columns), settings)


def test_a_missing_header_is_recognised():
    with pytest.raises(DataError, match="looks like data"):
        choose_columns(table("A film that I liked rather a lot", "1", headerless=True), DataSettings())
