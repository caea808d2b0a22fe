"""The protocol that every back end speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from matinee.core.text import as_texts
from matinee.core.types import Predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Predictor(Protocol):
    """Anything that turns texts into label probabilities."""

    label_names: tuple[str, ...]
    threshold: float | None
    """Of two labels the second one is the answer where its probability is at least this; None: the more probable one."""

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels), in the order of the texts; rows sum to 1.

        Any text is fine: empty, of another script, or far longer than the encoder reads.
        """


def predict(
    predictor: Predictor,
    texts: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    labels: NDArray[np.int64] | None = None,
) -> Predictions:
    """Return what the predictor says of the texts; ids are their positions where not given.

    Raises:
        DataError: The texts are not a one-dimensional run of strings.
    """
    given = as_texts(texts)
    return Predictions(
        ids=[str(i) for i in range(len(given))] if ids is None else list(ids),
        texts=given,
        probabilities=predictor.probabilities(given),
        label_names=predictor.label_names,
        labels=labels,
        threshold=predictor.threshold,
    )
