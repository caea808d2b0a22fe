"""Trainings of many kinds, one after another, by however many processes run this script: not a test by itself.

`python trainings.py ENCODER CSV FOLDER` writes what became of each training to FOLDER/results.json: its history, and the
weights it ended with. `test_processes.py` runs it in one process and in two, and compares. Those in bf16 are left out where the
machine has no arithmetic for it.
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from matinee.core.ranks import is_helper, rank, world_size
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.settings import ModelSettings, TextSettings
from matinee.core.types import Split, Targets
from matinee.model.classifier import build_classifier
from matinee.model.load import load_tokenizer, prepare_texts
from matinee.model.precision import best_device, choose_precision
from matinee.tokens.windows import Windows
from matinee.training import TokenizedSplit, augment_split, fit
from matinee.training.fit import help_to_fit
from matinee.training.processes import leading
from matinee.training.trainer import FineTuner

LABELS = ("negative", "positive")

SETTINGS = {"precision": "fp32", "batch_size": 8, "epochs": 2, "learning_rate": 1e-3, "averaging": 0.25}

# Texts to learn from, texts to choose by, settings. 65 leaves one text for the last step of an epoch, and none of it for
# the second process; 67 leaves three, 64 none.
CASES = {
    "even": (64, 32, {}),
    "one text left": (65, 33, {}),
    "three texts left": (67, 31, {}),
    "fewer texts than a batch": (5, 3, {"epochs": 3}),
    "one validation text for two": (16, 1, {}),
    "two batches of validation and a text": (16, 65, {}),
    "accumulated": (65, 17, {"batch_size": 4, "gradient_accumulation": 3}),
    "evaluated within": (65, 17, {"evaluations_per_epoch": 3}),
    "in pieces": (65, 17, {"batch_tokens": 64}),
    "short of memory": (65, 17, {}),
    "recomputed activations": (41, 17, {"gradient_checkpointing": True}),
    "frozen": (41, 17, {"freeze": "1"}),
    "balanced": (65, 17, {"sampling": "balanced"}),
    "layer by layer": (41, 17, {"layer_decay": 0.8, "label_smoothing": 0.1, "class_weights": "balanced"}),
    "windows": (41, 17, {}),
    "soft targets": (41, 17, {}),
    "augmented": (41, 17, {"augment": ["delete:0.2"]}),
    "in bf16": (57, 17, {"precision": "bf16"}),
    "loss ran over in the second": (57, 15, {"precision": "bf16", "seed": 13}),
    "gradient ran over in the second": (57, 13, {"precision": "bf16", "seed": 14}),
    "not averaged, stops early": (65, 17, {"averaging": 0, "epochs": 6, "patience": 1, "learning_rate": 1e-4}),
}

# What is drawn differs with the number of processes: with the same number each is repeated to the bit.
DRAWN = {
    "mixup": (65, 17, {"augment": ["mixup:0.4"]}),
    "r-drop and dropout": (65, 17, {"r_drop": 1.0}),
}
# The seeds of trainings in which the loss, or a gradient, runs over in the second process.
LOSS, GRADIENT = 13, 14


class Trainings:
    """What the trainings learn from, and where they leave what they do."""

    def __init__(self, encoder: str, corpus: str, folder: str) -> None:
        self.encoder, self.folder = Path(encoder), Path(folder)
        with Path(corpus).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.texts = [row["text"] for row in rows]
        self.labels = np.array([LABELS.index(row["label"]) for row in rows], dtype=np.int64)
        self.results: dict[str, object] = {}

    def split(self, start: int, stop: int, text: TextSettings) -> TokenizedSplit:
        ids = prepare_texts(load_tokenizer(self.encoder), text).encode(self.texts[start:stop])
        return TokenizedSplit(ids, self.labels[start:stop], windows=Windows.of(text))

    def carry_out(self, name: str, n_train: int, n_validation: int, settings: dict[str, object]) -> None:
        """Train, and note what became of it."""
        text = TextSettings(long="windows", max_length=16) if name == "windows" else TextSettings(max_length=48)
        train, validation = self.split(0, n_train, text), self.split(n_train, n_train + n_validation, text)
        if n_validation > len(self.labels) - n_train:
            raise ValueError(f"{name}: the corpus has no more than {len(self.labels)} texts")
        torch.manual_seed(0)
        dropout = 0.1 if name.startswith("r-drop and dropout") else 0.0
        model = build_classifier(self.encoder, ModelSettings(dropout=dropout, attention_dropout=dropout), LABELS)
        training = resolve(Layer({**SETTINGS, **settings})).training
        if name == "soft targets":
            weights = np.random.default_rng(0).dirichlet([1, 1], size=n_train).astype(np.float32)
            train = replace(train, targets=Targets(weights, np.full(n_train, 2, dtype=np.float32)))
        if training.augment:
            split = Split([str(n) for n in range(n_train)], self.texts[:n_train], train.labels)
            preparation = prepare_texts(load_tokenizer(self.encoder), text)
            train = augment_split(split, train.ids, preparation, model, training) or train
        run = RunFolder(self.folder / name.replace(" ", "-").replace(",", ""))
        run.create(overwrite=False)
        run.checkpoints.mkdir()
        result = fit(
            model, train, validation, training, label_names=LABELS, pad_id=0, precision=training.precision, run=run
        )
        save_file({name: weight.clone() for name, weight in model.state_dict().items()}, run.path / "kept.safetensors")
        self.results[name] = {"history": result.history, "kept_epoch": result.kept_epoch, "steps": result.n_steps}


def lead(trainings: Trainings) -> None:
    has_bf16 = choose_precision("auto", best_device()) == "bf16"
    for name, case in CASES.items():
        if case[2].get("precision") == "bf16" and not has_bf16:
            continue
        # Only the first process is short of memory: the other does not hear of it.
        FineTuner.compute_piece = short_of_memory if name == "short of memory" else WHOLE
        trainings.carry_out(name, *case)
    for name, case in DRAWN.items():
        for repeated in (name, f"{name} again"):
            trainings.carry_out(repeated, *case)
    (trainings.folder / "results.json").write_text(json.dumps(trainings.results))


WHOLE = FineTuner.compute_piece


def runs_over(trainer: FineTuner, inputs: dict[str, torch.Tensor], n_texts: object) -> torch.Tensor:
    """Compute a piece; in two trainings a number runs over at the third step, as long as that is computed in bf16."""
    mixed = (
        "_original_forward" in trainer.model.__dict__ and trainer.model.forward is not trainer.model._original_forward
    )
    loss = WHOLE(trainer, inputs, n_texts)
    if not mixed or trainer.args.seed not in {LOSS, GRADIENT} or trainer.state.global_step != 2:
        return loss
    sys.stderr.write(f"seed {trainer.args.seed} runs over\n")
    if trainer.args.seed == LOSS:
        return loss * torch.nan
    next(weight.grad for weight in trainer.model.parameters() if weight.grad is not None).fill_(torch.inf)
    return loss


def short_of_memory(trainer: FineTuner, inputs: dict[str, torch.Tensor], n_texts: object) -> torch.Tensor:
    """Compute a piece, where memory is enough for three texts at once."""
    if len(inputs["labels"]) > 3:
        raise MemoryError("three texts at most")
    return WHOLE(trainer, inputs, n_texts)


def main() -> None:
    if is_helper():
        FineTuner.compute_piece = runs_over
        help_to_fit()
        return
    assert rank() == 0
    with leading():
        lead(Trainings(*sys.argv[1:]))
    sys.stderr.write(f"{world_size()} processes\n")


if __name__ == "__main__":
    main()
