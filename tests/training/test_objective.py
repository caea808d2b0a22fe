"""The loss of training against its formula, against torch, and in a real training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from matinee.core.errors import SettingsError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.model.windows import add_window_query
from matinee.tokens.windows import Windows
from matinee.training import TokenizedSplit, fit
from matinee.training.objective import Objective, balanced_weights, disagreement

LABELS = ("negative", "positive")


@st.composite
def batches(draw, n_passes=1):
    """Draw logits of shape (P, S, B, K) and labels of shape (B,)."""
    n_masks, n_texts, n_labels = draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(2, 5))
    chance = np.random.default_rng(draw(st.integers(0, 10_000)))
    logits = 4 * chance.standard_normal((n_passes, n_masks, n_texts, n_labels))
    return torch.from_numpy(logits), torch.from_numpy(chance.integers(n_labels, size=n_texts))


def weights_of(n_labels):
    return torch.linspace(0.5, 2.0, n_labels, dtype=torch.float64)


def test_the_default_is_torch_s_cross_entropy_to_the_bit():
    logits, labels = torch.randn(1, 1, 16, 3), torch.arange(16) % 3
    loss = Objective.of(resolve(Layer({})).training, labels.numpy(), 3)(logits, labels)
    assert torch.equal(loss, functional.cross_entropy(logits[0, 0], labels))


@given(batch=batches(), smoothing=st.floats(0, 0.9), is_weighted=st.booleans())
def test_without_focus_it_is_torch_s_smoothed_and_weighted_cross_entropy(batch, smoothing, is_weighted):
    logits, labels = batch
    weights = weights_of(logits.shape[-1]) if is_weighted else None
    ours = Objective(logits.shape[-1], smoothing, weights=weights)(logits, labels)
    # reduction "mean" would divide by the weights of the batch's texts.
    each = [
        functional.cross_entropy(rows, labels, weight=weights, label_smoothing=smoothing, reduction="none")
        for rows in logits[0]
    ]
    torch.testing.assert_close(ours, torch.stack(each).mean())


@given(batch=batches(), smoothing=st.floats(0, 0.9), gamma=st.floats(0, 5))
def test_it_is_its_formula(batch, smoothing, gamma):
    logits, labels = batch
    n_labels = logits.shape[-1]
    weights = weights_of(n_labels)
    expected = []
    for rows in logits[0].numpy():
        for row, label in zip(rows, labels.tolist(), strict=True):
            p = np.exp(row) / np.exp(row).sum()
            for k in range(n_labels):
                target = (1 - smoothing) * (k == label) + smoothing / n_labels
                expected.append(-target * float(weights[k]) * (1 - p[k]) ** gamma * np.log(p[k]))
    ours = Objective(n_labels, smoothing, gamma, weights)(logits, labels)
    assert ours.item() == pytest.approx(np.sum(expected) / (logits.shape[1] * len(labels)), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_text_that_is_answered_perfectly_has_no_gradient_and_no_nan(gamma):
    logits = torch.tensor([[[[200.0, 0.0]]]], requires_grad=True)
    Objective(2, gamma=gamma)(logits, torch.tensor([0])).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@given(batch=batches(n_passes=2), weight=st.floats(0.1, 10), smoothing=st.sampled_from([0.0, 0.2]))
def test_r_drop_adds_the_disagreement_of_two_passes(batch, weight, smoothing):
    logits, labels = batch
    one, other = logits.log_softmax(dim=-1)
    both = [
        functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(dim=-1)
        for log_q, log_p in ((one, other), (other, one))
    ]
    torch.testing.assert_close(disagreement(*logits), (both[0] + both[1]) / 2)
    n_labels = logits.shape[-1]
    passes = [Objective(n_labels, smoothing)(each[None], labels) for each in logits]
    expected = (passes[0] + passes[1]) / 2 + weight * (both[0] + both[1]).mean() / 2
    torch.testing.assert_close(Objective(n_labels, smoothing, r_drop=weight)(logits, labels), expected)


def test_mixed_logits_are_those_of_mixed_features():
    features, labels, head = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]), torch.nn.Linear(4, 3)
    torch.manual_seed(3)
    ours = Objective(3, mixup=0.4)(head(features)[None, None], labels)
    torch.manual_seed(3)
    share = torch.distributions.Beta(0.4, 0.4).sample((6, 1))
    partner = torch.randperm(6)
    logits = head(share * features + (1 - share) * features[partner])
    log_p = logits.log_softmax(dim=-1)
    losses = -share[:, 0] * log_p[range(6), labels] - (1 - share[:, 0]) * log_p[range(6), labels[partner]]
    torch.testing.assert_close(ours, losses.mean())


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=50))
def test_balanced_weights_are_scikit_learn_s(labels):
    labels = np.array(labels)
    weights = balanced_weights(labels, 5).numpy()
    present = np.unique(labels)
    np.testing.assert_allclose(weights[present], compute_class_weight("balanced", classes=present, y=labels), rtol=1e-6)
    assert not np.delete(weights, present).any()
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)


@pytest.fixture(scope="module")
def splits(tiny_encoder, tiny_rows):
    """60 train texts, of which every third is positive, and 32 validation texts."""
    preparation = prepare_texts(load_tokenizer(tiny_encoder), TextSettings(max_length=48))
    ids = preparation.encode([text for text, _ in tiny_rows])
    labels = np.array([LABELS.index(label) for _, label in tiny_rows], dtype=np.int64)
    few = np.concatenate([np.flatnonzero(labels[:80] == 0)[:40], np.flatnonzero(labels[:80] == 1)[:20]])
    return TokenizedSplit([ids[row] for row in few], labels[few]), TokenizedSplit(ids[80:112], labels[80:112])


def fitted(folder, encoder, splits, model=None, **values):
    settings = resolve(Layer({"batch_size": 32, "epochs": 1, "learning_rate": 1e-3, "averaging": 0, **values}))
    torch.manual_seed(0)
    model = model or build_classifier(encoder, settings.model, LABELS)
    run = RunFolder(folder)
    run.create(overwrite=False)
    run.checkpoints.mkdir()
    torch.manual_seed(0)
    result = fit(model, *splits, settings.training, label_names=LABELS, pad_id=0, precision="fp32", run=run)
    return model, result


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


WITHOUT_CHANCE = {"loss": "focal", "label_smoothing": 0.1, "class_weights": "balanced", "dropout": 0.0}


def test_accumulated_batches_are_one_large_batch_and_evaluation_is_plain(tmp_path, tiny_encoder, splits):
    one, plain = fitted(tmp_path / "one", tiny_encoder, splits, **WITHOUT_CHANCE)
    many, result = fitted(
        tmp_path / "many", tiny_encoder, splits, **WITHOUT_CHANCE, batch_size=8, gradient_accumulation=4
    )
    # 60 texts: the second step's batches are of 8, 8, 8 and 4.
    assert result.n_steps == 2
    torch.manual_seed(0)
    start = build_classifier(tiny_encoder, ModelSettings(dropout=0.0), LABELS)
    assert (flat(one) - flat(many)).abs().max() < 0.02 * (flat(one) - flat(start)).abs().max()
    _, without = fitted(tmp_path / "without", tiny_encoder, splits, dropout=0.0)
    at_start = [next(row for row in of.history if "eval_loss" in row) for of in (plain, without)]
    assert at_start[0]["eval_loss"] == at_start[1]["eval_loss"] == pytest.approx(at_start[0]["eval_log_loss"], abs=1e-5)
    assert plain.history[1]["loss"] != pytest.approx(without.history[1]["loss"], abs=1e-3)


@pytest.fixture(scope="module")
def plain(tiny_encoder, splits, tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("plain"), tiny_encoder, splits)[0]


@pytest.mark.parametrize(
    "values",
    [
        {"r_drop": 1.0},
        {"multi_sample_dropout": 4},
        {"augment": ["mixup"]},
        {"sampling": "balanced"},
    ],
    ids=str,
)
def test_it_reaches_the_training(tmp_path, tiny_encoder, splits, plain, values):
    other, result = fitted(tmp_path / "other", tiny_encoder, splits, **values)
    moved = (flat(plain)[-66:] - flat(other)[-66:]).abs().max()
    assert moved > 1e-6
    assert torch.isfinite(flat(other)).all()
    assert "train_accuracy" in result.history[-1]


def test_r_drop_without_dropout_is_refused(tmp_path, tiny_encoder, splits):
    with pytest.raises(SettingsError, match="r_drop: needs dropout"):
        resolve(Layer({"r_drop": 1, "dropout": 0}))
    model = build_classifier(tiny_encoder, ModelSettings(dropout=0.0), LABELS)
    with pytest.raises(SettingsError, match="this encoder has none of its own"):
        fitted(tmp_path / "run", tiny_encoder, splits, model, r_drop=1.0)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"focal_gamma": 3}, "focal_gamma: needs loss 'focal'"),
        ({"window_stride": 0.5}, "window_stride: needs long 'windows'"),
        ({"max_windows": 4}, "max_windows: needs long 'windows'"),
        ({"sampling": "balanced", "class_weights": "balanced"}, "sampling: 'balanced' and class_weights 'balanced'"),
        ({"multi_sample_dropout": 2, "dropout": 0}, "multi_sample_dropout: needs dropout"),
        ({"multi_sample_dropout": 2, "pooling": "cls", "head": "random"}, "multi_sample_dropout: needs pooling 'mean'"),
        ({"augment": ["mixup:1"], "pooling": "cls", "head": "random"}, "augment: mixup needs pooling 'mean'"),
        ({"reinit_layers": 1, "freeze": "all"}, "reinit_layers: cannot go with freeze 'all'"),
    ],
)
def test_settings_that_contradict_each_other(values, problem):
    with pytest.raises(SettingsError, match=problem):
        resolve(Layer(values))


@pytest.mark.parametrize("window_pooling", ["mean", "attention"])
def test_windows_have_it_too(tmp_path, tiny_encoder, tiny_rows, window_pooling):
    text = TextSettings(long="windows", max_length=16, max_windows=4, window_pooling=window_pooling)
    ids = prepare_texts(load_tokenizer(tiny_encoder), text).encode([text for text, _ in tiny_rows])
    labels = np.array([LABELS.index(label) for _, label in tiny_rows], dtype=np.int64)
    splits = [TokenizedSplit(ids[part], labels[part], windows=Windows.of(text)) for part in (slice(32), slice(32, 48))]
    model = build_classifier(tiny_encoder, ModelSettings(multi_sample_dropout=3, pooling="attention"), LABELS)
    if window_pooling == "attention":
        add_window_query(model)
    before = flat(model).clone()
    model, result = fitted(
        tmp_path / "run",
        tiny_encoder,
        splits,
        model,
        batch_size=8,
        r_drop=1.0,
        augment=["mixup"],
        class_weights="balanced",
    )
    assert torch.isfinite(flat(model)).all()
    assert (flat(model) - before).abs().max() > 1e-4
    assert "train_accuracy" in result.history[-1]
