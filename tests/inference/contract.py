"""What every predictor promises; each back end's test inherits it."""

from __future__ import annotations

import numpy as np

from matinee.inference import predict

TEXTS = ["The film was wonderful.", "The plot was dreadful.", "", "👍", "映画 très bien", "the pace was boring " * 300]


class PredictorContract:
    """Subclasses give a fixture `predictor`."""

    def test_rows_are_distributions_in_the_order_asked(self, predictor):
        said = predictor.probabilities(TEXTS)
        assert said.shape == (len(TEXTS), len(predictor.label_names))
        assert said.dtype == np.float64
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-9)
        np.testing.assert_allclose(predictor.probabilities(TEXTS[::-1])[::-1], said, atol=1e-6)

    def test_a_text_s_answer_does_not_depend_on_its_batch(self, predictor):
        together = predictor.probabilities(TEXTS)
        alone = np.vstack([predictor.probabilities([text]) for text in TEXTS])
        np.testing.assert_allclose(together, alone, atol=1e-6)

    def test_no_texts_is_no_rows(self, predictor):
        assert predictor.probabilities([]).shape == (0, len(predictor.label_names))

    def test_it_is_deterministic(self, predictor):
        np.testing.assert_array_equal(predictor.probabilities(TEXTS), predictor.probabilities(TEXTS))

    def test_divided_logits_are_the_same_answers_tempered(self, predictor):
        before = predictor.probabilities(TEXTS)
        predictor.divide_logits(2.5)
        logits = np.log(before) / 2.5
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(predictor.probabilities(TEXTS), expected, atol=1e-6)

    def test_the_threshold_goes_with_the_answers(self, predictor):
        if len(predictor.label_names) == 2:
            predictor.threshold = 0.0
            assert predict(predictor, TEXTS).predicted.tolist() == [1] * len(TEXTS)
            predictor.threshold = 1.1
            assert predict(predictor, TEXTS).predicted.tolist() == [0] * len(TEXTS)
        else:
            assert predict(predictor, TEXTS).threshold is None
