"""matinee as a scikit-learn classifier."""

from __future__ import annotations

import tempfile
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from matinee.core.errors import DataError, SettingsError, did_you_mean
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve, settings_fields
from matinee.core.types import Dataset, Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.settings import Settings

_PARAMETERS = {
    name: field
    for name, field in settings_fields().items()
    if field.group in {"text", "model", "training"} or name == "validation_size"
}


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier with scikit-learn's conventions: a pretrained encoder, fine-tuned by `fit`.

    Every setting of the groups text, model and training (docs/settings.md), and `validation_size`, is a keyword
    argument; `clone`, `cross_val_score` and `GridSearchCV` work. Settings are checked by `fit`.

    A part of the texts given to `fit` (`validation_size`; a tenth where not given) is held out to choose the epoch.

    Attributes:
        classes_: The distinct labels, sorted, shape (n_classes,).
        n_iter_: Epoch whose weights were kept; 0 for `encoder="tfidf"`.
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
        from matinee.workflow.fitting import Watch, check_encoder, fit_dataset, locate_encoder

        texts, labels = _texts(X), np.asarray(y)
        if labels.ndim != 1 or len(labels) != len(texts):
            raise DataError(f"fit needs one label per text: got {len(texts)} texts and labels of shape {labels.shape}.")
        settings = self._settings()
        self.classes_, indices = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"fit needs at least two classes in y: got only {self.classes_.tolist()}.")
        encoder = locate_encoder(settings)
        check_encoder(encoder, settings.text)
        dataset = _dataset(texts, indices.astype(np.int64), tuple(map(str, self.classes_)), settings)
        with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
            run = RunFolder(Path(folder))
            run.checkpoints.mkdir()
            fitted = fit_dataset(dataset, settings, encoder, run, Watch())
        self.predictor_ = fitted.predictor
        self.n_iter_ = fitted.kept_epoch or 0
        return self

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        """Return label probabilities, shape (n_texts, n_classes), columns in the order of `classes_`."""
        check_is_fitted(self)
        return self.predictor_.probabilities(_texts(X))

    def predict(self, X: Sequence[str]) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """Return the most probable label of each text, shape (n_texts,)."""
        probabilities = self.predict_proba(X)
        best: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return best

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
    """Return the texts as a list.

    Raises:
        DataError: They are not a one-dimensional run of strings.
    """
    if isinstance(values, str):
        raise DataError("texts must be a list of strings: wrap a single one, as in [text].")
    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"texts must be one-dimensional: got shape {getattr(values, 'shape', None)}.")
    texts = list(values)
    kinds = {type(text).__name__ for text in list[Any](texts) if not isinstance(text, str)}
    if kinds:
        raise DataError(f"texts must be strings: got {', '.join(sorted(kinds))}.")
    if not texts:
        raise DataError("there are no texts.")
    return [str(text) for text in texts]


def _dataset(texts: list[str], labels: NDArray[np.int64], label_names: tuple[str, ...], settings: Settings) -> Dataset:
    from matinee.data.split import asked_size, random_holdout

    n_validation = asked_size(settings.data.validation_size, len(texts), 0.1)
    parts = random_holdout(labels, n_validation, 0, settings.training.seed)
    if not len(parts.validation):
        raise SettingsError(f"{len(texts)} texts are too few to hold some out for validation: give more.")
    whole = Split([str(i) for i in range(len(texts))], texts, labels)
    return Dataset("texts", label_names, {"train": whole.take(parts.train), "validation": whole.take(parts.validation)})
