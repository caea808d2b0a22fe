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
    first = {"settings": full.settings_of([]), "seed": 0, "seconds": 2.0}
    shorter = {"settings": full.settings_of(["--max-length", "384"]), "seed": 0, "seconds": 3.0}
    other_seed = {**first, "seed": 1}
    again = {**first, "seconds": 1.0}
    stored = []
    for training in (first, shorter, other_seed, again):
        stored = full.beside(stored, training)
    assert stored == [shorter, other_seed, again]
