"""Every setting of a training, defined once.

A field here is the flag (`--train-size`), its help, the YAML key (`train_size`), the Python argument, and the row in
docs/settings.md. Names are unique across the groups, so that outside they form one flat list. How they are read from
flags, YAML and Python: `matinee.core.schema`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from matinee.core.schema import Between, Names, Patterns, Size, SizeOrAll, flatten


@dataclass(frozen=True)
class DataSettings:
    """What to learn from."""

    data: str | None = None
    """Dataset: `imdb`, `rotten_tomatoes`, a CSV, TSV, JSONL or Parquet file, a glob, a folder with `train.*`, `validation.*` and `test.*`, or a hub id."""

    text_column: str | None = None
    """Column that holds the texts; guessed from its name where not given."""

    label_column: str | None = None
    """Column that holds the labels; guessed from its name where not given."""

    group_column: str | None = None
    """Column whose equal values (a film, an author) must not stand in two splits."""

    positive_label: str | None = None
    """Label that precision, recall and F1 of a two-class task are about; the last one in sorted order where not given."""

    train_size: SizeOrAll = None
    """Texts to train on: a count, or a fraction of those left after the hold-outs; `all` of them where not given."""

    validation_size: Size = None
    """Texts held out to choose the best epoch: a count, or a fraction of the rows; where not given, the dataset's own split, else a fifth of a counted train size, else a tenth of the rows."""

    test_size: Size = None
    """Texts held out for the final scores: a count, or a fraction of the rows; where not given, the dataset's own test split, else a fifth of the rows."""

    split_seed: Annotated[int, Between(0)] = 0
    """Seed of the hold-outs alone, apart from `seed`, so that runs with other seeds are scored on the same texts."""

    missing: Literal["error", "drop"] = "error"
    """What to do with rows that lack a text or a label: stop and name them, or leave them out and count them."""

    encoding: str = "utf-8"
    """Character encoding of text files."""


@dataclass(frozen=True)
class TextSettings:
    """How a text becomes tokens."""

    lowercase: bool | None = None
    """Lower-case the texts; where not given, if the encoder is uncased."""

    max_length: Annotated[int, Between(8, 8192)] = 384
    """Tokens that the encoder sees of a text at once, special tokens included."""

    truncation: Literal["head", "tail", "head+tail"] = "head+tail"
    """Which part of a longer text is kept: its beginning, its end, or both."""

    head_share: Annotated[float, Between(0, 1)] = 0.25
    """Share of `max_length` that `head+tail` takes from the beginning."""

    long: Literal["truncate", "windows"] = "truncate"
    """What becomes of a longer text: it is truncated, or read whole in overlapping windows of `max_length`, whose logits are pooled (training and prediction take as many times longer)."""

    window_pooling: Literal["mean", "max", "attention"] = "mean"
    """How the windows' logits become one answer: their mean, the largest of each label, or a mean with learned weights, which pooling `cls` cannot have."""

    window_stride: Annotated[float, Between(0, 0.9)] = 0.25
    """Share of `max_length` that neighbouring windows overlap at least."""

    max_windows: Annotated[int, Between(2, 256)] = 8
    """Windows per text at most, spread evenly over it; a text too long for these gets smaller overlaps, then gaps."""

    def tokens_read(self, n_special: int = 2) -> int:
        """Return how many tokens of a text are read at most, special tokens included: what a longer one is cut to.

        Args:
            n_special: Special tokens of an input: of BERT, RoBERTa, MPNet and their kin two.
        """
        if self.long == "truncate":
            return self.max_length
        return self.max_windows * (self.max_length - n_special) + n_special


@dataclass(frozen=True)
class ModelSettings:
    """What is trained."""

    encoder: str = "minilm"
    """Encoder: a short name that `matinee encoders` lists, a hub id, a local folder, or a linear classifier of words: `tfidf`, the baseline, or `nblr`, NB-weighted logistic regression."""

    pooling: Literal["mean", "attention", "cls"] = "mean"
    """How token vectors become one: their mean, a mean whose weights are learned (attention to the telling tokens), or the architecture's own classification head on its first token."""

    head: Literal["fitted", "random"] = "fitted"
    """How the classification head starts: fitted by logistic regression on the frozen encoder's features, or at random."""

    dropout: Annotated[float, Between(0, 0.9)] | None = None
    """Dropout of the encoder's hidden layers and before the head; where not given, the encoder's own."""

    attention_dropout: Annotated[float, Between(0, 0.9)] | None = 0.0
    """Dropout of attention weights, `none` for the encoder's own. Off by default: on a CPU it forces a slow path."""

    multi_sample_dropout: Annotated[int, Between(1, 64)] = 1
    """Dropout masks that the head sees each text under in a training step, their losses averaged; not with pooling `cls`."""

    layers: Annotated[int, Between(1, 100)] | None = None
    """Layers of the encoder that are kept, evenly spread, before anything is trained: a smaller and faster classifier; all of them where not given."""

    reinit_layers: Annotated[int, Between(0, 100)] = 0
    """Topmost layers of the encoder that start from fresh random weights: what they learned in pretraining can be in the way."""


@dataclass(frozen=True)
class TrainingSettings:
    """How it is trained."""

    epochs: Annotated[float, Between(0.01, 1000)] = 3.0
    """Passes over the training texts."""

    batch_size: Annotated[int, Between(1, 4096)] = 16
    """Texts per training step; of several processes, over all of them."""

    gradient_accumulation: Annotated[int, Between(1, 1024)] = 1
    """Batches whose gradients are added up before each step."""

    batch_tokens: Annotated[int, Between(1)] | None = None
    """Tokens, padding included, that are computed at once: a larger batch is computed in pieces of like length, which make the same step in less memory; where not given, batches are computed whole as long as memory allows. Mixup pairs texts of a piece."""

    gradient_checkpointing: bool = False
    """Compute the encoder's activations anew in the backward pass and do not keep them: the same step in a fraction of the memory, a third slower."""

    learning_rate: Annotated[float, Between(0, 1)] = 1e-4
    """Peak learning rate of AdamW."""

    freeze: str | None = None
    """What stays as it is: `embeddings`, a number of lower layers (and the embeddings below them), or `all`, which stops after the fitted head; nothing where not given. States of frozen layers are computed once and kept in memory."""

    weight_decay: Annotated[float, Between(0, 1)] = 0.01
    """AdamW's weight decay; biases and layer norms are spared."""

    layer_decay: Annotated[float, Between(0.1, 1)] = 1.0
    """Factor between the learning rates of a layer and the one above it; the head and the topmost layer learn at `learning_rate`, the embeddings slowest."""

    warmup_ratio: Annotated[float, Between(0, 1)] = 0.3
    """Share of the steps over which the learning rate rises; then it falls linearly to zero."""

    averaging: Annotated[float, Between(0, 1)] = 0.25
    """Share of the steps over which the weights are averaged (exponentially): the average is evaluated and kept; 0 keeps each step's own weights."""

    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """What training minimises; `focal` takes weight from texts that are answered well already."""

    focal_gamma: Annotated[float, Between(0, 10)] = 2.0
    """How much weight `focal` takes from them; 0 is the cross-entropy."""

    label_smoothing: Annotated[float, Between(0, 0.99)] = 0.0
    """Share of each text's label that is spread evenly over all labels."""

    class_weights: Literal["none", "balanced"] = "none"
    """Weight of each text in the loss: the same, or more where its label is rare (texts / (labels * texts of the label))."""

    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """Which texts an epoch holds: each once, or as many of each label: those of rare labels several times, not all of common ones."""

    r_drop: Annotated[float, Between(0, 100)] = 0.0
    """Weight of the disagreement between two passes of a text under different dropout, which is minimised too; it doubles the time of a step."""

    augment: Names = None
    """How train texts are changed, anew in each epoch: `window` (a random part of a text that is longer than the encoder reads), `delete`, `swap` or `synonym` words, `mixup` (of the features of two texts); a strength may follow, as in `delete:0.1`: the share of words (of long texts) that it changes, or mixup's alpha."""

    selection_metric: Literal[
        "accuracy",
        "f1",
        "precision",
        "recall",
        "f1_weighted",
        "precision_weighted",
        "recall_weighted",
        "roc_auc",
        "log_loss",
        "brier",
        "ece",
    ] = "accuracy"
    """Validation score that chooses the evaluation (of an epoch, or a part of one) whose weights are kept: of shares of texts (accuracy, F1, precision, recall) the latest within two standard errors of the best, of other scores the best."""

    evaluations_per_epoch: Annotated[int, Between(1, 1000)] | None = None
    """How often an epoch is evaluated on validation and a checkpoint written, at even distances, the last time at its end; where not given, once for every 5,000 training texts begun."""

    keep_fitted_head: bool = True
    """Let validation choose the fitted head on the encoder as it came, too: it is kept where no epoch is as good by the same rule."""

    patience: Annotated[int, Between(0, 1000)] = 2
    """Epochs without a better validation score before training stops early, however often each is evaluated; 0 never stops early."""

    calibration: Literal["temperature", "none"] = "temperature"
    """How probabilities are made to mean what they say: by one temperature fitted on validation, or not at all."""

    optimise: str | None = None
    """What the decision threshold of a two-class task is chosen for on validation: `f1`, `balanced_accuracy`, or `precision@R` (the best precision at a recall of at least R, as in `precision@0.9`); where not given, the more probable label is the answer."""

    keep_checkpoints: Annotated[int, Between(1)] = 2
    """Checkpoints that stay on the disk: the newest ones, and always the best one; once the run is complete, their weights alone."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward and backward pass; `auto` takes bf16 where the machine computes it natively."""

    kernels: Literal["auto", "torch"] = "auto"
    """What computes dropout and attention in training: `auto` takes matinee's own where they are faster (on a CPU) and leaves out all padding (on a GPU in bf16), `torch` leaves all to torch and pads."""

    seed: Annotated[int, Between(0, 2**32 - 1)] = 0
    """Seed of the training sample, the head, the order of the texts and dropout; the number of processes changes dropout and mixup's pairs alone."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What its scores are broken down by, and which checks are made of it."""

    slices: Patterns = field(default=None, hash=False)
    """Slices of your own to score beside the built-in ones: a name and a regular expression each, searched for in the texts as they are; those given as flags take the place of the recipe's."""

    ignore: Names = None
    """Checks of the run to leave out, by code or name (`M301`, `overfit`)."""


@dataclass(frozen=True)
class TrackingSettings:
    """Where it can be watched and is kept, beside the run folder."""

    track: Names = ("tensorboard",)
    """Trackers: `tensorboard` (event files in the run folder), `mlflow` (the server `MLFLOW_TRACKING_URI`, else `mlflow.db` here), `wandb` (offline without an account), or none; those given take the place of the default."""


@dataclass(frozen=True)
class Settings:
    """All settings of one training, in their groups."""

    data: DataSettings = field(default_factory=DataSettings)
    text: TextSettings = field(default_factory=TextSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    def flat(self) -> dict[str, object]:
        """Return every setting by its flat name, in the order of the groups."""
        return flatten(self)


LINEAR = ("tfidf", "nblr")
"""Values of `encoder` that name a linear classifier of words."""

_FREEZE = re.compile(r"embeddings|all|[1-9]\d*")
_NOT_TUNED = "needs an encoder that is fine-tuned: nothing else learns from changed texts"
_OBJECTIVE = re.compile(r"f1|balanced_accuracy|precision@(0?\.\d+|1(\.0*)?|0)")

GROUPS: dict[str, type] = {
    "data": DataSettings,
    "text": TextSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "evaluation": EvaluationSettings,
    "tracking": TrackingSettings,
}


def contradictions(settings: Settings) -> list[tuple[str, str]]:
    """Return (setting, what is wrong with it) for every rule across fields that does not hold."""
    wrong = []
    model, text, training = settings.model, settings.text, settings.training
    if model.encoder not in LINEAR and model.head == "fitted" and model.pooling == "cls":
        wrong.append(
            (
                "head",
                "a fitted head needs pooling 'mean' or 'attention': the architecture's own head has layers that cannot be fitted",
            )
        )
    if text.truncation == "head+tail" and not 0 < text.head_share < 1:
        wrong.append(
            (
                "head_share",
                f"must lie between 0 and 1 for truncation 'head+tail', got {text.head_share}; use 'head' or 'tail'",
            )
        )
    if text.long == "windows" and text.window_pooling == "attention" and model.pooling == "cls":
        wrong.append(
            (
                "window_pooling",
                "attention needs pooling 'mean' or 'attention': the architecture's own head gives no features to weigh by",
            )
        )
    if training.optimise is not None and not _OBJECTIVE.fullmatch(training.optimise):
        wrong.append(
            ("optimise", f"must be f1, balanced_accuracy or precision@R as in precision@0.9, got {training.optimise!r}")
        )
    if training.freeze is not None and not _FREEZE.fullmatch(training.freeze):
        wrong.append(("freeze", f"must be none, embeddings, a number of layers, or all, got {training.freeze!r}"))
    if training.freeze == "all" and model.head != "fitted":
        wrong.append(("freeze", "all needs a fitted head: a random one would learn nothing"))
    if training.learning_rate == 0:
        wrong.append(("learning_rate", "must be above 0: nothing would be learned"))
    return wrong + _contradictions_of_objective(settings)


def _objective_of(training: TrainingSettings) -> tuple[object, ...]:
    return training.loss, training.label_smoothing, training.class_weights, training.sampling, training.r_drop


def _contradictions_of_objective(settings: Settings) -> list[tuple[str, str]]:
    model, text, training = settings.model, settings.text, settings.training
    no_dropout = model.dropout == 0
    mixes = any(name.partition(":")[0].strip() == "mixup" for name in training.augment or ())
    rules = [
        (
            "focal_gamma",
            training.loss != "focal" and training.focal_gamma != TrainingSettings.focal_gamma,
            "needs loss 'focal'",
        ),
        *(
            (
                name,
                text.long != "windows" and getattr(text, name) != getattr(TextSettings, name),
                "needs long 'windows'",
            )
            for name in ("window_pooling", "window_stride", "max_windows")
        ),
        (
            "sampling",
            training.sampling == training.class_weights == "balanced",
            "'balanced' and class_weights 'balanced' would make up for rare labels twice: take one of them",
        ),
        (
            "r_drop",
            training.r_drop > 0 and no_dropout and model.attention_dropout == 0,
            "needs dropout: without it two passes never differ",
        ),
        ("multi_sample_dropout", model.multi_sample_dropout > 1 and no_dropout, "needs dropout above 0"),
        (
            "multi_sample_dropout",
            model.multi_sample_dropout > 1 and model.pooling == "cls",
            "needs pooling 'mean' or 'attention'",
        ),
        ("augment", mixes and model.pooling == "cls", "mixup needs pooling 'mean' or 'attention'"),
        (
            "augment",
            text.long == "windows"
            and any(name.partition(":")[0].strip() == "window" for name in training.augment or ()),
            "window takes a part of a text, and long 'windows' reads all of it: take one of them",
        ),
        (
            "freeze",
            training.freeze == "all" and _objective_of(training) != _objective_of(TrainingSettings()),
            "all trains no step: loss, label_smoothing, class_weights, sampling and r_drop would do nothing",
        ),
        ("layers", model.layers is not None and model.encoder in LINEAR, "needs an encoder that has layers"),
        (
            "reinit_layers",
            model.reinit_layers > 0 and training.freeze == "all",
            "cannot go with freeze 'all': fresh layers would stay random",
        ),
    ]
    rules += [("augment", bool(training.augment) and (training.freeze == "all" or model.encoder in LINEAR), _NOT_TUNED)]
    return [(name, problem) for name, is_wrong, problem in rules if is_wrong]
