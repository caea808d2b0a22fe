"""Slices: who is in them, how they are scored, and how often chance is mistaken for a finding."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from matinee.core.errors import SettingsError
from matinee.core.types import Predictions
from matinee.evaluation.slices import FEWEST_TEXTS, MOST_GROUPS, Slice, find_slices, slice_scores, slices_of


def predictions_of(correct, texts=None, labels=None):
    """Predictions of two labels, right where told so."""
    correct = np.asarray(correct, dtype=bool)
    labels = np.arange(len(correct)) % 2 if labels is None else np.asarray(labels)
    positive = np.where(labels == correct, 0.9, 0.1)
    texts = texts or [f"text {i}" for i in range(len(correct))]
    ids = [f"test-{i}" for i in range(len(correct))]
    return Predictions(ids, texts, np.column_stack([1 - positive, positive]), ("bad", "good"), labels)


def slice_of(mask):
    return Slice("chosen", "own", np.asarray(mask, dtype=bool))


def rows_of(section):
    return {row["name"]: row for row in section["rows"]}


def test_the_helper_makes_what_it_says():
    made = predictions_of([True, False, True, False])
    assert (made.predicted == made.labels).tolist() == [True, False, True, False]


class TestFinding:
    def test_quarters_by_words_hold_every_text_once(self):
        texts = ["word " * n for n in range(1, 101)]
        bands = [each for name, each in find_slices(texts).items() if name.startswith("words:")]
        assert [int(each.mask.sum()) for each in bands] == [25, 25, 25, 25]
        assert (np.sum([each.mask for each in bands], axis=0) == 1).all()
        assert [each.title for each in bands] == [
            "of 1 to 25 words",
            "of 26 to 50 words",
            "of 51 to 75 words",
            "of 76 to 100 words",
        ]

    def test_texts_of_one_length_are_one_band(self):
        slices = find_slices(["word"] * 7)
        assert [name for name in slices if name.startswith("words:")] == ["words:1"]
        assert slices["words:1"].title == "of 1 word"
        assert slices["words:1"].mask.all()

    def test_tokens_bring_bands_and_what_was_cut(self):
        slices = find_slices(["a", "b", "c", "d"], token_lengths=[10, 384, 385, 900], max_length=384)
        assert slices["truncated"].mask.tolist() == [False, False, True, True]
        assert slices["not-truncated"].mask.tolist() == [True, True, False, False]
        assert [name for name in slices if name.startswith("tokens:")] == [
            "tokens:1",
            "tokens:2",
            "tokens:3",
            "tokens:4",
        ]
        without = find_slices(["a", "b"], token_lengths=[1, 2])
        assert "truncated" not in without
        assert "tokens:1" in without

    def test_cues(self):
        slices = find_slices(["Good, but long.", "Bad?"])
        assert slices["contrast"].mask.tolist() == [True, False]
        assert slices["question"].mask.tolist() == [False, True]
        assert slices["contrast"].group == "cue"

    def test_large_groups_alone_and_not_too_many(self):
        groups = [f"film {n}" for n in range(MOST_GROUPS + 5) for _ in range(30 + n)] + ["rare"] * 29
        slices = find_slices(["text"] * len(groups), groups=groups)
        named = [name for name in slices if name.startswith("group:")]
        assert len(named) == MOST_GROUPS
        assert f"group:film {MOST_GROUPS + 4}" in named
        assert "group:film 0" not in named
        assert int(slices["group:film 10"].mask.sum()) == 40
        few = find_slices(["text"] * 29 + ["other"] * 31, groups=["rare"] * 29 + ["common"] * 31)
        assert [name for name in few if name.startswith("group:")] == ["group:common"]

    def test_own_patterns_see_the_text_as_it_is(self):
        slices = find_slices(["<b>Plot</b>", "plot"], patterns={"capital": "Plot", "tag": r"<b>", "negation": "x"})
        assert slices["own:capital"].mask.tolist() == [True, False]
        assert slices["own:tag"].mask.tolist() == [True, False]
        assert slices["negation"].group == "cue"  # a user's slice of the same name stands beside it
        assert slices["own:negation"].group == "own"

    @pytest.mark.parametrize("pattern", ["(plot", "a{99999999999999999999}", "*"])
    def test_what_is_no_pattern_is_named(self, pattern):
        with pytest.raises(
            SettingsError, match=r"Slice 'plot' needs a regular expression, and .* is not one: "
        ) as caught:
            find_slices(["text"], patterns={"plot": pattern})
        assert "\n" not in str(caught.value)

    def test_lengths_and_groups_are_one_per_text(self):
        with pytest.raises(ValueError, match="3 lengths or groups for 1 texts"):
            find_slices(["text"], token_lengths=[1, 2, 3])
        with pytest.raises(ValueError, match="2 lengths or groups for 1 texts"):
            find_slices(["text"], groups=["a", "b"])

    def test_no_texts_at_all(self):
        slices = find_slices([], token_lengths=[], max_length=3, groups=[], patterns={"x": "x"})
        assert all(len(each.mask) == 0 for each in slices.values())

    def test_slices_of_a_text(self):
        slices = find_slices(["Why not?", "So."], patterns={"why": "(?i)why"})
        assert slices_of(slices, 0) == ["words:2", "negation", "question", "own:why"]
        assert slices_of(slices, 1) == ["words:1"]

    def test_strange_texts(self):
        slices = find_slices(["", "😀" * 50, "\x00\ud800", "<script>alert(1)</script>", "x" * 100_000])
        assert {len(each.mask) for each in slices.values()} == {5}


@pytest.mark.parametrize(
    "part",
    [
        '"',
        "a",
        "'a ",
        "such a masterpiece of boredom ",
        "<a",
        "1",
        "1,1",
        "10/",
        "10 ",
        "oh ",
        "good bad ",
        "x /s ",
        '"a ',
        "three ",
    ],
)
def test_cost_grows_with_the_length_alone(part):
    """A pattern that backtracks over such a text would take minutes or hours, not a moment."""
    text = part * (300_000 // len(part))
    assert len(find_slices([text])["negation"].mask) == 1


class TestScores:
    def test_a_planted_gap_is_found_and_no_other(self):
        generator = np.random.default_rng(0)
        n = 1_000
        hard = np.arange(n) % 5 == 0
        correct = generator.random(n) < np.where(hard, 0.6, 0.9)
        section = slice_scores(
            predictions_of(correct), {"hard": slice_of(hard), "easy": slice_of(np.arange(n) % 7 == 0)}
        )
        rows = rows_of(section)
        assert rows["hard"]["significant"] is True
        assert rows["hard"]["difference"]["high"] < 0
        assert rows["hard"]["n"] == 200
        assert [name for name, row in rows.items() if row["significant"]] == ["hard"]

    def test_figures_are_plain_counts(self):
        correct = np.array([True] * 30 + [False] * 10 + [True] * 95 + [False] * 5)
        mask = np.arange(140) < 40
        row = rows_of(slice_scores(predictions_of(correct), {"first": slice_of(mask)}))["first"]
        assert row["accuracy"]["value"] == 0.75
        assert row["rest"] == 0.95
        assert row["difference"]["value"] == pytest.approx(-0.2)
        assert row["p"] == pytest.approx(stats.fisher_exact([[30, 10], [95, 5]]).pvalue)

    def test_p_values_are_adjusted_for_all_that_was_looked_at(self):
        generator = np.random.default_rng(1)
        correct = generator.random(400) < 0.8
        slices = {f"s{k}": slice_of(generator.random(400) < 0.3) for k in range(8)}
        section = slice_scores(predictions_of(correct), slices)
        assert section["n_looked_at"] == 9  # the two labels divide the texts in one way
        smallest = min(section["rows"], key=lambda row: row["p"])
        assert smallest["p_adjusted"] == pytest.approx(min(1.0, 9 * smallest["p"]))
        assert all(row["p_adjusted"] >= row["p"] for row in section["rows"])

    def test_two_sides_of_one_division_are_one_comparison(self):
        mask = np.arange(100) < 40
        correct = np.arange(100) % 3 > 0
        section = slice_scores(predictions_of(correct), {"cut": slice_of(mask), "whole": slice_of(~mask)})
        rows = rows_of(section)
        assert section["n_looked_at"] == 2
        assert rows["cut"]["p"] == pytest.approx(rows["whole"]["p"])
        assert rows["cut"]["p_adjusted"] == rows["whole"]["p_adjusted"]

    def test_chance_is_rarely_called_a_finding(self):
        """Of 200 classifiers that are equally good everywhere, at most one in twenty may show a slice."""
        generator, named = np.random.default_rng(2), 0
        for _ in range(200):
            slices = {f"s{k}": slice_of(generator.random(300) < 0.3) for k in range(10)}
            section = slice_scores(predictions_of(generator.random(300) < 0.85), slices)
            named += any(row["significant"] for row in section["rows"])
        assert named <= 18  # 10 expected at most; Fisher's test is careful, so that there are fewer

    def test_the_true_labels_are_slices_too(self):
        labels = np.array([0] * 50 + [1] * 50)
        correct = np.array([True] * 50 + [True] * 20 + [False] * 30)
        rows = rows_of(slice_scores(predictions_of(correct, labels=labels), {}))
        assert rows["label:bad"]["accuracy"]["value"] == 1.0
        assert rows["label:good"]["accuracy"]["value"] == 0.4
        assert rows["label:good"]["significant"] is True
        assert rows["label:good"]["group"] == "label"

    @pytest.mark.parametrize(
        ("n_in", "reason"),
        [(0, "no texts"), (1, "only 1 text"), (9, "only 9 texts"), (92, "all but 8 texts"), (100, "all texts")],
    )
    def test_too_few_texts_are_not_tested(self, n_in, reason):
        mask = np.arange(100) < n_in
        row = rows_of(slice_scores(predictions_of(np.arange(100) % 4 > 0), {"few": slice_of(mask)}))["few"]
        assert row["reason"] == reason
        assert row["p"] is row["p_adjusted"] is row["difference"]["value"] is None
        assert row["significant"] is False

    def test_just_enough_texts_are_tested(self):
        mask = np.arange(100) < FEWEST_TEXTS
        row = rows_of(slice_scores(predictions_of(np.arange(100) % 4 > 0), {"few": slice_of(mask)}))["few"]
        assert row["p"] is not None
        assert "reason" not in row

    def test_the_threshold_counts(self):
        said = predictions_of([True] * 40)
        moved = Predictions(said.ids, said.texts, said.probabilities, said.label_names, said.labels, threshold=0.95)
        assert rows_of(slice_scores(moved, {}))["label:good"]["accuracy"]["value"] == 0.0

    def test_without_labels_there_is_a_reason(self):
        said = predictions_of([True] * 20)
        unlabelled = Predictions(said.ids, said.texts, said.probabilities, said.label_names)
        section = slice_scores(unlabelled, find_slices(said.texts))
        assert section["rows"] == []
        assert "labels" in section["reason"]

    def test_it_is_plain_json(self):
        said = predictions_of(np.arange(60) % 5 > 0, ["Not good?", "Fine, but long. 4/10"] * 30)
        section = slice_scores(said, find_slices(said.texts, groups=["a", "b"] * 30, patterns={"x": "x"}))
        assert json.loads(json.dumps(section, allow_nan=False)) == section

    def test_no_texts_and_one_text(self):
        for n in (0, 1):
            said = predictions_of([True] * n)
            section = slice_scores(said, find_slices(said.texts))
            assert section["n_looked_at"] == 0
            assert all(row["reason"] for row in section["rows"])
