"""What every predictor promises; each back end's test inherits it."""

from __future__ import annotations

import numpy as np

from matinee.inference import predict

TEXTS = [
    "The film was wonderful.",
    "The plot was dreadful.",
    "",
    "👍",
    "映画 très bien",
    "the pace was boring " * 300,
    "فيلم رائع جدا",
    "फ़िल्म अच्छी थी",
    "!!! ... ???",
    "\x01\x02 the\u200b lead \ud800 was warm",
    "<br />the ending &amp; the script",
    "a",
]

# Each distinct, and enough of them for the way in which a back end computes many.
MANY = [
    f"The {word} was {opinion}, seat {n}."
    for n in range(10)
    for word in ("plot", "lead", "pace")
    for opinion in ("warm", "cold")
]


class PredictorContract:
    """Subclasses give a fixture `predictor`.

    Attributes:
        tolerance: How far a text's probabilities may move with the texts beside it; in bf16 and int8 what is rounded where
            depends on the shape of the batch.
        most_characters: Of the longest text. Where others test the same tokenising with ten million, fewer will do.
    """

    tolerance = 1e-6
    most_characters = 10_000_000

    def test_rows_are_distributions_in_the_order_asked(self, predictor):
        said = predictor.probabilities(TEXTS)
        assert said.shape == (len(TEXTS), len(predictor.label_names))
        assert said.dtype == np.float64
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-9)
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(TEXTS))
            shuffled = predictor.probabilities([TEXTS[row] for row in order])
            np.testing.assert_allclose(shuffled, said[order], atol=self.tolerance)

    def test_a_text_s_answer_does_not_depend_on_its_batch(self, predictor):
        together = predictor.probabilities(TEXTS)
        alone = np.vstack([predictor.probabilities([text]) for text in TEXTS])
        np.testing.assert_allclose(together, alone, atol=self.tolerance)
        some = [1, 5, 6, 11]
        subset = predictor.probabilities([TEXTS[row] for row in some])
        np.testing.assert_allclose(subset, together[some], atol=self.tolerance)

    def test_many_texts_get_the_answers_that_few_get(self, predictor):
        many = predictor.probabilities([*MANY, *TEXTS])
        few = np.vstack([predictor.probabilities(MANY[at : at + 7]) for at in range(0, len(MANY), 7)])
        np.testing.assert_allclose(many[: len(MANY)], few, atol=self.tolerance)
        np.testing.assert_allclose(many[len(MANY) :], predictor.probabilities(TEXTS), atol=self.tolerance)

    def test_no_texts_is_no_rows(self, predictor):
        assert predictor.probabilities([]).shape == (0, len(predictor.label_names))

    def test_it_is_deterministic(self, predictor):
        for texts in (TEXTS, MANY):
            np.testing.assert_array_equal(predictor.probabilities(texts), predictor.probabilities(texts))

    def test_a_hundred_thousand_empty_texts_are_no_trouble(self, predictor):
        said = predictor.probabilities([""] * 100_000)
        assert said.shape == (100_000, len(predictor.label_names))
        np.testing.assert_allclose(
            said, np.broadcast_to(predictor.probabilities([""]), said.shape), atol=self.tolerance
        )

    def test_a_book_is_no_trouble(self, predictor):
        # Words longer than the tokenizer takes: a token each, or it would need 20 s for ten megabytes.
        book = f"{'w' * 120} " * (self.most_characters // 120)
        assert len(book) > self.most_characters
        said = predictor.probabilities(["the lead was warm", book])
        assert np.isfinite(said).all()
        np.testing.assert_allclose(said[:1], predictor.probabilities(["the lead was warm"]), atol=self.tolerance)

    def test_the_threshold_goes_with_the_answers(self, predictor, monkeypatch):
        if len(predictor.label_names) == 2:
            monkeypatch.setattr(predictor, "threshold", 0.0)
            assert predict(predictor, TEXTS).predicted.tolist() == [1] * len(TEXTS)
            monkeypatch.setattr(predictor, "threshold", 1.1)
            assert predict(predictor, TEXTS).predicted.tolist() == [0] * len(TEXTS)
        else:
            assert predict(predictor, TEXTS).threshold is None


class TemperedContract(PredictorContract):
    """A predictor fresh from training can be calibrated too; exports hold the temperature already."""

    def test_divided_logits_are_the_same_answers_tempered(self, predictor):
        before = predictor.probabilities(TEXTS)
        predictor.divide_logits(2.5)
        logits = np.log(before) / 2.5
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(predictor.probabilities(TEXTS), expected, atol=max(self.tolerance, 1e-6))
