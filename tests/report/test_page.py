"""The page: what it says, what it says where things are missing, and that nothing on it runs or is fetched but its own."""

from __future__ import annotations

import base64
import copy
import hashlib
import importlib.util
import json
import re
from dataclasses import fields, replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from matinee.report import PageContents, render_page
from matinee.report.page import _asset

_spec = importlib.util.spec_from_file_location("pages", Path(__file__).with_name("pages.py"))
pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pages)
EVIL, Page = pages.EVIL, pages.Page


@pytest.fixture(scope="module")
def html(contents):
    return render_page(contents)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def texts_of(html, tag):
    found = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", "", text).split()) for text in found]


class TestWhatItSays:
    def test_the_sections_in_order(self, html):
        assert [text.partition(":")[0] for text in texts_of(html, "h2")] == [
            *(
                "Verdict",
                "Scores",
                "Checks",
                "Training curves",
                "Confusion matrix",
                "Calibration",
                "Coverage",
                "Slices",
            ),
            *(
                "Mistakes",
                "Behaviour",
                "Explanations",
                "Fast versions",
                "Data",
                "Settings and environment",
                "Repeat it",
            ),
        ]

    @pytest.mark.parametrize(
        "words",
        [
            "The classifier labels",
            "Before you rely on it A leak. See the checks.",
            "Word-count baseline (tf-idf)",
            "It answers “positive” where the probability of that is at least 0.420, chosen on the validation texts for f1",
            "1 error, 1 note.",
            "Do: Split.",
            "epoch 2, which was kept",
            "Temperature 2.00, fitted on 100 texts of the validation split: before, it was too sure of itself.",
            "Area under the risk-coverage curve",
            "how many texts’ true label they hold",
            "Not shown on this run sarcasm: 3 of 60 mistakes show it.",
            "100 more than this page holds",
            "The training texts that are most like it:",
            "Negated praise",
            "changed from Good.",
            "there are none",
            "Originals less edits: +20.0 points, 95% interval −10.0 to +50.0.",
            "The highlighted words matter more than random ones. Method: occlusion; measured on 20 mistakes of those listed above.",
            "At 384 tokens, 33.0% of the texts are cut, and 20.0% of all tokens are never read.",
            "16 texts repeat an earlier one (4.0% of the texts)",
            "train, r-1, bad; the same as test, r-0",
            "Split validation was not used: no row of it has a label.",
            "no label 3",
            "text_column not set",
            "machine · cores 2",
            "fine-tuning 5.0 min",
            "matinee train reviews.csv --run-dir runs/again",
        ],
    )
    def test_the_facts_are_there(self, page, words):
        assert words in page.words

    def test_the_figures_are_those_of_the_run(self, page, contents):
        test = contents.metrics["test"]
        for name in ("accuracy", "f1", "ece"):
            assert f"{test[name]['value']:.3f} {test[name]['low']:.3f} to {test[name]['high']:.3f}" in page.words
        for row in contents.confusion:
            for n in row:
                assert f"{n} {n / sum(row):.1%}" in page.words

    def test_the_worst_check_comes_first(self, page):
        assert page.words.index("3 texts. Do: Split") < page.words.index("10 points. Do: Look")

    def test_only_slices_that_differ_are_named(self, contents):
        slices = {"n_looked_at": 2, "rows": [slice_row("loud", True), slice_row("quiet", False)]}
        words = Page(render_page(replace(contents, analysis={"slices": slices}))).words
        assert "2 slices of the test texts were looked at. 1 differs from the rest beyond chance" in words
        assert "with loud" in words
        assert "with quiet" not in words
        slices["rows"][0]["significant"] = False
        assert (
            "2 slices of the test texts were looked at; none differs"
            in Page(render_page(replace(contents, analysis={"slices": slices}))).words
        )

    def test_without_findings_it_says_so(self, contents):
        bare = replace(contents, analysis={**contents.analysis, "checks": []}, audit={"findings": []})
        words = Page(render_page(bare)).words
        assert "no check found anything" in words
        assert "The audit found nothing wrong with the texts." in words

    def test_the_same_contents_give_the_same_page(self, contents, html):
        assert render_page(copy.deepcopy(contents)) == html

    def test_many_labels(self, contents):
        names = [f"label {n}" for n in range(30)]
        counts = [[20 if i == j else int(j == (i + 1) % 30) * (i + 1) for j in range(30)] for i in range(30)]
        report = [{"label": name, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 20} for name in names]
        page = Page(
            render_page(replace(contents, label_names=names, confusion=counts, class_report=report, threshold=None))
        )
        assert "label 29 label 0 30 60.0%" in page.words
        assert "5 rarer pairs are not shown" in page.words
        assert "plain means over the labels" in page.words
        assert not [a for a in page.all("table") if a.get("class") == "matrix"]


def slice_row(name, significant):
    figures = {"value": -0.1, "low": -0.2, "high": -0.05}
    return {"name": name, "title": f"with {name}", "group": "cue", "n": 50, "accuracy": {"value": 0.7, "low": 0.6, "high": 0.8}} | {
        "rest": 0.8, "difference": figures, "p": 0.001, "p_adjusted": 0.002, "significant": significant
    }  # fmt: skip


class TestWhatIsMissing:
    def test_a_bare_run(self):
        page = Page(render_page(PageContents("bare")))
        assert page.words.count("Not known") == 16
        for words in (
            "there are no labelled test texts",
            "has no config.yaml",
            "`matinee stress RUN` does that",
            "has no history",
        ):
            assert words in page.words

    def test_reasons_of_a_run_are_told(self, contents):
        reasons = {name: {"reason": f"no {name}, because."} for name in contents.analysis}
        page = Page(render_page(replace(contents, analysis=reasons, stress={"reason": "no stress, because."})))
        for name in [*contents.analysis, "stress"]:
            assert f"no {name}, because." in page.words or name == "conformal"

    def test_a_linear_run_has_no_curves(self, contents):
        for name in ("tfidf", "nblr"):
            linear = Page(render_page(replace(contents, history=[], settings={"encoder": name})))
            assert "it is a linear model, which is not trained in epochs" in linear.words
            assert ("it is the simple word-count baseline itself" in linear.words) == (name == "tfidf")

    def test_no_mistakes_at_all(self, contents):
        analysis = {"mistakes": {"n": 0, "kinds": {}, "all": []}}
        assert "it made no mistake on the test texts" in Page(render_page(replace(contents, analysis=analysis))).words

    @pytest.mark.parametrize(
        "name", [field.name for field in fields(PageContents) if field.name not in ("name", "label_names")]
    )
    def test_without_each_part(self, contents, name):
        Page(render_page(replace(contents, **{name: PageContents.__dataclass_fields__[name].default})))

    @pytest.mark.parametrize(
        "part", ["metrics", "history", "class_report", "analysis", "audit", "stress", "data", "environment"]
    )
    def test_nothing_inside_a_part_is_needed(self, contents, part):
        """Every value at every depth may be missing or null."""
        whole = pages.shortened(getattr(contents, part))
        for path in pages.paths(whole):
            for value in (None, "absent"):
                render_page(replace(contents, **{part: pages.without(whole, path, value)}))


class TestSafety:
    @staticmethod
    def spoiled(contents, evil):
        """Return a page in which every string that a user or a dataset may have written is hostile, keys included."""
        known = {"error", "warning", "info"}

        def spoil(value):
            if isinstance(value, dict):
                keep = {"severity": value["severity"]} if value.get("severity") in known else {}
                return {key: spoil(inner) for key, inner in value.items()} | {evil: spoil("x")} | keep
            if isinstance(value, list):
                return [spoil(inner) for inner in value]
            return f"{value[:20]} {evil}" if isinstance(value, str) else value

        parts = ("settings", "metrics", "class_report", "analysis", "audit", "stress", "environment", "data", "seconds")
        spoiled = {name: spoil(getattr(contents, name)) for name in parts}
        spoiled |= {"name": evil, "completed": evil, "command": evil, "label_names": [evil, f"2{evil}"]}
        spoiled["analysis"]["mistakes"]["kinds"] |= {"confident": spoiled["analysis"]["mistakes"]["kinds"]["confident"]}
        for row in spoiled["analysis"]["mistakes"]["kinds"]["confident"]:
            row["words"] = [
                {"text": evil, "start": row["text"].index(evil), "end": len(row["text"]), "contribution": 1.0}
            ]
            row["probabilities"] = {evil: 0.9}
        return render_page(replace(contents, **spoiled))

    @pytest.mark.parametrize("evil", EVIL)
    def test_nothing_of_it_becomes_an_element(self, contents, page, evil):
        spoiled = Page(self.spoiled(contents, evil))
        assert {tag for tag, _ in spoiled.elements} <= {tag for tag, _ in page.elements}
        assert len(spoiled.all("script")) == len(spoiled.all("style")) == 1
        assert "7 * 7" not in evil or "49" not in spoiled.all("title")
        assert spoiled.words.count(" ".join(evil.split())) > 40

    @pytest.mark.parametrize("evil", EVIL)
    def test_nothing_of_it_stands_where_code_reads(self, contents, evil):
        html = self.spoiled(contents, evil)
        for tag, attributes in Page(html).elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
            for name, value in attributes.items():
                if name not in {"aria-label", "title"}:
                    assert evil not in (value or ""), (tag, name)
        style, script = str(_asset("report.css")), str(_asset("report.js"))
        assert f"<style>{style}</style>" in html
        assert f"<script>{script}</script>" in html

    def test_the_policy_allows_the_page_s_own_code_alone(self, html, page):
        (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
        for tag in ("style", "script"):
            (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy

    def test_nothing_is_fetched(self, page):
        for tag, attributes in page.elements:
            for name in ("src", "href", "action", "poster", "srcset", "data"):
                assert attributes.get(name, "#").startswith("#"), (tag, attributes)
            assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"} or tag == "form"
        assert not re.search(r"url\(|@import", str(_asset("report.css")))
        assert not re.search(r"fetch|XMLHttp|import\(|innerHTML|eval|document\.write", str(_asset("report.js")))

    def test_characters_that_no_file_can_hold(self, contents):
        html = render_page(replace(contents, name="a\x00b\ud800c\x1bd", command="x\udfff"))
        html.encode("utf-8")
        assert "a\ufffdb\ufffdc\ufffdd" in html
        assert "\x00" not in html

    def test_writing_from_right_to_left_stays_in_its_place(self, page):
        assert all(a.get("dir") == "auto" for a in page.all("div") if a.get("class") == "text")


class TestSize:
    def test_it_is_below_5_mb_whatever_stands_in_the_texts(self, contents):
        """25,000 predictions, 3,000 of them wrong, each text 50,000 characters that take five each when escaped."""
        text = '"' * 50_000
        row = {
            "id": text,
            "label": text,
            "predicted": text,
            "score": 0.9,
            "slices": [f"{n}{text}" for n in range(50)],
            "text": text,
        }
        detailed = {
            **row,
            "probabilities": {f"{n}{text}": 0.1 for n in range(100)},
            "words": [{"text": '"', "start": n, "end": n + 1, "contribution": 1.0} for n in range(0, 50_000, 2)],
            "neighbours": [{"id": "1", "text": text, "label": text, "similarity": 0.5}] * 10,
        }
        found = {"severity": "error", "code": text, "title": text, "found": text, "advice": text, "name": text}
        audited = {**found, "examples": [{"id": text, "split": text, "label": text, "text": text}] * 10}
        tested = {"name": text, "title": text, "n": 5, "failures": 5, "rate": {"value": 0.5, "low": 0.4, "high": 0.6}}
        tested |= {
            "worst": [{"text": text, "changed_from": text, "expected": text, "predicted": text, "score": 0.5}] * 9
        }
        kinds = {
            kind: [{**detailed, "id": f"{kind}{n}"} for n in range(100)]
            for kind in ("confident", "uncertain", "mislabelled")
        }
        html = render_page(
            replace(
                contents,
                name=text,
                command=text,
                settings={f"{n}": text for n in range(100)},
                history=[
                    {"epoch": n / 100, "loss": 0.5, "eval_loss": 0.5, "eval_accuracy": 0.5} for n in range(20_000)
                ],
                analysis={
                    **contents.analysis,
                    "mistakes": {"n": 3000, "kinds": kinds, "all": [{**row, "id": str(n)} for n in range(3000)]},
                    "slices": {"n_looked_at": 50, "rows": [slice_row(text, True) for _ in range(50)]},
                    "checks": [found] * 20,
                    "causes": {"claims": [{"name": text, "holds": None, "sentence": text}] * 5},
                },
                audit={"findings": [audited] * 20},
                stress={"capabilities": [tested] * 20},
            )
        )
        assert len(html.encode()) < 5_000_000
        assert "46,000 more characters are not shown." in html
        assert "2,540 more than this page holds" in html

    def test_a_real_page_is_small(self, html):
        assert len(html.encode()) < 400_000


class TestAccess:
    def test_one_h1_and_no_level_is_skipped(self, page):
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))

    def test_language_title_viewport_and_skip_link(self, html, page):
        assert page.all("html") == [{"lang": "en"}]
        assert len(re.findall("<title>", html.partition("</head>")[0])) == 1
        assert any(a.get("name") == "viewport" for a in page.all("meta"))
        assert page.all("a")[0] == {"class": "skip", "href": "#content"}

    def test_every_link_and_label_leads_somewhere(self, page):
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            for name in ("href", "aria-labelledby", "for"):
                assert name not in attributes or attributes[name].lstrip("#") in ids

    def test_every_chart_has_words_and_a_table(self, html, page):
        charts = [a for a in page.all("svg") if a.get("class") == "chart"]
        assert len(charts) == 3 + 2 + 2 + 1
        assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in charts)
        assert all(a["aria-hidden"] == "true" for a in page.all("svg") if a.get("class") == "strip")
        for caption in (
            "Training and validation values",
            "Before calibration</caption>",
            "Accuracy by coverage</caption>",
        ):
            assert caption in html

    def test_every_table_has_a_caption_and_headings(self, html, page):
        tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
        assert len(tables) > 12
        for table in tables:
            assert "<caption>" in table
            assert 'scope="col"' in table
        assert all("scope" in a for a in page.all("th"))

    def test_every_field_has_a_label(self, html):
        form = re.search(r"<form.*?</form>", html, re.DOTALL)[0]
        assert len(re.findall(r"<(input|select)\b", form)) == len(re.findall(r"<label>[^<]+<(input|select)\b", form))

    def test_severities_and_signs_are_words_too(self, html):
        assert re.search(r'class="badge error"><span aria-hidden="true">✕</span> Error<', html)
        style = str(_asset("report.css"))
        assert 'mark.for::before { content: "+"; }' in style
        assert 'mark.against::before { content: "−"; }' in style

    @pytest.mark.parametrize("mode", ["light", "dark", "print"])
    @pytest.mark.parametrize("ground", ["paper", "panel"])
    @pytest.mark.parametrize("ink", ["ink", "muted", "link", "error", "warning", "info"])
    def test_text_has_contrast(self, mode, ground, ink):
        colours = variables(mode)
        assert contrast(rgb(colours[ink]), rgb(colours[ground])) >= 4.5

    @pytest.mark.parametrize("mode", ["light", "dark", "print"])
    def test_text_has_contrast_on_the_deepest_shade(self, mode):
        colours = variables(mode)
        style = str(_asset("report.css"))
        for kind in ("for", "against"):
            shades = [float(a) for a in re.findall(rf"rgb\(var\(--{kind}\) / ([\d.]+)\)", style)]
            tint = [int(part) / 255 for part in colours[kind].split()]
            for ground in ("paper", "panel"):
                under = rgb(colours[ground])
                mixed = [max(shades) * a + (1 - max(shades)) * b for a, b in zip(tint, under, strict=True)]
                assert contrast(rgb(colours["ink"]), mixed) >= 4.5

    @pytest.mark.parametrize("mode", ["light", "dark", "print"])
    @pytest.mark.parametrize("hue", ["blue", "vermilion"])
    def test_lines_have_contrast(self, mode, hue):
        colours = variables(mode)
        assert contrast(rgb(colours[hue]), rgb(colours["paper"])) >= 3

    def test_every_class_has_a_style(self, html, page):
        style = str(_asset("report.css"))
        used = {name for _, a in page.elements for name in (a.get("class") or "").split()}
        without_style = {name for name in used if not re.search(rf"\.{name}\b", style)}
        assert without_style <= {
            "group",
            "yes",
            "no",
            "open",
            "claim",
            "beside",
            "level1",
            "level2",
            "level3",
            "count",
        } | {*("mixed", "tick", "kept")}


def variables(mode):
    style = str(_asset("report.css"))
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    block = dict(zip(("light", "dark", "print"), blocks, strict=True))[mode]
    return dict(re.findall(r"--([\w-]+): ([^;]+);", block))


def rgb(colour):
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def contrast(one, other):
    """WCAG 2.1's contrast ratio."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_templates_are_files_of_the_package():
    found = {path.name for path in files("matinee.report").joinpath("templates").iterdir()}
    pages_here = {"report.html", "explained.html", "study.html", "board.html"}
    assert found == pages_here | {"macros.html", "report.css", "experiments.css", "report.js"}


def test_contents_are_plain_values(contents):
    json.dumps({field.name: getattr(contents, field.name) for field in fields(contents)}, allow_nan=False)
