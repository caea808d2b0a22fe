"""Explanations of a run's answers, and of the mistakes in its report."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from matinee.core.errors import DataError, RunError, SettingsError
from matinee.core.text import clean
from matinee.inference import load_predictor
from matinee.workflow import explain, train
from matinee.workflow.explain import MOST_ROWS_EXPLAINED, _spread_out, explain_rows


class Counting:
    """Each "good" is worth one unit of log-odds, each "bad" minus one, wherever it stands."""

    label_names = ("negative", "positive")
    threshold = None

    def __init__(self):
        self.n_texts = 0

    def probabilities(self, texts):
        self.n_texts += len(texts)
        words = [re.findall(r"\w+", clean(text, lowercase=True)) for text in texts]
        odds = np.array([each.count("good") - each.count("bad") for each in words], dtype=float)
        positive = 1 / (1 + np.exp(-odds))
        return np.column_stack([1 - positive, positive])


def row(number, text=None, predicted="positive", **more):
    text = text or f"Seat {number}: a good film,<br />and &quot;GOOD&quot; music, if not a bad one at all."
    return {"id": f"test-{number}", "text": text, "predicted": predicted, "label": "negative", "score": 0.7, **more}


@pytest.fixture(scope="module")
def run_dir(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain") / "run"
    train(tiny_csv, encoder="tfidf", run_dir=folder, test_size=24)
    return folder


class TestOfARun:
    def test_the_word_that_the_answer_rests_on_comes_first(self, run_dir):
        (why,) = explain(run_dir, ["The film was WONDERFUL<br />."])
        assert (why.predicted, why.method) == ("positive", "linear")
        best = max(why.words, key=lambda word: word.contribution)
        assert (best.text, best.start, best.end) == ("WONDERFUL", 13, 22)

    def test_a_file_and_a_page(self, run_dir, tmp_path):
        source, page = tmp_path / "in.jsonl", tmp_path / "new" / "why.html"
        texts = ["a dreadful film", "<script>alert(1)</script>"]
        source.write_text("\n".join(json.dumps({"said": text}) for text in texts), encoding="utf-8")
        found = explain(run_dir, input=source, text_column="said", html=page, label="negative")
        assert [each.text for each in found] == texts
        assert {each.label for each in found} == {"negative"}
        shown = page.read_text(encoding="utf-8")
        assert "dreadful" in shown
        assert "<script" not in shown

    @pytest.mark.parametrize(
        ("arguments", "error", "part"),
        [
            ({}, SettingsError, "one of the two"),
            ({"texts": ["a"], "input": "b.csv"}, SettingsError, "one of the two"),
            ({"texts": ["a"], "html": "."}, SettingsError, "is a folder"),
            ({"texts": ["a"], "label": "postive"}, SettingsError, "Did you mean 'positive'"),
            ({"texts": ["a"], "method": "integrated_gradients"}, SettingsError, "needs a PyTorch classifier"),
            ({"input": "nowhere.csv"}, DataError, "no file nowhere.csv"),
        ],
    )
    def test_a_mistake_is_said(self, run_dir, arguments, error, part):
        with pytest.raises(error, match=part):
            explain(run_dir, **arguments)

    def test_there_must_be_a_run(self, tmp_path):
        with pytest.raises(RunError, match="not a run folder"):
            explain(tmp_path, ["a"])


class TestOfMistakes:
    def test_rows_get_the_words_for_the_label_that_was_predicted(self):
        rows = [row(1), row(2, "Bad. So bad!", predicted="negative"), row(1)]
        section = explain_rows(Counting(), rows, seed=0)
        assert (section["method"], section["n"], section["faithfulness"]["n"]) == ("occlusion", 2, 2)
        for each in rows:
            assert all(each["text"][word["start"] : word["end"]] == word["text"] for word in each["words"])
        said = [{word["text"]: round(word["contribution"], 6) for word in each["words"]} for each in rows]
        assert {key: said[0][key] for key in ("good", "GOOD", "bad", "film")} == {
            "good": 1,
            "GOOD": 1,
            "bad": -1,
            "film": 0,
        }
        assert said[1] == {"Bad": 1, ".": 0, "So": 0, "bad": 1, "!": 0}
        assert rows[2]["words"] == rows[0]["words"]
        assert json.loads(json.dumps(section, allow_nan=False)) == section

    def test_at_most_so_many_distinct_texts_from_everywhere(self):
        rows = [row(number) for number in range(60)]
        predictor = Counting()
        section = explain_rows(predictor, [*rows, *rows], seed=0)
        explained = [number for number, each in enumerate(rows) if "words" in each]
        assert section["n"] == len(explained) == MOST_ROWS_EXPLAINED
        assert all(any(first <= number < first + 10 for number in explained) for first in range(0, 60, 10))
        assert section["faithfulness"]["faithful"] is True

    def test_without_time_there_is_one(self):
        rows = [row(number) for number in range(20)]
        section = explain_rows(Counting(), rows, seed=0, limit_s=0)
        assert (section["n"], section["faithfulness"]["n"]) == (1, 1)
        assert ["words" in each for each in rows] == [True] + [False] * 19

    def test_no_text_is_begun_when_the_time_is_spent(self, monkeypatch):
        now = 0.0

        class Slow(Counting):
            def probabilities(self, texts):
                nonlocal now
                now += 1.0
                return super().probabilities(texts)

        monkeypatch.setitem(explain_rows.__globals__, "time", SimpleNamespace(monotonic=lambda: now))
        section = explain_rows(Slow(), [row(number) for number in range(20)], seed=0, limit_s=20)
        # Four calls a text: its answer, both ends, its words, its measurement.
        assert (section["n"], section["faithfulness"]["n"], now) == (5, 5, 20)

    def test_the_linear_baseline_s_coefficients(self, run_dir):
        rows = [row(1, "A wonderful, wonderful film."), row(2, "Dreadful.", predicted="negative")]
        section = explain_rows(load_predictor(run_dir), rows, seed=0)
        assert section["method"] == section["faithfulness"]["method"] == "linear"
        assert max(rows[0]["words"], key=lambda word: word["contribution"])["text"] == "wonderful"

    def test_part_of_a_text_is_explained_only_if_it_has_the_same_answer(self):
        same, other = row(1, "good " * 10, cut=True), row(2, "bad " * 10, cut=True)
        whole = row(3, "bad bad")  # nothing is missing: what a rounding made of a tie does not matter
        section = explain_rows(Counting(), [same, other, whole], seed=0)
        assert [("words" in each) for each in (same, other, whole)] == [True, False, True]
        assert all(word["contribution"] < 0 for word in whole["words"])
        assert section["n"] == 2

    @pytest.mark.parametrize("rows", [[], [row(1, "bad", cut=True)]])
    def test_no_mistakes_no_figures(self, rows):
        section = explain_rows(Counting(), rows, seed=0)
        assert section == {
            "method": "occlusion",
            "n": 0,
            "faithfulness": {"n": 0, "reason": "There was no mistake that could be explained."},
        }

    def test_a_text_without_words(self):
        empty = row(1, "<br />")
        section = explain_rows(Counting(), [empty], seed=0)
        assert empty["words"] == []
        assert "reason" in section["faithfulness"]

    def test_it_is_the_same_every_time(self):
        first, second = ([row(number) for number in range(30)] for _ in range(2))
        assert explain_rows(Counting(), first, seed=1) == explain_rows(Counting(), second, seed=1)
        assert first == second

    @pytest.mark.parametrize("n", [0, 1, 2, 7, 60])
    def test_every_beginning_is_spread_out(self, n):
        keys = [(str(number), "") for number in range(n)]
        order = [int(key[0]) for key in _spread_out(keys)]
        assert sorted(order) == list(range(n))
        for count in (2, 4, 8):
            if n >= 4 * count:
                gaps = np.diff(sorted(order[:count]))
                assert gaps.min() >= math.floor(n / count / 2)
