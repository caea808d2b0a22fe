"""`matinee predict`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.errors import SettingsError
from matinee.core.schema import Layer, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.types import Predictions
    from matinee.inference import Predictor


@dataclass(frozen=True)
class Classifier:
    """A classifier loaded from a run.

    Attributes:
        source: Where it came from.
        predictor: What does the work.
    """

    source: str
    predictor: Predictor

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels, in the order of the probabilities."""
        return self.predictor.label_names

    def predict(self, texts: Sequence[str]) -> Predictions:
        """Return what the classifier says of the texts; iterating over it gives one plain dict per text."""
        from matinee.inference import predict

        return predict(self.predictor, texts)


def load(run: str | Path, *, offline: bool = False) -> Classifier:
    """Return the classifier of a run folder, a model folder, or a hub id.

    Example:
        >>> matinee.load("runs/demo").predict(["A film to fall asleep in."])[0]["label"]  # doctest: +SKIP
        'negative'
    """
    from matinee.inference import load_predictor

    with hub.offline(offline):
        return Classifier(str(run), load_predictor(run))


def predict(run: str | Path, texts: Sequence[str], *, offline: bool = False) -> Predictions:
    """Return what a run's classifier says of the texts."""
    return load(run, offline=offline).predict(texts)


def predict_file(
    run: str | Path,
    texts: Sequence[str] = (),
    *,
    input: str | Path | None = None,  # noqa: A002 - the flag's name
    output: str | Path | None = None,
    text_column: str | None = None,
    encoding: str = "utf-8",
    offline: bool = False,
) -> Predictions:
    """Predict given texts or a whole file, and write the records to `output` if it is given.

    Args:
        run: Run folder, model folder or hub id.
        texts: Texts themselves; instead of `input`.
        input: A CSV, TSV, JSONL or Parquet file, a text file with one text a line, or `-` for standard input.
        output: A `.jsonl`, `.csv`, `.tsv` or `.parquet` file.
        text_column: Column that holds the texts; guessed where not given.
        encoding: Of the input file.
        offline: Never touch the network.

    Raises:
        SettingsError: Neither texts nor a file were given, or both.
    """
    from matinee.data import check_output, read_texts, write_records

    if bool(texts) == (input is not None):
        raise SettingsError(
            'Give the texts to predict, as in `matinee predict RUN "a text"`, or a file with --input: one of the two.'
        )
    if output is not None:
        check_output(Path(output))
    values: dict[str, Any] = {"text_column": text_column, "encoding": encoding}
    given = list(texts) if input is None else read_texts(str(input), resolve(Layer(values)).data).texts
    predictions = predict(run, given, offline=offline)
    if output is not None:
        write_records(Path(output), predictions.records())
    return predictions
