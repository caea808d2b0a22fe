"""Spaces: what is understood, what is refused, and in which words."""

from __future__ import annotations

import re

import pytest
import yaml

from matinee.core.errors import SettingsError
from matinee.core.schema import Layer, resolve, settings_fields
from matinee.core.space import Choices, Range, Space, contradiction, searchable, varied


def space(text):
    return Space.read(yaml.safe_load(text), "the space")


class TestWhatIsUnderstood:
    def test_lists_and_ranges_are_read_as_the_settings_are(self):
        read = space(
            """
            learning_rate: {low: 2e-5, high: 4e-4, log: true}
            epochs: [2, 3]
            batch_size: {low: 8, high: 32, step: 8}
            freeze: [none, embeddings, 2]
            augment: [none, [delete, swap]]
            """
        )
        assert read.dimensions == {
            "learning_rate": Range(2e-5, 4e-4, log=True),  # YAML reads 2e-5 as text
            "epochs": Choices((2.0, 3.0)),
            "batch_size": Range(8, 32, step=8, whole=True),
            "freeze": Choices((None, "embeddings", "2")),
            "augment": Choices((None, ("delete", "swap"))),
        }

    def test_what_was_given_reads_the_same_again(self):
        read = space(
            "{learning_rate: {low: 1e-5, high: 1e-3, log: true}, augment: [none, [delete]], layers: {low: 2, high: 6}}"
        )
        assert Space.read(read.given, "it").dimensions == read.dimensions

    def test_a_base_is_inside_or_outside(self):
        read = space("{epochs: [1, 3], averaging: {low: 0, high: 1, step: 0.25}}")
        assert read.contains(read.base_of(resolve()))  # the defaults are 3 and 0.25
        assert not read.contains({"epochs": 2.0, "averaging": 0.25})
        assert not read.contains({"epochs": 3.0, "averaging": 0.3})

    def test_every_setting_can_be_searched_or_says_why_not(self):
        assert {"learning_rate", "encoder", "max_length", "optimise"} <= set(searchable())
        assert not {"data", "train_size", "split_seed", "seed", "track", "slices", "missing", "keep_checkpoints"} & set(
            searchable()
        )
        assert set(searchable()) < set(settings_fields())


class TestGrids:
    def test_each_combination_once_the_last_setting_fastest(self):
        points = space("{epochs: [1, 2], batch_size: {low: 8, high: 20, step: 8}}").grid(resolve())
        assert points == [{"epochs": e, "batch_size": b} for e in (1.0, 2.0) for b in (8, 16)]

    def test_steps_of_a_range_hold_its_ends_and_no_dust(self):
        assert space("layer_decay: {low: 0.7, high: 1.0, step: 0.1}").dimensions["layer_decay"].listed() == (
            0.7,
            0.8,
            0.9,
            1.0,
        )

    def test_whole_numbers_need_no_step(self):
        assert space("layers: {low: 2, high: 4}").dimensions["layers"].listed() == (2, 3, 4)

    def test_a_huge_range_is_counted_and_not_listed(self, monkeypatch):
        monkeypatch.setattr(Range, "listed", lambda self: pytest.fail("it was listed"))
        huge = space("learning_rate: {low: 0.0, high: 1.0, step: 1.0e-6}")
        assert huge.dimensions["learning_rate"].n_values == 1_000_001
        with pytest.raises(SettingsError, match="1,000,001 combinations is more than the 2,000"):
            huge.grid(resolve())

    def test_contradictions_are_left_out(self):
        points = space("{head: [fitted, random], freeze: [none, all]}").grid(resolve())
        assert {"head": "random", "freeze": "all"} not in points
        assert len(points) == 3

    def test_none_that_is_left_is_an_error(self):
        with pytest.raises(
            SettingsError, match="allows nothing: each combination contradicts itself.*fitted head needs pooling"
        ):
            space("{pooling: [cls], head: [fitted]}").grid(resolve())

    def test_a_range_without_end_is_an_error(self):
        with pytest.raises(SettingsError, match="no end in learning_rate"):
            space("learning_rate: {low: 1e-5, high: 1e-4}").grid(resolve())

    def test_too_large_a_grid_is_an_error(self):
        with pytest.raises(SettingsError, match="4,096 combinations is more than the 2,000"):
            space("{batch_size: {low: 1, high: 64}, max_length: {low: 64, high: 127}}").grid(resolve())


class TestWhetherAnythingIsAllowed:
    def test_one_allowed_combination_is_enough(self):
        space("{head: [random], freeze: [all, '1']}").check_allows(resolve())
        space("{pooling: [cls, mean], learning_rate: {low: 1e-5, high: 1e-3}}").check_allows(resolve())

    @pytest.mark.parametrize(
        ("text", "each"),
        [
            ("{pooling: [cls], head: [fitted]}", "each combination contradicts itself (head: "),
            (
                "{pooling: [cls], batch_size: {low: 8, high: 32, step: 8}}",
                "each combination contradicts itself (head: ",
            ),
            ("{pooling: [cls], learning_rate: {low: 1e-5, high: 1e-3}}", "each of 300 combinations that were drawn"),
            ("{pooling: [cls], max_length: {low: 16, high: 512}, batch_size: {low: 1, high: 99}}", "each of 300"),
        ],
    )
    def test_none_at_all_is_an_error(self, text, each):
        with pytest.raises(SettingsError, match=re.escape(f"The space allows nothing: {each}")):
            space(text).check_allows(resolve())


class TestVariedSettings:
    def test_the_rest_stays(self):
        base = resolve(Layer({"epochs": 5, "max_length": 64}))
        settings = varied(base, {"learning_rate": 2e-5})
        assert (settings.training.epochs, settings.text.max_length, settings.training.learning_rate) == (5, 64, 2e-5)

    def test_a_contradiction_says_what_is_wrong(self):
        assert contradiction(resolve(), {"epochs": 2}) is None
        assert "random one would learn nothing" in contradiction(resolve(), {"head": "random", "freeze": "all"})


WRONG = {
    "{learning_rat: [1e-5]}": "unknown setting learning_rat. Did you mean 'learning_rate'?",
    "{seed: [0, 1]}": "seed cannot be searched: a lucky seed is no better setting",
    "{train_size: [100, 200]}": "train_size cannot be searched: it decides which texts",
    "{track: [none]}": "track cannot be searched: it changes nothing that is scored",
    "{epochs: []}": "epochs allows nothing: its list is empty",
    "{epochs: 3}": "epochs must be a list of values or a range such as {low: 1, high: 4}, got 3",
    "{epochs: [3, 3.0]}": "epochs names a value twice",
    "{epochs: [many]}": "epochs must be a number between 0.01 and 1000, got 'many'",
    "{pooling: [meen]}": "pooling must be one of mean, attention, cls, got 'meen'. Did you mean 'mean'?",
    "{pooling: {low: 1, high: 2}}": "pooling must be a list: it is one of mean, attention, cls, and has no range",
    "{learning_rate: {low: 1e-5}}": "learning_rate: a range needs high",
    "{learning_rate: {low: 1e-4, high: 1e-5}}": "low must be below high, got 0.0001 and 1e-05",
    "{learning_rate: {low: 0, high: 1e-5, log: true}}": "a logarithmic range must start above 0, got 0",
    "{learning_rate: {low: 1e-5, high: 1e-4, log: maybe}}": "log must be true or false, got 'maybe'",
    "{learning_rate: {low: 1e-5, high: 1e-4, log: true, step: 1e-5}}": "log and step cannot go together",
    "{learning_rate: {low: 1e-5, hihg: 1e-4}}": "a range has no 'hihg', but low, high, log and step. Did you mean 'high'?",
    "{batch_size: {low: 8, high: 32, step: 0.5}}": "batch_size: step must be a whole number above 0, got 0.5",
    "{batch_size: {low: 8, high: 32, step: 50}}": "step must be at most 24, the length of the range, got 50",
    "{batch_size: {low: 8, high: none}}": "batch_size must be a whole number between 1 and 4096, got 'none'",
    "{averaging: {low: 0, high: 7}}": "averaging must be a number between 0 and 1, got 7",
    "{dropout: {low: none, high: 0.5}}": "dropout: an end of a range must be a number, got 'none'",
    "{}": "allows nothing: name a setting",
    "[1, 2]": "must hold settings as `name: values` lines",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said(text):
    with pytest.raises(SettingsError, match=re.escape(WRONG[text])):
        space(text)


def test_all_errors_are_said_at_once():
    with pytest.raises(SettingsError) as caught:
        space("{learning_rat: [1], epochs: [], seed: [1]}")
    assert all(word in str(caught.value) for word in ("learning_rat", "its list is empty", "lucky seed"))
    assert "\n" not in str(caught.value)
