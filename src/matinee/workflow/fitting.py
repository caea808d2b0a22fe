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
from matinee.core.settings import LINEAR
from matinee.core.types import Dataset, Predictions, Split
from matinee.inference import predict
from matinee.workflow.calibrating import Calibrated, calibrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings
    from matinee.core.types import SoftTexts, SplitName, Targets
    from matinee.inference import Predictor
    from matinee.inference.backends.linear import LinearPredictor
    from matinee.inference.backends.torch import TorchPredictor
    from matinee.model.feature_cache import FeatureCache
    from matinee.model.linear import Labels
    from matinee.tokens import TextPreparation
    from matinee.training import AugmentedSplit, FitResult
    from matinee.training.trackers import Trackers

logger = logging.getLogger(__name__)

# Name of the predictor that was asked for, and of the baselines beside it, in predictions.parquet.
CLASSIFIER, TFIDF, FROZEN = "classifier", "tfidf", "frozen_features"

# Stages of a run that end in a classifier: of a fine-tuned encoder, of nblr or a student of words, of tfidf (which predicts the hold-outs
# too). What the frozen encoder says of the hold-outs beside it is none of them.
_LEARNING, _FITTING, _BASELINE = ("tokenising", "fitted head", "fine-tuning", "calibrating"), "fitting", "baseline"

# Tokens, special ones not counted, that at least one training text should have.
_SHORTEST = 3


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


def seconds_of_learning(seconds: Mapping[str, float], predicting: float = 0.0) -> float | None:
    """Return the wall-clock time of making the classifier, from a run's seconds by stage; None where they do not say.

    Args:
        seconds: By stage, as the manifest has them.
        predicting: What is taken off the one stage that predicts the hold-outs too, that of `tfidf`.
    """
    spent = [seconds[stage] for stage in _LEARNING if stage in seconds]
    if spent or _FITTING in seconds:
        return float(sum(spent) if spent else seconds[_FITTING])
    return max(0.0, seconds[_BASELINE] - predicting) if _BASELINE in seconds else None


@dataclass(frozen=True)
class FrozenEncoder:
    """What the encoder makes of the texts before any fine-tuning.

    Attributes:
        probabilities: Of each label, by split except train, shape (n_texts, n_labels): a baseline.
        features: Pooled vectors by split, train too, shape (n_texts, hidden_size).
    """

    probabilities: dict[SplitName, NDArray[np.float64]]
    features: dict[SplitName, NDArray[np.float32]]


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier and its evidence.

    Attributes:
        predictor: Ready to predict.
        predictions: By (split, predictor): validation and test, the classifier and its baselines.
        temperature: What the classifier's logits were divided by.
        history: One plain dict per logged step; empty for a linear classifier.
        kept_epoch: Whose weights the classifier has; None for a linear classifier.
        vectors: By split, shape (n_texts, width), dense or sparse: texts whose vectors are near each other are alike.
        augmentation: What was changed in the train texts, and examples of it; None where nothing was.
    """

    predictor: Predictor
    predictions: dict[tuple[str, str], Predictions]
    temperature: float = 1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    kept_epoch: float | None = None
    vectors: dict[SplitName, Any] = field(default_factory=dict)
    augmentation: dict[str, Any] | None = None


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned encoder.

    Attributes:
        predictor: Ready to predict.
        tokenizer: The encoder's own, for the model folder.
        result: What fine-tuning did.
        frozen: The encoder before fine-tuning; None where the head started at random, and of a throwaway training.
        calibrated: How its probabilities were mended, and what it says of validation since.
        augmentation: What was changed in the train texts, and examples of it; None where nothing was.
    """

    predictor: TorchPredictor
    tokenizer: PreTrainedTokenizerFast
    result: FitResult
    frozen: FrozenEncoder | None
    calibrated: Calibrated
    augmentation: dict[str, Any] | None


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
    from matinee.model.encoders import locate

    name = settings.model.encoder
    if name in LINEAR:
        return LocatedEncoder(name, None, "built-in")
    folder, source = locate(name)
    logger.info(f"Encoder {name}: {source}")
    return LocatedEncoder(name, folder, source)


def check_encoder(encoder: LocatedEncoder, settings: Settings) -> None:
    """Raise SettingsError if the encoder or this machine cannot do what is asked for.

    The encoder has no room for texts as long as `max_length`, or not so many layers to freeze; the machine has no bf16.
    """
    if encoder.folder is None:
        return
    from matinee.model.classifier import load_config, longest_input
    from matinee.model.freezing import n_frozen_layers
    from matinee.model.precision import best_device, choose_precision

    config, max_length = load_config(encoder.folder), settings.text.max_length
    n_layers = settings.model.layers or config.num_hidden_layers
    if n_layers > config.num_hidden_layers:
        raise SettingsError(
            f"--layers must be at most {config.num_hidden_layers}, the layers of encoder {encoder.name}, got {n_layers}."
        )
    limit = longest_input(config)
    if limit is not None and max_length > limit:
        raise SettingsError(f"--max-length must be at most {limit} for encoder {encoder.name}, got {max_length}.")
    n_frozen = n_frozen_layers(settings.training.freeze, n_layers)
    if n_frozen + settings.model.reinit_layers > n_layers:
        raise SettingsError(
            f"--freeze {n_frozen} and --reinit-layers {settings.model.reinit_layers} overlap: encoder {encoder.name} has "
            f"{n_layers} layers, and a fresh one must be trained."
        )
    choose_precision(settings.training.precision, best_device())


def fit_dataset(
    dataset: Dataset,
    settings: Settings,
    encoder: LocatedEncoder,
    run: RunFolder,
    watch: Watch,
    trackers: Trackers | None = None,
    soft: SoftTexts | None = None,
) -> Fitted:
    """Train what the settings ask for, and the baselines beside it; save the classifier into the run folder.

    The classifier alone learns from the soft texts: the baselines are what the true labels are worth without them.
    """
    with watch.stage("baseline"):
        linear = fit_linear(dataset, settings, TFIDF)
        calibrated = calibrate(linear, dataset.splits["validation"], settings.training)
        predictions = _predict_hold_outs(linear, dataset, TFIDF, calibrated)
    if encoder.folder is None:
        vectors = _tfidf_vectors(linear, dataset)
        if encoder.name != TFIDF or soft is not None:
            with watch.stage("fitting"):
                linear = fit_linear(dataset, settings, encoder.name, soft)
                calibrated = calibrate(linear, dataset.splits["validation"], settings.training)
        _save_linear(linear, settings, run, calibrated)
        said = _predict_hold_outs(linear, dataset, CLASSIFIER, calibrated)
        return Fitted(linear, {**said, **predictions}, calibrated.temperature, vectors=vectors)
    tuned = fine_tune(dataset, settings, encoder, run, watch, trackers=trackers, soft=soft)
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
        _vectors(tuned.frozen, linear, dataset),
        tuned.augmentation,
    )


def fit_linear(dataset: Dataset, settings: Settings, kind: str, soft: SoftTexts | None = None) -> LinearPredictor:
    """Return a linear classifier, `"tfidf"` or `"nblr"`, fitted on the train split and the soft texts."""
    from matinee.inference.backends.linear import LinearPredictor
    from matinee.model.nblr import fit_nblr
    from matinee.model.tfidf import fit_tfidf

    train, fit = dataset.splits["train"], {"tfidf": fit_tfidf, "nblr": fit_nblr}[kind]
    labels: Labels = train.labels
    if soft is not None:
        train, targets = soft.joined_to(train)
        labels = targets.weights
    model = fit(train.texts, labels, len(dataset.label_names), seed=settings.training.seed)
    return LinearPredictor(model, dataset.label_names)


def fine_tune(
    dataset: Dataset,
    settings: Settings,
    encoder: LocatedEncoder,
    run: RunFolder,
    watch: Watch,
    *,
    trackers: Trackers | None = None,
    throwaway: bool = False,
    soft: SoftTexts | None = None,
    each_epoch: Callable[[float, Mapping[str, float]], None] | None = None,
    cache: FeatureCache | None = None,
) -> Tuned:
    """Fine-tune the encoder on the train split and keep its best epoch on the validation split.

    Args:
        dataset: With train and validation; the frozen encoder reads the other splits too, as a baseline to be shown beside the
            classifier, but where the training is a throwaway one.
        settings: All of them.
        encoder: Where it is.
        run: Where checkpoints go.
        watch: Told how long each stage takes.
        trackers: Told of every logged step.
        throwaway: Whether the folder goes afterwards: nothing is kept for a resume then, and no baseline is asked for.
        soft: Texts with a teacher's probabilities, learned from beside the train split. The head is fitted without them.
        each_epoch: Told the epoch and the validation scores of each evaluation; what it raises ends the training.
        cache: Where frozen features are kept from one training to the next; None: nowhere.
    """
    import transformers

    from matinee.inference.backends.torch import TorchPredictor
    from matinee.model.features import frozen_features
    from matinee.model.precision import best_device, choose_precision
    from matinee.tokens.windows import Windows
    from matinee.training import FitResult, TokenizedSplit, augment_split, fit, start_head

    seed = settings.training.seed
    precision = choose_precision(settings.training.precision, best_device())
    transformers.set_seed(seed)
    tokenizer, preparation, model = _untrained(encoder, settings, dataset.label_names)
    windows = Windows.of(preparation.settings)
    with watch.stage("tokenising"):
        ids = {name: preparation.encode(split.texts) for name, split in dataset.splits.items()}
        _warn_of_short_texts(ids["train"], n_special=len(preparation.encode([""])[0]))
    frozen: FrozenEncoder | None = None
    if settings.model.head == "fitted":
        kernels, labels = settings.training.kernels, dataset.splits["train"].labels
        rows = _head_rows(labels, settings)

        def read(ids: list[NDArray[np.int32]]) -> NDArray[np.float32]:
            return frozen_features(model, ids, preparation.pad_id, precision, windows, cache, kernels)

        with watch.stage("fitted head"):
            features: dict[SplitName, NDArray[np.float32]] = {"train": read([ids["train"][row] for row in rows])}
            head = start_head(model, features["train"], labels[rows], seed=seed)
        if not throwaway:
            with watch.stage("frozen baseline"):
                apart: dict[SplitName, NDArray[np.float32]] = {name: read(ids[name]) for name in ids if name != "train"}
                frozen = FrozenEncoder({name: head.probabilities(of) for name, of in apart.items()}, features | apart)
    transformers.set_seed(seed)
    with watch.stage("tokenising"):
        learned, learned_ids, targets = _learned(dataset.splits["train"], ids["train"], soft, preparation)
        augmented = augment_split(learned, learned_ids, preparation, model, settings.training, windows, targets)
    result = FitResult([], 0.0, 0)  # what `--freeze all` stops at
    if settings.training.freeze != "all":
        with watch.stage("fine-tuning"):
            result = fit(
                model,
                augmented or TokenizedSplit(learned_ids, learned.labels, windows=windows, targets=targets),
                TokenizedSplit(ids["validation"], dataset.splits["validation"].labels, windows=windows),
                settings.training,
                label_names=dataset.label_names,
                pad_id=preparation.pad_id,
                precision=precision,
                run=run,
                trackers=trackers,
                throwaway=throwaway,
                start_is_candidate=settings.training.keep_fitted_head and settings.model.head == "fitted",
                to_predict=sum(len(row) for name, of in ids.items() if name in {"validation", "test"} for row in of),
                each_epoch=each_epoch,
            )
    predictor = TorchPredictor(model, preparation, dataset.label_names)
    with watch.stage("calibrating"):
        calibrated = calibrate(predictor, dataset.splits["validation"], settings.training)
    return Tuned(predictor, tokenizer, result, frozen, calibrated, _augmentation(settings, augmented))


def _head_rows(labels: NDArray[np.int64], settings: Settings) -> NDArray[np.int64]:
    """Return which training texts the head is fitted on: where it is all there is to it, every text counts."""
    from matinee.training import head_sample

    if settings.training.freeze == "all":
        return np.arange(len(labels))
    rows = head_sample(labels, seed=settings.training.seed)
    if len(rows) < len(labels):
        logger.info(
            f"The head is fitted on {len(rows):,} of the {len(labels):,} training texts, before all are learned from"
        )
    return rows


def _learned(
    train: Split, ids: list[NDArray[np.int32]], soft: SoftTexts | None, preparation: TextPreparation
) -> tuple[Split, list[NDArray[np.int32]], Targets | None]:
    """Return what is learned from, its token ids, and what is learned of it in the place of labels."""
    if soft is None:
        return train, ids, None
    both, targets = soft.joined_to(train)
    # Without a share the true labels are left out.
    n_labelled = len(both) - len(soft)
    return both, [*ids[:n_labelled], *preparation.encode(soft.texts)], targets


def _untrained(
    encoder: LocatedEncoder, settings: Settings, label_names: tuple[str, ...]
) -> tuple[PreTrainedTokenizerFast, TextPreparation, Any]:
    """Return the encoder's tokenizer, the text preparation, and a classifier before any training."""
    from matinee.model.artifact import load_tokenizer
    from matinee.model.classifier import build_classifier
    from matinee.model.load import prepare_texts
    from matinee.model.precision import best_device
    from matinee.model.windows import ATTENTION, add_window_query
    from matinee.tokens.windows import Windows

    assert encoder.folder is not None  # noqa: S101 - narrows a type
    tokenizer = load_tokenizer(encoder.folder)
    preparation = prepare_texts(tokenizer, settings.text)
    model = build_classifier(encoder.folder, settings.model, label_names).to(best_device())
    windows = Windows.of(preparation.settings)
    if windows is not None and windows.pooling == ATTENTION:
        add_window_query(model)
    return tokenizer, preparation, model


def _warn_of_short_texts(ids: Sequence[NDArray[np.int32]], n_special: int) -> None:
    """Say so if no text is longer than a word or two: most likely the text column is another one."""
    longest = max(len(row) for row in ids) - n_special
    if longest < _SHORTEST:
        logger.warning(
            f"All {len(ids):,} training texts are shorter than {_SHORTEST} tokens (the longest has {longest}): there is "
            "little to learn from. Is --text-column the right one?"
        )


def _augmentation(settings: Settings, augmented: AugmentedSplit | None) -> dict[str, Any] | None:
    """Return names and examples for `analysis.json`; None where the train texts are learned from as they are."""
    from matinee.data import Augmentations

    names = Augmentations.parse(settings.training.augment).names
    return {"names": names, "examples": augmented.examples() if augmented else []} if names else None


def _save_linear(predictor: LinearPredictor, settings: Settings, run: RunFolder, calibrated: Calibrated) -> None:
    from matinee.model.artifact import ClassifierInfo, save_linear

    info = ClassifierInfo(
        predictor.model.kind,
        settings.model.encoder,
        predictor.label_names,
        temperature=calibrated.temperature,
        threshold=predictor.threshold,
    )
    save_linear(run.model, predictor.model, info, calibrated.validation)


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


def _vectors(frozen: FrozenEncoder | None, linear: LinearPredictor, dataset: Dataset) -> dict[SplitName, Any]:
    """Return the frozen encoder's vectors where it read every text, else those of tf-idf."""
    if frozen is None or len(frozen.features["train"]) < len(dataset.splits["train"]):
        return _tfidf_vectors(linear, dataset)
    return dict(frozen.features)


def _tfidf_vectors(linear: LinearPredictor, dataset: Dataset) -> dict[SplitName, Any]:
    return {name: linear.model.vectors(dataset.splits[name].texts) for name in ("train", "test")}


def _as_predictions(split: Split, probabilities: NDArray[np.float64], label_names: tuple[str, ...]) -> Predictions:
    return Predictions(split.ids, split.texts, probabilities, label_names, split.labels)
