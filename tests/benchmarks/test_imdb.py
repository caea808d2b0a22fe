"""What is stored of the flagship is of the recipes as they are shipped."""

from __future__ import annotations

import json

import pytest

import imdb
import machine


@pytest.mark.parametrize("name", imdb.RECIPES)
def test_the_stored_runs_are_of_the_recipe_as_it_is(name):
    stored = json.loads((machine.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert stored["settings_hash"] == imdb.settings_of(name)
    assert stored["summary"] == imdb.summary(stored["runs"])


def test_runs_of_another_recipe_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(imdb, "RESULTS", tmp_path)
    (tmp_path / "imdb-minilm.json").write_text(json.dumps({"settings_hash": "other", "runs": [{"seed": 0}]}))
    assert imdb.stored("imdb-minilm", imdb.settings_of("imdb-minilm")) == []
    assert imdb.stored("imdb-minilm", "other") == [{"seed": 0}]
