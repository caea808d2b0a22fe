"""How long it takes: measured, told before the first step, and no trace left in what is trained."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from matinee.core.progress import install_display
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.core.types import Targets
from matinee.model.classifier import build_classifier
from matinee.training import callbacks, estimate
from matinee.training.estimate import Pace, Work, in_words
from matinee.training.fit import fit

LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def splits(tokenized):
    return tokenized(0, 48), tokenized(64, 80)


def fitted(folder, encoder, splits, precision="fp32", **values):
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True)
    values = {"batch_size": 4, "epochs": 2, "learning_rate": 1e-3, **values}
    torch.manual_seed(0)
    model = build_classifier(encoder, ModelSettings(dropout=0.1), LABELS)
    settings = resolve(Layer(values)).training
    options = {"label_names": LABELS, "pad_id": 0, "precision": precision, "run": run, "to_predict": 10_000}
    torch.manual_seed(0)
    fit(model, *splits, settings, **options)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def pace(**seconds):
    found = Pace()
    for kind, of in seconds.items():
        found.add(kind, of, 1)
    return found


def test_what_is_left_is_what_is_not_done_yet():
    work = Work(epochs=3, training=1000, validating=100, predicting=50)
    measured = pace(training=3.0, validating=1.0, predicting=2.0)
    assert work.left(0, measured) == {"training": 9000, "validating": 300, "predicting": 100}
    assert work.left(1.5, measured) == {"training": 4500, "validating": 200, "predicting": 100}
    assert work.left(3, measured) == {"training": 0, "validating": 0, "predicting": 100}


def test_half_an_epoch_is_validated_too():
    assert Work(0.5, 1000, 100).left(0, pace(training=1.0, validating=1.0)) == {
        "training": 500,
        "validating": 100,
        "predicting": 0,
    }


def test_it_grows_with_the_epochs():
    measured = pace(training=3.0, validating=1.0)
    totals = [sum(Work(epochs, 1000, 100).left(0, measured).values()) for epochs in (1, 2, 4)]
    assert totals == [3100, 6200, 12400]


def test_training_is_a_multiple_of_reading_until_it_is_measured():
    left = Work(1, 1000, 100, 500).left(0, pace(validating=1.0))
    assert left == {"training": 3000, "validating": 100, "predicting": 500}


def test_a_pace_is_seconds_over_tokens():
    measured = Pace()
    assert measured.of("training") is None
    measured.add("training", 2.0, 100)
    measured.add("training", 4.0, 100)
    measured.add("training", 1.0, 0)  # what a step costs beside its tokens
    assert measured.of("training") == pytest.approx(7 / 200)


def test_an_estimate_in_words():
    seconds = {"training": 200.0, "validating": 31.0, "predicting": 0.2}
    assert in_words(seconds, measured=True) == (
        "From here on about 4 minutes on this machine (training 3.5 minutes, validating 30 seconds), and the report"
    )
    assert in_words(seconds, measured=False).startswith(
        "From here on roughly 2.5 minutes to 4.5 minutes on this machine"
    )
    assert in_words({"training": 0.1}, measured=True) == "From here on about 5 seconds on this machine, and the report"


def estimates(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("From here on")]


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_measuring_leaves_no_trace(tmp_path, tiny_encoder, splits, precision, taught, monkeypatch, caplog):
    if taught:
        weights = np.full((len(splits[0]), 2), 0.5, dtype=np.float32)
        targets = Targets(weights, np.full(len(weights), 2.0, dtype=np.float32))
        splits = (replace(splits[0], targets=targets), splits[1])
    with caplog.at_level(logging.INFO, logger="matinee"):
        measured = fitted(tmp_path / "measured", tiny_encoder, splits, precision)
    assert len(estimates(caplog)) == 1
    assert estimates(caplog)[0].startswith("From here on about")
    monkeypatch.setattr(callbacks, "announce", lambda *arguments: None)
    assert torch.equal(measured, fitted(tmp_path / "unmeasured", tiny_encoder, splits, precision))
    texts = [(tmp_path / name / "history.jsonl").read_text() for name in ("measured", "unmeasured")]
    assert texts[0] == texts[1]


def test_a_short_training_is_not_made_longer_by_measuring_it(tmp_path, tiny_encoder, splits, monkeypatch, caplog):
    monkeypatch.setattr(estimate, "_measure", lambda *arguments: pytest.fail("it was measured"))
    with caplog.at_level(logging.INFO, logger="matinee"):
        fitted(tmp_path / "run", tiny_encoder, splits, batch_size=16)
    assert estimates(caplog)[0].startswith("From here on ")


def test_progress_shows_epoch_loss_speed_and_what_is_left(tmp_path, tiny_encoder, splits, monkeypatch):
    shown = []

    class Bar:
        def __init__(self, description):
            self.description = description

        def update(self, completed, note="", seconds_left=None):
            shown.append((self.description, completed, note, seconds_left))

    @contextmanager
    def display(description, total, unit):
        yield Bar(description)

    monkeypatch.setattr(callbacks, "_SECONDS_BETWEEN_UPDATES", 0.0)
    install_display(display)
    fitted(tmp_path / "run", tiny_encoder, splits, batch_size=16)
    steps = [row for row in shown if row[0] == "Fine-tuning"]
    assert [row[1] for row in steps] == [1, 2, 3, 4, 5, 6]
    note = re.compile(r"epoch [12] of 2, (loss \d\.\d{3}, )?[\d,]+ texts/s, [\d,]+ tokens/s")
    assert all(note.fullmatch(row[2]) for row in steps)
    assert "loss" in steps[-1][2]
    assert all(row[3] > 0 for row in steps), "predicting is still to come"


def test_tokens_are_counted_without_padding(tmp_path, tiny_encoder, splits, monkeypatch):
    added = []
    add = Pace.add

    def listen(self, kind, seconds, tokens):
        added.append((kind, tokens))
        add(self, kind, seconds, tokens)

    monkeypatch.setattr(Pace, "add", listen)
    fitted(tmp_path / "run", tiny_encoder, splits, batch_size=16, batch_tokens=100)
    assert sum(tokens for kind, tokens in added if kind == "training") == 2 * sum(len(ids) for ids in splits[0].ids)
    assert sum(tokens for kind, tokens in added if kind == "validating") == 3 * sum(len(ids) for ids in splits[1].ids)
