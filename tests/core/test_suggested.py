"""Suggested settings: known to the schema, in agreement with the shipped recipe, and for every encoder of the catalogue."""

from __future__ import annotations

import pytest

from matinee.core.schema import Layer, resolve
from matinee.core.settings import LINEAR, Settings
from matinee.core.suggested import suggested_settings
from matinee.model.encoders import CATALOGUE
from matinee.workflow.recipes import read_recipe


@pytest.mark.parametrize("encoder", [*CATALOGUE, *LINEAR, "owner/name"])
def test_they_are_settings(encoder):
    resolve(Layer({"encoder": encoder, **suggested_settings(encoder)}))


def test_small_and_unknown_ones_have_the_defaults():
    assert [suggested_settings(name) for name in ("minilm", "tfidf", "owner/name", "a/folder")] == [{}] * 4


def test_every_larger_one_of_the_catalogue_learns_at_a_lower_rate():
    for name, entry in CATALOGUE.items():
        lower = "learning_rate" in suggested_settings(name)
        assert lower == (entry.n_parameters > 50), name


def test_mpnet_has_what_its_recipe_has():
    recipe = resolve(read_recipe("imdb-mpnet"))
    suggested = resolve(Layer({"encoder": "mpnet", **suggested_settings("mpnet")}))
    assert (suggested.text, suggested.model, suggested.training) == (recipe.text, recipe.model, recipe.training)
    assert suggested != Settings()


def test_a_caller_may_change_what_it_was_given():
    suggested_settings("mpnet")["epochs"] = 99
    assert suggested_settings("mpnet")["epochs"] == 2
