"""The page and the pictures of a leaderboard: what they say, what they draw, and that nothing odd or hostile breaks them."""

from __future__ import annotations

import copy
import importlib.util
import math
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from matplotlib.collections import PolyCollection

from matinee.report import render_board, write_board_figures
from matinee.report.board_charts import breaks, brief, cost_chart, curve_charts, curves_chart, looks
from matinee.report.board_figures import AccuracyTime, LearningCurves
from matinee.report.placings import curves_of, encoders_of, placings_of

HERE = Path(__file__).parent


def helper(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages, experiments = helper("pages"), helper("experiments")
board, accuracy_of, NAMES, Page = experiments.board, experiments.accuracy_of, experiments.NAMES, pages.Page


def words_of(found):
    return Page(render_board(found)).words


def svg_of(drawn):
    """Return the first drawing of a chart."""
    return ET.fromstring(re.search(r"<svg.*?</svg>", str(drawn), re.DOTALL).group())


class TestWhatItSays:
    @pytest.mark.parametrize(
        "words",
        [
            "data imdb · 3 encoders · 200, 1,000, 5,000 training texts · 3 seeds each",
            "Take mpnet where half an hour of training is nothing; else minilm.",
            "Most accurate mpnet 93.1 % right with 5,000 training texts",
            "Quickest to train tfidf 24 s, 86.7 % right",
            "Quickest to answer tfidf 900 texts a second, 86.7 % right",
            "mpnet the best here 93.1 % 91.6 % to 94.6 % 2.6 h 4.2 3.9 GB 440 MB 0.330 2.1",
            "minilm perhaps as good as the best 90.2 %",
            "tfidf 6.4 points behind 86.7 %",
            "tfidf 17.3 points behind; 2 of 3 seeds 73.0 %",
            "mpnet is better than tfidf; minilm is better than tfidf; mpnet and minilm cannot be told apart on so many texts.",
            "mpnet cannot be told from minilm +2.9 points +1.4 to +4.4 0.200",
            "minilm better than tfidf +3.5 points +2.0 to +5.0 <0.001",
            "minilm: error = 0.070 + 1.1 × n −0.43",
            "minilm +0.1 −1.1 to +1.4 500 5,500 90.3 %",
            "a guess",
            "bert its weights are not here, and the hub cannot be reached",
            "tfidf, 200 texts, seed 0 its process was ended: out of memory",
            "mpnet learning_rate 3e-5",
            "minilm the defaults",
            "processor a processor",
        ],
    )
    def test_the_facts_are_there(self, words):
        assert words in words_of(board())

    def test_the_largest_size_and_the_most_accurate_come_first(self):
        words = words_of(board()).partition("Size by size")[2]
        assert (
            words.index("5,000 training texts")
            < words.index("1,000 training texts")
            < words.index("200 training texts")
        )
        assert words.index("mpnet") < words.index("minilm") < words.index("tfidf")

    def test_of_many_encoders_the_best_one_is_told(self):
        pairs = [
            {"size": 200, "first": one, "second": two, "gain": {"value": 0.01 * apart}, "p_adjusted": 0.5}
            | {"better": one if apart > 2 else None}
            for place, one in enumerate("abcde")
            for apart, two in enumerate("abcde"[place + 1 :], start=1)
        ]
        words = words_of(board(pairs=pairs))
        assert (
            "a got the most texts right. On so many texts it cannot be told from c and b. It is better than e and d."
            in words
        )

    def test_too_few_sizes_for_a_curve(self):
        words = words_of(board(sizes=(200, 1000)))
        assert "Not known tfidf, minilm and mpnet: a curve takes three sizes or more" in words
        assert "a guess" not in words

    def test_one_encoder_alone(self):
        words = words_of(board(names=("minilm",)))
        assert "There is one encoder alone" in words
        assert "What more labels would bring" in words
        assert "the best here" not in words

    def test_nothing_could_be_had(self):
        words = words_of(board(rows=[], cells=[], curves=[], pairs=[], verdict=""))
        for said in ("nothing is known", "Nothing was trained yet", "nothing was scored", "its weights are not here"):
            assert said in words

    def test_nothing_is_missing(self):
        found = board(cells=[])
        del found["encoders"][-1]
        assert "Nothing: every training that was asked for is on this board." in words_of(found)

    def test_what_was_left_out_or_is_still_to_do_is_missing(self):
        found = board(cells=[], n_left=4, left_out=[{"size": 20_000, "reason": "there are 12,000 texts"}])
        del found["encoders"][-1]
        words = words_of(found)
        assert "4 trainings asked for, and still to be done" in words
        assert "20,000 training texts there are 12,000 texts" in words
        assert "Nothing: every training" not in words

    @pytest.mark.parametrize(
        ("telling", "tile"),
        [
            (1000, "Most accurate mpnet 92.2 % right with 1,000 training texts"),
            (7, "Most accurate mpnet 93.1 % right with 5,000 training texts"),
        ],
    )
    def test_tiles_are_of_the_size_of_the_verdict(self, telling, tile):
        assert tile in words_of(board(telling_size=telling))

    def test_no_tile_praises_an_encoder_that_stands_alone(self):
        found = board()
        found["rows"] = [row for row in found["rows"] if row["size"] < 5000 or row["encoder"] == "tfidf"]
        assert "Most accurate" not in words_of(found)
        assert "Most accurate mpnet" in words_of({**found, "telling_size": 1000})

    def test_encoders_that_are_level_share_a_tile(self):
        found = board()
        for row in found["rows"][-2:]:
            row["accuracy"]["mean"] = 0.9
        assert "Most accurate minilm and mpnet 90.0 % right" in words_of(found)

    @pytest.mark.parametrize(("rate", "is_told"), [(451.0, False), (449.0, True)])
    def test_rates_that_are_close_name_nobody(self, rate, is_told):
        found = board()
        found["rows"][-2]["texts_per_second"] = rate
        assert ("Quickest to answer tfidf 900 texts a second" in words_of(found)) is is_told
        assert "450 1.5 GB" in words_of(found)

    def test_the_same_board_gives_the_same_page(self):
        assert render_board(board()) == render_board(copy.deepcopy(board()))


class TestOneTraining:
    """With one seed no interval and no paired test holds for other seeds, and the page says so."""

    def test_no_word_promises_other_seeds(self):
        found = board(seeds=[0])
        for row in found["rows"]:
            row["n_seeds"] = 1
        words = words_of(found)
        for said in (
            "bar is the 95 % interval, of one training each: for other test texts alone.",
            "by one training each. Its interval holds the true value with 95 % confidence for other test texts alone",
            "in a band for other test texts alone: there was one training each",
            "Most accurate so far mpnet 93.1 % right with 5,000 training texts, one training each",
            "tfidf 6.4 points behind in one training each",
            "minilm did better than tfidf +3.5 points",
            "mpnet did better than tfidf; minilm did better than tfidf; mpnet and minilm cannot be told apart by one training each.",
            "One training each: this holds for other test texts alone; another seed may turn it.",
        ):
            assert said in words
        for never in ("for other seeds", "95 times in 100", " is better than "):
            assert never not in words

    def test_a_board_under_way_says_which_rows_rest_on_one(self):
        found = board()
        for row in found["rows"]:
            row["n_seeds"] = 1 if row["encoder"] == "mpnet" else 3
        words = words_of(found)
        for said in (
            "and for other seeds; of a row with one seed, for other test texts alone: another seed may turn it",
            "of one training alone, for other test texts alone",
            "as they did, less often where one training alone stands behind a point",
            "mpnet the best here; 1 of 3 seeds",
            "Most accurate so far mpnet",
            "mpnet did better than tfidf; minilm is better than tfidf",
            "“Did better” rests on one training each: this holds for other test texts alone",
        ):
            assert said in words

    def test_a_pair_knows_its_seeds_itself(self):
        """Encoders that have three seeds each may share one alone."""
        found = board()
        found["pairs"][-2]["n_seeds"] = 1
        assert "mpnet did better than tfidf; minilm is better than tfidf" not in words_of(board())
        assert "mpnet did better than tfidf +6.4" in words_of(found)

    def test_many_encoders(self):
        pairs = [
            {"size": 200, "first": "a", "second": two, "gain": {"value": 0.01}, "better": better, "n_seeds": n}
            for two, n, better in (("b", 1, "a"), ("c", 3, "a"), ("d", 3, None), ("e", 1, None))
        ]
        assert (
            "On so many texts it cannot be told from d. By one training each it cannot be told from e. "
            "It is better than c. It did better than b. “Did better” rests"
        ) in words_of(board(pairs=pairs))


class TestRareLabels:
    def test_f1_and_the_most_frequent_label(self):
        found = board(majority_share=0.9, majority_label="spam")
        for row in found["rows"]:
            row["f1"] = {"mean": 0.412}
        words = words_of(found)
        for said in (
            "Always answering spam would get 90.0 % of the test texts right.",
            "mpnet the best here 93.1 % 91.6 % to 94.6 % 0.412 2.6 h",
            "minilm perhaps as good as the best; no better than always answering spam 90.2 %",
            "F1: of the positive label where there are two",
        ):
            assert said in words
        assert "no better than always answering spam 93.1 %" not in words

    def test_without_them_nothing_is_said(self):
        words = words_of(board())
        assert "F1" not in words
        assert "lways answering" not in words
        assert "always answering the most frequent label" in words_of(board(majority_share=0.9))


class TestMoreLabels:
    def test_the_lower_end_is_no_promise(self):
        words = words_of(board())
        assert "The curve cannot fall: the lower end of a gain says how little there may be" in words
        assert "at most" not in words.lower()

    def test_where_no_gain_fits_as_well_the_most_is_told(self):
        found = board()
        (curve,) = (curve for curve in found["curves"] if curve["encoder"] == "minilm")
        curve["flat_fits"] = True
        words = words_of(found)
        assert "minilm at most +1.4 500 5,500" in words
        assert "At most: no gain at all fits what was measured as well." in words


class TestCharts:
    def test_a_line_for_each_encoder_with_its_intervals(self):
        found = board()
        svg = svg_of(cost_chart(placings_of(found), looks(encoders_of(found))))
        groups = {group.find("title").text: group for group in svg.iter("g") if group.find("title") is not None}
        assert set(groups) == set(NAMES)
        for group in groups.values():
            assert len([line for line in group.iter("line") if line.get("class") == "whisker"]) == 3
            assert [text.text for text in group.iter("text")] == ["200", "1,000", "5,000"]

    def test_encoders_differ_without_colour(self):
        found = looks(str(n) for n in range(14))
        assert len({(look.marker, look.dashed) for look in found.values()}) == 14

    def test_an_encoder_looks_the_same_on_every_chart(self):
        found = board()
        look = looks(encoders_of(found))
        charts = (cost_chart(placings_of(found), look), curves_chart(curves_of(found), look))
        kinds = [
            {
                title.text.partition(",")[0]: group.get("class")
                for group in svg_of(chart).iter("g")
                for title in group.iter("title")
            }
            for chart in charts
        ]
        assert set(kinds[0]) == set(NAMES)
        assert kinds[0] == kinds[1]

    def test_what_lies_ahead_is_dashed_and_in_a_band(self):
        found = board()
        charts = curve_charts(curves_of(found), looks(encoders_of(found)))
        assert [name for name, _ in charts] == list(NAMES)
        for _, chart in charts:
            svg = ET.fromstring(str(chart))
            assert len(list(svg.iter("polygon"))) == 1
            assert [path.get("class") for path in svg.iter("path") if "line" in path.get("class")] == [
                "line dashed",
                "line",
            ]

    def test_a_curve_goes_where_its_formula_says(self):
        (curve,) = (curve for curve in curves_of(board()) if curve.encoder == "minilm")
        assert curve.at(1000) == pytest.approx(accuracy_of("minilm", 1000), abs=1e-4)
        assert curve.between(200, 5000)[-1] == pytest.approx((5000, accuracy_of("minilm", 5000)), abs=1e-4)
        assert all(later[1] > earlier[1] for earlier, later in pairwise(curve.between(200, 50_000)))
        size, low, high = curve.band[0]
        assert size == 5000
        assert low < curve.at(5000) < high

    @pytest.mark.parametrize(
        ("seconds", "places"), [((1.0, 2.0, 4.0), ()), ((3.0, 2.0, 2.9), (1, 2)), ((2.0, 3.0), ()), ((), ())]
    )
    def test_a_line_breaks_where_times_do_not_clearly_rise(self, seconds, places):
        assert breaks(seconds) == places

    def test_no_line_runs_back_and_forth(self, tmp_path):
        found = board()
        for row in found["rows"]:
            row["training_seconds"] = {200: 0.21, 1000: 0.16, 5000: 0.19}[row["size"]]
        look = looks(encoders_of(found))
        svg = svg_of(cost_chart(placings_of(found), look))
        assert not [path for path in svg.iter("path") if path.get("class") == "line"]
        ticks = [text.text for text in svg.iter("text") if text.get("class") == "tick" and text.text.endswith(" s")]
        assert ticks == ["0.15 s", "0.175 s", "0.2 s", "0.225 s"]
        (axes,) = AccuracyTime(tuple(placings_of(found)), NAMES).draw().axes
        for container in axes.containers:
            assert [math.isnan(value) for value in container.lines[0].get_ydata()] == [False, True, False, True, False]
        assert {axes.xaxis.get_major_formatter()(tick) for tick in axes.get_xticks()} >= set(ticks)

    @pytest.mark.parametrize(("low", "high"), [(0.12, 0.23), (33, 46), (100, 130), (1, 3), (70, 70), (4000, 5000)])
    def test_there_are_round_times_in_every_range(self, low, high):
        found = board()
        for row, seconds in zip(found["rows"], [low, high] * 9, strict=False):
            row["training_seconds"] = seconds
        svg = svg_of(cost_chart(placings_of(found), looks(encoders_of(found))))
        ticks = [text.text for text in svg.iter("text") if text.get("class") == "tick" and "%" not in text.text]
        assert 2 <= len(ticks) == len(set(ticks)) <= 6
        values = [float(tick.partition(" ")[0]) for tick in ticks]
        steps = {f"{after - before:.2g}".strip("0.") for before, after in pairwise(values)}
        assert steps <= {"1", "2", "25", "5"}, ticks

    @pytest.mark.parametrize(("seconds", "said"), [(5, "5 s"), (60, "1 min"), (1800, "30 min"), (7200, "2 h")])
    def test_names_of_times(self, seconds, said):
        assert brief(seconds) == said


class TestPictures:
    def test_they_are_written_twice_and_are_the_same_every_time(self, tmp_path):
        paths = write_board_figures(tmp_path, board())
        assert [path.name for path in paths] == [
            "accuracy-time.png",
            "accuracy-time.svg",
            "learning-curves.png",
            "learning-curves.svg",
        ]
        before = [path.read_bytes() for path in paths]
        assert [path.read_bytes() for path in write_board_figures(tmp_path, board())] == before

    def test_a_picture_without_numbers_is_not_written_and_an_old_one_goes(self, tmp_path):
        write_board_figures(tmp_path, board())
        assert [path.name for path in write_board_figures(tmp_path, board(sizes=(200,)))] == [
            "accuracy-time.png",
            "accuracy-time.svg",
        ]
        assert write_board_figures(tmp_path, board(rows=[], curves=[])) == []
        assert list(tmp_path.iterdir()) == []

    def test_they_know_their_numbers(self):
        found = board()
        rows = AccuracyTime(tuple(placings_of(found)), NAMES).rows()
        assert rows[0] | {"low": 0, "high": 0} == {
            "encoder": "tfidf", "size": 200, "seconds": 4.8, "accuracy": accuracy_of("tfidf", 200), "low": 0, "high": 0
        }  # fmt: skip
        rows = LearningCurves(tuple(curves_of(found)), NAMES).rows()
        assert [row["size"] for row in rows if row["encoder"] == "mpnet" and row["measured"]] == [200, 1000, 5000]
        assert [row["size"] for row in rows if row["encoder"] == "mpnet" and not row["measured"]] == [
            5500,
            20_000,
            50_000,
        ]

    def test_points_stand_where_the_numbers_are(self):
        found = board()
        names = tuple(encoders_of(found))
        (axes,) = AccuracyTime(tuple(placings_of(found)), names, "imdb").draw().axes
        assert axes.get_xscale() == "log"
        assert [text.get_text() for text in axes.texts] == [f"{size:,}" for size in (200, 1000, 5000) for _ in NAMES]
        drawn = {container.get_label(): container.lines[0].get_ydata() for container in axes.containers}
        for name in NAMES:
            assert list(drawn[name]) == pytest.approx([accuracy_of(name, size) for size in (200, 1000, 5000)])

    def test_curves_have_bands_only_where_something_lies_ahead(self):
        whole, few = (
            LearningCurves(tuple(curves_of(found)), NAMES).draw().axes[0]
            for found in (board(), board(sizes=(200, 1000)))
        )
        filled = [[each for each in axes.collections if isinstance(each, PolyCollection)] for axes in (whole, few)]
        assert [len(each) for each in filled] == [3, 0]


class TestOddities:
    def test_an_empty_board(self, tmp_path):
        assert Page(render_board({})).words.count("Not known") >= 4
        assert write_board_figures(tmp_path, {}) == []

    @pytest.mark.parametrize("turn", range(3))
    def test_every_value_may_be_missing_or_odd(self, turn):
        """Each place of a board gets three of six odd values."""
        whole = board(sizes=(200, 1000, 5000), names=("tfidf", "mpnet"))
        whole |= {"cells": whole["cells"][:2], "rows": whole["rows"][-2:], "pairs": whole["pairs"][-1:]}
        whole |= {"telling_size": 5000, "majority_share": 0.9, "majority_label": "spam", "n_left": 2}
        whole |= {"left_out": [{"size": 20_000, "reason": "too few"}]}
        whole["rows"][0]["f1"] = {"mean": 0.5}
        whole["pairs"][0]["n_seeds"] = 1
        whole["curves"][0]["flat_fits"] = True
        for place, path in enumerate(pages.paths(whole)):
            value = ("absent", math.nan, "text", None, [], {})[(place + 2 * turn) % 6]
            changed = pages.without(whole, path, "absent") if value == "absent" else replaced(whole, path, value)
            render_board(changed)
            LearningCurves(tuple(curves_of(changed)), tuple(encoders_of(changed))).rows()

    @pytest.mark.parametrize("evil", pages.EVIL)
    def test_nothing_hostile_becomes_code(self, evil):
        clean = Page(render_board(board()))
        found = spoiled(board(), evil)
        page = Page(render_board(found))
        assert {tag for tag, _ in page.elements} <= {tag for tag, _ in clean.elements}
        assert page.words.count(" ".join(evil.split())) > 5
        assert not page.all("script")
        for tag, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)

    def test_names_are_no_formulas(self, tmp_path):
        found = spoiled(board(), "$\\frac{a$ <b>")
        (picture,) = (path for path in write_board_figures(tmp_path, found) if path.name == "accuracy-time.svg")
        assert "minilm $\\frac{a$ &lt;b&gt;" in picture.read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        "fit", [{"a": 0.1, "b": 1.0, "c": -900.0}, {"a": 1e300, "b": 1e300, "c": 2.0}, {"a": 0.1, "b": 1.0}]
    )
    def test_a_curve_that_is_none(self, fit):
        found = board()
        found["curves"][0]["fit"] = fit
        render_board(found)
        assert LearningCurves(tuple(curves_of(found)), tuple(encoders_of(found))).draw().axes

    def test_it_can_be_read_aloud(self):
        page = Page(render_board(board()))
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            for name in ("href", "aria-labelledby"):
                assert name not in attributes or attributes[name].lstrip("#") in ids
        charts = [a for a in page.all("svg") if a.get("class") == "chart"]
        assert len(charts) == 2 + 2 + 3
        assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in charts)
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))


def replaced(value, path, what):
    changed = copy.copy(value)
    changed[path[0]] = what if len(path) == 1 else replaced(value[path[0]], path[1:], what)
    return changed


def spoiled(value, evil):
    """Return a document in which every name and string is hostile, but for those that say of which kind a thing is."""
    if isinstance(value, dict):
        kept = {key: value[key] for key in ("state",) if key in value}
        return {key: spoiled(inner, evil) for key, inner in value.items()} | {evil: evil} | kept
    if isinstance(value, list):
        return [spoiled(inner, evil) for inner in value]
    return f"{value[:12]} {evil}" if isinstance(value, str) else value
