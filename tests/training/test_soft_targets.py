"""Soft targets: the loss against its formula and torch, the way from texts to the loss, and real trainings."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from matinee.core.errors import InterruptedTrainingError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import TextSettings
from matinee.core.types import SoftTexts, Split, Targets
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.tokens.windows import Windows
from matinee.training import TokenizedSplit, augment_split, fit
from matinee.training.callbacks import ProgressCallback
from matinee.training.objective import Objective
from matinee.training.recovery import pieces
from matinee.training.trainer import Collator

LABELS = ("negative", "positive")


@st.composite
def batches(draw):
    """Draw logits (P, S, B, K), labels (B,), weighted targets (B, K) and temperatures (B,)."""
    n_masks, n_texts, n_labels = draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(2, 5))
    chance = np.random.default_rng(draw(st.integers(0, 10_000)))
    logits = 4 * chance.standard_normal((1, n_masks, n_texts, n_labels))
    targets = chance.dirichlet(np.ones(n_labels), size=n_texts) * chance.uniform(0.1, 3, size=(n_texts, 1))
    temperatures = chance.choice([1.0, 2.0, 0.5], size=n_texts)
    given_ = (torch.from_numpy(values) for values in (logits, targets.argmax(axis=1), targets, temperatures))
    return tuple(given_)


@given(batch=batches(), smoothing=st.floats(0, 0.9), gamma=st.sampled_from([0.0, 2.0]), is_weighted=st.booleans())
def test_it_is_its_formula(batch, smoothing, gamma, is_weighted):
    logits, labels, targets, temperatures = batch
    n_labels = logits.shape[-1]
    by_label = torch.linspace(0.5, 2.0, n_labels, dtype=torch.float64)
    ours = Objective(n_labels, smoothing, gamma, by_label if is_weighted else None)(
        logits, labels, (targets, temperatures)
    )
    total = 0.0
    for rows in logits[0].numpy():
        for row, target, temperature in zip(rows, targets.numpy(), temperatures.numpy(), strict=True):
            p = np.exp(row / temperature) / np.exp(row / temperature).sum()
            smooth = (1 - smoothing) * target + smoothing * target.sum() / n_labels
            weight = by_label.numpy() if is_weighted else 1.0
            total -= temperature**2 * (smooth * weight * (1 - p) ** gamma * np.log(p)).sum()
    assert ours.item() == pytest.approx(total / (logits.shape[1] * len(labels)), rel=1e-6)


@given(batch=batches())
def test_its_gradient_is_that_of_the_divergence_from_the_teacher(batch):
    """Hinton, Vinyals & Dean 2015: the cross-entropy and the divergence differ by what the student cannot change."""
    logits, labels, targets, temperatures = batch
    targets = targets / targets.sum(dim=1, keepdim=True)
    gradients = []
    for loss_of in (
        lambda z: Objective(z.shape[-1])(z, labels, (targets, temperatures)),
        lambda z: torch.stack(
            [
                t**2 * functional.kl_div((row / t).log_softmax(dim=0), target, reduction="sum")
                for rows in z[0]
                for row, target, t in zip(rows, targets, temperatures, strict=True)
            ]
        ).mean(),
    ):
        z = logits.clone().requires_grad_()
        loss_of(z).backward()
        gradients.append(z.grad)
    torch.testing.assert_close(*gradients)


@given(batch=batches(), smoothing=st.sampled_from([0.0, 0.3]), gamma=st.sampled_from([0.0, 2.0]))
def test_certain_targets_are_labels(batch, smoothing, gamma):
    logits, labels, targets, temperatures = batch
    certain = functional.one_hot(labels, logits.shape[-1]).double()
    objective = Objective(logits.shape[-1], smoothing, gamma)
    soft = objective(logits, labels, (certain, torch.ones_like(temperatures)))
    torch.testing.assert_close(soft, objective(logits, labels))
    assert targets.shape == certain.shape


@given(batch=batches())
def test_mixed_texts_mix_what_they_count_for(batch):
    logits, labels, targets, temperatures = batch
    torch.manual_seed(3)
    ours = Objective(logits.shape[-1], mixup=0.4)(logits, labels, (targets, temperatures))
    torch.manual_seed(3)
    share = torch.distributions.Beta(0.4, 0.4).sample((len(labels), 1)).double()
    partner = torch.randperm(len(labels))
    scaled, counted = logits / temperatures[:, None], targets * temperatures[:, None] ** 2
    mixed = share * scaled + (1 - share) * scaled[..., partner, :]
    expected = -((share * counted + (1 - share) * counted[partner]) * mixed.log_softmax(dim=-1)).sum(dim=-1).mean()
    torch.testing.assert_close(ours, expected)


class TestJoining:
    labelled = Split(["a", "b"], ["one", "two"], np.array([1, 0]))

    def soft(self, **more):
        probabilities = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5], [0.1, 0.9], [0.6, 0.4], [1.0, 0.0]])
        names = [f"u{n}" for n in range(6)]
        return SoftTexts(names, [f"text {n}" for n in range(6)], probabilities, **more)

    def test_every_text_counts_the_same_where_no_share_is_given(self):
        both, targets = self.soft(temperature=2.0).joined_to(self.labelled)
        assert both.ids == ["a", "b", "u0", "u1", "u2", "u3", "u4", "u5"]
        assert both.labels.tolist() == [1, 0, 0, 1, 0, 1, 0, 0]
        np.testing.assert_array_equal(targets.weights[:2], [[0, 1], [1, 0]])
        np.testing.assert_allclose(targets.weights[2:], self.soft().probabilities, rtol=1e-6)
        assert targets.temperatures.tolist() == [1, 1, 2, 2, 2, 2, 2, 2]

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_the_true_labels_have_their_share(self, share):
        _, targets = self.soft(true_label_share=share).joined_to(self.labelled)
        of_text = targets.weights.sum(axis=1)
        assert of_text.mean() == pytest.approx(1, rel=1e-6)
        assert of_text[:2].sum() / of_text.sum() == pytest.approx(share, rel=1e-6)
        np.testing.assert_allclose(of_text[2:], of_text[2], rtol=1e-6)

    def test_without_a_share_they_are_left_out(self):
        both, targets = self.soft(true_label_share=0).joined_to(self.labelled)
        assert both.ids == self.soft().ids
        np.testing.assert_allclose(targets.weights.sum(axis=1), 1, rtol=1e-6)

    def test_rows_that_do_not_go_together_are_refused(self):
        with pytest.raises(ValueError, match="1 ids, 1 texts and 2 rows"):
            SoftTexts(["a"], ["one"], np.full((2, 2), 0.5))


def numbered(n_texts):
    """Return targets by which each text is known again."""
    rows = np.arange(n_texts, dtype=np.float32)
    return Targets(np.stack([rows, 100 + rows], axis=1), 200 + rows)


@pytest.mark.parametrize("windows", [None, Windows(16, "mean")])
def test_pieces_of_a_batch_keep_targets_with_their_texts(windows):
    lengths = [5, 40, 12, 33, 7, 21]
    ids = [np.full(n, 1000 + place, dtype=np.int32) for place, n in enumerate(lengths)]
    if windows is not None:
        ids = [np.concatenate([row[:16], row[:9]]) if place % 2 else row[:14] for place, row in enumerate(ids)]
    split = TokenizedSplit(ids, np.arange(6), windows=windows, targets=numbered(6))
    batch = Collator(0, 64, windows)([split[row] for row in (3, 0, 5, 1, 2, 4)])
    found = pieces(batch, 64)
    assert len(found) > 1
    for piece in [batch, *found]:
        np.testing.assert_array_equal(piece["targets"][:, 0], piece["labels"])
        np.testing.assert_array_equal(piece["targets"][:, 1], 100 + piece["labels"])
        np.testing.assert_array_equal(piece["temperatures"], 200 + piece["labels"])
        rows = piece["n_windows"].cumsum(0) - 1 if windows is not None else range(len(piece["labels"]))
        np.testing.assert_array_equal(piece["input_ids"][rows, 0], 1000 + piece["labels"])
    assert sorted(torch.cat([piece["labels"] for piece in found]).tolist()) == list(range(6))


# -- in a training ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def splits(tokenized):
    """60 train texts with soft targets, some of them at a temperature, and 32 validation texts."""
    train, validation = tokenized(0, 60), tokenized(80, 112)
    chance = np.random.default_rng(1)
    said = 0.15 + 0.7 * np.eye(2)[train.labels] + 0.1 * chance.uniform(-1, 1, size=(60, 1)) * [1, -1]
    weights = said * chance.uniform(0.5, 1.5, size=(60, 1))
    temperatures = np.where(np.arange(60) % 3, 2.0, 1.0)
    return replace(train, targets=Targets(weights.astype(np.float32), temperatures.astype(np.float32))), validation


def fitted(folder, encoder, splits, **values):
    settings = resolve(Layer({"batch_size": 32, "epochs": 1, "learning_rate": 1e-3, "averaging": 0, **values}))
    torch.manual_seed(0)
    model = build_classifier(encoder, settings.model, LABELS)
    run = RunFolder(folder)
    if not folder.is_dir():
        run.create(overwrite=False)
        run.checkpoints.mkdir()
    torch.manual_seed(0)
    result = fit(model, *splits, settings.training, label_names=LABELS, pad_id=0, precision="fp32", run=run)
    return model, result


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


PLAIN = {"dropout": 0.0}


@pytest.fixture(scope="module")
def whole(tiny_encoder, splits, tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("runs") / "whole", tiny_encoder, splits, **PLAIN)


@pytest.mark.parametrize(
    "values", [{"batch_size": 8, "gradient_accumulation": 4}, {"batch_tokens": 200}], ids=["accumulated", "in pieces"]
)
def test_a_batch_in_parts_makes_the_same_update(tmp_path, tiny_encoder, splits, whole, values):
    parts, result = fitted(tmp_path / "parts", tiny_encoder, splits, **PLAIN, **values)
    torch.manual_seed(0)
    start = build_classifier(tiny_encoder, resolve(Layer(PLAIN)).model, LABELS)
    assert result.n_steps == whole[1].n_steps == 2
    moved = (flat(whole[0]) - flat(start)).abs().max()
    assert (flat(parts) - flat(whole[0])).abs().max() < 0.02 * moved


def test_the_loss_of_the_first_step_is_the_formula_s(tiny_encoder, splits, whole):
    """One batch of all texts, before any weight has changed."""
    train, _ = splits
    torch.manual_seed(0)
    model = build_classifier(tiny_encoder, resolve(Layer(PLAIN)).model, LABELS).eval()
    batch = Collator(0, 64)([train[row] for row in range(60)])
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    log_p = (logits / batch["temperatures"][:, None]).log_softmax(dim=1)
    each = -(batch["targets"] * log_p).sum(dim=1) * batch["temperatures"] ** 2
    first = next(row for row in whole[1].history if "loss" in row)
    # The first step is of 32 of the 60 texts.
    assert first["loss"] == pytest.approx(each.mean().item(), rel=0.2)
    assert abs(first["loss"] - functional.cross_entropy(logits, batch["labels"]).item()) > 0.3


@pytest.mark.parametrize("values", [{}, {"freeze": "1"}, {"freeze": "embeddings", "loss": "focal"}], ids=str)
def test_what_is_learned_is_the_targets_and_not_the_labels(tmp_path, tiny_encoder, splits, values):
    train, validation = splits
    wrong = replace(
        train, targets=Targets(0.1 + 0.8 * np.eye(2, dtype=np.float32)[1 - train.labels], np.ones(60, np.float32))
    )
    values = {
        "epochs": 8,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "patience": 0,
        "selection_metric": "log_loss",
        **values,
    }
    contrary = replace(validation, labels=1 - validation.labels)
    _, result = fitted(tmp_path / "run", tiny_encoder, (wrong, contrary), **values)
    scores = [row["eval_accuracy"] for row in result.history if "eval_accuracy" in row]
    assert max(scores) > 0.85


def test_an_architecture_s_own_head_learns_them_too(tmp_path, tiny_encoder, splits):
    train, validation = splits
    own = {**PLAIN, "pooling": "cls", "head": "random"}
    soft, _ = fitted(tmp_path / "soft", tiny_encoder, splits, **own)
    hard, _ = fitted(tmp_path / "hard", tiny_encoder, (replace(train, targets=None), validation), **own)
    assert (flat(soft) - flat(hard)).abs().max() > 1e-5


def test_augmented_texts_keep_their_targets(tiny_encoder, tiny_rows):
    preparation = prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=48))
    texts = [text for text, _ in tiny_rows[:20]]
    split = Split([str(n) for n in range(20)], texts, np.arange(20))
    settings = resolve(Layer({"augment": ["delete:0.5"]})).training
    targets = numbered(20)
    augmented = augment_split(split, preparation.encode(texts), preparation, None, settings, targets=targets)
    before = [ids.tolist() for ids in augmented.ids]
    augmented.begin_epoch(1)
    assert [ids.tolist() for ids in augmented.ids] != before
    for row in range(20):
        assert augmented[row]["targets"].tolist() == [row, 100 + row]
        assert augmented[row]["temperatures"] == 200 + row


def interrupted_at(step):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            signal.raise_signal(signal.SIGINT)

    return on_step_end


@pytest.mark.parametrize("values", [{}, {"freeze": "1", "gradient_accumulation": 2}], ids=str)
def test_a_resumed_training_ends_with_the_same_weights(tmp_path, tiny_encoder, splits, monkeypatch, values):
    values = {"batch_size": 8, "epochs": 3, "dropout": 0.1, "averaging": 0.25, **values}
    expected, _ = fitted(tmp_path / "whole", tiny_encoder, splits, **values)
    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(ProgressCallback, "on_step_end", interrupted_at(6))
        with pytest.raises(InterruptedTrainingError):
            fitted(cut, tiny_encoder, splits, **values)
    again, _ = fitted(cut, tiny_encoder, splits, **values)
    assert torch.equal(flat(again), flat(expected))
