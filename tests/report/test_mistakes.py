"""The mistakes: which are shown, where, and which of their words are marked."""

import re

from hypothesis import given
from hypothesis import strategies as st

from matinee.report.mistakes import highlighted, mistakes


def word(text, start, contribution, length=None):
    return {"text": text, "start": start, "end": start + (length or len(text)), "contribution": contribution}


def marked(text, words):
    return [(piece["text"], piece["kind"], piece["level"]) for piece in highlighted(text, words) if piece["kind"]]


class TestHighlighting:
    def test_kinds_and_levels(self):
        text = "so good, a bit long, not bad"
        words = [
            word("so", 0, 0.05),
            word("good", 3, 1.0),
            word("bit", 11, 0.2),
            word("long", 15, -0.5),
            word("bad", 25, -0.9),
        ]
        assert marked(text, words) == [
            ("good", "for", 3),
            ("bit", "for", 1),
            ("long", "against", 2),
            ("bad", "against", 3),
        ]
        assert [piece["title"] for piece in highlighted(text, words) if piece["kind"]] == ["+1", "+0.2", "−0.5", "−0.9"]

    @given(
        st.text(alphabet="ab <>&é\n", max_size=60),
        st.lists(st.tuples(st.integers(-5, 70), st.integers(-5, 70), st.floats(-1, 1))),
    )
    def test_the_pieces_are_the_text(self, text, spans):
        words = [{"start": start, "end": end, "contribution": value} for start, end, value in spans]
        assert "".join(piece["text"] for piece in highlighted(text, words)) == text

    def test_words_that_cleaning_moved_are_found(self):
        text = "Great<br /><br />film &amp; GOOD"
        words = [word("great", 0, 1.0), word("film", 6, -1.0), word("good", 13, 1.0)]
        assert [each[0] for each in marked(text, words)] == ["Great", "film", "GOOD"]

    def test_a_word_that_is_not_there_is_left_out(self):
        assert marked("a plain text", [word("other", 2, 1.0), word("text", 8, 1.0)]) == [("text", "for", 3)]

    def test_line_breaks_of_html_become_line_ends(self):
        (piece,) = highlighted("One.<br /><br />Two.<BR>Three.", [])
        assert piece["text"] == "One.\nTwo.\nThree."

    def test_not_everything_is_marked(self):
        text = "word " * 200
        words = [word("word", 5 * n, 1.0 - n / 1000) for n in range(200)]
        assert len(marked(text, words)) == 40

    def test_words_without_any_weight_are_not_marked(self):
        assert marked("a b", [word("a", 0, 0.0), word("b", 2, 0.0)]) == []


def row(name, **more):
    return {"id": name, "text": f"text {name}", "label": "a", "predicted": "b", "score": 0.9, "slices": ["s"], **more}


class TestGroups:
    def test_each_mistake_stands_once_and_knows_all_its_kinds(self):
        section = {
            "n": 4,
            "kinds": {"confident": [row("1"), row("2")], "mislabelled": [row("2"), row("3")]},
            "all": [row(name) for name in "1234"],
        }
        view = mistakes(section)
        assert [(group["key"], [each["id"] for each in group["rows"]]) for group in view["groups"]] == [
            ("confident", ["1"]),
            ("mislabelled", ["2", "3"]),
            ("others", ["4"]),
        ]
        assert view["groups"][1]["rows"][0]["kinds"] == ["confident", "mislabelled"]
        assert [kind["key"] for kind in view["kinds"]] == ["confident", "mislabelled"]
        assert view["n_left"] == ""

    def test_a_kind_whose_mistakes_all_stand_elsewhere_can_still_be_asked_for(self):
        section = {"n": 1, "kinds": {"confident": [row("1")], "uncertain": [row("1")]}, "all": [row("1")]}
        view = mistakes(section)
        assert [group["key"] for group in view["groups"]] == ["uncertain"]
        assert [kind["key"] for kind in view["kinds"]] == ["confident", "uncertain"]

    def test_filters_go_by_place(self):
        section = {"n": 2, "all": [row("1", label="x"), row("2", label="y", slices=["s", "t"])]}
        view = mistakes(section, slices={"rows": [{"name": "t", "title": "with a t"}]})
        assert (view["labels"], view["predicted"], view["slices"]) == (["x", "y"], ["b"], ["s", "with a t"])
        assert view["groups"][0]["rows"][1]["at"] == {"label": "1", "predicted": "0", "slices": "0 1"}

    def test_what_does_not_fit_is_counted(self):
        view = mistakes({"n": 1000, "all": [row(str(n)) for n in range(900)]})
        assert len(view["groups"][0]["rows"]) == 400
        assert view["n_left"] == "600 more"

    def test_a_long_text_is_folded_then_cut(self):
        text = "word " * 2000
        (group,) = mistakes({"n": 1, "kinds": {"confident": [row("1", text=text)]}})["groups"]
        shown, rest = ("".join(piece["text"] for piece in group["rows"][0][part]) for part in ("shown", "rest"))
        assert shown + rest == text[:4000]
        assert len(shown) <= 2000
        assert re.fullmatch(r"(word ?| )+", rest)
        assert group["rows"][0]["cut"] == "6,000"

    def test_a_word_on_the_edge_stays_marked(self):
        text = "x" * 1995 + " excellent film"
        words = [word("excellent", 1996, 1.0)]
        (group,) = mistakes({"n": 1, "kinds": {"confident": [row("1", text=text, words=words)]}})["groups"]
        pieces = group["rows"][0]["shown"] + group["rows"][0]["rest"]
        assert "".join(piece["text"] for piece in pieces if piece["kind"]) == "excellent"
