"""From a dataset to a fitted classifier and what it and its baselines say of the hold-outs."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import SettingsError
from matinee.core.files import file_sha256
from matinee.core.interruption import check_interrupt
from matinee.core.types import Dataset, Predictions, Split
from matinee.inference import predict
from matinee.workflow.calibrating import Calibrated, calibrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings, TextSettings
    from matinee.core.types import SplitName
    from matinee.inference import Predictor
    from matinee.inference.backends.tfidf import TfidfPredictor
    from matinee.inference.backends.torch import TorchPredictor
    from matinee.training import FitResult, FrozenEncoder

logger = logging.getLogger(__name__)

# Name of the predictor that was asked for, and of the baselines beside it, in predictions.parquet.
CLASSIFIER, TFIDF, FROZEN = "classifier", "tfidf", "frozen_features"


@dataclass
class Watch:
    """Wall-clock seconds by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a stage; Ctrl-C that was held back takes effect before it."""
        check_interrupt()
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
        temperature: What the classifier's logits were divided by.
        history: One plain dict per logged step; empty for tfidf.
        kept_epoch: Whose weights the classifier has; None for tfidf.
        vectors: By split, shape (n_texts, width), dense or sparse: texts whose vectors are near each other are alike.
    """

    predictor: Predictor
    predictions: dict[tuple[str, str], Predictions]
    temperature: float = 1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    kept_epoch: float | None = None
    vectors: dict[SplitName, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned encoder.

    Attributes:
        predictor: Ready to predict.
        tokenizer: The encoder's own, for the model folder.
        result: What fine-tuning did.
        frozen: The encoder before fine-tuning; None where the head started at random.
        calibrated: How its probabilities were mended, and what it says of validation since.
    """

    predictor: TorchPredictor
    tokenizer: PreTrainedTokenizerFast
    result: FitResult
    frozen: FrozenEncoder | None
    calibrated: Calibrated


@dataclass(frozen=True)
class LocatedEncoder:
    """An encoder on this machine, checked to fit the settings."""

    name: str
    folder: Path | None
    source: str

    def about(self) -> dict[str, Any]:
        """Return name, source and the hash of each weights file, for `environment.json`."""
        weights = sorted(self.folder.glob("*.safetensors")) if self.folder else []
        return {
            "name": self.name,
            "source": self.source,
            "weights_sha256": {path.name: file_sha256(path) for path in weights},
        }


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
        linear = fit_linear(dataset, settings)
        calibrated = calibrate(linear, dataset.splits["validation"], settings.training)
        predictions = _predict_hold_outs(linear, dataset, TFIDF, calibrated)
    if encoder.folder is None:
        _save_linear(linear, settings, run, calibrated)
        same = {(split, CLASSIFIER): said for (split, _), said in predictions.items()}
        return Fitted(linear, {**same, **predictions}, calibrated.temperature, vectors=_tfidf_vectors(linear, dataset))
    tuned = fine_tune(dataset, settings, encoder, run, watch)
    _save_tuned(tuned, settings, run)
    with watch.stage("predicting"):
        said = _predict_hold_outs(tuned.predictor, dataset, CLASSIFIER, tuned.calibrated)
        predictions = {**said, **predictions}
    counted = np.asarray(tuned.predictor.preparation.token_lengths(dataset.splits["test"].texts), dtype=np.int64)
    predictions["test", CLASSIFIER] = replace(predictions["test", CLASSIFIER], token_lengths=counted)
    for name, probabilities in ({} if tuned.frozen is None else tuned.frozen.probabilities).items():
        split = dataset.splits[name]
        predictions[name, FROZEN] = _as_predictions(split, probabilities, dataset.label_names)
    return Fitted(
        tuned.predictor,
        predictions,
        tuned.calibrated.temperature,
        tuned.result.history,
        tuned.result.kept_epoch,
        _tfidf_vectors(linear, dataset) if tuned.frozen is None else dict(tuned.frozen.features),
    )


def fit_linear(dataset: Dataset, settings: Settings) -> TfidfPredictor:
    """Return the linear baseline, fitted on the train split."""
    from matinee.inference.backends.tfidf import TfidfPredictor
    from matinee.model.tfidf import fit_tfidf

    train = dataset.splits["train"]
    model = fit_tfidf(train.texts, train.labels, len(dataset.label_names), seed=settings.training.seed)
    return TfidfPredictor(model, dataset.label_names)


def fine_tune(
    dataset: Dataset,
    settings: Settings,
    encoder: LocatedEncoder,
    run: RunFolder,
    watch: Watch,
    *,
    throwaway: bool = False,
) -> Tuned:
    """Fine-tune the encoder on the train split and keep its best epoch on the validation split.

    Args:
        dataset: With train and validation; the frozen encoder is scored on every other split.
        settings: All of them.
        encoder: Where it is.
        run: Where checkpoints go.
        watch: Told how long each stage takes.
        throwaway: Whether the folder goes afterwards: nothing is kept for a resume then.
    """
    import transformers

    from matinee.inference.backends.torch import TorchPredictor
    from matinee.model.artifact import load_tokenizer
    from matinee.model.classifier import build_classifier
    from matinee.model.load import prepare_texts
    from matinee.model.precision import best_device, choose_precision
    from matinee.training import TokenizedSplit, fit, start_head

    assert encoder.folder is not None  # noqa: S101 - narrows a type
    seed, device = settings.training.seed, best_device()
    precision = choose_precision(settings.training.precision, device)
    logger.info(f"Training on {device.type} in {precision}")
    transformers.set_seed(seed)
    tokenizer = load_tokenizer(encoder.folder)
    preparation = prepare_texts(tokenizer, settings.text)
    model = build_classifier(encoder.folder, settings.model, dataset.label_names).to(device)
    with watch.stage("tokenising"):
        ids = {name: preparation.encode(split.texts) for name, split in dataset.splits.items()}
    frozen: FrozenEncoder | None = None
    if settings.model.head == "fitted":
        labels = dataset.splits["train"].labels
        with watch.stage("fitted head"):
            frozen = start_head(model, ids, labels, pad_id=preparation.pad_id, precision=precision, seed=seed)
    transformers.set_seed(seed)
    with watch.stage("fine-tuning"):
        result = fit(
            model,
            TokenizedSplit(ids["train"], dataset.splits["train"].labels),
            TokenizedSplit(ids["validation"], dataset.splits["validation"].labels),
            settings.training,
            label_names=dataset.label_names,
            pad_id=preparation.pad_id,
            precision=precision,
            run=run,
            throwaway=throwaway,
        )
    predictor = TorchPredictor(model, preparation, dataset.label_names)
    with watch.stage("calibrating"):
        calibrated = calibrate(predictor, dataset.splits["validation"], settings.training)
    return Tuned(predictor, tokenizer, result, frozen, calibrated)


def _save_linear(predictor: TfidfPredictor, settings: Settings, run: RunFolder, calibrated: Calibrated) -> None:
    from matinee.model.artifact import ClassifierInfo, save_tfidf

    info = ClassifierInfo(
        "tfidf",
        settings.model.encoder,
        predictor.label_names,
        temperature=calibrated.temperature,
        threshold=predictor.threshold,
    )
    save_tfidf(run.model, predictor.model, info, calibrated.validation)


def _save_tuned(tuned: Tuned, settings: Settings, run: RunFolder) -> None:
    from matinee.model.artifact import ClassifierInfo, save_classifier

    predictor, model = tuned.predictor, settings.model
    text = predictor.preparation.settings
    info = ClassifierInfo(
        "transformer",
        model.encoder,
        predictor.label_names,
        model.pooling,
        text,
        tuned.calibrated.temperature,
        predictor.threshold,
    )
    save_classifier(
        run.model, predictor.model, predictor.preparation, tuned.tokenizer, info, tuned.calibrated.validation
    )


def _predict_hold_outs(
    predictor: Predictor, dataset: Dataset, name: str, calibrated: Calibrated
) -> dict[tuple[str, str], Predictions]:
    split = dataset.splits["test"]
    test = replace(predict(predictor, split.texts, ids=split.ids, labels=split.labels), groups=split.groups)
    return {("validation", name): calibrated.validation, ("test", name): test}


def _tfidf_vectors(linear: TfidfPredictor, dataset: Dataset) -> dict[SplitName, Any]:
    return {name: linear.model.vectors(dataset.splits[name].texts) for name in ("train", "test")}


def _as_predictions(split: Split, probabilities: NDArray[np.float64], label_names: tuple[str, ...]) -> Predictions:
    return Predictions(split.ids, split.texts, probabilities, label_names, split.labels)
