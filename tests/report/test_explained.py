"""Explanations as a page."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from matinee.report.explained import render_explanations


def explained(text, figures, **values):
    """Return an explanation as JSON has it; figures by word, in the order of the text, None for one that was not read."""
    words, at = [], 0
    for word, value in figures:
        start = text.index(word, at)
        at = start + len(word)
        words.append({"text": word, "start": start, "end": at, "contribution": value or 0.0, "read": value is not None})
    whole = {"text": text, "start": 0, "end": len(text), "contribution": 0.0, "read": True}
    return {
        "text": text,
        "label": "positive",
        "predicted": "positive",
        "probability": 0.75,
        "method": "integrated_gradients",
        "how": "16 steps",
        "promise": "The figures sum.",
        "words": words,
        "sentences": [whole] if words else [],
        **values,
    }


def body(page):
    return page[page.index("<main>") :]


def tags(page):
    """Return each tag with the names of its attributes, as a browser would take them."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, [name for name, _ in attributes]))
    parser.feed(page)
    return found


def marks(page):
    page = re.sub(r'<p class="legend">.*?</p>', "", page, flags=re.DOTALL)
    return re.findall(r'<mark class="(\w+) level(\d)" title="([^"]*)">([^<]*)</mark>', page)


def test_words_are_marked_by_sign_and_strength():
    text = "A splendid, warm film, if dull."
    figures = [("A", 0.01), ("splendid", 1.0), (",", 0.0), ("warm", 0.4), ("film", 0.0), ("if", -0.2), ("dull", -0.8)]
    page = render_explanations("run", [explained(text, figures)])
    assert marks(page) == [
        ("for", "3", "+1.000", "splendid"),
        ("for", "2", "+0.400", "warm"),
        ("against", "1", "\u22120.200", "if"),
        ("against", "3", "\u22120.800", "dull"),
    ]
    assert "1. positive, 75.0" in page
    assert "integrated gradients, 16 steps. The figures sum." in page


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        '"><img src=x onerror=alert(1)>',
        "</div></main></body>",
        "{{ 7 * 7 }}",
    ],
)
def test_nothing_in_a_text_is_markup(evil):
    words = [(word, 1.0) for word in re.findall(r"[^\s]+", evil)]
    hostile = explained(evil, words, label=evil, predicted=f"not {evil}", how=evil, promise=evil)
    page = render_explanations(evil, [hostile])
    harmless = render_explanations("run", [explained("a b", [("a", 1.0), ("b", 1.0)], predicted="negative")])
    assert {tag for tag, _ in tags(page)} == {tag for tag, _ in tags(harmless)}
    assert not any(name.startswith("on") for _, names in tags(page) for name in names)
    assert page.count("</body>") == page.count("</main>") == 1
    assert "49" not in body(page)


def test_the_style_that_the_policy_lets_in_is_the_page_s():
    page = render_explanations("run", [explained("a", [("a", 1.0)])])
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    said = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"sha256-{said}" in html.unescape(page)
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)


def test_line_breaks_entities_and_tags_are_what_they_show():
    text = "caf&eacute;<br /><br />was <b>warm</b>"
    page = render_explanations("run", [explained(text, [("caf&eacute;", 0.0), ("was", 0.0), ("warm", 1.0)])])
    assert "caf\u00e9\nwas <mark" in page


def test_what_was_not_read_is_struck_out_and_counted():
    text = "good " + "and " * 400 + "film"
    figures = [("good", 1.0), *[("and", None)] * 400, ("film", 0.0)]
    page = render_explanations("run", [explained(text, figures)])
    assert "400 words not read" in page
    (struck,) = re.findall(r'<s class="note">(and[^<]*)</s>', page)
    assert " \u2026 " in struck
    assert len(struck) < 700


def test_a_megabyte_makes_a_page_of_bounded_size():
    words = [f"w{number}" for number in range(150_000)]
    text = " ".join(words)
    at, rows, sentences = 0, [], []
    for word in words:
        rows.append({"text": word, "start": at, "end": at + len(word), "contribution": 1e-4, "read": True})
        at += len(word) + 1
    for first in range(0, len(rows), 10):
        strength = 9.0 if first == 149_990 else 1e-3
        sentences.append({**rows[first], "contribution": strength})
    page = render_explanations("run", [explained(text, [], words=rows, sentences=sentences)])
    assert len(page) < 700_000
    assert "147,000 more words" in page
    assert "the strongest 60 of 15,000" in page
    assert "+9.000" in page
    assert "+1e\u221204" in page


def test_a_text_without_words_and_another_label():
    page = render_explanations("run", [explained("", []), explained("a", [("a", 1.0)], predicted="negative")])
    assert "No words." in page
    assert body(page).count("The figures sum.") == 1
    assert "answer is negative" in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "least"), [(360, 320), (768, 700), (1280, 850)])
def test_it_fills_a_window_and_no_more(tmp_path, width, least):
    spec = importlib.util.spec_from_file_location("chromium", Path(__file__).with_name("chromium.py"))
    chromium = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chromium)
    path = tmp_path / "why.html"
    text = "Supercalifragilistic" * 20 + " film"
    path.write_text(render_explanations("run", [explained(text, [(text[:-5], 1.0), ("film", -0.5)])]), encoding="utf-8")
    with chromium.Chromium(tmp_path / "profile") as browser:
        browser.open(path, width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelector('.text').getBoundingClientRect().width") >= least
        said = [
            event for event in browser.events if event.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}
        ]
        assert not said
