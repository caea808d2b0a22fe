"""A run as the page sees it: predictions of a made-up classifier, and every section as the rooms that make them shape it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matinee.core.types import Predictions
from matinee.evaluation import (
    accuracy_gain,
    calibration_section,
    class_report,
    conformal_section,
    confusion_matrix,
    coverage_section,
    score,
    temper,
)
from matinee.evaluation.slices import find_slices, slice_scores
from matinee.report import PageContents

NAMES = ("negative", "positive")
HISTORY = [
    {"step": 0, "epoch": 0, "eval_loss": 0.7, "eval_accuracy": 0.5, "eval_f1": 0.5},
    {"step": 10, "epoch": 0.5, "loss": 0.6},
    {
        "step": 20,
        "epoch": 1.0,
        "loss": 0.5,
        "eval_loss": 0.5,
        "eval_accuracy": 0.8,
        "eval_f1": 0.79,
        "train_accuracy": 0.85,
    },
    {
        "step": 40,
        "epoch": 2.0,
        "loss": 0.2,
        "eval_loss": 0.4,
        "eval_accuracy": 0.9,
        "eval_f1": 0.89,
        "train_accuracy": 0.95,
    },
]


def predictions(n_texts: int, seed: int, sharpness: float = 2.0) -> Predictions:
    """Return predictions of which about four in five are right; texts with "but" are harder."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 2, n_texts)
    texts = [
        f"Text {n} was {'good' if label else 'bad'}{', but long' if n % 4 == 0 else ''}."
        for n, label in enumerate(labels)
    ]
    pull = np.where(np.arange(n_texts) % 4 == 0, 0.1, 1.2) * sharpness
    logits = (2 * labels - 1) * pull + chance.normal(0, sharpness, n_texts)
    positive = 1 / (1 + np.exp(-logits))
    ids = [f"test-{n}" for n in range(n_texts)]
    return Predictions(ids, texts, np.column_stack([1 - positive, positive]), NAMES, labels)


def make_contents() -> PageContents:
    validation, sure = predictions(100, 1), predictions(300, 2)
    test = replace(sure, probabilities=temper(sure.probabilities, 2.0))
    baseline = predictions(300, 3, 0.5)
    baseline = replace(baseline, labels=test.labels)
    slices = slice_scores(test, find_slices(test.texts, patterns={"long": "long"}))
    wrong = np.flatnonzero(test.predicted != test.labels)
    analysis = {
        "calibration": calibration_section(sure, test, temperature=2.0, n_validation=100),
        "coverage": coverage_section(validation, test),
        "conformal": conformal_section(validation, test),
        "slices": slices,
        "causes": {"claims": [{"name": "sarcasm", "holds": False, "sentence": "3 of 60 mistakes show it."}]},
        "mistakes": {
            "n": len(wrong) + 100,
            "kinds": {
                "confident": [row_of(test, n) for n in wrong[:2]],
                "uncertain": [row_of(test, n) for n in wrong[1:4]],
            },
            "all": [short_row_of(test, n) for n in wrong],
        },
        "explanations": {
            "method": "occlusion",
            "faithfulness": {
                "n": 20,
                "comprehensiveness": {"value": 0.4, "low": 0.3, "high": 0.5},
                "comprehensiveness_random": 0.1,
                "sufficiency": {"value": 0.05, "low": 0.0, "high": 0.1},
                "sufficiency_random": 0.3,
                "sentence": "The highlighted words matter more than random ones.",
            },
        },
        "checks": [
            {
                "code": "M102",
                "name": "slice-gap",
                "severity": "info",
                "title": "A gap",
                "found": "10 points.",
                "advice": "Look.",
            },
            {
                "code": "M101",
                "name": "leak",
                "severity": "error",
                "title": "A leak",
                "found": "3 texts.",
                "advice": "Split.",
            },
        ],
    }
    contents = PageContents(
        name="a run",
        label_names=NAMES,
        settings={"data": "reviews.csv", "encoder": "minilm", "optimise": "f1", "seed": 0, "text_column": None},
        metrics={
            "validation": score(validation, n_resamples=50),
            "test": score(test, n_resamples=50),
            "baseline": score(baseline, n_resamples=50),
            "gain_over_baseline": {"accuracy": accuracy_gain(test, baseline, n_resamples=50)},
            "kept_epoch": 2.0,
        },
        history=HISTORY,
        class_report=class_report(test),
        confusion=confusion_matrix(test).tolist(),
        analysis=analysis,
        audit={
            "findings": [
                {
                    "code": "A201",
                    "severity": "warning",
                    "title": "16 texts repeat an earlier one",
                    "n": 16,
                    "share": 0.04,
                    "advice": "Drop them.",
                    "examples": [
                        {
                            "id": "r-1",
                            "split": "train",
                            "label": "bad",
                            "text": "Twice.",
                            "same_as": {"id": "r-0", "split": "test"},
                        }
                    ],
                }
            ],
            "classes": {"labels": [{"label": "negative", "n": 200, "share": 0.5}], "unlabelled": 0},
            "lengths": {"tokens": {"mean": 12.5, "max": 40}},
            "truncation": {"max_length": 384, "texts": 0.33, "tokens": 0.2},
        },
        stress={
            "capabilities": [
                {
                    "name": "negation",
                    "title": "Negated praise",
                    "n": 20,
                    "failures": 5,
                    "rate": {"value": 0.25, "low": 0.1, "high": 0.5},
                    "worst": [
                        {
                            "text": "Not good.",
                            "expected": "negative",
                            "predicted": "positive",
                            "score": 0.9,
                            "changed_from": "Good.",
                        }
                    ],
                }
            ],
            "skipped": [{"name": "names", "title": "Names", "reason": "there are none"}],
            "pairs": {
                "n": 10,
                "originals": {"value": 0.9, "low": 0.6, "high": 0.98},
                "edits": {"value": 0.7, "low": 0.4, "high": 0.9},
                "consistency": {"value": 0.6, "low": 0.3, "high": 0.83},
                "fall": {"value": 0.2, "low": -0.1, "high": 0.5},
                "worst": [],
            },
        },
        environment={"python": "3.11.7", "machine": {"cores": 2}},
        data={
            "name": "reviews.csv",
            "source": "file",
            "files": ["reviews.csv"],
            "splits": {
                "train": {"n": 400, "labels": {"negative": 200, "positive": 200}},
                "test": {"n": 300, "labels": {}},
            },
            "held_out": {"test": "a fifth of the rows"},
            "left_out": {"validation": "no row of it has a label"},
            "dropped": {"no label": 3},
        },
        threshold=0.42,
        seconds={"fine-tuning": 300.0},
        completed="yesterday",
        command="matinee train reviews.csv --run-dir runs/again",
    )
    return replace(contents, **json.loads(json.dumps({"analysis": analysis}, allow_nan=False)))


def row_of(said: Predictions, n: int) -> dict[str, Any]:
    text = said.texts[n]
    return {
        **short_row_of(said, n),
        "probabilities": dict(zip(NAMES, said.probabilities[n].tolist(), strict=True)),
        "words": [
            {"text": word, "start": text.index(word), "end": text.index(word) + len(word), "contribution": value}
            for word, value in (("Text", 0.02), ("was", -0.6), ("long", 0.8))
            if word in text
        ],
        "neighbours": [{"id": "train-1", "text": "A film like it.", "label": "positive", "similarity": 0.8}],
    }


def short_row_of(said: Predictions, n: int) -> dict[str, Any]:
    return {
        "id": said.ids[n],
        "text": said.texts[n],
        "label": NAMES[said.labels[n]],
        "predicted": NAMES[said.predicted[n]],
        "score": float(said.probabilities[n].max()),
        "slices": ["contrast", "own:long"] if n % 4 == 0 else [],
    }


@pytest.fixture(scope="session")
def contents() -> PageContents:
    return make_contents()
