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
        ({"train_size": "every"}, "or all, got 'every'"),
        ({"test_size": "all"}, "or none, got 'all'"),
        ({"evaluations_per_epoch": 0}, "a whole number between 1 and 1000"),
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
        ("train_size", "all", None),
        ("train_size", "ALL", None),
        ("validation_size", "none", None),
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


@pytest.mark.parametrize(
    ("name", "value", "typed"),
    [
        ("learning_rate", 1e-4, "--learning-rate 0.0001"),
        ("learning_rate", 0.000332267116553, "--learning-rate 0.000332267116553"),
        ("learning_rate", 3e-5, "--learning-rate 3e-05"),
        ("train_size", 1 / 3, "--train-size 0.3333333333333333"),
        ("epochs", 3.0, "--epochs 3"),
        ("freeze", None, "--freeze none"),
        ("freeze", "2", "--freeze 2"),
        ("train_size", None, "--train-size none"),
        ("augment", ("window", "delete:0.1"), "--augment window --augment delete:0.1"),
        ("slices", {"endings": r"\bend"}, r"--slices endings=\bend"),
    ],
)
def test_what_is_typed_reads_back_the_same(name, value, typed):
    field = settings_fields()[name]
    words = field.typed(value)
    assert " ".join(words) == typed
    assert set(words[::2]) == {field.flag}
    read = field.parse(tuple(words[1::2]) if field.item else words[1])
    assert (dict(read) if isinstance(value, dict) else read) == value


def test_yes_and_no_are_flags_and_what_is_left_open_is_not_typed():
    field = settings_fields()["lowercase"]
    assert (field.typed(True), field.typed(False)) == (["--lowercase"], ["--no-lowercase"])
    assert field.default is None
    assert field.typed(None) == []


def test_slices_are_read_alike_from_yaml_python_and_flags():
    expected = {"plot": r"\bplot\b", "a=b?": "x=y"}
    written = resolve(from_recipe(yaml.safe_load("slices: {plot: '\\bplot\\b', 'a=b?': 'x=y'}"), "a.yaml"))
    assert written.evaluation.slices == resolve(Layer({"slices": expected})).evaluation.slices == expected
    typed = resolve(from_flags({"slices": (r"plot=\bplot\b", "equals==")}))
    assert typed.evaluation.slices == {"plot": r"\bplot\b", "equals": "="}


def test_slices_survive_saving_and_leave_settings_hashable():
    settings = resolve(Layer({"slices": {"plot": r"\bplot\b", "ünïcode": "[é]+"}}))
    again = resolve(Layer(yaml.safe_load(yaml.safe_dump(settings.flat(), allow_unicode=True))))
    assert again == settings
    assert hash(again) == hash(settings)
    assert settings != Settings()


@pytest.mark.parametrize("nothing", [None, "none", {}, ()])
def test_no_slices_is_none(nothing):
    assert resolve(Layer({"slices": nothing})) == Settings()


def test_slices_given_as_flags_take_the_place_of_the_recipe_s():
    settings = resolve(from_recipe({"slices": {"plot": "plot"}}, "a.yaml"), from_flags({"slices": ("cast=cast",)}))
    assert settings.evaluation.slices == {"cast": "cast"}


@pytest.mark.parametrize(
    ("slices", "part"),
    [
        ({"plot": "(plot"}, "that of 'plot' is not one (missing ), unterminated subpattern at position 0)"),
        (("plot=(plot",), "that of 'plot' is not one"),
        ({"much": "a{99999999999999999999}"}, "that of 'much' is not one"),
        ({"plot": None}, "a name and a regular expression each"),
        ({"plot": ""}, "a name and a regular expression each"),
        ({" ": "plot"}, "a name and a regular expression each"),
        ("plot", "NAME=REGEX"),
        (("plot=a", "plot=b"), "names that differ"),
        (3, "NAME=REGEX"),
    ],
)
def test_wrong_slices_say_which_and_why(slices, part):
    with pytest.raises(SettingsError, match=re.escape(part)) as caught:
        resolve(from_recipe({"slices": slices}, "a.yaml"))
    assert str(caught.value).startswith("slices (in a.yaml) must be ")
