"""Fine-tuning with the Hugging Face Trainer: its loop, our collator, metrics and callbacks."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import EarlyStoppingCallback, EvalPrediction, PrinterCallback, Trainer, TrainingArguments
from transformers.integrations import TensorBoardCallback

from matinee.core.files import storage_errors
from matinee.core.progress import progress
from matinee.core.types import Predictions
from matinee.evaluation import point_scores
from matinee.model.linear import softmax
from matinee.model.quiet import quiet_transformers
from matinee.tokens import pad
from matinee.training.callbacks import HistoryCallback, ProgressCallback, StopCallback, history_rows
from matinee.training.checkpoints import latest_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matinee.core.run import RunFolder
    from matinee.core.settings import TrainingSettings

logger = logging.getLogger(__name__)

# Short runs log every few steps, long ones do not drown the history.
_LOGS_PER_EPOCH = 10
_EVAL_BATCH = 32


@dataclass(frozen=True)
class TokenizedSplit(torch.utils.data.Dataset[dict[str, Any]]):
    """Token ids with labels, as the Trainer reads them.

    Attributes:
        ids: Token ids of each text.
        labels: Shape (n_texts,).
    """

    ids: Sequence[NDArray[np.int32]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"input_ids": self.ids[row], "labels": int(self.labels[row])}


@dataclass(frozen=True)
class FitResult:
    """What fine-tuning did.

    Attributes:
        history: One plain dict per logged step.
        kept_epoch: The epoch whose weights the model has now.
        n_steps: Steps taken.
    """

    history: list[dict[str, Any]]
    kept_epoch: float
    n_steps: int


def fit(
    model: nn.Module,
    train: TokenizedSplit,
    validation: TokenizedSplit,
    settings: TrainingSettings,
    *,
    label_names: tuple[str, ...],
    pad_id: int,
    precision: str,
    run: RunFolder,
) -> FitResult:
    """Fine-tune `model` in place and leave it with the weights of its best validation epoch.

    Continues from the newest whole checkpoint in the run folder, if there is one, to the same weights as if it had never
    stopped.

    Args:
        model: Takes input_ids, attention_mask, labels; gives loss and logits.
        train: To learn from.
        validation: To choose the epoch by.
        settings: Epochs, batch size, learning rate and the like.
        label_names: Of the classes.
        pad_id: Padding token id.
        precision: `"fp32"` or `"bf16"`.
        run: Where checkpoints, history and event files go.

    Raises:
        InterruptedTrainingError: Ctrl-C; the state is saved.
        StorageError: The disk is full.
    """
    checkpoint = latest_checkpoint(run.checkpoints)
    if checkpoint is not None:
        logger.info(f"Resuming from {checkpoint}")
    with ExitStack() as stack:
        stack.enter_context(quiet_transformers())
        stack.enter_context(storage_errors(run.checkpoints))
        stop = stack.enter_context(StopCallback(run))
        trainer = _FineTuner(
            model=model,
            args=training_arguments(settings, run, len(train), precision, resumed=checkpoint is not None),
            train_dataset=train,
            eval_dataset=validation,
            data_collator=_Collator(pad_id),
            compute_metrics=_metrics(label_names),
            callbacks=[HistoryCallback(run), stop],
        )
        bar = stack.enter_context(progress("Fine-tuning", _planned_steps(settings, len(train)), "steps"))
        trainer.add_callback(ProgressCallback(bar))
        trainer.add_callback(TensorBoardCallback(stack.enter_context(_event_writer(run, checkpoint))))
        if settings.patience:
            trainer.add_callback(EarlyStoppingCallback(settings.patience))
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    history = history_rows(trainer.state.log_history)
    run.write_history(history)
    kept_epoch = (trainer.state.best_global_step or 0) / _steps_per_epoch(settings, len(train))
    return FitResult(history, kept_epoch, trainer.state.global_step)


def training_arguments(
    settings: TrainingSettings, run: RunFolder, n_train: int, precision: str, *, resumed: bool
) -> TrainingArguments:
    """Return the Trainer's arguments for our settings."""
    return TrainingArguments(
        output_dir=str(run.checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=_EVAL_BATCH,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_ratio,
        lr_scheduler_type="linear",
        optim="adamw_torch",
        bf16=precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        seed=settings.seed,
        data_seed=settings.seed,
        eval_strategy="epoch",
        eval_on_start=not resumed,
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="loss" if settings.selection_metric == "log_loss" else settings.selection_metric,
        greater_is_better=settings.selection_metric != "log_loss",
        restore_callback_states_from_checkpoint=True,
        logging_steps=max(1, _steps_per_epoch(settings, n_train) // _LOGS_PER_EPOCH),
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
    )


class _FineTuner(Trainer):  # type: ignore[misc]
    """The Trainer, which also keeps the training texts' logits as they pass, for the training curve.

    They are the running kind: under dropout, while the weights change. An epoch that was resumed half-way has none.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # Several of transformers' classifiers take loss arguments and ignore them, so that accumulated gradients come
        # out too large by the number of batches (huggingface/transformers#46731). Without, the Trainer divides itself.
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)
        self._seen: list[tuple[NDArray[Any], NDArray[Any]]] = []

    def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        labels = inputs["labels"]
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if model.training:
            self._seen.append((outputs["logits"].detach().float().cpu().numpy(), labels.cpu().numpy()))
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "eval_loss" in logs:
            if sum(len(labels) for _, labels in self._seen) == len(self.train_dataset):
                logits, labels = (np.concatenate(parts) for parts in zip(*self._seen, strict=True))
                scores = self.compute_metrics(EvalPrediction(logits, labels))
                logs = {**logs, "train_accuracy": scores["accuracy"], "train_f1": scores["f1"]}
            self._seen = []
        super().log(logs, *args, **kwargs)


class _Collator:
    """Pads each batch to its own longest text."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        input_ids, attention_mask = pad([row["input_ids"] for row in rows], self.pad_id)
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention_mask),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }


def _metrics(label_names: tuple[str, ...]) -> Any:
    """Return the Trainer's metrics function: our own scores, by their own names."""

    def compute(output: Any) -> dict[str, float]:
        logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
        n = len(logits)
        predictions = Predictions([""] * n, [""] * n, softmax(logits), label_names, np.asarray(output.label_ids))
        return point_scores(predictions)

    return compute


def _steps_per_epoch(settings: TrainingSettings, n_train: int) -> int:
    n_batches = -(-n_train // settings.batch_size)
    return max(1, -(-n_batches // settings.gradient_accumulation))


def _planned_steps(settings: TrainingSettings, n_train: int) -> int:
    return max(1, math.ceil(settings.epochs * _steps_per_epoch(settings, n_train)))


@contextmanager
def _event_writer(run: RunFolder, checkpoint: Path | None) -> Iterator[Any]:
    """Open TensorBoard's event file; events after the checkpoint that training resumes from are taken back."""
    from tensorboardX import SummaryWriter

    step = None if checkpoint is None else int(checkpoint.name.rpartition("-")[2]) + 1
    writer = SummaryWriter(logdir=str(run.tensorboard), purge_step=step)
    try:
        yield writer
    finally:
        writer.close()
