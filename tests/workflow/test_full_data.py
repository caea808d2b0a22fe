"""All of the data there is: every text is learned from, the head starts from a sample, epochs are evaluated within."""

from __future__ import annotations

import json
import logging

import pytest

from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.model import features
from matinee.training import head
from matinee.workflow.fitting import Watch, fine_tune
from matinee.workflow.train import prepare, train

SIZES = {"validation_size": 20, "test_size": 20, "max_length": 32, "precision": "fp32", "seed": 3}


@pytest.fixture
def small_samples(monkeypatch):
    monkeypatch.setattr(head, "HEAD_TEXTS", 30)


def history_of(run):
    return [json.loads(line) for line in (run.path / "history.jsonl").read_text().splitlines()]


def test_every_text_is_learned_from(tmp_path, tiny_csv, tiny_encoder, small_samples, caplog):
    with caplog.at_level(logging.INFO, logger="matinee"):
        run = train(
            tiny_csv,
            encoder=str(tiny_encoder),
            run_dir=tmp_path / "run",
            train_size="all",
            epochs=1,
            evaluations_per_epoch=2,
            batch_size=12,
            learning_rate=0.1,
            **SIZES,
        )
    assert run.data["splits"]["train"]["n"] == 80
    assert "The head is fitted on 30 of the 80 training texts, before all are learned from" in caplog.messages
    rows = [row for row in history_of(run) if "eval_loss" in row]
    assert [row["epoch"] for row in rows] == [0, pytest.approx(4 / 7), 1]
    assert '<th scope="row">0.57</th>' in (run.path / "report.html").read_text()
    kinds = json.loads((run.path / "analysis.json").read_text())["mistakes"]["kinds"]
    mistakes = [row for rows in kinds.values() for row in rows]
    assert mistakes, "a rate as high as this makes mistakes"
    # Vectors of another text than the one shown would not tell a near one from a far one.
    best = [max(row["neighbours"], key=lambda near: shared_words(row, near)) for row in mistakes]
    assert all(shared_words(row, near) >= 0.3 for row, near in zip(mistakes, best, strict=True))


def shared_words(row, near):
    """Return the share of a mistake's words that stand in a neighbour."""
    words, others = (set(text["text"].lower().split()) for text in (row, near))
    return len(words & others) / len(words)


def test_a_head_that_is_all_there_is_reads_all_texts(tmp_path, tiny_csv, tiny_encoder, small_samples, caplog):
    with caplog.at_level(logging.INFO, logger="matinee"):
        run = train(tiny_csv, encoder=str(tiny_encoder), run_dir=tmp_path / "run", freeze="all", **SIZES)
    assert "The head is fitted on" not in caplog.text
    assert run.data["splits"]["train"]["n"] == 80


@pytest.mark.parametrize(("throwaway", "n_read"), [(True, 30), (False, 30 + 20 + 20)])
def test_without_a_baseline_to_show_the_head_alone_is_read_for(
    throwaway, n_read, tmp_path, tiny_csv, tiny_encoder, small_samples, monkeypatch
):
    read, compute = [], features.frozen_features
    monkeypatch.setattr(
        features, "frozen_features", lambda model, ids, *rest: read.append(len(ids)) or compute(model, ids, *rest)
    )
    settings = resolve(Layer({"data": str(tiny_csv), "encoder": str(tiny_encoder), "epochs": 1, **SIZES}))
    encoder, dataset = prepare(settings)
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir(parents=True)
    watch = Watch()
    fine_tune(dataset, settings, encoder, run, watch, throwaway=throwaway)
    assert sum(read) == n_read
    assert ("frozen baseline" in watch.seconds) == (not throwaway)
