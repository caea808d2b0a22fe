"""The Hugging Face Trainer as we use it: its arguments, our collator, our order of texts, averaged weights."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import EvalPrediction, PrinterCallback, Trainer, TrainingArguments
from transformers.training_args import ParallelMode

from matinee.core.errors import TrainingError
from matinee.core.files import patiently
from matinee.core.ranks import is_helper, rank, world_size
from matinee.core.types import Predictions
from matinee.evaluation import METRICS, point_scores
from matinee.model.logits import softmax
from matinee.model.windows import TOKENS_AT_ONCE, reading_windows
from matinee.tokens import LENGTH_STEP, pad
from matinee.tokens.windows import split_windows
from matinee.training.augmented import AugmentedSplit
from matinee.training.averaging import WeightAverage
from matinee.training.checkpoints import drop_old, secure
from matinee.training.estimate import Pace
from matinee.training.evaluations import Evaluations
from matinee.training.objective import Objective, check_dropout
from matinee.training.optimizer import layerwise_groups
from matinee.training.processes import add_up_gradients, agree, failure_of, from_all, from_first, seed_step
from matinee.training.recovery import TokenBudget, Update, evaluate_within_memory, random_state, set_random_state
from matinee.training.sampler import EpochCallback, LengthWindowSampler, Shares
from matinee.training.selection import logged_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matinee.core.errors import MatineeError
    from matinee.core.run import RunFolder
    from matinee.core.settings import TrainingSettings
    from matinee.tokens.windows import Windows

# Short runs log every few steps, long ones do not drown the history.
_LOGS_PER_EPOCH = 10
_EVAL_BATCH = 32


class Arguments(TrainingArguments):  # type: ignore[misc]
    """The Trainer's arguments, which can be told that this process writes a checkpoint alone.

    With several processes the Trainer would have each of them write a file, and wait for it in the middle of the writing,
    which is tried again where a drive was away.
    """

    writes_alone = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the Trainer believe in the block that there is one process."""
        self.writes_alone = True
        try:
            yield
        finally:
            self.writes_alone = False

    @property
    def world_size(self) -> int:
        """How many processes train."""
        n_processes: int = super().world_size
        return 1 if self.writes_alone else n_processes

    @property
    def parallel_mode(self) -> ParallelMode:
        """How they do it."""
        return ParallelMode.NOT_PARALLEL if self.writes_alone else super().parallel_mode


def training_arguments(
    settings: TrainingSettings, run: RunFolder, n_train: int, precision: str, *, throwaway: bool
) -> TrainingArguments:
    """Return the Trainer's arguments for our settings."""
    arguments = Arguments(
        output_dir=str(run.checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size // world_size(),
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
        save_only_model=throwaway,
        logging_nan_inf_filter=False,  # it would hide a training that has gone wrong
        metric_for_best_model=logged_name(settings.selection_metric),
        greater_is_better=METRICS[settings.selection_metric].higher_is_better,
        restore_callback_states_from_checkpoint=True,
        logging_steps=max(1, steps_per_epoch(settings, n_train) // _LOGS_PER_EPOCH),
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=torch.cuda.is_available(),
        accelerator_config={"non_blocking": torch.cuda.is_available()},
    )
    # One device: the Trainer would spread over all GPUs it sees, and the batch would be as many times larger.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    # `accelerate launch` says one by a variable, and asks nobody who has said it already.
    arguments.mixed_precision = "bf16" if precision == "bf16" else "no"
    return arguments


def weight_average(model: nn.Module, settings: TrainingSettings, n_train: int) -> WeightAverage | None:
    """Return the callback that averages the weights, None where the settings ask for none, or for next to none."""
    horizon = settings.averaging * planned_steps(settings, n_train)
    return WeightAverage(model, horizon) if horizon > 1 else None


class FineTuner(Trainer):  # type: ignore[misc]
    """The Trainer, which evaluates averaged weights where there are any, and keeps the training texts' logits as they pass.

    The logits are for the training curve, and of the running kind: under dropout, while the weights change. An evaluation
    comes with the scores of the texts since the one before it, unless training was resumed between the two.
    """

    optimizer: torch.optim.Optimizer | None

    def __init__(
        self, average: WeightAverage | None, settings: TrainingSettings, n_labels: int, **arguments: Any
    ) -> None:
        # With a loss function of ours, the Trainer counts the texts of all accumulated batches for us.
        super().__init__(compute_loss_func=_evaluation_loss, **arguments)
        check_dropout(self.model, settings)
        self.layer_decay = settings.layer_decay
        self.keep_checkpoints = settings.keep_checkpoints
        in_windows = self.train_dataset.windows is not None
        self.add_callback(TokenBudget(settings.batch_tokens or (TOKENS_AT_ONCE if in_windows else None)))
        self.pace = Pace()
        self.update = Update(self)
        self.objective = Objective.of(settings, self.train_dataset.labels, n_labels)
        self.average = average
        if average is not None:
            self.add_callback(average)
        # Several of transformers' classifiers take loss arguments and ignore them, so that accumulated gradients come
        # out too large by the number of batches (huggingface/transformers#46731). They get none; the loss is ours.
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)
        self.evaluations = Evaluations.of(settings, len(self.train_dataset))
        # Why this process cannot go on, until all know.
        self.failure: MatineeError | None = None
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._n_seen = 0
        lengths = [len(ids) for ids in self.train_dataset.ids]
        step = settings.batch_size * self.args.gradient_accumulation_steps
        labels = self.train_dataset.labels if settings.sampling == "balanced" else None
        self.sampler = LengthWindowSampler(lengths, step, self.args.seed, labels)
        self.shares = Shares(self.sampler, settings.batch_size, rank(), world_size())
        changing = self.train_dataset if isinstance(self.train_dataset, AugmentedSplit) else None
        self.add_callback(EpochCallback(self.sampler, changing))

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthWindowSampler:
        return self.sampler

    def get_train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Return the batches of an epoch; of several processes each reads its share of every batch.

        Accelerate would fill the last batches up with texts of the first ones, which would count twice.
        """
        if world_size() == 1:
            whole: DataLoader[dict[str, Tensor]] = super().get_train_dataloader()
            return whole
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.shares,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimiser, with a learning rate of its own for each layer where they differ."""
        if self.optimizer is None and self.layer_decay < 1:
            kind, arguments = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            groups = layerwise_groups(
                self.model,
                self.get_decay_parameter_names(self.model),
                learning_rate=self.args.learning_rate,
                weight_decay=self.args.weight_decay,
                layer_decay=self.layer_decay,
            )
            self.optimizer = kind(groups, **arguments)
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        return optimizer

    @property
    def budget(self) -> TokenBudget:
        """How many tokens are computed at once."""
        budget: TokenBudget = next(of for of in self.callback_handler.callbacks if isinstance(of, TokenBudget))
        return budget

    def begin_update(self) -> Update:
        """Return a new update, to which batches can be added."""
        self.update, self._n_seen = Update(self), len(self._seen)
        seed_step(self.args.seed, self.state.global_step)
        return self.update

    def get_batch_samples(self, *args: Any) -> tuple[list[Any], Any]:
        """Return this process's batches of the next update, and how many texts all processes have in them."""
        self.begin_update()
        batches, n_texts = super().get_batch_samples(*args)
        if world_size() > 1:
            n_texts = self.evaluations.n_texts_of_step(self.state.global_step + 1)
            if self.shares.is_empty(n_texts):
                batches[-1]["counted"] = torch.zeros(len(batches[-1]["labels"]), dtype=torch.bool)
        return batches, n_texts

    def _get_num_items_in_batch(self, batches: list[Any], device: torch.device) -> Any:
        # Of several processes none needs to ask the others.
        return super()._get_num_items_in_batch(batches, device) if world_size() == 1 else None

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Add a batch's gradients, in pieces where memory is short; return its share of the loss, which is finite.

        Of several processes one that fails goes on to where they meet, so that the others do not wait for it.
        """
        if self.failure is None:
            try:
                # The Trainer logs the mean of all processes' losses, and each of ours is its texts' share of the whole.
                return self.update.add(inputs, num_items_in_batch) * world_size()
            except TrainingError as error:
                if world_size() == 1:
                    raise
                self.failure = error
        return torch.zeros((), device=self.args.device)

    def compute_piece(self, inputs: Any, n_texts: Any) -> Tensor:
        """Add the gradients of a batch, or of a piece of one; return its share of the loss of all `n_texts` texts."""
        loss: Tensor = super().training_step(self.model, inputs, n_texts)
        return loss

    def start_over(self) -> None:
        """Forget what the update under way has computed so far."""
        self.model.zero_grad()
        del self._seen[self._n_seen :]

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = self._norm_of_all(model)
        if torch.isfinite(norm):
            return norm
        agree(self.failure)
        self.failure = failure_of(partial(self.update.again_in_fp32, "gradients are not finite"))
        norm = self._norm_of_all(model)
        agree(self.failure)
        return norm

    def _norm_of_all(self, model: nn.Module) -> Any:
        """Add up all processes' gradients, clip them and return the norm before; not finite where a process has failed."""
        add_up_gradients(self.model, failed=self.failure is not None)
        return super()._clip_grad_norm(model)

    def advice(self) -> str:
        """Return what to do about a loss that is no longer a number."""
        step = self.state.best_global_step
        where = f" The last good weights are in {Path(self.args.output_dir, f'checkpoint-{step}')}." if step else ""
        return f"Lower --learning-rate (it is {self.args.learning_rate:g}) and train anew.{where}"

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return what the objective makes of a batch, and keep the logits of its texts; in evaluation the plain loss.

        The batch's mean loss is weighted by its share of the texts of all accumulated batches, so that these make the same
        step as one large batch, the last ones of an epoch too.
        """
        reader = reading_windows(model, self.train_dataset.windows, self.budget.tokens)
        inputs = dict(inputs)
        counted = inputs.pop("counted", None)
        soft = (inputs.pop("targets"), inputs.pop("temperatures")) if "targets" in inputs else None
        if not model.training:
            return super().compute_loss(reader, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("labels")
        passes = [reader(**inputs) for _ in range(self.objective.n_passes)]
        logits = torch.stack([_by_dropout_mask(outputs["logits"], self.objective.n_labels) for outputs in passes])
        n_counted = len(labels) if counted is None else int(counted.sum())
        if n_counted:
            # They stay on the device until there is an evaluation: fetched now, a GPU would have to be waited for.
            self._seen.append((logits[0, 0].detach().float().clone(), labels))
        loss = self.objective(logits, labels, soft) * (n_counted / num_items_in_batch)
        return (loss, passes[0]) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the scores of the averaged weights; within an epoch, training goes on as if it had not been evaluated."""
        random = random_state()
        n_tokens = sum(len(ids) for ids in self.eval_dataset.ids)
        averaged = nullcontext() if self.average is None else self.average.in_use()
        with averaged, self.pace.measured("validating", n_tokens):
            scores: dict[str, float] = evaluate_within_memory(partial(super().evaluate, *args, **kwargs), self.args)
        if self.evaluations.is_within_epoch(self.state.global_step):
            set_random_state(random)
        return scores

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the Trainer's loop returns; its loss with several processes would count some texts twice.

        The scores are the first process's in all of them: one stops by its own, and rounding may differ between machines.
        """
        output = super().evaluation_loop(*args, **kwargs)
        if world_size() > 1:
            logits, labels = (torch.from_numpy(of) for of in (_logits(output), output.label_ids))
            output.metrics["eval_loss"] = _evaluation_loss({"logits": logits.float()}, labels).item()
            output.metrics.update(from_first(output.metrics))
        return output

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if is_helper():
            return
        folder = Path(self.args.output_dir)
        patiently(
            partial(self._write_checkpoint, super()._save_checkpoint, model, trial),
            folder,
            "What was saved before is safe: once the folder is back, "
            f"`matinee train --resume {folder.parent}` goes on from the last whole checkpoint.",
        )
        # Nothing is resumed from where only weights are saved.
        drop_old(folder, 1 if self.args.save_only_model else self.keep_checkpoints, self.state.best_global_step)

    def _write_checkpoint(self, write: Callable[[Any, Any], None], model: nn.Module, trial: Any) -> None:
        with self.args.alone():
            write(model, trial)
        secure(Path(self.args.output_dir, f"checkpoint-{self.state.global_step}"))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.average is not None and output_dir is not None:
            self.average.save(Path(output_dir))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the training texts' own scores to those of an evaluation."""
        if "eval_loss" in logs:
            own = (
                [tuple(torch.cat(parts).cpu().numpy() for parts in zip(*self._seen, strict=True))] if self._seen else []
            )
            seen = [part for of in from_all(own) for part in of]
            if seen and sum(len(labels) for _, labels in seen) == self.evaluations.n_texts(self.state.global_step):
                logits, labels = (np.concatenate(parts) for parts in zip(*seen, strict=True))
                scores = self.compute_metrics(EvalPrediction(logits, labels))
                logs = {**logs, "train_accuracy": scores["accuracy"], "train_f1": scores["f1"]}
            self._seen = []
        super().log(logs, *args, **kwargs)


def _evaluation_loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:  # noqa: ARG001 - the Trainer's
    """Return the mean cross-entropy, whatever training minimises, so that runs can be compared."""
    return torch.nn.functional.cross_entropy(outputs["logits"], labels)


def _logits(output: Any) -> NDArray[np.float32]:
    """Return the logits of an evaluation, shape (n_texts, n_labels), whatever else the model puts out."""
    logits: NDArray[np.float32] = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
    return logits


def _by_dropout_mask(logits: Tensor, n_labels: int) -> Tensor:
    """Return logits under several dropout masks, shape (B, S * K), as (S, B, K)."""
    return logits.reshape(len(logits), -1, n_labels).transpose(0, 1)


class Collator:
    """Pads each batch to its own longest text, rounded up a little."""

    def __init__(self, pad_id: int, longest: int, windows: Windows | None = None) -> None:
        self.pad_id = pad_id
        self.longest = longest
        self.windows = windows

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask`, shape (n_texts, length), and `labels`, shape (n_texts,).

        Where lower layers are frozen, `inputs_embeds` for `input_ids`: their states, shape (n_texts, length, hidden_size).
        Where texts have windows, these for the texts, all of the first text first, and `n_windows`, shape (n_texts,).
        Where they have soft targets, `targets`, shape (n_texts, n_labels), and `temperatures`, shape (n_texts,).
        """
        # The labels come first: the Trainer counts the texts of a batch by its first entry.
        texts = {"labels": torch.tensor([row["labels"] for row in rows])}
        if "targets" in rows[0]:
            texts |= {
                name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in ("targets", "temperatures")
            }
        if self.windows is not None:
            windows = [self._windows(row) for row in rows]
            texts["n_windows"] = torch.tensor([len(of) for of in windows])
            rows = [window for of in windows for window in of]
        input_ids, attention_mask = pad(
            [row["input_ids"] for row in rows], self.pad_id, multiple=LENGTH_STEP, at_most=self.longest
        )
        batch = {
            **texts,
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention_mask),
        }
        if "states" in rows[0]:
            del batch["input_ids"]
            batch["inputs_embeds"] = torch.zeros(*input_ids.shape, rows[0]["states"].shape[-1])
            for padded, row in zip(batch["inputs_embeds"], rows, strict=True):
                padded[: len(row["states"])] = row["states"]
        return batch

    def _windows(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a text's inputs: ids, and states where there are any, cut alike."""
        cut = {name: split_windows(row[name], self.windows) for name in ("input_ids", "states") if name in row}
        return [dict(zip(cut, window, strict=True)) for window in zip(*cut.values(), strict=True)]


def metrics_function(label_names: tuple[str, ...]) -> Any:
    """Return the Trainer's metrics function: our own scores, by their own names."""

    def compute(output: Any) -> dict[str, float]:
        logits = _logits(output)
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
