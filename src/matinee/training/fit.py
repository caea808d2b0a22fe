"""Fine-tuning with the Hugging Face Trainer: its loop, our collator, metrics and callbacks."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerState

from matinee.core.environment import describe_machine
from matinee.core.errors import RunError
from matinee.core.files import patiently, storage_errors
from matinee.core.progress import progress
from matinee.core.ranks import check_shares, is_helper, world_size
from matinee.evaluation import METRICS
from matinee.model.fast import fast_kernels
from matinee.model.freezing import freeze, lower_states, states_bytes, upper_layers_only
from matinee.model.precision import best_device, choose_precision
from matinee.model.quiet import quiet_transformers
from matinee.tokens.windows import all_windows, split_windows
from matinee.training.augmented import AugmentedSplit, labelled_item
from matinee.training.callbacks import (
    EachEpochCallback,
    EvaluationsCallback,
    HistoryCallback,
    LaterIfAsGoodCallback,
    PatienceCallback,
    ProgressCallback,
    StartCallback,
    StopCallback,
    TrackerCallback,
    history_rows,
)
from matinee.training.checkpoints import is_finished, latest_checkpoint, load_weights
from matinee.training.estimate import Work
from matinee.training.evaluations import Evaluations
from matinee.training.processes import (
    agree,
    failure_of,
    following,
    hand_out,
    lost_processes,
    shared_cores,
    tasks,
)
from matinee.training.recovery import memory_errors, recomputed_activations
from matinee.training.selection import check_selection, logged_name, n_counted
from matinee.training.trainer import (
    Collator,
    FineTuner,
    metrics_function,
    planned_steps,
    training_arguments,
    weight_average,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matinee.core.run import RunFolder
    from matinee.core.settings import TrainingSettings
    from matinee.core.types import Targets
    from matinee.tokens.windows import Windows
    from matinee.training.trackers import Trackers

logger = logging.getLogger(__name__)

# Frozen layers' states that are kept in memory at most: bytes, and their share of the machine's memory.
_MOST_STATES, _MOST_OF_MEMORY = 4e9, 0.2


@dataclass(frozen=True)
class TokenizedSplit(torch.utils.data.Dataset[dict[str, Any]]):
    """Token ids with labels, as the Trainer reads them.

    Attributes:
        ids: Token ids of each text.
        labels: Shape (n_texts,).
        states: What frozen layers put out for each text, shape (n_tokens, hidden_size) each; None where none are frozen.
        windows: How long texts were laid out in windows; None where they were truncated.
        targets: What is learned in the place of the labels; None: these.
    """

    ids: Sequence[NDArray[np.int32]]
    labels: NDArray[np.int64]
    states: Sequence[Tensor] | None = None
    windows: Windows | None = None
    targets: Targets | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        item = labelled_item(self, row)
        return item if self.states is None else {**item, "states": self.states[row]}


@dataclass(frozen=True)
class FitResult:
    """What fine-tuning did.

    Attributes:
        history: One plain dict per logged step.
        kept_epoch: The epoch whose weights the model has now; a part of one where epochs are evaluated within.
        n_steps: Steps taken.
    """

    history: list[dict[str, Any]]
    kept_epoch: float
    n_steps: int


def fit(
    model: nn.Module,
    train: TokenizedSplit | AugmentedSplit,
    validation: TokenizedSplit,
    settings: TrainingSettings,
    *,
    label_names: tuple[str, ...],
    pad_id: int,
    precision: str,
    run: RunFolder,
    trackers: Trackers | None = None,
    throwaway: bool = False,
    start_is_candidate: bool = False,
    to_predict: int = 0,
    each_epoch: Callable[[float, Mapping[str, float]], None] | None = None,
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
        run: Where checkpoints and history go.
        trackers: Told of every logged step.
        throwaway: Whether the folder goes afterwards: no history, no trackers, nothing to resume from, Ctrl-C as usual.
        start_is_candidate: Whether the model as it is given may be kept; a resumed training must be given the same one.
        to_predict: Tokens that will be read after training; only the estimate of the whole time needs to know.
        each_epoch: Told the epoch and the validation scores of each evaluation; what it raises ends the training.

    Raises:
        SettingsError: The validation split cannot tell one epoch from another by the selection metric.
        InterruptedTrainingError: Ctrl-C; the state is saved.
        StorageError: The disk is full, or away for longer than a minute.
        TrainingError: The loss is no longer a number, or memory is short for a single text.
    """
    check_selection(settings.selection_metric, validation.labels, label_names)
    check_shares(settings.batch_size)
    checkpoint = latest_checkpoint(run.checkpoints)
    task = Task(
        model,
        train,
        validation,
        settings,
        label_names,
        pad_id,
        precision,
        run,
        checkpoint,
        throwaway,
        start_is_candidate,
    )
    told = [] if each_epoch is None else [EachEpochCallback(each_epoch)]
    with shared_cores(), lost_processes(_again(run)):
        if world_size() > 1 and (checkpoint is None or not is_finished(checkpoint)):
            _share(task)
        state = _carry_out(task, told, trackers, to_predict)
    history = history_rows(state.log_history)
    return FitResult(history, _epoch_of(state.best_global_step, history), state.global_step)


@dataclass(frozen=True)
class Task:
    """What each of the processes that train together has to know; the attributes are what `fit` is given.

    Attributes:
        checkpoint: To go on from; None: from the start.
    """

    model: nn.Module
    train: TokenizedSplit | AugmentedSplit
    validation: TokenizedSplit
    settings: TrainingSettings
    label_names: tuple[str, ...]
    pad_id: int
    precision: str
    run: RunFolder
    checkpoint: Path | None
    throwaway: bool
    start_is_candidate: bool


def _share(task: Task) -> None:
    """Have the other processes begin with the task too; raise an error of ours where one of them cannot."""
    device = next(task.model.parameters()).device
    task.model.cpu()  # tensors of one accelerator mean nothing to a process with another
    hand_out(task)
    agree(None)
    task.model.to(device)


def _again(run: RunFolder) -> str:
    """Return what to do where another process was lost."""
    return (
        f"If it said why, mend that first; `matinee train --resume {run.path}` goes on from the last checkpoint, if there is "
        "one by now."
    )


def help_to_fit() -> None:
    """Train along with the first of several processes until it is done, and write nothing.

    Raises:
        InterruptedTrainingError: Another process has ended.
    """
    with following():
        for task in tasks():
            with lost_processes(_again(task.run)):
                agree(failure_of(partial(_take_place, task)))
                _carry_out(task)


def _take_place(task: Task) -> None:
    """Move the model to this process's device; raise an error of ours where it cannot do what the first process can."""
    choose_precision(task.precision, best_device())
    if task.checkpoint is not None and not task.checkpoint.is_dir():
        raise RunError(
            f"{task.checkpoint} is not to be found on this machine: several machines go on with a run only from a drive "
            "that all of them have."
        )
    with memory_errors():
        task.model.to(best_device())


def _carry_out(
    task: Task, told: Sequence[TrainerCallback] = (), trackers: Trackers | None = None, to_predict: int = 0
) -> TrainerState:
    """Fine-tune the task's model; in the first process, leave it with the weights of its best epoch."""
    model, settings, run = task.model, task.settings, task.run
    with ExitStack() as stack:
        stack.enter_context(quiet_transformers())
        stack.enter_context(storage_errors(run.checkpoints))
        stack.enter_context(memory_errors())
        if settings.gradient_checkpointing:
            stack.enter_context(recomputed_activations(model))
        train, validation = _freeze(model, task.train, task.validation, settings, task.pad_id, task.precision, stack)
        kernels = stack.enter_context(fast_kernels(model, task.precision, settings.kernels))
        logger.info(", ".join([_where(model, task.precision), "fused AdamW", *kernels]))
        start = _weights_of(model) if task.start_is_candidate else {}
        trainer = FineTuner(
            weight_average(model, settings, len(train)),
            settings,
            len(task.label_names),
            model=model,
            args=training_arguments(settings, run, len(train), task.precision, throwaway=task.throwaway),
            train_dataset=train,
            eval_dataset=validation,
            data_collator=Collator(task.pad_id, _longest(train, validation), train.windows),
            compute_metrics=metrics_function(task.label_names),
        )
        evaluations = Evaluations.of(settings, len(train))
        trainer.add_callback(EvaluationsCallback(evaluations))
        if not is_helper():
            bar = stack.enter_context(progress("Fine-tuning", planned_steps(settings, len(train)), "steps"))
            work = Work(settings.epochs, _n_tokens(train), _n_tokens(validation), to_predict, evaluations)
            trainer.add_callback(ProgressCallback(bar, trainer, work, announced=not task.throwaway))
        for callback in [*_choosing(task, settings.patience * evaluations.per_epoch), *told]:
            trainer.add_callback(callback)
        if task.throwaway:
            trainer.train()
        else:
            if not is_helper():
                trainer.add_callback(HistoryCallback(run))
            if trackers is not None:
                trainer.add_callback(TrackerCallback(trackers))
            _train_resumable(trainer, run, task.checkpoint)
        # Mixed precision stays wrapped around the model's forward pass; predictions are made in float32.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        if not is_helper():
            _keep_best(model, run, trainer.state.best_global_step, start)
    return trainer.state


def _where(model: nn.Module, precision: str) -> str:
    """Return what is computed on, and how, for a person."""
    device, n_processes = next(model.parameters()).device.type, world_size()
    together = f"{n_processes} processes with " if n_processes > 1 else ""
    return f"Computing on {device} in {precision}, {together}{torch.get_num_threads()} threads"


def _keep_best(model: nn.Module, run: RunFolder, step: int | None, start: Mapping[str, Tensor]) -> None:
    """Give the model the weights of its best epoch: those of a checkpoint, or those it began with where it may keep them."""
    if start and not step:
        model.load_state_dict(start)
    else:
        _load_best(model, run, step or 0)


def _epoch_of(step: int | None, history: list[dict[str, Any]]) -> float:
    """Return the epoch of the evaluation after a step, as the history has it; 0 before the first one."""
    return next((row["epoch"] for row in history if step and row["step"] == step and "eval_loss" in row), 0.0)


def _choosing(task: Task, patience: int) -> list[TrainerCallback]:
    """Return the callbacks that choose which weights are kept, and when it is enough, in the order they must run in.

    Args:
        task: Its settings say by which score, its validation texts are what to choose by.
        patience: Evaluations without a better score after which it is enough; 0: it never is.
    """
    metric = task.settings.selection_metric
    callbacks: list[TrainerCallback] = [StartCallback(logged_name(metric))] if task.start_is_candidate else []
    if patience:
        higher = METRICS[metric].higher_is_better
        callbacks.append(PatienceCallback(patience, logged_name(metric), higher_is_better=higher))
    if n_texts := n_counted(metric, task.validation.labels, len(task.label_names)):
        callbacks.append(LaterIfAsGoodCallback(metric, n_texts))
    return callbacks


def _load_best(model: nn.Module, run: RunFolder, step: int) -> None:
    best = run.checkpoints / f"checkpoint-{step}"
    again = (
        f"Training is over and saved: once the folder is back, `matinee train --resume {run.path}` finishes the run."
    )
    patiently(lambda: load_weights(model, best), run.checkpoints, again)


def _n_tokens(split: TokenizedSplit | AugmentedSplit) -> int:
    return sum(len(ids) for ids in split.ids)


def _weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}


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
    with StopCallback(run, trainer.args.device) as stop:
        trainer.add_callback(stop)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        stop.raise_if_asked(trainer.state)


def _freeze(
    model: nn.Module,
    train: TokenizedSplit | AugmentedSplit,
    validation: TokenizedSplit,
    settings: TrainingSettings,
    pad_id: int,
    precision: str,
    stack: ExitStack,
) -> tuple[TokenizedSplit | AugmentedSplit, TokenizedSplit]:
    """Freeze lower layers, and leave them out of the training: their states come with the texts from now on."""
    n_frozen = freeze(model, settings.freeze)
    if not n_frozen:
        return train, validation
    if isinstance(train, AugmentedSplit):
        logger.info("Frozen layers are computed anew in each epoch: augmentation changes the texts")
        return train, validation
    if world_size() > 1:
        logger.info("Frozen layers are computed anew in each epoch: each process would have to hold all states")
        return train, validation
    if next(model.parameters()).device.type != "cpu":
        return train, validation  # copying states to an accelerator takes longer than computing them there
    n_bytes = states_bytes(model, [*train.ids, *validation.ids], precision)
    if n_bytes > min(_MOST_STATES, _MOST_OF_MEMORY * (describe_machine()["memory_gb"] or np.inf) * 1e9):
        logger.info(f"Frozen layers are computed anew in each epoch: their states would take {n_bytes / 1e9:.0f} GB")
        return train, validation
    train, validation = (
        replace(split, states=_states(model, n_frozen, split, pad_id, precision, settings.kernels))
        for split in (train, validation)
    )
    stack.enter_context(upper_layers_only(model, n_frozen))
    logger.info(f"{n_frozen} layers are frozen; their states ({n_bytes / 1e6:,.0f} MB) serve all epochs")
    return train, validation


def _states(
    model: nn.Module, n_frozen: int, split: TokenizedSplit, pad_id: int, precision: str, kernels: str
) -> list[Tensor]:
    """Return what the frozen layers put out for each text; windows stay laid end to end."""
    inputs, counts = all_windows(split.ids, split.windows)
    states = iter(lower_states(model, n_frozen, inputs, pad_id, precision, kernels))
    return [torch.cat([next(states) for _ in range(n)]) for n in counts]


def _longest(*splits: TokenizedSplit | AugmentedSplit) -> int:
    """Return the tokens of the longest input, which is a text or a window of one."""
    return max(len(row) for split in splits for ids in split.ids for row in split_windows(ids, split.windows))
