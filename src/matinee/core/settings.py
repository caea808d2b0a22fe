"""Every setting of a training, defined once.

A field here is the flag (`--train-size`), its help, the YAML key (`train_size`), the Python argument, and the row in
docs/settings.md. Names are unique across the groups, so that outside they form one flat list. How they are read from
flags, YAML and Python: `matinee.core.schema`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from matinee.core.schema import Between, Names, Patterns, Size, flatten


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

    train_size: Size = None
    """Texts to train on: a count, or a fraction of those left after the hold-outs; all of them where not given."""

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
    """Tokens that the encoder sees of a text, special tokens included."""

    truncation: Literal["head", "tail", "head+tail"] = "head+tail"
    """Which part of a longer text is kept: its beginning, its end, or both."""

    head_share: Annotated[float, Between(0, 1)] = 0.25
    """Share of `max_length` that `head+tail` takes from the beginning."""


@dataclass(frozen=True)
class ModelSettings:
    """What is trained."""

    encoder: str = "minilm"
    """Encoder: a short name that `matinee encoders` lists, a hub id, a local folder, or `tfidf` for the linear baseline alone."""

    pooling: Literal["mean", "cls"] = "mean"
    """How token vectors become one: their mean, or the architecture's own classification head on its first token."""

    head: Literal["fitted", "random"] = "fitted"
    """How the classification head starts: fitted by logistic regression on the frozen encoder's features, or at random."""

    dropout: Annotated[float, Between(0, 0.9)] | None = None
    """Dropout of the encoder's hidden layers and before the head; where not given, the encoder's own."""

    attention_dropout: Annotated[float, Between(0, 0.9)] | None = 0.0
    """Dropout of attention weights, `none` for the encoder's own. Off by default: on a CPU it forces a slow path."""


@dataclass(frozen=True)
class TrainingSettings:
    """How it is trained."""

    epochs: Annotated[float, Between(0.01, 1000)] = 3.0
    """Passes over the training texts."""

    batch_size: Annotated[int, Between(1, 4096)] = 16
    """Texts per training step."""

    gradient_accumulation: Annotated[int, Between(1, 1024)] = 1
    """Batches whose gradients are added up before each step."""

    learning_rate: Annotated[float, Between(0, 1)] = 1e-4
    """Peak learning rate of AdamW."""

    weight_decay: Annotated[float, Between(0, 1)] = 0.01
    """AdamW's weight decay; biases and layer norms are spared."""

    warmup_ratio: Annotated[float, Between(0, 1)] = 0.3
    """Share of the steps over which the learning rate rises; then it falls linearly to zero."""

    averaging: Annotated[float, Between(0, 1)] = 0.25
    """Share of the steps over which the weights are averaged (exponentially): the average is evaluated and kept; 0 keeps each step's own weights."""

    selection_metric: Literal["accuracy", "f1", "log_loss"] = "accuracy"
    """Validation score that chooses the epoch whose weights are kept: the latest one within two standard errors of the best; with `log_loss` the best."""

    patience: Annotated[int, Between(0, 1000)] = 2
    """Epochs without a better validation score before training stops early; 0 never stops early."""

    calibration: Literal["temperature", "none"] = "temperature"
    """How probabilities are made to mean what they say: by one temperature fitted on validation, or not at all."""

    optimise: str | None = None
    """What the decision threshold of a two-class task is chosen for on validation: `f1`, `balanced_accuracy`, or `precision@R` (the best precision at a recall of at least R, as in `precision@0.9`); where not given, the more probable label is the answer."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward and backward pass; `auto` takes bf16 where the machine computes it natively."""

    seed: Annotated[int, Between(0, 2**32 - 1)] = 0
    """Seed of the training sample, the head, the order of the texts and dropout."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What its scores are broken down by, and which checks are made of it."""

    slices: Patterns = field(default=None, hash=False)
    """Slices of your own to score beside the built-in ones: a name and a regular expression each, searched for in the texts as they are; those given as flags take the place of the recipe's."""

    ignore: Names = None
    """Checks of the run to leave out, by code or name (`M301`, `overfit`)."""


@dataclass(frozen=True)
class Settings:
    """All settings of one training, in their groups."""

    data: DataSettings = field(default_factory=DataSettings)
    text: TextSettings = field(default_factory=TextSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def flat(self) -> dict[str, object]:
        """Return every setting by its flat name, in the order of the groups."""
        return flatten(self)


_OBJECTIVE = re.compile(r"f1|balanced_accuracy|precision@(0?\.\d+|1(\.0*)?|0)")

GROUPS: dict[str, type] = {
    "data": DataSettings,
    "text": TextSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "evaluation": EvaluationSettings,
}


def contradictions(settings: Settings) -> list[tuple[str, str]]:
    """Return (setting, what is wrong with it) for every rule across fields that does not hold."""
    wrong = []
    model, text, training = settings.model, settings.text, settings.training
    if model.encoder != "tfidf" and model.head == "fitted" and model.pooling == "cls":
        wrong.append(
            ("head", "a fitted head needs pooling 'mean': the architecture's own head has layers that cannot be fitted")
        )
    if text.truncation == "head+tail" and not 0 < text.head_share < 1:
        wrong.append(
            (
                "head_share",
                f"must lie between 0 and 1 for truncation 'head+tail', got {text.head_share}; use 'head' or 'tail'",
            )
        )
    if training.optimise is not None and not _OBJECTIVE.fullmatch(training.optimise):
        wrong.append(
            ("optimise", f"must be f1, balanced_accuracy or precision@R as in precision@0.9, got {training.optimise!r}")
        )
    if training.learning_rate == 0:
        wrong.append(("learning_rate", "must be above 0: nothing would be learned"))
    return wrong
