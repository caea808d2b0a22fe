"""Where memory is short or numbers run over, training goes on with the update that it would have made anyway."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.errors import SettingsError, TrainingError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings
from matinee.model.classifier import build_classifier
from matinee.tokens.windows import Windows
from matinee.training import TokenizedSplit
from matinee.training.fit import fit
from matinee.training.recovery import cut, is_out_of_memory, pieces, recomputed_activations
from matinee.training.trainer import Collator, FineTuner, metrics_function, training_arguments

LABELS = ("negative", "positive")
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture(scope="module")
def splits(tokenized):
    return tokenized(0, 44), tokenized(64, 96)


def model_of(folder, **values):
    torch.manual_seed(0)
    return build_classifier(folder, ModelSettings(**values), LABELS)


def run_in(folder):
    run = RunFolder(folder)
    run.create(overwrite=False)
    run.checkpoints.mkdir()
    return run


def settings_of(**values):
    return resolve(Layer({"batch_size": 16, "epochs": 2, "learning_rate": 1e-3, **values})).training


def fitted(folder, splits, model, precision="fp32", **values):
    run = RunFolder(folder) if folder.exists() else run_in(folder)
    torch.manual_seed(0)
    result = fit(model, *splits, settings_of(**values), label_names=LABELS, pad_id=0, precision=precision, run=run)
    return result, run


def tuner(folder, splits, model, precision="fp32", **values):
    """Return a Trainer that has not begun, whose updates can be computed one by one."""
    run = run_in(folder)
    trainer = FineTuner(
        None,
        settings_of(**values),
        len(LABELS),
        model=model,
        args=training_arguments(settings_of(**values), run, len(splits[0]), precision, throwaway=True),
        train_dataset=splits[0],
        eval_dataset=splits[1],
        data_collator=Collator(0, 48, splits[0].windows),
        compute_metrics=metrics_function(LABELS),
    )
    trainer.model_wrapped = trainer.accelerator.prepare_model(model)
    return trainer


def batch_of(trainer, rows):
    return trainer.data_collator([trainer.train_dataset[row] for row in rows])


def gradients(trainer, *batches):
    """Return the gradients of an update, all in a row."""
    trainer.model.zero_grad()
    torch.manual_seed(1)
    update = trainer.begin_update()
    for batch in batches:
        update.add(batch, sum(len(of["labels"]) for of in batches))
    return torch.cat([of.grad.flatten() for of in trainer.model.parameters() if of.grad is not None])


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


class Failing:
    """A hook that fails as memory does: with more than `most` texts at once, from the call `since` on."""

    def __init__(self, model, most, since=0, *, backward=False, error=None):
        self.most, self.since, self.error = most, since, error or torch.OutOfMemoryError("CUDA out of memory.")
        self.n_calls = self.n_errors = 0
        part = next(of for of in model.modules() if isinstance(of, torch.nn.LayerNorm))
        part.register_full_backward_hook(self.after) if backward else part.register_forward_hook(self.after)

    def after(self, module, inputs, output):
        if not module.training:
            return
        self.n_calls += 1
        if self.n_calls > self.since and len(inputs[0]) > self.most:
            self.n_errors += 1
            raise self.error


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(1, 4)), min_size=1, max_size=30),
    st.integers(1, 2000),
)
def test_cut_gives_every_text_once_in_pieces_of_like_length_within_the_budget(texts, tokens):
    lengths, n_rows = ([text[at] for text in texts] for at in (0, 1))
    found = cut(lengths, n_rows, tokens)
    assert sorted(text for piece in found for text in piece) == list(range(len(texts)))
    in_order = [lengths[text] for piece in found for text in piece]
    assert in_order == sorted(lengths, reverse=True)
    for piece in found:
        size = sum(n_rows[text] for text in piece) * -(-max(lengths[text] for text in piece) // 16) * 16
        assert size <= tokens or len(piece) == 1
    # No two neighbours would have fitted into one piece.
    for one, other in pairwise(found):
        n = sum(n_rows[text] for text in one) + n_rows[other[0]]
        assert n * -(-lengths[one[0]] // 16) * 16 > tokens


@pytest.mark.parametrize("values", [{}, {"pooling": "cls", "head": "random"}], ids=["mean", "cls"])
@pytest.mark.parametrize("more", [{}, {"r_drop": 0.0, "label_smoothing": 0.1, "class_weights": "balanced"}])
def test_a_batch_in_pieces_makes_the_same_update(tmp_path, tiny_encoder, splits, values, more):
    model = model_of(tiny_encoder, **NO_DROPOUT, **values)
    whole = tuner(tmp_path / "whole", splits, model, **more)
    cut_up = tuner(tmp_path / "cut", splits, model, batch_tokens=100, **more)
    batches = [batch_of(whole, range(16)), batch_of(whole, range(16, 29))]
    assert len(pieces(batches[0], 100)) > 4
    expected, got = gradients(whole, *batches), gradients(cut_up, *batches)
    assert (expected - got).abs().max() < 1e-5 * expected.abs().max()
    assert sum(len(labels) for _, labels in cut_up._seen) == 29


def test_a_batch_within_the_budget_is_left_alone(tmp_path, tiny_encoder, splits):
    trainer = tuner(tmp_path / "run", splits, model_of(tiny_encoder))
    batch = batch_of(trainer, range(4))
    (piece,) = pieces(batch, batch["attention_mask"].numel())
    assert piece is batch


def test_texts_with_windows_are_not_torn_apart(tmp_path, tiny_encoder, splits):
    cut_up = [TokenizedSplit(of.ids, of.labels, windows=Windows(12, "mean")) for of in splits]
    model = model_of(tiny_encoder, **NO_DROPOUT)
    whole = tuner(tmp_path / "whole", cut_up, model)
    small = tuner(tmp_path / "cut", cut_up, model, batch_tokens=64)
    batch = batch_of(whole, range(10))
    assert batch["n_windows"].max() > 2
    found = pieces(batch, 64)
    assert sum(len(piece["labels"]) for piece in found) == 10
    assert all(piece["n_windows"].sum() == len(piece["input_ids"]) for piece in found)
    expected, got = gradients(whole, batch), gradients(small, batch)
    assert (expected - got).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("backward", [False, True])
def test_out_of_memory_half_way_makes_the_same_update(tmp_path, tiny_encoder, splits, backward, caplog):
    expected_of = tuner(tmp_path / "whole", splits, model_of(tiny_encoder, **NO_DROPOUT))
    batches = [
        batch_of(expected_of, range(6)),
        batch_of(expected_of, range(6, 22)),
        batch_of(expected_of, range(22, 29)),
    ]
    expected = gradients(expected_of, *batches)
    short = tuner(tmp_path / "short", splits, model_of(tiny_encoder, **NO_DROPOUT))
    failing = Failing(short.model, most=6, backward=backward)
    got = gradients(short, *batches)
    assert failing.n_errors
    assert (expected - got).abs().max() < 1e-5 * expected.abs().max()
    assert sum(len(labels) for _, labels in short._seen) == 29
    lines = [record.getMessage() for record in caplog.records if "Out of memory" in record.getMessage()]
    assert len(lines) == failing.n_errors
    assert "16 texts of 48 tokens" in lines[0]
    assert "pieces of at most 384 tokens" in lines[0]
    assert short.budget.tokens <= 16 * 48 // 2


def test_the_processor_s_memory_counts_too(tmp_path, tiny_encoder, splits):
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(MemoryError())
    trainer = tuner(tmp_path / "run", splits, model_of(tiny_encoder))
    Failing(trainer.model, most=6, error=RuntimeError("some other trouble"))
    with pytest.raises(RuntimeError, match="some other trouble"):
        gradients(trainer, batch_of(trainer, range(8)))


def test_a_single_text_that_is_too_large_is_one_clear_line(tmp_path, tiny_encoder, splits):
    trainer = tuner(tmp_path / "run", splits, model_of(tiny_encoder))
    Failing(trainer.model, most=0)
    with pytest.raises(TrainingError, match=r"single text of \d+ tokens: pass --gradient-checkpointing") as raised:
        gradients(trainer, batch_of(trainer, range(8)))
    assert raised.value.exit_code == 2


def test_no_memory_for_the_optimizer_is_one_clear_line(tmp_path, tiny_encoder, splits, monkeypatch):
    def fail(self, *arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.optim.AdamW, "step", fail)
    with pytest.raises(TrainingError, match="optimizer's two averages .* smaller --encoder"):
        fitted(tmp_path / "run", splits, model_of(tiny_encoder), epochs=1)


def test_out_of_memory_in_the_middle_of_an_epoch_neither_repeats_nor_skips_texts(tmp_path, tiny_encoder, splits):
    whole, short = (model_of(tiny_encoder, **NO_DROPOUT) for _ in range(2))
    before = weights(whole)
    fitted(tmp_path / "whole", splits, whole, epochs=1)
    failing = Failing(short, most=5, since=1)
    result, _ = fitted(tmp_path / "short", splits, short, epochs=1)
    assert failing.n_errors
    assert result.n_steps == 3
    assert "train_accuracy" in result.history[-1], "every text was seen once"
    assert (weights(whole) - weights(short)).abs().max() < 0.02 * (weights(whole) - before).abs().max()


def test_a_resumed_training_goes_on_in_the_pieces_that_fitted(tmp_path, tiny_encoder, splits):
    values = {"dropout": 0.1}
    whole = model_of(tiny_encoder, **values)
    Failing(whole, most=5, since=1)
    fitted(tmp_path / "whole", splits, whole)
    cut_off = model_of(tiny_encoder, **values)
    Failing(cut_off, most=5, since=1)
    hook = Failing(cut_off, most=-1, since=20, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "cut", splits, cut_off)
    assert hook.n_errors == 1
    (state,) = (tmp_path / "cut").glob("checkpoints/*/trainer_state.json")
    tokens = json.loads(state.read_text())["stateful_callbacks"]["TokenBudget"]["args"]["tokens"]
    assert tokens < 16 * 48
    resumed = model_of(tiny_encoder, **values)
    failing = Failing(resumed, most=5)
    fitted(tmp_path / "cut", splits, resumed)
    assert failing.n_errors < 2, "what did not fit in the first epoch is not tried again"
    assert torch.equal(weights(whole), weights(resumed))


def test_an_evaluation_that_is_too_large_is_made_in_smaller_batches(tmp_path, tiny_encoder, splits, caplog):
    trainer = tuner(tmp_path / "run", splits, model_of(tiny_encoder))
    expected = trainer.evaluate()

    def fail(module, inputs, output):
        if len(output) > 9:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    trainer.model.head.register_forward_hook(fail)
    got = trainer.evaluate()
    assert got["eval_accuracy"] == expected["eval_accuracy"]
    assert trainer.args.per_device_eval_batch_size == 8
    assert "8 texts at once" in caplog.text


class Overflowing:
    """A hook that makes the logits NaN in training, at one call, or from then on; in bf16 alone, or always."""

    def __init__(self, model, at, *, always=False, gradients=False):
        self.at, self.always, self.gradients, self.n_calls = at, always, gradients, 0
        model.head.register_forward_hook(self.after)

    def after(self, module, inputs, output):
        if not module.training:
            return None
        self.n_calls += 1
        if self.n_calls != self.at and not (self.always and self.n_calls > self.at):
            return None
        if not self.always and not torch.is_autocast_enabled("cpu"):
            return None
        if self.gradients:
            output.register_hook(lambda gradient: gradient * float("inf"))
            return None
        return output * float("nan")


@pytest.mark.parametrize("kind", ["loss", "gradients"])
def test_a_step_that_overflows_in_bf16_is_computed_again_in_fp32(tmp_path, tiny_encoder, splits, caplog, kind):
    model = model_of(tiny_encoder)
    overflowing = Overflowing(model, at=4, gradients=kind == "gradients")
    with caplog.at_level(logging.INFO, logger="matinee"):
        result, _ = fitted(tmp_path / "run", splits, model, "bf16")
    assert result.n_steps == 6
    assert overflowing.n_calls == 7
    assert torch.isfinite(weights(model)).all()
    lines = [record.getMessage() for record in caplog.records if "in fp32" in record.getMessage()]
    what = "loss is nan" if kind == "loss" else "gradients are not finite"
    assert lines == [f"At step 4 of 6 the {what} in bf16; computed again in fp32 it is fine, and training goes on."]
    assert all(np.isfinite(row["loss"]) for row in result.history if "loss" in row)
    assert "train_accuracy" in result.history[-1]


def test_the_second_attempt_is_the_fp32_step_with_the_same_dropout(tmp_path, tiny_encoder, splits):
    exact = tuner(tmp_path / "fp32", splits, model_of(tiny_encoder, dropout=0.2))
    mixed = tuner(tmp_path / "bf16", splits, model_of(tiny_encoder, dropout=0.2), "bf16")
    batches = [batch_of(exact, range(8)), batch_of(exact, range(8, 16))]
    Overflowing(mixed.model, at=2)
    assert torch.equal(gradients(exact, *batches), gradients(mixed, *batches))
    assert not torch.equal(gradients(exact, *batches), gradients(mixed, *batches)), "bf16 again"


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_loss_that_stays_nan_stops_with_a_clear_line_and_keeps_the_last_good_checkpoint(
    tmp_path, tiny_encoder, splits, precision
):
    model = model_of(tiny_encoder)
    Overflowing(model, at=5, always=True)
    with pytest.raises(TrainingError) as raised:
        fitted(tmp_path / "run", splits, model, precision)
    message = str(raised.value)
    assert message.startswith("At step 5 of 6 the loss is nan")
    assert ("in fp32 too" in message) == (precision == "bf16")
    assert "Lower --learning-rate (it is 0.001)" in message
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint-3"
    assert str(checkpoint) in message
    assert (checkpoint / "model.safetensors").is_file()
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_recomputed_activations_make_the_same_update(tmp_path, tiny_encoder, splits, pooling):
    found, calls = [], []
    for name in ("kept", "recomputed"):
        model = model_of(tiny_encoder, pooling=pooling, head="random", dropout=0.2)
        trainer = tuner(tmp_path / name, splits, model)
        parts = [of for of in model.modules() if type(of).__name__ == "TransformerBlock"]
        n_calls = []
        parts[0].attention.register_forward_hook(lambda *_, n_calls=n_calls: n_calls.append(1))
        with recomputed_activations(model) if name == "recomputed" else nullcontext():
            found.append(gradients(trainer, batch_of(trainer, range(16))))
        calls.append(len(n_calls))
    assert torch.equal(*found)
    assert calls == [1, 2]


def test_gradient_checkpointing_is_a_setting(tmp_path, tiny_encoder, splits):
    one, other = model_of(tiny_encoder), model_of(tiny_encoder)
    fitted(tmp_path / "one", splits, one, epochs=1)
    fitted(tmp_path / "other", splits, other, epochs=1, gradient_checkpointing=True, freeze="embeddings")
    assert not any(getattr(of, "gradient_checkpointing", False) for of in other.modules())
    again = model_of(tiny_encoder)
    fitted(tmp_path / "again", splits, again, epochs=1, gradient_checkpointing=True)
    assert torch.equal(weights(one), weights(again))


def test_an_encoder_that_cannot_recompute_is_named(tiny_encoder):
    model = model_of(tiny_encoder)
    model.encoder.supports_gradient_checkpointing = False
    with (
        pytest.raises(SettingsError, match="--gradient-checkpointing cannot be used with DistilBertModel"),
        recomputed_activations(model),
    ):
        pass
