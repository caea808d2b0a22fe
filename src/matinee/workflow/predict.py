"""`matinee predict`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.backends import AUTO
from matinee.core.errors import RunError, SettingsError
from matinee.core.schema import Layer, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.types import Predictions
    from matinee.inference import Predictor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classifier:
    """A classifier loaded from a run.

    Attributes:
        source: Where it came from.
        predictor: What does the work.
        folder: What it was loaded from: a model folder or an export; holds the validation answers that limits are chosen by.
    """

    source: str
    predictor: Predictor
    folder: Path

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels, in the order of the probabilities."""
        return self.predictor.label_names

    def predict(
        self,
        texts: Sequence[str],
        *,
        abstain_below: float | None = None,
        target_accuracy: float | None = None,
        coverage: float | None = None,
    ) -> Predictions:
        """Return what the classifier says of the texts; iterating over it gives one plain dict per text.

        Args:
            texts: Any texts.
            abstain_below: Answer `"uncertain"` where the label's probability is below this.
            target_accuracy: The same, with the lowest probability at which the answers to the validation texts were
                this accurate.
            coverage: Give each text the set of labels that holds its true one this often: `"set"` in the record.

        Raises:
            SettingsError: A number is out of range, validation never reached the target, or two of them contradict.
            RunError: The classifier holds no validation answers to choose by.
        """
        from matinee.inference import predict

        limit, set_above = _limits(self.folder, abstain_below, target_accuracy, coverage)
        return replace(predict(self.predictor, texts), abstain_below=limit, set_above=set_above)


def load(run: str | Path, *, offline: bool = False, backend: str = AUTO) -> Classifier:
    """Return the classifier of a run folder, a model folder, an export's folder, or a hub id.

    Args:
        run: Where it is.
        offline: Never touch the network.
        backend: What computes its answers: `"auto"`, `"torch"`, `"torch-bf16"`, `"openvino"` or `"onnx"`. `auto` is the
            fastest of a run's exports that are proved to say the same, else PyTorch.

    Example:
        >>> matinee.load("runs/demo").predict(["A film to fall asleep in."])[0]["label"]  # doctest: +SKIP
        'negative'
    """
    from matinee.inference import choose_classifier

    with hub.offline(offline):
        chosen = choose_classifier(run, backend)
        return Classifier(str(run), chosen.open(), chosen.folder)


def predict(
    run: str | Path, texts: Sequence[str], *, offline: bool = False, backend: str = AUTO, **policy: float | None
) -> Predictions:
    """Return what a run's classifier says of the texts; `backend` as in `load`, `policy` as in `Classifier.predict`."""
    return load(run, offline=offline, backend=backend).predict(texts, **policy)


def _limits(
    folder: Path, abstain_below: float | None, target_accuracy: float | None, coverage: float | None
) -> tuple[float | None, float | None]:
    """Return below which probability answers are uncertain, and from which one a label is in the set."""
    values = {"abstain-below": abstain_below, "target-accuracy": target_accuracy, "coverage": coverage}
    for name, value in values.items():
        if value is not None and not 0 < value < 1:
            raise SettingsError(f"--{name} must lie between 0 and 1, got {value:g}.")
    if abstain_below is not None and target_accuracy is not None:
        raise SettingsError("--abstain-below and --target-accuracy both set the same limit: give one of them.")
    if target_accuracy is not None:
        abstain_below = _limit_for(_validation(folder), target_accuracy)
    return abstain_below, None if coverage is None else _set_limit(_validation(folder), coverage)


def _validation(folder: Path) -> Predictions:
    from matinee.model.artifact import read_validation

    validation = read_validation(folder)
    if validation is None:
        raise RunError(
            f"{folder} holds no validation answers to choose a limit by: give --abstain-below, or train it with matinee."
        )
    return validation


def _limit_for(validation: Predictions, target: float) -> float:
    from matinee.evaluation import threshold_for_accuracy

    limit = threshold_for_accuracy(validation, target)
    if limit is None:
        raise SettingsError(
            f"--target-accuracy {target:g}: {len(validation):,} validation texts do not show that the classifier is that "
            "accurate, however sure it is. Ask for less, or give more labels."
        )
    logger.info(f"Answers below {limit:.3f} are uncertain: the others were {target:g} accurate on validation")
    return limit


def _set_limit(validation: Predictions, coverage: float) -> float:
    from matinee.evaluation import conformal_quantile

    quantile = conformal_quantile(validation, coverage)
    if quantile >= 1:
        logger.warning(
            f"{len(validation):,} validation texts are too few for sets with coverage {coverage:g}: each set holds all labels."
        )
    return max(0.0, 1 - quantile)


def predict_file(
    run: str | Path,
    texts: Sequence[str] = (),
    *,
    input: str | Path | None = None,  # noqa: A002 - the flag's name
    output: str | Path | None = None,
    text_column: str | None = None,
    encoding: str = "utf-8",
    offline: bool = False,
    backend: str = AUTO,
    **policy: float | None,
) -> Predictions:
    """Predict given texts or a whole file, and write the records to `output` if it is given.

    Args:
        run: Run folder, model folder, the folder of an export, or hub id.
        texts: Texts themselves; instead of `input`.
        input: A CSV, TSV, JSONL or Parquet file, a text file with one text a line, or `-` for standard input.
        output: A `.jsonl`, `.csv`, `.tsv` or `.parquet` file.
        text_column: Column that holds the texts; guessed where not given.
        encoding: Of the input file.
        offline: Never touch the network.
        backend: What computes the answers: see `load`.
        **policy: As in `Classifier.predict`.

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
    predictions = predict(run, given, offline=offline, backend=backend, **policy)
    if output is not None:
        write_records(Path(output), predictions.records())
    return predictions
