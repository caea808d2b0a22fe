"""Before and after, as the page shows them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.report import render_page
from matinee.report.augmentation import augmentation

WORDS = st.lists(st.sampled_from(["a", "good", "film", "with", "no", "plot", "at", "all"]), min_size=1, max_size=60)


def view_of(before, after):
    row = {"id": "train-1", "before": before, "after": after}
    return augmentation({"names": ["delete:0.1"], "examples": [row]})["examples"][0]


def marked(pieces):
    return " ".join(f"[{piece['text']}]" if piece["changed"] else piece["text"] for piece in pieces)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a good film", "a film", ("a [good] film", "a film")),
        ("a good film", "a fine film", ("a [good] film", "a [fine] film")),
        ("a good film", "film", ("[a good] film", "film")),
        ("a film", "a film", ("a film", "a film")),
    ],
)
def test_the_words_that_differ_are_marked(before, after, shown):
    view = view_of(before, after)
    assert (marked(view["before"]), marked(view["after"])) == shown


@given(WORDS, WORDS)
def test_all_words_of_short_runs_are_there_and_the_unmarked_ones_are_the_same(before, after):
    view = view_of(" ".join(before), " ".join(after))
    if any("…" in piece["text"] for side in ("before", "after") for piece in view[side]):
        return
    for side, words in (("before", before), ("after", after)):
        assert " ".join(piece["text"] for piece in view[side]).split() == words
    kept = [
        [word for piece in view[side] if not piece["changed"] for word in piece["text"].split()]
        for side in view
        if side != "id"
    ]
    assert kept[0] == kept[1]


def test_of_a_long_run_the_ends_are_shown():
    words = [f"w{n}" for n in range(100)]
    view = view_of(" ".join(words), "w50 w51")
    assert marked(view["after"]) == "w50 w51"
    assert marked(view["before"]) == (
        "[w0 w1 w2 w3 w4 w5 w6 w7] [… 34 words …] [w42 w43 w44 w45 w46 w47 w48 w49] w50 w51 "
        "[w52 w53 w54 w55 w56 w57 w58 w59] [… 32 words …] [w92 w93 w94 w95 w96 w97 w98 w99]"
    )


@pytest.mark.parametrize("nothing", [None, {}, {"names": []}, {"reason": "why"}, "damaged", {"names": [None]}])
def test_nothing_is_shown_where_nothing_was_changed(nothing, contents):
    assert augmentation(nothing) is None
    page = render_page(replace(contents, analysis={**contents.analysis, "augmentation": nothing}))
    assert "augmentation" not in page


def test_the_page_marks_with_elements_and_escapes_texts(contents):
    row = {"id": "<b>1", "before": "a <script>alert(1)</script> film & more", "after": "a film & less"}
    section = {"names": ["swap:0.1", "mixup:0.2"], "examples": [row] * 7}
    page = render_page(replace(contents, analysis={**contents.analysis, "augmentation": section}))
    assert '<a href="#augmentation">Augmentation</a>' in page
    assert "<del>&lt;script&gt;alert(1)&lt;/script&gt;</del> film &amp; <del>more</del>" in page
    assert "<ins>less</ins>" in page
    assert page.count("&lt;b&gt;1</h3>") == 5
    assert "<b>swap:0.1</b>: pairs of words exchanged" in page


def test_mixup_alone_has_no_examples(contents):
    section = {"names": ["mixup:0.2"], "examples": []}
    page = render_page(replace(contents, analysis={**contents.analysis, "augmentation": section}))
    assert "There are no examples" in page
