"""From a dataset to a fitted classifier and what it and its baselines say of the hold-outs."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matinee.core.errors import SettingsError
from matinee.core.types import Dataset, Predictions, Split

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings, TextSettings
    from matinee.inference import Predictor

logger = logging.getLogger(__name__)

# Name of the predictor that was asked for, and of the baselines beside it, in predictions.parquet.
CLASSIFIER, TFIDF, FROZEN = "classifier", "tfidf", "frozen_features"


@dataclass
class Watch:
    """Wall-clock seconds by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier and its evidence.

    Attributes:
        predictor: Ready to predict.
        predictions: By (split, predictor): validation and test, the classifier and its baselines.
        history: One plain dict per logged step; empty for tfidf.
        kept_epoch: Whose weights the classifier has; None for tfidf.
    """

    predictor: Predictor
    predictions: dict[tuple[str, str], Predictions]
    history: list[dict[str, Any]] = field(default_factory=list)
    kept_epoch: float | None = None


@dataclass(frozen=True)
class LocatedEncoder:
    """An encoder on this machine, checked to fit the settings."""

    name: str
    folder: Path | None
    source: str


def locate_encoder(settings: Settings) -> LocatedEncoder:
    """Find the encoder, fetch it if need be, and check the settings against it, before anything else is spent."""
    from matinee.model.encoders import TFIDF as LINEAR
    from matinee.model.encoders import locate

    name = settings.model.encoder
    if name == LINEAR:
        return LocatedEncoder(name, None, "built-in")
    folder, source = locate(name)
    logger.info(f"Encoder {name}: {source}")
    return LocatedEncoder(name, folder, source)


def check_encoder(encoder: LocatedEncoder, text: TextSettings) -> None:
    """Raise SettingsError if the encoder cannot read texts as long as `max_length`."""
    if encoder.folder is None:
        return
    from matinee.model.classifier import load_config, longest_input

    limit = longest_input(load_config(encoder.folder))
    if limit is not None and text.max_length > limit:
        raise SettingsError(f"--max-length must be at most {limit} for encoder {encoder.name}, got {text.max_length}.")


def fit_dataset(dataset: Dataset, settings: Settings, encoder: LocatedEncoder, run: RunFolder, watch: Watch) -> Fitted:
    """Train what the settings ask for, and the baselines beside it; save the classifier into the run folder."""
    with watch.stage("baseline"):
        linear = _fit_linear(dataset, settings)
        predictions = _predict_hold_outs(linear, dataset, TFIDF)
    if encoder.folder is None:
        _save_linear(linear, settings, run)
        same = {(split, CLASSIFIER): said for (split, _), said in predictions.items()}
        return Fitted(linear, {**same, **predictions})
    return _fine_tune(dataset, settings, encoder, run, watch, predictions)


def _fit_linear(dataset: Dataset, settings: Settings) -> Any:
    from matinee.inference.backends.tfidf import TfidfPredictor
    from matinee.model.tfidf import fit_tfidf

    train = dataset.splits["train"]
    model = fit_tfidf(train.texts, train.labels, len(dataset.label_names), seed=settings.training.seed)
    return TfidfPredictor(model, dataset.label_names)


def _save_linear(predictor: Any, settings: Settings, run: RunFolder) -> None:
    from matinee.model.artifact import ClassifierInfo, save_tfidf

    save_tfidf(run.model, predictor.model, ClassifierInfo("tfidf", settings.model.encoder, predictor.label_names))


def _fine_tune(
    dataset: Dataset,
    settings: Settings,
    encoder: LocatedEncoder,
    run: RunFolder,
    watch: Watch,
    predictions: dict[tuple[str, str], Predictions],
) -> Fitted:
    """Fine-tune the encoder; `predictions` are the linear baseline's, the others are added."""
    import transformers

    from matinee.inference.backends.torch import TorchPredictor
    from matinee.model.artifact import ClassifierInfo, load_tokenizer, save_classifier
    from matinee.model.classifier import build_classifier
    from matinee.model.load import prepare_texts
    from matinee.model.precision import best_device, choose_precision
    from matinee.training import TokenizedSplit, fit

    assert encoder.folder is not None  # noqa: S101 - narrows a type
    transformers.set_seed(settings.training.seed)
    device = best_device()
    precision = choose_precision(settings.training.precision, device)
    logger.info(f"Training on {device.type} in {precision}")
    tokenizer = load_tokenizer(encoder.folder)
    preparation = prepare_texts(tokenizer, settings.text)
    model = build_classifier(encoder.folder, settings.model, dataset.label_names).to(device)
    with watch.stage("tokenising"):
        ids = {name: preparation.encode(split.texts) for name, split in dataset.splits.items()}
    if settings.model.head == "fitted":
        with watch.stage("fitted head"):
            predictions = {**predictions, **_start_head(model, ids, dataset, preparation.pad_id, precision, settings)}
    with watch.stage("fine-tuning"):
        transformers.set_seed(settings.training.seed)
        tokenized = {n: TokenizedSplit(ids[n], dataset.splits[n].labels) for n in ("train", "validation")}
        result = fit(
            model,
            tokenized["train"],
            tokenized["validation"],
            settings.training,
            label_names=dataset.label_names,
            pad_id=preparation.pad_id,
            precision=precision,
            run=run,
        )
    info = ClassifierInfo(
        "transformer", settings.model.encoder, dataset.label_names, settings.model.pooling, preparation.settings
    )
    save_classifier(run.model, model, preparation, tokenizer, info)
    predictor = TorchPredictor(model, preparation, dataset.label_names)
    with watch.stage("predicting"):
        predictions = {**_predict_hold_outs(predictor, dataset, CLASSIFIER), **predictions}
    return Fitted(predictor, predictions, result.history, result.kept_epoch)


def _start_head(
    model: Any,
    ids: dict[Any, list[NDArray[np.int32]]],
    dataset: Dataset,
    pad_id: int,
    precision: str,
    settings: Settings,
) -> dict[tuple[str, str], Predictions]:
    from matinee.training import start_head

    baseline = start_head(
        model, ids, dataset.splits["train"].labels, pad_id=pad_id, precision=precision, seed=settings.training.seed
    )
    return {
        (name, FROZEN): _as_predictions(dataset.splits[name], probabilities, dataset.label_names)  # type: ignore[index]
        for name, probabilities in baseline.probabilities.items()
    }


def _predict_hold_outs(predictor: Predictor, dataset: Dataset, name: str) -> dict[tuple[str, str], Predictions]:
    return {
        (split_name, name): _as_predictions(split, predictor.probabilities(split.texts), dataset.label_names)
        for split_name, split in dataset.splits.items()
        if split_name != "train"
    }


def _as_predictions(split: Split, probabilities: NDArray[np.float64], label_names: tuple[str, ...]) -> Predictions:
    return Predictions(split.ids, split.texts, probabilities, label_names, split.labels)
