"""What the analysis says of predictions whose faults are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from matinee.core.schema import Layer, resolve
from matinee.core.types import Dataset, Predictions, Split
from matinee.workflow.analysis import add_neighbours, analyse, carry_over, detailed_mistakes

N = 400
PLAIN, NEGATED = "A film about a boat, seen on a Monday {n}.", "Not a film about a boat, never seen on a Monday {n}."


def said(texts, labels, right, sure=0.8):
    """Return predictions that give the true label, or the other one, a probability."""
    of_label = np.where(right, sure, 1 - sure)
    positive = np.where(labels == 1, of_label, 1 - of_label)
    return Predictions(
        [str(n) for n in range(len(texts))],
        texts,
        np.column_stack([1 - positive, positive]),
        ("negative", "positive"),
        labels,
    )


@pytest.fixture(scope="module")
def texts():
    return [(NEGATED if n % 4 == 0 else PLAIN).format(n=n) for n in range(N)]


@pytest.fixture(scope="module")
def labels():
    return (np.arange(N) // 2 % 2).astype(np.int64)


def analysis(texts, labels, right, temperature=1.0, **settings):
    test = said(texts, labels, right)
    by = {(split, name): test for split in ("validation", "test") for name in ("classifier", "tfidf")}
    return analyse(by, resolve(Layer(settings)), temperature=temperature)


def row(found, name):
    return next(each for each in found["slices"]["rows"] if each["name"] == name)


def test_a_slice_that_is_worse_is_named_and_one_that_is_not_is_not(texts, labels):
    n = np.arange(N)
    wrong = (n % 4 == 0) & (n % 8 == 0) | (n % 20 == 1)
    found = analysis(texts, labels, ~wrong, slices={"a one first": "Monday 1"})
    negation, own = row(found, "negation"), row(found, "own:a one first")
    assert negation["significant"]
    assert negation["n"] == N / 4
    assert negation["accuracy"]["value"] == pytest.approx(0.5)
    assert negation["difference"]["high"] < 0
    assert not own["significant"]
    assert own["n"] == sum("Monday 1" in text for text in texts)


def test_where_mistakes_fall_evenly_no_slice_is_named(texts, labels):
    wrong = np.arange(N) % 9 == 0
    found = analysis(texts, labels, ~wrong)
    assert not any(each["significant"] for each in found["slices"]["rows"])
    assert not any(claim["holds"] for claim in found["causes"]["claims"])


def test_every_mistake_is_listed_with_what_was_said(texts, labels):
    wrong = np.arange(N) % 50 == 0
    mistakes = analysis(texts, labels, ~wrong)["mistakes"]
    assert mistakes["n"] == wrong.sum()
    assert {each["id"] for each in mistakes["all"]} == {str(n) for n in np.flatnonzero(wrong)}
    first = mistakes["kinds"]["confident"][0]
    assert first["label"] != first["predicted"]
    assert first["text"] == texts[int(first["id"])]
    assert first["score"] == pytest.approx(0.8)


def test_calibration_is_told_before_and_after(texts, labels):
    """Four of five are right and 0.8 is said: calibrated. Before a temperature of 2 it had said more."""
    right = np.arange(N) % 5 != 0
    calibration = analysis(texts, labels, right, temperature=2.0)["calibration"]
    assert calibration["temperature"] == 2
    assert calibration["after"]["ece"]["value"] == pytest.approx(0, abs=1e-9)
    assert calibration["before"]["ece"]["value"] == pytest.approx(16 / 17 - 0.8)


def test_without_calibration_it_says_so(texts, labels):
    found = analysis(texts, labels, np.arange(N) % 5 != 0, calibration="none")
    assert "--calibration none" in found["calibration"]["reason"]


def test_groups_and_lengths_become_slices(texts, labels):
    right = np.arange(N) % 5 != 0
    lengths = np.where(np.arange(N) < 100, 150, 50)
    groups = ["one film" if n < 200 else "another" for n in range(N)]
    test = replace(said(texts, labels, right), token_lengths=lengths, groups=groups)
    by = {(split, name): test for split in ("validation", "test") for name in ("classifier", "tfidf")}
    found = analyse(by, resolve(Layer({"max_length": 100})), temperature=1.0)
    kinds = {each["group"] for each in found["slices"]["rows"]}
    assert {"length", "group", "cue", "label"} <= kinds
    assert any(each["n"] == 100 for each in found["slices"]["rows"] if each["group"] == "length")


@pytest.mark.parametrize("form", [np.asarray, csr_matrix], ids=["dense", "sparse"])
def test_a_mistake_has_the_training_texts_that_are_most_like_it(texts, labels, form):
    train = Split(["t0", "t1", "t2", "t3"], ["north", "east", "north east", "south"], np.array([0, 1, 1, 0]))
    test = Split([str(n) for n in range(N)], texts, labels)
    directions = np.where(np.arange(N)[:, None] % 100 == 0, [[0.1, 5.0]], [[1.0, 0.0]])
    vectors = {"train": form([[0.0, 3.0], [1.0, 0.0], [1.0, 1.0], [0.0, -1.0]]), "test": form(directions)}
    found = analysis(texts, labels, np.arange(N) % 50 != 0)
    add_neighbours(found, Dataset("it", ("negative", "positive"), {"train": train, "test": test}), vectors)
    rows = {each["id"]: each["neighbours"] for each in detailed_mistakes(found)}
    assert set(rows) == {str(n) for n in range(0, N, 50)}
    assert [(each["text"], each["label"]) for each in rows["0"]] == [
        ("north", "negative"),
        ("north east", "positive"),
        ("east", "positive"),
    ]
    assert rows["50"][0] == {"id": "t1", "text": "east", "label": "positive", "similarity": pytest.approx(1.0)}


def test_a_new_analysis_keeps_what_only_training_could_know(texts, labels):
    right = np.arange(N) % 50 != 0
    old, new = analysis(texts, labels, right), analysis(texts, labels, right)
    for each in detailed_mistakes(old):
        each |= {"words": [each["id"]], "neighbours": ["near"], "score": 0.0}
    carry_over({**old, "explanations": {"method": "linear"}, "checks": ["old"]}, new)
    for each in detailed_mistakes(new):
        assert (each["words"], each["neighbours"], each["score"]) == ([each["id"]], ["near"], pytest.approx(0.8))
    assert new["explanations"] == {"method": "linear"}
    assert "checks" not in new


def test_without_labels_it_says_what_cannot_be_known(texts, labels):
    test = replace(said(texts, labels, np.arange(N) % 5 != 0), labels=None)
    found = analyse({("test", "classifier"): test}, resolve(Layer({})), temperature=1.0)
    for section in ("calibration", "coverage", "slices", "causes", "mistakes"):
        assert "true labels" in found[section]["reason"]
    assert detailed_mistakes(found) == []


def test_without_validation_nothing_is_said_of_calibration(texts, labels):
    test = said(texts, labels, np.arange(N) % 5 != 0)
    found = analyse({("test", "classifier"): test, ("test", "tfidf"): test}, resolve(Layer({})), temperature=1.0)
    assert "no validation split" in found["calibration"]["reason"]
    assert all("reason" in target for target in found["coverage"]["targets"])
    assert found["slices"]["rows"]
