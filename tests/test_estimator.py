"""TextClassifier keeps scikit-learn's contract, as far as it makes sense for texts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from matinee import TextClassifier
from matinee.core.errors import DataError, SettingsError
from matinee.core.schema import settings_fields


@pytest.fixture(scope="module")
def texts(tiny_rows):
    return [text for text, _ in tiny_rows]


@pytest.fixture(scope="module")
def labels(tiny_rows):
    return np.array([label for _, label in tiny_rows])


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_mixin_order,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learn_s_own_checks(check):
    check("TextClassifier", TextClassifier(encoder="tfidf"))


def test_every_setting_of_text_model_and_training_is_a_parameter():
    expected = {name for name, field in settings_fields().items() if field.group in {"text", "model", "training"}}
    assert set(TextClassifier().get_params()) == expected | {"validation_size"}


def test_it_learns_clones_and_scores(texts, labels):
    classifier = TextClassifier(encoder="tfidf", seed=3)
    assert is_classifier(classifier)
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.fit(texts[:90], labels[:90]) is classifier
    assert classifier.score(texts[90:], labels[90:]) > 0.8
    said = classifier.predict_proba(texts[90:])
    assert said.shape == (30, 2)
    np.testing.assert_array_equal(classifier.classes_[said.argmax(axis=1)], classifier.predict(texts[90:]))


def test_fine_tuning_through_fit(texts, labels, tiny_encoder):
    classifier = TextClassifier(encoder=str(tiny_encoder), epochs=2, learning_rate=5e-3, max_length=48)
    classifier.fit(np.array(texts), labels)
    assert classifier.n_iter_ in {1, 2}
    assert classifier.score(texts, labels) > 0.6


def test_cross_validation_and_grid_search(texts, labels):
    for encoder in ("tfidf", "nblr"):
        assert cross_val_score(TextClassifier(encoder=encoder), texts, labels, cv=3).mean() > 0.8
    search = GridSearchCV(TextClassifier(encoder="tfidf"), {"seed": [0, 1]}, cv=2).fit(texts, labels)
    assert search.best_params_["seed"] in {0, 1}


def test_in_a_pipeline(texts, labels):
    upper = FunctionTransformer(lambda rows: [row.upper() for row in rows])
    assert make_pipeline(upper, TextClassifier(encoder="tfidf")).fit(texts, labels).score(texts, labels) > 0.9


@pytest.mark.parametrize("values", [[0, 1], [False, True], ["no", "yes"], [3.0, 7.0]])
def test_labels_of_any_kind_come_back_as_they_were(texts, labels, values):
    own = np.array(values)[(labels == "positive").astype(int)]
    said = TextClassifier(encoder="tfidf").fit(texts, own).predict(texts)
    assert said.dtype == own.dtype
    assert (said == own).mean() > 0.9


def test_a_fitted_one_survives_pickling(texts, labels):
    classifier = TextClassifier(encoder="tfidf").fit(texts, labels)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))


def test_what_is_wrong_is_said():
    with pytest.raises(TypeError, match="Did you mean 'epochs'"):
        TextClassifier(epoch=3)
    with pytest.raises(NotFittedError):
        TextClassifier().predict(["text"])
    for given, y, part in (
        (["a", "b"], [0], "one label per text"),
        (["a", "b"], [0, 0], "at least two classes"),
        (["a", None], [0, 1], "must be strings: got NoneType"),
        ("abc", [0, 1, 0], "list of strings"),
        (np.array([["a"], ["b"]]), [0, 1], "one-dimensional"),
        ([], [], "no texts"),
    ):
        with pytest.raises(DataError, match=part):
            TextClassifier(encoder="tfidf").fit(given, y)
    with pytest.raises(SettingsError, match="epochs must be"):
        TextClassifier(epochs=-1).fit(["a", "b"] * 5, [0, 1] * 5)
