"""Fine-tuning with the Hugging Face Trainer: its loop, our collator, metrics and callbacks."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations import TensorBoardCallback

from matinee.core.errors import SettingsError
from matinee.core.files import storage_errors
from matinee.core.progress import progress
from matinee.core.types import Predictions
from matinee.evaluation import point_scores
from matinee.model.linear import softmax
from matinee.model.quiet import quiet_transformers
from matinee.tokens import LENGTH_STEP, pad
from matinee.training.averaging import WeightAverage
from matinee.training.callbacks import (
    HistoryCallback,
    LaterIfAsGoodCallback,
    ProgressCallback,
    StopCallback,
    history_rows,
)
from matinee.training.checkpoints import is_finished, latest_checkpoint, load_weights
from matinee.training.sampler import EpochCallback, LengthWindowSampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        trainer = _FineTuner(
            _average(model, settings, len(train)),
            model=model,
            args=training_arguments(settings, run, len(train), precision, throwaway=throwaway),
            train_dataset=train,
            eval_dataset=validation,
            data_collator=_Collator(pad_id, longest=max(len(row) for row in (*train.ids, *validation.ids))),
            compute_metrics=_metrics(label_names),
        )
        bar = stack.enter_context(progress("Fine-tuning", _planned_steps(settings, len(train)), "steps"))
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
    return FitResult(history, (state.best_global_step or 0) / _steps_per_epoch(settings, len(train)), state.global_step)


def _train_resumable(trainer: _FineTuner, run: RunFolder, checkpoint: Path | None) -> None:
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
        warmup_steps=math.ceil(settings.warmup_ratio * _planned_steps(settings, n_train)),
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
        logging_steps=max(1, _steps_per_epoch(settings, n_train) // _LOGS_PER_EPOCH),
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # One device: the Trainer would spread over all GPUs it sees, and the batch would be as many times larger.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _average(model: nn.Module, settings: TrainingSettings, n_train: int) -> WeightAverage | None:
    horizon = settings.averaging * _planned_steps(settings, n_train)
    return WeightAverage(model, horizon) if horizon > 1 else None


class _FineTuner(Trainer):  # type: ignore[misc]
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
        labels = inputs["labels"]
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if model.training:
            self._seen.append((outputs["logits"].detach().float().cpu().numpy(), labels.cpu().numpy()))
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        with nullcontext() if self.average is None else self.average.in_use():
            scores: dict[str, float] = super().evaluate(*args, **kwargs)
        return scores

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.average is not None and output_dir is not None:
            self.average.save(Path(output_dir))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "eval_loss" in logs:
            if sum(len(labels) for _, labels in self._seen) == len(self.train_dataset):
                logits, labels = (np.concatenate(parts) for parts in zip(*self._seen, strict=True))
                scores = self.compute_metrics(EvalPrediction(logits, labels))
                logs = {**logs, "train_accuracy": scores["accuracy"], "train_f1": scores["f1"]}
            self._seen = []
        super().log(logs, *args, **kwargs)


class _Collator:
    """Pads each batch to its own longest text, rounded up a little."""

    def __init__(self, pad_id: int, longest: int) -> None:
        self.pad_id = pad_id
        self.longest = longest

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        input_ids, attention_mask = pad(
            [row["input_ids"] for row in rows], self.pad_id, multiple=LENGTH_STEP, at_most=self.longest
        )
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
