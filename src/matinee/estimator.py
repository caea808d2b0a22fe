"""matinee as a scikit-learn classifier."""

from __future__ import annotations

import tempfile
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from matinee.core.errors import DataError, did_you_mean
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve, settings_fields
from matinee.core.text import as_texts
from matinee.core.types import Dataset, Split
from matinee.data import Augmentations, hold_out_validation
from matinee.inference import predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.settings import Settings
    from matinee.inference import Predictor

_PARAMETERS = {
    name: field
    for name, field in settings_fields().items()
    if field.group in {"text", "model", "training"} or name == "validation_size"
}


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier with scikit-learn's conventions: a pretrained encoder, fine-tuned by `fit`.

    Every setting of the groups text, model and training (docs/settings.md), and `validation_size`, is a keyword
    argument; `clone`, `cross_val_score` and `GridSearchCV` work. Settings are checked by `fit`.

    A part of the texts given to `fit` (`validation_size`; a tenth where not given) is held out to choose the epoch; none
    where `encoder` is `tfidf` or `nblr`, which have no epochs.

    Attributes:
        classes_: The distinct labels, sorted, shape (n_classes,).
        n_iter_: Epoch whose weights were kept; 0 for `tfidf` and `nblr`.
        predictor_: What predicts.

    Example:
        >>> classifier = TextClassifier(encoder="tfidf")
        >>> classifier.fit(["good film", "bad film"] * 10, ["good", "bad"] * 10).predict(["a good one"])
        array(['good'], dtype='<U4')
    """

    def __init__(self, **settings: Any) -> None:
        unknown = [name for name in settings if name not in _PARAMETERS]
        if unknown:
            hint = did_you_mean(unknown[0], _PARAMETERS)
            raise TypeError(f"TextClassifier has no setting {unknown[0]!r}.{hint}")
        for name, field in _PARAMETERS.items():
            setattr(self, name, settings.get(name, field.default))

    def fit(self, X: Sequence[str], y: Sequence[Any]) -> Self:  # noqa: N803 - scikit-learn's name
        """Fine-tune on texts with labels.

        Args:
            X: Texts, shape (n_texts,): a list, an array of strings, or a pandas Series.
            y: Labels of any sortable kind, shape (n_texts,).

        Raises:
            DataError: The texts and labels cannot be learned from.
            SettingsError: A setting is wrong.
        """
        from matinee.workflow.fitting import Watch, check_encoder, fine_tune, fit_linear, locate_encoder

        settings = self._settings()
        Augmentations.parse(settings.training.augment)
        whole, self.classes_ = _labelled(X, y)
        label_names = tuple(map(str, self.classes_))
        encoder = locate_encoder(settings)
        check_encoder(encoder, settings)
        if encoder.folder is None:
            self.predictor_: Predictor = fit_linear(
                Dataset("texts", label_names, {"train": whole}), settings, encoder.name
            )
            self.n_iter_ = 0.0
            return self
        train, validation = hold_out_validation(whole, settings.data, settings.training.seed)
        dataset = Dataset("texts", label_names, {"train": train, "validation": validation})
        with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
            tuned = fine_tune(dataset, settings, encoder, RunFolder(Path(folder)), Watch(), throwaway=True)
        self.predictor_ = tuned.predictor
        self.n_iter_ = tuned.result.kept_epoch
        return self

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        """Return label probabilities, shape (n_texts, n_classes), columns in the order of `classes_`."""
        check_is_fitted(self)
        return self.predictor_.probabilities(_texts(X))

    def predict(self, X: Sequence[str]) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """Return the label of each text, shape (n_texts,): the most probable one, or what `optimise` made of it."""
        check_is_fitted(self)
        answers: NDArray[Any] = self.classes_[predict(self.predictor_, _texts(X)).predicted]
        return answers

    def _settings(self) -> Settings:
        return resolve(Layer({name: getattr(self, name) for name in _PARAMETERS}))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags


def _signature() -> Signature:
    """Return the constructor's signature, which scikit-learn reads the parameters from."""
    settings = [Parameter(name, Parameter.KEYWORD_ONLY, default=field.default) for name, field in _PARAMETERS.items()]
    return Signature([Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *settings])


TextClassifier.__init__.__signature__ = _signature()  # type: ignore[attr-defined]


def _texts(values: Sequence[str]) -> list[str]:
    texts = as_texts(values)
    if not texts:
        raise DataError("there are no texts.")
    return texts


def _labelled(values: Sequence[str], labels: Sequence[Any]) -> tuple[Split, NDArray[Any]]:
    """Return texts with label indices, and the distinct labels, sorted.

    Raises:
        DataError: Texts and labels do not go together, or there is nothing to tell apart.
    """
    texts, given = _texts(values), np.asarray(labels)
    if given.ndim != 1 or len(given) != len(texts):
        raise DataError(f"fit needs one label per text: got {len(texts)} texts and labels of shape {given.shape}.")
    classes, indices = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"fit needs at least two classes in y: got only {classes.tolist()}.")
    return Split([str(row) for row in range(len(texts))], texts, indices.astype(np.int64)), classes
