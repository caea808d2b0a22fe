"""The page of a search: what it says when it is over, under way or came to nothing, and that nothing odd or hostile breaks it."""

from __future__ import annotations

import base64
import copy
import hashlib
import importlib.util
import math
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from matinee.core.schema import from_recipe, resolve
from matinee.report import render_study
from matinee.report.measures import Measure, duration, name_of_data, plain
from matinee.report.study_charts import coordinates, history, learning, scale_of, worth_seeing
from matinee.report.study_verdict import study_verdict
from matinee.report.trials import trials_of

HERE = Path(__file__).parent


def helper(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages, experiments = helper("pages"), helper("experiments")
study, trial, Page = experiments.study, experiments.trial, pages.Page
ACCURACY = Measure.of("accuracy")
LOSS = Measure.of("log_loss")


def words_of(**changes):
    return Page(render_study(study(**changes))).words


def svg_of(drawn):
    """Return the first drawing of a chart."""
    return ET.fromstring(re.search(r"<svg.*?</svg>", str(drawn), re.DOTALL).group())


class TestVerdict:
    @pytest.mark.parametrize(
        ("low", "high", "tone", "said"),
        [
            (
                0.002,
                0.016,
                "good",
                "they are 0.5 points better (95% interval +0.2 to +1.6): take them.",
            ),
            (
                -0.006,
                0.016,
                "mixed",
                "the gain is +0.5 points (95% interval −0.6 to +1.6): so many texts cannot tell the two apart",
            ),
        ],
    )
    def test_what_is_left_on_test(self, low, high, tone, said):
        test = {**study()["test"], "gain": {"value": 0.005, "low": low, "high": high}}
        found = study_verdict(study(test=test), ACCURACY)
        assert found["tone"] == tone
        assert (
            "get 87.0% on the validation texts (mean of 3 seeds), 1.0 points more than the settings that you had"
            in found["text"]
        )
        assert f"On 2,000 test texts that the search never saw, {said}" in found["text"]
        assert found["text"].endswith(
            "with the seed under which the settings were found: other seeds would move it, and that one may flatter them."
        )

    def test_the_gain_is_in_the_score_that_was_searched_for(self):
        losses = ({"value": 0.31, "low": 0.28, "high": 0.34}, {"value": 0.33, "low": 0.3, "high": 0.36})
        test = {**study()["test"], "gain": {"value": 0.02, "low": 0.01, "high": 0.03}, "validation_gain": 0.04}
        for side, loss in zip(("winner", "base"), losses, strict=True):
            test[side] = {**test[side], "log_loss": loss}
        winner = {**study()["winner"], "mean": 0.3, "base_mean": 0.34}
        changes = {"metric": "log_loss", "higher_is_better": False, "winner": winner, "test": test}
        found = study_verdict(study(**changes), LOSS)
        assert found["tone"] == "good"
        said = (
            "they are better by 0.020 in log-loss (95% interval +0.010 to +0.030), with 87.0% labelled right where it was 86.5%: "
            "take them."
        )
        assert said in found["text"]
        words = words_of(**changes)
        assert (
            "Gain on test in log-loss, text by text: +0.020, 95% interval +0.010 to +0.030 (above 0 is better)" in words
        )
        assert "On validation it was +0.040." in words
        own = "By log-loss, which was searched for: best settings found 0.310 (0.280 to 0.340), your settings 0.330 (0.300 to 0.360)."
        assert own in words
        unknown = {"value": None, "low": None, "high": None, "reason": "of two calibration errors it has no interval"}
        found = study_verdict(study(**{**changes, "test": {**test, "gain": unknown}}), LOSS)
        assert found["tone"] == "mixed"
        assert found["text"].endswith(
            "The difference on test is not known: of two calibration errors it has no interval."
        )

    def test_a_gain_that_was_luck(self):
        test = {**study()["test"], "gain": {"value": -0.02, "low": -0.03, "high": -0.01}}
        found = study_verdict(study(test=test), ACCURACY)
        assert found["tone"] == "bad"
        assert "they are 2.0 points worse (95% interval −3.0 to −1.0): keep the settings that you had." in found["text"]

    def test_settings_that_nothing_beats(self):
        winner = {"params": experiments.TRIALS[0]["params"], "is_base": True, "mean": 0.86, "base_mean": 0.86}
        found = study_verdict(study(winner=winner), ACCURACY)
        assert found["tone"] == "mixed"
        assert found["text"].startswith(
            "Keep the settings that you have: none of the 3 other trials that were trained to their end beats them, once the "
            "best are repeated with other seeds. They get 86.0% on the validation texts (mean of 3 seeds)."
        )
        assert "On 2,000 test texts they label 86.5% right (likely 84.9% to 87.9%)" in found["text"]

    @pytest.mark.parametrize(
        ("kept", "said"),
        [
            (
                (0, 2, 4),
                "the one other trial that was trained to its end does not beat them. They get 86.0% on the validation texts (one seed)",
            ),
            ((0, 4), "no others were trained to their end, so there was nothing to hold them against. They get"),
        ],
    )
    def test_settings_that_nothing_beats_are_held_against_what_was_trained(self, kept, said):
        """What failed, what could not be, and the same settings again are no rivals; nothing is repeated without finalists."""
        winner = {"params": experiments.TRIALS[0]["params"], "is_base": True, "mean": 0.86, "base_mean": 0.86}
        trials = [*(experiments.TRIALS[n] for n in kept), {**trial(9, value=0.86), "reason": "the same settings"}]
        base = {**experiments.BASE, "dropout": 0.1}
        found = study_verdict(study(winner=winner, trials=trials, finalists=[], base=base), ACCURACY)
        assert found["text"].startswith(f"Keep the settings that you have: {said}")

    def test_settings_whose_own_score_is_not_known(self):
        winner = {**study()["winner"], "base_mean": None}
        said = "get 87.0% on the validation texts (mean of 3 seeds); the settings that you had were not measured beside them"
        assert said in study_verdict(study(winner=winner), ACCURACY)["text"]
        assert "your settings: not measured; on validation, mean of 3 seeds" in words_of(winner=winner)

    @pytest.mark.parametrize(
        ("chosen_of", "said"),
        [(4, "found of the first 4 trials; 3 were added since"), (1, "found of the first trial; 6 were added since")],
    )
    def test_trials_that_were_added_since(self, chosen_of, said):
        base = {"params": experiments.TRIALS[0]["params"], "is_base": True, "mean": 0.86, "base_mean": 0.86}
        for winner in (base, study()["winner"]):
            assert said in study_verdict(study(chosen_of=chosen_of, winner=winner), ACCURACY)["text"]
        assert "added since" not in study_verdict(study(), ACCURACY)["text"]

    def test_a_search_under_way(self):
        found = study_verdict(study(winner=None, test=None, finalists=[], n_trials=30), ACCURACY)
        assert found["tone"] == "mixed"
        assert found["text"].startswith("7 of 30 trials so far. The best, trial 2, gets 88.0%")
        assert "your settings get 86.0%" in found["text"]
        assert "partly luck" in found["text"]

    @pytest.mark.parametrize(
        ("trials", "said"),
        [
            ([], "No trial is over yet"),
            (
                [trial(0, "failed", reason="out of disk.")],
                "The one trial was not trained to its end, so nothing is known. The last one: out of disk.",
            ),
            ([trial(0, "failed"), trial(1, "pruned")], "None of 2 trials was trained to its end"),
        ],
    )
    def test_nothing_finished(self, trials, said):
        found = study_verdict(study(trials=trials, winner=None, best=None, test=None), ACCURACY)
        assert found["tone"] == "bad"
        assert said in found["text"]

    def test_without_a_test(self):
        assert "they were not scored on the test texts" in study_verdict(study(test=None), ACCURACY)["text"]

    def test_where_less_is_better(self):
        winner = {**study()["winner"], "mean": 0.310, "base_mean": 0.331}
        found = study_verdict(study(metric="log_loss", winner=winner), LOSS)
        assert "get a log-loss of 0.310 on the validation texts (mean of 3 seeds), 0.021 lower than" in found["text"]
        assert "the gain is +0.005 in log-loss (95% interval" in found["text"]


class TestWhatItSays:
    @pytest.mark.parametrize(
        "words",
        [
            "data imdb · encoder minilm · by accuracy on 200 validation texts · sampler tpe · pruner median",
            "Gain on test +0.5 points likely −0.6 to +1.6, on 2,000 test texts, of one training each",
            "What it cost 10.0 min of computing, 7 trials",
            "Best settings found 87.0% 85.5% to 88.4%",
            "Gain on test in accuracy, text by text: +0.5 points, 95% interval −0.6 to +1.6, for these texts and one training of each",
            "other seeds would move it. On validation it was +1.0 points.",
            "On 200 validation texts, one score is known to about ±4.5 points.",
            "Trial 2 taken learning_rate 4.9e-4, epochs 2, dropout 0.1 88.0% 87.0% 86.0% 87.0%",
            "Seed 1 Seed 2 Seed 3 Mean",
            "learning_rate 1e-5 to 5e-4, logarithmic 1e-4 4.9e-4 at the end of its range 60%",
            "epochs 1 to 5, steps of 1 3 2 8%",
            "freeze none, 2, all none none 30%",
            "Trials finished 4 4.0 min 60 s",
            "Trials stopped early 2 30 s 15 s",
            "Everything else: finalists’ other seeds, the last training 5.2 min",
            "88 trials in an hour of computing",
            "3 ▲ stopped early (80.0%) 1 15 s freeze 2, dropout 0.1 below the median of the trials before it",
            "4 ✕ failed – – 15 s dropout 0.1 the loss is not a number",
            "0 ● finished 86.0% 3 60 s your settings",
        ],
    )
    def test_the_facts_are_there(self, words):
        assert words in words_of()

    def test_the_best_mean_comes_first_among_the_finalists(self):
        words = words_of().partition("Score on validation, seed by seed")[2]
        assert words.index("Trial 2") < words.index("Your settings")

    def test_finalists_whose_seeds_were_not_noted(self):
        finalists = [{**each, "seeds": None} for each in study()["finalists"]]
        assert "Training 1 Training 2 Training 3 Mean" in words_of(finalists=finalists)

    def test_a_lost_trial_is_listed_and_not_counted(self):
        lost = {**trial(7, "lost", reason="interrupted; it is tried again"), "seconds": 0.0}
        found = study(trials=[*experiments.TRIALS, lost], counts={**study()["counts"], "lost": 1})
        words = Page(render_study(found)).words
        assert "7 – lost – – 0.0 s dropout 0.1 interrupted; it is tried again" in words
        assert "of computing, 7 trials" in words
        assert "Trials lost 1" in words
        assert "88 trials in an hour" in words
        assert len(trials_of(found)) == 7

    def test_the_most_important_setting_comes_first(self):
        words = words_of(importance={"dropout": 0.9, "learning_rate": 0.1}).partition("Searched settings, the most")[2]
        assert words.index("dropout") < words.index("learning_rate")

    def test_the_recipe_is_one_that_can_be_trained_with(self):
        html = render_study(study())
        recipe = yaml.safe_load(
            Page(html[html.index("<pre") : html.index("</pre>") + 6]).words.replace(" ", "\n").replace(":\n", ": ")
        )
        assert recipe == {"data": "imdb", "train_size": 1000, "learning_rate": 4.9e-4, "epochs": 2, "dropout": 0.1}
        assert resolve(from_recipe(recipe, "best.yaml")).training.learning_rate == 4.9e-4

    def test_what_is_not_known_yet_says_so(self):
        words = words_of(winner=None, test=None, finalists=[], importance=None, seconds=None)
        for said in (
            "The search is not over",
            "The best recipe so far",
            "No trial was repeated with other seeds",
            "Which settings mattered is not known",
        ):
            assert said in words
        assert "Importance:" not in words
        assert "taken" not in words

    def test_a_winner_that_was_not_tested(self):
        assert "The settings found were not trained anew and scored on test texts" in words_of(test=None)

    def test_one_trial(self):
        words = words_of(trials=[experiments.TRIALS[0]], winner=None, test=None, finalists=[], importance=None)
        assert "That needs two finished trials." in words

    def test_many_trials(self):
        many = [trial(n, value=0.8 + (n * 37 % 100) / 1000, learning_rate=1e-5 * (n + 1)) for n in range(400)]
        html = render_study(study(trials=many))
        assert "100 more are not shown" in Page(html).words
        assert len(html.encode()) < 1_500_000

    def test_the_same_study_gives_the_same_page(self):
        assert render_study(study()) == render_study(copy.deepcopy(study()))

    @pytest.mark.parametrize("metric", ["log_loss", "f1", "something_else", None])
    def test_other_metrics(self, metric):
        words = words_of(metric=metric, higher_is_better=metric != "log_loss")
        assert "0.880" in words
        assert "known to about" not in words


class TestCharts:
    def places(self, svg, kind, tag):
        return [each for group in svg.iter("g") if group.get("class") == kind for each in group.iter(tag)]

    def test_the_staircase_never_goes_down(self):
        svg = svg_of(history(trials_of(study()), ACCURACY, 2))
        (path,) = self.places(svg, "after", "path")
        heights = [float(corner.split()[1]) for corner in path.get("d")[1:].split("L")]
        assert all(later <= earlier for earlier, later in pairwise(heights))
        assert len(set(heights)) == 2
        assert len(self.places(svg, "after", "circle")) == 4
        assert len(self.places(svg, "quiet", "path")) == 2
        assert len([p for p in self.places(svg, "before", "path") if p.get("class") == "cross"]) == 1

    def test_the_staircase_goes_down_where_less_is_better(self):
        losses = [trial(n, value=value) for n, value in enumerate((0.5, 0.6, 0.4))]
        (path,) = self.places(svg_of(history(trials_of(study(trials=losses)), LOSS, 2)), "after", "path")
        heights = [float(corner.split()[1]) for corner in path.get("d")[1:].split("L")]
        assert all(later >= earlier for earlier, later in pairwise(heights))

    def test_one_that_diverged_does_not_flatten_the_rest(self):
        assert worth_seeing([0.86, 0.87, 0.88, 0.5], ACCURACY) == [0.86, 0.87, 0.88]
        assert worth_seeing([0.33, 0.32, 0.31, 9.0], LOSS) == [0.33, 0.32, 0.31]

    def test_no_score_is_drawn_beyond_what_it_can_be(self):
        perfect = trials_of(study(trials=[trial(n, value=1.0) for n in range(3)]))
        names = [text.text for text in svg_of(history(perfect, ACCURACY, 0)).iter("text") if "%" in (text.text or "")]
        assert max(float(name.rstrip("%")) for name in names) == 100

    def test_the_settings_taken_are_seen_even_where_they_learned_late(self):
        late = [trial(n, value=0.9, scores=[(1.0, 0.89), (2.0, 0.9)]) for n in range(9)]
        late.append(trial(9, value=0.91, scores=[(1.0, 0.3), (2.0, 0.91)]))
        svg = svg_of(learning(trials_of(study(trials=late)), ACCURACY, 9))
        names = [text.text for text in svg.iter("text") if "%" in (text.text or "")]
        assert min(float(name.rstrip("%")) for name in names) <= 40

    def test_of_two_equal_finalists_the_one_taken_comes_first(self):
        finalists = [{**each, "mean": 0.86} for each in study()["finalists"]][::-1]
        winner = {"params": experiments.TRIALS[0]["params"], "is_base": True, "mean": 0.86, "base_mean": 0.86}
        words = words_of(finalists=finalists, winner=winner).partition("Score on validation, seed by seed")[2]
        assert words.index("Your settings taken") < words.index("Trial 2")

    def test_every_finished_trial_is_a_thread_the_best_one_on_top(self):
        trials, space = trials_of(study()), study()["space"]
        svg = svg_of(coordinates(trials, space, list(space), ACCURACY, 2))
        kinds = [group.get("class") for group in svg.iter("g")]
        assert len(kinds) == 4
        assert kinds[-2:] == ["thread before", "thread after"]
        titles = [each.text for each in svg.iter("text") if each.get("class") == "title"]
        assert titles == [*space, "accuracy"]

    def test_a_thread_has_a_gap_where_a_trial_has_no_value(self):
        trials = study()["trials"]
        del trials[2]["params"]["epochs"]
        space = study()["space"]
        svg = svg_of(coordinates(trials_of(study(trials=trials)), space, list(space), ACCURACY, 2))
        best = next(group for group in svg.iter("g") if group.get("class") == "thread after")
        (path,) = best.iter("path")
        assert path.get("d").count("M") == 2

    def test_trials_that_were_scored_once_have_no_curves(self):
        once = [trial(n, value=0.8, scores=[(1.0, 0.8)]) for n in range(3)]
        assert learning(trials_of(study(trials=once)), ACCURACY, 0) == ""
        assert learning(trials_of(study()), ACCURACY, 2) != ""

    def test_places_of_numbers_logarithms_and_names(self):
        log = scale_of("learning_rate", {"low": 1e-5, "high": 1e-3, "log": True}, [1e-4])
        assert log.place(1e-4) == pytest.approx(-4)
        assert log.place(0) is None
        names = scale_of("freeze", [None, "2", "all"], ["4"])
        assert [names.place(value) for value in (None, "2", "all", "4", "no")] == [0, 1, 2, 3, None]
        whole = scale_of("epochs", {"low": 1, "high": 5}, [3])
        assert [whole.axis.name(tick) for tick in whole.axis.ticks] == ["1", "2", "3", "4", "5"]
        choices = scale_of("batch_size", [8, 16], [16])
        assert choices.place(16) == 1


class TestWords:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (1e-4, "1e-4"),
            (2.346e-5, "2.35e-5"),
            (0.25, "0.25"),
            (16, "16"),
            (None, "none"),
            (True, "yes"),
            (0.0, "0"),
            (3.0, "3"),
            (["a", 1], "a, 1"),
            (math.nan, "nan"),
        ],
    )
    def test_a_setting(self, value, said):
        assert plain(value) == said

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [
            (0.44, "0.4 s"),
            (9.96, "10 s"),
            (99.4, "99 s"),
            (99.6, "1.7 min"),
            (5969, "99.5 min"),
            (7560, "2.1 h"),
            (None, "–"),
        ],
    )
    def test_a_duration(self, seconds, said):
        assert duration(seconds) == said

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ("imdb", "imdb"),
            ("someone/reviews", "someone/reviews"),
            ("/data/private/reviews.csv", "reviews.csv"),
            ("./texts/", "texts"),
            ("C:\\texts\\a.csv", "a.csv"),
            ("/", "/"),
            (None, "–"),
        ],
    )
    def test_a_path_is_told_by_its_last_part(self, data, said):
        assert name_of_data(data) == said

    def test_a_measure(self):
        assert ACCURACY.change(-0.0121) == "−1.2 points"
        assert LOSS.change(0.0001) == "0.000"
        assert (ACCURACY.apart(-0.01), LOSS.apart(-0.02)) == ("1.0 points fewer", "0.020 lower")
        assert (ACCURACY.lead(0.9, 0.8) > 0, LOSS.lead(0.9, 0.8) > 0) == (True, False)


class TestOddities:
    def test_an_empty_study(self):
        assert Page(render_study({})).words.count("Not known") >= 6

    @pytest.mark.parametrize("turn", range(3))
    def test_every_value_may_be_missing_or_odd(self, turn):
        """Each place of a study gets three of six odd values."""
        trials = study()["trials"]
        whole = study(trials=[trials[0], trials[2], trials[3], trials[5]])
        for place, path in enumerate(pages.paths(whole)):
            value = ("absent", math.nan, "text", None, [], {})[(place + 2 * turn) % 6]
            changed = pages.without(whole, path, "absent") if value == "absent" else replaced(whole, path, value)
            render_study(changed)

    @pytest.mark.parametrize("evil", pages.EVIL)
    def test_nothing_hostile_becomes_code(self, evil):
        clean = Page(render_study(study()))
        html = render_study(spoiled(study(), evil))
        page = Page(html)
        assert {tag for tag, _ in page.elements} <= {tag for tag, _ in clean.elements}
        assert page.words.count(" ".join(evil.split())) > 10
        assert not page.all("script")
        for tag, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)

    def test_the_policy_allows_the_page_s_own_style_alone(self):
        html = render_study(study())
        (policy,) = (a["content"] for a in Page(html).all("meta") if a.get("http-equiv") == "Content-Security-Policy")
        (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        assert not re.search(r"url\(|@import", style)

    def test_it_can_be_read_aloud(self):
        page = Page(render_study(study()))
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            for name in ("href", "aria-labelledby"):
                assert name not in attributes or attributes[name].lstrip("#") in ids
        charts = [a for a in page.all("svg") if a.get("class", "").startswith("chart")]
        assert charts
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
        kept = {key: value[key] for key in ("state", "metric") if key in value}
        return {key: spoiled(inner, evil) for key, inner in value.items()} | {evil: evil} | kept
    if isinstance(value, list):
        return [spoiled(inner, evil) for inner in value]
    return f"{value[:20]} {evil}" if isinstance(value, str) else value
