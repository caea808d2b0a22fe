"""One definition of every setting: flags, recipes and Python arguments are read by the same rules."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.errors import SettingsError
from matinee.core.schema import Layer, from_flags, from_recipe, resolve, settings_fields
from matinee.core.settings import GROUPS, Settings


def test_defaults_alone_are_valid():
    assert resolve() == Settings()


def test_every_group_is_flattened_with_unique_names():
    flat = resolve().flat()
    assert list(flat) == list(settings_fields())
    assert {field.group for field in settings_fields().values()} == set(GROUPS)


def test_what_is_saved_reads_back_the_same():
    settings = resolve(Layer({"train_size": 0.5, "learning_rate": 3e-5, "lowercase": False, "dropout": 0.2}))
    assert resolve(Layer(yaml.safe_load(yaml.safe_dump(settings.flat())))) == settings


def test_later_layers_win():
    settings = resolve(from_recipe({"epochs": 5, "seed": 1}, "a.yaml"), from_flags({"epochs": "2"}))
    assert (settings.training.epochs, settings.training.seed) == (2.0, 1)


def test_all_errors_come_at_once_and_name_things_as_they_were_typed():
    with pytest.raises(SettingsError) as caught:
        resolve(from_recipe({"epochs": "many"}, "a.yaml"), from_flags({"trian_size": "3", "batch_size": "0"}))
    message = str(caught.value)
    assert "epochs (in a.yaml) must be a number" in message
    assert "--trian-size. Did you mean 'train_size'?" in message
    assert "--batch-size must be a whole number between 1 and 4096, got '0'" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"pooling": "cls"}, "a fitted head needs pooling 'mean'"),
        ({"head_share": 1.0}, "must lie between 0 and 1"),
        ({"learning_rate": 0}, "nothing would be learned"),
        ({"train_size": 0}, "a count"),
        ({"train_size": 1.5}, "a count"),
        ({"train_size": "-3"}, "a count"),
        ({"epochs": True}, "a number"),
        ({"epochs": float("nan")}, "a number"),
        ({"seed": 1.5}, "a whole number"),
        ({"lowercase": "perhaps"}, "yes or no"),
        ({"truncation": "heads"}, "one of head, tail, head+tail"),
        ({"encoder": ["a"]}, "text"),
    ],
)
def test_a_wrong_value_says_what_is_expected(values, part):
    with pytest.raises(SettingsError, match=re.escape(part)):
        resolve(Layer(values))


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("train_size", "1000", 1000),
        ("train_size", "0.25", 0.25),
        ("train_size", "none", None),
        ("learning_rate", "5e-5", 5e-5),
        ("batch_size", 32.0, 32),
        ("batch_size", np.int64(8), 8),
        ("learning_rate", np.float64(0.5), 0.5),
        ("attention_dropout", "none", None),
        ("lowercase", "no", False),
        ("lowercase", None, None),
        ("label_column", 3, "3"),
    ],
)
def test_flags_yaml_and_numpy_values_are_read_alike(name, typed, value):
    read = resolve(Layer({name: typed})).flat()[name]
    assert read == value
    assert type(read) is type(value)


@given(st.integers(min_value=1, max_value=10**9) | st.floats(min_value=1e-6, max_value=1 - 1e-6))
def test_every_count_and_fraction_is_a_size(size):
    assert resolve(Layer({"test_size": str(size)})).data.test_size == size


def test_cls_pooling_is_fine_without_a_fitted_head_and_for_the_linear_baseline():
    assert resolve(Layer({"pooling": "cls", "head": "random"})).model.pooling == "cls"
    assert resolve(Layer({"pooling": "cls", "encoder": "tfidf"})).model.encoder == "tfidf"
