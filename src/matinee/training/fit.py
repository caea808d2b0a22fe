"""Fine-tuning with the Hugging Face Trainer: its loop, our collator, metrics and callbacks."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import EarlyStoppingCallback, TrainerState
from transformers.integrations import TensorBoardCallback

from matinee.core.errors import SettingsError
from matinee.core.files import storage_errors
from matinee.core.progress import progress
from matinee.model.fast import fast_kernels
from matinee.model.quiet import quiet_transformers
from matinee.training.callbacks import (
    HistoryCallback,
    LaterIfAsGoodCallback,
    ProgressCallback,
    StopCallback,
    history_rows,
)
from matinee.training.checkpoints import is_finished, latest_checkpoint, load_weights
from matinee.training.trainer import (
    Collator,
    FineTuner,
    metrics_function,
    planned_steps,
    steps_per_epoch,
    training_arguments,
    weight_average,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from matinee.core.run import RunFolder
    from matinee.core.settings import TrainingSettings

logger = logging.getLogger(__name__)


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
    throwaway: bool = False,
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
        throwaway: Whether the folder goes afterwards: no history, no events, nothing to resume from, Ctrl-C as usual.

    Raises:
        SettingsError: The validation split cannot tell one epoch from another by the selection metric.
        InterruptedTrainingError: Ctrl-C; the state is saved.
        StorageError: The disk is full.
    """
    _check_selection(settings, validation, label_names)
    checkpoint = latest_checkpoint(run.checkpoints)
    with ExitStack() as stack:
        stack.enter_context(quiet_transformers())
        stack.enter_context(storage_errors(run.checkpoints))
        for choice in stack.enter_context(fast_kernels(model, precision)):
            logger.info(f"Chosen for this machine: {choice}")
        trainer = FineTuner(
            weight_average(model, settings, len(train)),
            model=model,
            args=training_arguments(settings, run, len(train), precision, throwaway=throwaway),
            train_dataset=train,
            eval_dataset=validation,
            data_collator=Collator(pad_id, longest=max(len(row) for row in (*train.ids, *validation.ids))),
            compute_metrics=metrics_function(label_names),
        )
        bar = stack.enter_context(progress("Fine-tuning", planned_steps(settings, len(train)), "steps"))
        trainer.add_callback(ProgressCallback(bar))
        if settings.patience:
            trainer.add_callback(EarlyStoppingCallback(settings.patience))
        if settings.selection_metric != "log_loss":  # a mean over all texts, with no such luck in it
            trainer.add_callback(LaterIfAsGoodCallback(settings.selection_metric, len(validation)))
        if throwaway:
            trainer.train()
        else:
            trainer.add_callback(HistoryCallback(run))
            trainer.add_callback(TensorBoardCallback(stack.enter_context(_event_writer(run, checkpoint))))
            _train_resumable(trainer, run, checkpoint)
        # Mixed precision stays wrapped around the model's forward pass; predictions are made in float32.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        state = trainer.state
        load_weights(model, run.checkpoints / f"checkpoint-{state.best_global_step}")
    history = history_rows(state.log_history)
    return FitResult(history, (state.best_global_step or 0) / steps_per_epoch(settings, len(train)), state.global_step)


def _train_resumable(trainer: FineTuner, run: RunFolder, checkpoint: Path | None) -> None:
    """Train, or go on from a checkpoint, in such a way that Ctrl-C leaves something to go on from."""
    if checkpoint is not None and is_finished(checkpoint):
        # Training was over, and what comes after it was cut off. The Trainer would take it up again.
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        return
    if checkpoint is not None:
        logger.info(f"Resuming from {checkpoint}")
        if trainer.average is not None:
            trainer.average.load(checkpoint)
        trainer.args.eval_on_start = False
    with StopCallback(run) as stop:
        trainer.add_callback(stop)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        stop.raise_if_asked(trainer.state)


def _check_selection(settings: TrainingSettings, validation: TokenizedSplit, label_names: tuple[str, ...]) -> None:
    """Raise SettingsError if F1 shall choose the epoch, and there is no positive text to find."""
    if settings.selection_metric == "f1" and len(label_names) == 2 and not (validation.labels == 1).any():
        raise SettingsError(
            f"--selection-metric f1 needs validation texts of the positive label {label_names[1]!r}, and there are none: "
            "take another metric, or more validation texts."
        )


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
