"""The pieces of benchmarks/full.py: what a training is stored by, and several beside each other."""

from __future__ import annotations

import pytest

import full


def test_further_flags_win_and_what_the_recipe_says_is_left_out():
    own = {"encoder": "minilm", "learning_rate": 1e-4, "max_length": 512}
    assert full.settings_of([]) == full.settings_of(["--freeze", "none", "--epochs", "2"]) == own
    assert full.settings_of(["--max-length", "256", "--freeze", "2", "--learning-rate", "3e-5"]) == {
        "encoder": "minilm",
        "learning_rate": 3e-5,
        "freeze": "2",
    }
    with pytest.raises(ValueError, match="argument"):
        full.settings_of(["--freeze"])


def test_a_training_takes_the_place_of_its_like_alone():
    first = {"settings": full.settings_of([]), "seed": 0, "machine": {"cores": 2}, "seconds": 2.0}
    shorter = {**first, "settings": full.settings_of(["--max-length", "384"])}
    elsewhere = {**first, "machine": {"cores": 8}}
    other_seed = {**first, "seed": 1}
    again = {**first, "seconds": 1.0}
    stored = []
    for training in (first, shorter, elsewhere, other_seed, again):
        stored = full.beside(stored, training)
    assert stored == [shorter, elsewhere, other_seed, again]


@pytest.mark.parametrize(
    "flags", [["--max-length=320"], ["--freeze"], ["--no-such-setting", "3"], ["--epochs", "many"]]
)
def test_wrong_flags_are_refused_before_anything_is_fetched(flags, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["full.py", *flags])
    monkeypatch.setattr(full.subprocess, "run", lambda *_, **__: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as stopped:
        full.main()
    assert stopped.value.code == 2
    assert "flags of matinee train come as --name value" in capsys.readouterr().err
