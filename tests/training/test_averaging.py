"""The moving average against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from matinee.training.averaging import WeightAverage
from matinee.training.checkpoints import load_weights


def stepped(values, horizon=4.0):
    """Return a model that took these values one after the other, and its average."""
    model = nn.Linear(2, 1, bias=False)
    average = WeightAverage(model, horizon)
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        average.on_step_end(None, None, None)
    return model, average


def test_it_is_the_exponential_average_of_the_steps():
    model, average = stepped([1.0, 3.0, 5.0])
    expected = 0.75 * (0.75 * 1 + 0.25 * 3) + 0.25 * 5
    with average.in_use():
        torch.testing.assert_close(model.weight.detach(), torch.full((1, 2), expected))
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 2), 5.0))


def test_the_model_s_own_weights_come_back_after_an_error():
    model, average = stepped([1.0, 3.0])
    with pytest.raises(KeyError), average.in_use():
        raise KeyError
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 2), 3.0))


def test_before_the_first_step_there_is_nothing_to_use():
    model, average = stepped([])
    before = model.weight.detach().clone()
    with average.in_use():
        torch.testing.assert_close(model.weight.detach(), before)


def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(tmp_path):
    model, average = stepped([1.0, 3.0])
    average.save(tmp_path)
    again = WeightAverage(model, 4.0)
    again.load(tmp_path)
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 2), 3.0))
    for one in (average, again):
        one.on_step_end(None, None, None)
    assert torch.equal(average.weights["weight"], again.weights["weight"])
    load_weights(model, tmp_path)
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 2), 1.5))
