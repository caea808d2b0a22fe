"""The Hugging Face Trainer as we use it: its arguments, our collator, our order of texts, averaged weights."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import EvalPrediction, PrinterCallback, Trainer, TrainingArguments

from matinee.core.types import Predictions
from matinee.evaluation import point_scores
from matinee.model.linear import softmax
from matinee.tokens import LENGTH_STEP, pad
from matinee.training.averaging import WeightAverage
from matinee.training.sampler import EpochCallback, LengthWindowSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matinee.core.run import RunFolder
    from matinee.core.settings import TrainingSettings

# Short runs log every few steps, long ones do not drown the history.
_LOGS_PER_EPOCH = 10
_EVAL_BATCH = 32


def training_arguments(
    settings: TrainingSettings, run: RunFolder, n_train: int, precision: str, *, throwaway: bool
) -> TrainingArguments:
    """Return the Trainer's arguments for our settings."""
    arguments = TrainingArguments(
        output_dir=str(run.checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=_EVAL_BATCH,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=math.ceil(settings.warmup_ratio * planned_steps(settings, n_train)),
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        bf16=precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        seed=settings.seed,
        data_seed=settings.seed,
        eval_strategy="epoch",
        eval_on_start=True,
        save_strategy="epoch",
        save_total_limit=2,
        save_only_model=throwaway,
        metric_for_best_model="loss" if settings.selection_metric == "log_loss" else settings.selection_metric,
        greater_is_better=settings.selection_metric != "log_loss",
        restore_callback_states_from_checkpoint=True,
        logging_steps=max(1, steps_per_epoch(settings, n_train) // _LOGS_PER_EPOCH),
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # One device: the Trainer would spread over all GPUs it sees, and the batch would be as many times larger.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def weight_average(model: nn.Module, settings: TrainingSettings, n_train: int) -> WeightAverage | None:
    """Return the callback that averages the weights, None where the settings ask for none, or for next to none."""
    horizon = settings.averaging * planned_steps(settings, n_train)
    return WeightAverage(model, horizon) if horizon > 1 else None


class FineTuner(Trainer):  # type: ignore[misc]
    """The Trainer, which evaluates averaged weights where there are any, and keeps the training texts' logits as they pass.

    The logits are for the training curve, and of the running kind: under dropout, while the weights change. An epoch that
    was resumed half-way has none.
    """

    def __init__(self, average: WeightAverage | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.average = average
        if average is not None:
            self.add_callback(average)
        # Several of transformers' classifiers take loss arguments and ignore them, so that accumulated gradients come
        # out too large by the number of batches (huggingface/transformers#46731). Without, the Trainer divides itself.
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)
        self._seen: list[tuple[NDArray[Any], NDArray[Any]]] = []
        lengths = [len(ids) for ids in self.train_dataset.ids]
        step = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        self._sampler = LengthWindowSampler(lengths, step, self.args.seed)
        self.add_callback(EpochCallback(self._sampler))

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthWindowSampler:
        return self._sampler

    def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        """Return the loss, and keep the logits of the training texts."""
        labels = inputs["labels"]
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if model.training:
            self._seen.append((outputs["logits"].detach().float().cpu().numpy(), labels.cpu().numpy()))
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the scores of the averaged weights."""
        with nullcontext() if self.average is None else self.average.in_use():
            scores: dict[str, float] = super().evaluate(*args, **kwargs)
        return scores

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.average is not None and output_dir is not None:
            self.average.save(Path(output_dir))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the training texts' own scores to those of an evaluation."""
        if "eval_loss" in logs:
            if sum(len(labels) for _, labels in self._seen) == len(self.train_dataset):
                logits, labels = (np.concatenate(parts) for parts in zip(*self._seen, strict=True))
                scores = self.compute_metrics(EvalPrediction(logits, labels))
                logs = {**logs, "train_accuracy": scores["accuracy"], "train_f1": scores["f1"]}
            self._seen = []
        super().log(logs, *args, **kwargs)


class Collator:
    """Pads each batch to its own longest text, rounded up a little."""

    def __init__(self, pad_id: int, longest: int) -> None:
        self.pad_id = pad_id
        self.longest = longest

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, shape (n_texts, length), and `labels`, shape (n_texts,)."""
        input_ids, attention_mask = pad(
            [row["input_ids"] for row in rows], self.pad_id, multiple=LENGTH_STEP, at_most=self.longest
        )
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention_mask),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }


def metrics_function(label_names: tuple[str, ...]) -> Any:
    """Return the Trainer's metrics function: our own scores, by their own names."""

    def compute(output: Any) -> dict[str, float]:
        logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
        n = len(logits)
        predictions = Predictions([""] * n, [""] * n, softmax(logits), label_names, np.asarray(output.label_ids))
        return point_scores(predictions)

    return compute


def steps_per_epoch(settings: TrainingSettings, n_train: int) -> int:
    """Return how many updates an epoch makes."""
    n_batches = -(-n_train // settings.batch_size)
    return max(1, -(-n_batches // settings.gradient_accumulation))


def planned_steps(settings: TrainingSettings, n_train: int) -> int:
    """Return how many updates the training makes unless it stops early."""
    return max(1, math.ceil(settings.epochs * steps_per_epoch(settings, n_train)))
