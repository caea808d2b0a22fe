"""What the page says of teachers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from matinee.core.schema import Layer, resolve
from matinee.report import model_card, render_page
from matinee.report.distillation import distillation

SECTION = {
    "teachers": [
        {"name": "<b>first</b>", "encoder": "mpnet", "accuracy": 0.93},
        {"name": "second", "encoder": "minilm", "accuracy": None},
    ],
    "unlabelled": {"source": "imdb", "rows": 25_000, "left_out": {"empty": 3, "repeated": 12}, "n": 24_000},
    "n_texts": 20_000,
    "n_unsure": 4_000,
    "confidence": {"least": 0.7, "mean": 0.9, "mean_kept": 0.95},
    "labels": {"negative": 0.52, "positive": 0.48},
    "labels_before": {"negative": 0.5, "positive": 0.5},
    "temperature": 2.0,
    "true_label_share": 0.25,
    "agreement": {"teachers": 0.91, "test": 0.965, "n_test": 2_000},
    "teachers_accuracy": 0.931,
}


def test_everything_that_is_known_is_shown(contents):
    page = render_page(replace(contents, analysis={**contents.analysis, "distillation": SECTION}))
    assert '<a href="#distillation">Distillation</a>' in page
    for part in ("&lt;b&gt;first", "20,000 texts", "3 empty, 12 repeated", "4,000 texts below 70%", "91.0%", "96.5%"):
        assert part in page
    assert "<b>first" not in page
    assert "Beside the true labels, it learned" in page


def test_what_is_not_known_is_left_out():
    view = distillation({"teachers": SECTION["teachers"][:1], "n_texts": 1, "true_label_share": 0})
    assert view["n_texts"] == "1 text"
    assert view["facts"] == [("Share of the true labels in the loss", "0%")]
    assert not view["has_true_labels"]
    assert view["labels"] == []


@pytest.mark.parametrize("nothing", [None, {}, {"teachers": []}, "damaged", {"teachers": 3}])
def test_without_a_teacher_there_is_no_section(contents, nothing):
    assert distillation(nothing) is None
    page = render_page(replace(contents, analysis={**contents.analysis, "distillation": nothing}))
    assert "distillation" not in page.lower()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (SECTION, "it learned what 2 other classifiers said of 20,000 unlabelled texts beside texts with true labels."),
        (
            {**SECTION, "teachers": SECTION["teachers"][:1], "true_label_share": 0},
            "it learned what another classifier said of 20,000 unlabelled texts.",
        ),
    ],
)
def test_the_model_card_says_so_too(contents, section, said):
    given = (resolve(Layer({"data": "imdb"})), contents.metrics, ("negative", "positive"))
    card = model_card(*given, lowercase=True, analysis={**contents.analysis, "distillation": section})
    assert f"It was distilled: {said}" in card
    assert "distilled" not in model_card(*given, lowercase=True, analysis=contents.analysis)
