"""A served classifier that answers by rule: what is tested is the server."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from matinee.core.errors import RunError
from matinee.serving.app import Served

LABELS = ("negative", "positive")


class RulePredictor:
    """Says that a text is as positive as its share of `good` among `good` and `bad` has it."""

    label_names = LABELS
    threshold = None

    def __init__(self):
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = []

    def probabilities(self, texts):
        self.asked.append(list(texts))
        assert self.may_answer.wait(20)
        if any("break the classifier" in text for text in texts):
            raise ZeroDivisionError("a secret text")
        good = np.array(
            [(1 + 4 * text.count("good")) / (2 + 4 * (text.count("good") + text.count("bad"))) for text in texts]
        )
        return np.stack([1 - good, good], axis=1)


def explain(text, label):
    if "gone" in text:
        raise RunError("There is no classifier in runs/gone.")
    words, place = [], 0
    for word in text.split():
        start = text.index(word, place)
        place = start + len(word)
        signed = {"good": 1.0, "bad": -1.0}.get(word, 0.0) * (1 if label == "positive" else -1)
        words.append({"text": word, "start": start, "end": place, "contribution": signed})
    whole = {"text": text, "start": 0, "end": len(text), "contribution": sum(word["contribution"] for word in words)}
    return {"text": text, "method": "rule", "words": words, "sentences": [whole]}


@pytest.fixture
def predictor():
    return RulePredictor()


@pytest.fixture
def served(predictor, tmp_path):
    report = tmp_path / "report.html"
    report.write_text("<!doctype html><title>Report</title>", encoding="utf-8")
    about = {
        "name": "reviews",
        "labels": list(LABELS),
        "encoder": "minilm",
        "backend": "torch",
        "precision": "fp32",
        "max_length": 384,
        "metrics": {"accuracy": {"value": 0.9, "low": 0.88, "high": 0.92}, "n": 2000},
        "card": "# Card",
        "report": True,
        "version": "1",
    }
    return Served(predictor, explain, about, report)
