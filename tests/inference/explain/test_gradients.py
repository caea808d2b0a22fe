"""Integrated gradients against models whose reasons are known, and their promise to sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from matinee.core.errors import NotAvailableError
from matinee.inference.backends.torch import TorchPredictor
from matinee.inference.explain import explain, gradients
from matinee.inference.explain.explanation import log_odds

TEXT = "The film was wonderful, funny and warm! The ending was dreadful."
EMOJI = "\U0001f600 caf&eacute; was e\u0301 wonderful \U0001f44d\U0001f3fd<br />&lt;3"


def test_of_a_linear_model_each_word_gets_its_own_part(bag):
    (found,) = explain(bag, [TEXT], method="integrated_gradients", label="good")
    trace = bag.preparation.trace(TEXT)
    direction = bag.model.head.weight[1] - bag.model.head.weight[0]
    vectors = bag.model.vectors.weight
    with torch.no_grad():
        parts = (vectors[trace.ids.tolist()] - vectors[bag.preparation.mask_id]) @ direction
    truth = dict.fromkeys(range(len(found.words)), 0.0)
    for (start, _), part, special in zip(trace.spans.tolist(), parts.tolist(), trace.special, strict=True):
        if not special:
            truth[next(i for i, word in enumerate(found.words) if word.start <= start < word.end)] += part
    np.testing.assert_allclose([word.contribution for word in found.words], list(truth.values()), atol=1e-5)
    assert found.gap == pytest.approx(0, abs=1e-4)
    assert "16 steps" in found.how


@pytest.mark.parametrize("values", [{}, {"pooling": "cls", "head": "random"}])
@pytest.mark.parametrize("labels", [("bad", "good"), ("bad", "so-so", "good")])
def test_contributions_sum_to_the_difference_of_the_answers(transformer, values, labels):
    predictor = transformer(labels, **values)
    for found in explain(predictor, [TEXT, EMOJI, "dreadful " * 200]):
        assert found.method == "integrated_gradients"
        assert abs(found.gap) <= max(0.05 * abs(found.value - found.base_value), 0.1)
        said = predictor.probabilities([found.text])
        label = labels.index(found.label)
        assert found.value == pytest.approx(log_odds(said, label)[0], abs=1e-3)
        assert found.probability == pytest.approx(said[0, label]) == pytest.approx(said.max())
        assert sum(sentence.contribution for sentence in found.sentences) == pytest.approx(found.total)


@pytest.mark.parametrize("label", ["bad", "good"])
def test_contributions_and_both_ends_equal_a_sum_written_out(transformer, label):
    """Riemann's sum over the line, without captum: Sundararajan et al. 2017, equation 3."""
    predictor = transformer()
    trace, sign = predictor.preparation.trace(TEXT), 1 if label == "good" else -1
    ids = torch.from_numpy(trace.ids.astype(np.int64))
    masked = torch.tensor(
        [i if special else predictor.preparation.mask_id for i, special in zip(ids, trace.special, strict=True)]
    )
    vectors = predictor.model.encoder.get_input_embeddings()

    def odds(at):
        handle = vectors.register_forward_hook(lambda *_: at)
        logits = predictor.model(input_ids=ids[None], attention_mask=torch.ones_like(ids[None])).logits[0]
        handle.remove()
        return sign * (logits[1] - logits[0])

    start, end = (vectors(each[None]).detach() for each in (masked, ids))
    n_steps, total = 200, torch.zeros_like(start)
    for step in range(n_steps):
        at = (start + (step + 0.5) / n_steps * (end - start)).requires_grad_()
        total += torch.autograd.grad(odds(at), at)[0]
    tokens = ((end - start) * total / n_steps).sum(dim=-1)[0].tolist()
    (found,) = explain(predictor, [TEXT], label=label)
    expected = [
        sum(part for part, (at, _) in zip(tokens, trace.spans.tolist(), strict=True) if word.start <= at < word.end)
        for word in found.words
    ]
    np.testing.assert_allclose([word.contribution for word in found.words], expected, atol=0.02)
    with torch.no_grad():
        assert found.base_value == pytest.approx(float(odds(start)), abs=1e-4)
        assert found.value == pytest.approx(float(odds(end)), abs=1e-4)
    assert found.gap == pytest.approx(found.value - found.base_value - sum(word.contribution for word in found.words))


def test_more_steps_leave_a_smaller_gap(transformer):
    predictor = transformer()
    gaps = {}
    for most in (1, 128):
        (found,) = explain(predictor, [TEXT], most_steps=most)
        assert int(found.how.split()[0]) <= most
        gaps[most] = abs(found.gap) / abs(found.value - found.base_value)
    assert gaps[128] <= 0.05
    assert gaps[128] < gaps[1]


def test_two_labels_mirror_each_other(transformer):
    predictor = transformer()
    (good,), (bad,) = (explain(predictor, [TEXT], label=label) for label in ("good", "bad"))
    np.testing.assert_allclose(
        [word.contribution for word in good.words], [-word.contribution for word in bad.words], atol=1e-5
    )
    assert good.predicted == bad.predicted
    assert good.probability == pytest.approx(1 - bad.probability)


def test_the_same_text_gives_the_same_explanation(transformer):
    predictor = transformer()
    together = explain(predictor, [TEXT, EMOJI])
    assert explain(predictor, [TEXT, EMOJI]) == together
    for found, text in zip(together, (TEXT, EMOJI), strict=True):
        (alone,) = explain(predictor, [text])
        figures = [[word.contribution for word in each.words] for each in (alone, found)]
        np.testing.assert_allclose(*figures, atol=1e-4)


def test_subwords_are_joined_and_stand_where_the_text_has_them(bag):
    (found,) = explain(bag, [EMOJI])
    assert [word.text for word in found.words] == [
        *("\U0001f600", "caf&eacute;", "was", "e\u0301", "wonderful", "\U0001f44d\U0001f3fd", "&lt;", "3"),
    ]
    assert all(found.text[word.start : word.end] == word.text for word in found.words)
    n_tokens = int((~bag.preparation.trace(EMOJI).special).sum())
    assert n_tokens > len(found.words)
    assert found.gap == pytest.approx(0, abs=1e-4)


def test_what_truncation_cuts_off_counts_nothing(transformer):
    predictor = transformer()
    text = " ".join(f"seat {n}." for n in range(200))
    (found,) = explain(predictor, [text])
    unread = [word for word in found.words if not word.read]
    assert 100 < len(unread) < len(found.words)
    assert all(word.contribution == 0 for word in unread)
    assert next(word.text for word in found.words if word.read) == "seat"
    first, last = (
        next(i for i, w in order if not w.read)
        for order in (enumerate(found.words), reversed([*enumerate(found.words)]))
    )
    assert all(not word.read for word in found.words[first : last + 1])
    assert found.words[-1].read
    rows = found.word_rows()
    assert len(rows) == len(found.words) - len(unread)
    assert set(rows[0]) == {"text", "start", "end", "contribution"}


@pytest.mark.parametrize("text", ["", "  ", "<br />", "\u200b"])
def test_a_text_without_words_has_none_to_explain(transformer, text):
    (found,) = explain(transformer(), [text])
    assert (found.words, found.sentences, found.total, found.gap) == ((), (), 0, 0)


def test_all_emoji(transformer):
    (found,) = explain(transformer(), ["\U0001f600\U0001f602 \U0001f44d\U0001f3fd"])
    assert [word.read for word in found.words] == [True] * 3


def test_a_megabyte_is_bounded(transformer):
    (found,) = explain(transformer(), ["the film was dreadful! " * 45_000])
    assert len(found.words) == 225_000
    assert sum(word.read for word in found.words) == 62


@pytest.mark.parametrize("kind", ["distilbert", "bert", "roberta", "modernbert", "mpnet"])
def test_every_architecture_s_own_head(kind, preparation):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    n_tokens = preparation.tokenizer.get_vocab_size()
    config = AutoConfig.for_model(kind, vocab_size=n_tokens, num_labels=2, pad_token_id=0, **sizes)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1].weight.mul_(100)
    (found,) = explain(TorchPredictor(model, preparation, ("bad", "good")), [TEXT])
    assert found.method == "integrated_gradients"
    assert any(word.contribution for word in found.words)
    assert abs(found.gap) <= max(0.05 * abs(found.value - found.base_value), 0.1)


def test_without_captum_one_line_says_what_to_install(transformer, monkeypatch):
    monkeypatch.setattr(gradients, "is_installed", lambda: False)
    with pytest.raises(NotAvailableError, match=r'pip install "matinee\[explain\]"'):
        explain(transformer(), [TEXT], method="integrated_gradients")
