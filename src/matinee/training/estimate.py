"""How long a training takes on this machine: measured before its first step, and better and better while it runs."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from matinee.core.ranks import world_size
from matinee.core.wording import duration_in_words
from matinee.training.evaluations import Evaluations
from matinee.training.recovery import full_precision, random_state, set_random_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from matinee.training.trainer import FineTuner

logger = logging.getLogger(__name__)

Kind = Literal["training", "validating", "predicting"]

# A backward pass costs about twice its forward pass (Kaplan et al. 2020, section 2.1): the guess for a training too
# short to measure it. With minilm on a CPU training took 2.1 to 2.9 times as long as reading, so it is told as a range.
_BACKWARD = 3
_GUESS = (0.7, 1.2)

# One batch for so many steps is computed to measure the pace, three at most: about a hundredth of the work.
_STEPS_PER_SAMPLE = 100
_SAMPLES = 3
_SHORT = 20

# Texts that are computed before the clock runs: the first ones of a process take up to a fifth longer.
_WARM_UP = 2

# Numbers that the optimizer's step is timed on: too many for the processor's cache, as a model's are.
_SAMPLE_WEIGHTS = 1 << 22


class Pace:
    """Seconds per token, padding not counted, of each kind of work."""

    def __init__(self) -> None:
        self.seconds: defaultdict[Kind, float] = defaultdict(float)
        self.tokens: defaultdict[Kind, float] = defaultdict(float)

    def add(self, kind: Kind, seconds: float, tokens: float) -> None:
        """Take in what some work took."""
        self.seconds[kind] += seconds
        self.tokens[kind] += tokens

    @contextmanager
    def measured(self, kind: Kind, tokens: float) -> Iterator[None]:
        """Take in what the block takes."""
        _synchronize()
        start = time.perf_counter()
        yield
        _synchronize()
        self.add(kind, time.perf_counter() - start, tokens)

    def of(self, kind: Kind) -> float | None:
        """Return seconds per token, None where nothing of the kind was done yet."""
        return self.seconds[kind] / self.tokens[kind] if self.tokens[kind] else None


@dataclass(frozen=True)
class Work:
    """What there is to compute, in tokens without padding.

    Attributes:
        epochs: Passes over the training texts.
        training: Tokens of one of them.
        validating: Tokens of one evaluation.
        predicting: Tokens that are read after training, in fp32.
        evaluations: When there is one; None: after each epoch.
    """

    epochs: float
    training: int
    validating: int
    predicting: int = 0
    evaluations: Evaluations | None = None

    def left(self, epoch: float, pace: Pace) -> dict[Kind, float]:
        """Return the seconds that each kind of work still takes.

        Args:
            epoch: How many are over.
            pace: Measured so far.
        """
        reading = pace.of("validating") or 0.0
        training, predicting = pace.of("training") or _BACKWARD * reading, pace.of("predicting") or reading
        evaluations = self.evaluations or Evaluations(1, 1, per_epoch=1)
        n_evaluations = evaluations.n_left(self.epochs, epoch)
        return {
            "training": max(self.epochs - epoch, 0) * self.training * training,
            "validating": n_evaluations * self.validating * reading,
            "predicting": self.predicting * predicting,
        }


def announce(trainer: FineTuner, work: Work, epoch: float) -> None:
    """Measure the pace, and say how long it will all take; to be called once validation has been read.

    Weights, gradients and random numbers are afterwards as they were.
    """
    n_steps = trainer.state.max_steps - trainer.state.global_step
    samples = min(_SAMPLES, max(1, n_steps // _STEPS_PER_SAMPLE)) if n_steps >= _SHORT else 0
    if samples:
        _measure(trainer, samples)
    logger.info(in_words(work.left(epoch, trainer.pace), measured=samples > 0))


def in_words(seconds: dict[Kind, float], *, measured: bool) -> str:
    """Return an estimate as a line for a person: a range where training was not measured."""
    parts = ", ".join(f"{kind} {duration_in_words(of)}" for kind, of in seconds.items() if of >= 1)
    whole = sum(seconds.values())
    low, high = (duration_in_words(whole * factor) for factor in ((1, 1) if measured else _GUESS))
    about = f"about {low}" if low == high else f"roughly {low} to {high}"
    return f"From here on {about} on this machine{f' ({parts})' if parts else ''}, and the report"


def _measure(trainer: FineTuner, n_samples: int) -> None:
    """Compute a few batches from short to long, forwards and backwards, and one of middling length as predictions are made."""
    random = random_state()
    each_step = _seconds_of_step(trainer) / trainer.args.gradient_accumulation_steps
    samples = _samples(trainer, n_samples)
    _add_gradients(trainer, _batch(trainer, samples[0][:_WARM_UP]))
    batches = [_batch(trainer, rows) for rows in samples]
    for batch in batches:
        with trainer.pace.measured("training", n_tokens(batch) * world_size()):
            _add_gradients(trainer, batch)
        trainer.pace.add("training", each_step, 0)
    if trainer.args.bf16:
        middle = batches[len(batches) // 2]
        trainer.model.eval()
        with full_precision(trainer.model), trainer.pace.measured("predicting", n_tokens(middle)):
            trainer.prediction_step(trainer.model, middle, prediction_loss_only=False)
    set_random_state(random)


def _add_gradients(trainer: FineTuner, batch: dict[str, Tensor]) -> None:
    trainer.begin_update().add(batch, len(batch["labels"]))
    trainer.start_over()


def _samples(trainer: FineTuner, n_samples: int) -> list[list[int]]:
    """Return the rows of batches of the coming epoch, evenly spread over their lengths."""
    order, size = list(trainer.sampler), trainer.args.per_device_train_batch_size
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    batches.sort(key=lambda rows: sum(trainer.sampler.lengths[rows]))
    return [batches[(2 * n + 1) * len(batches) // (2 * n_samples)] for n in range(n_samples)]


def _batch(trainer: FineTuner, rows: list[int]) -> dict[str, Tensor]:
    batch: dict[str, Tensor] = trainer._prepare_inputs(
        trainer.data_collator([trainer.train_dataset[row] for row in rows])
    )
    return batch


def _seconds_of_step(trainer: FineTuner) -> float:
    """Return how long clipping, AdamW and averaging take for as many weights as are trained, from what they take for a few."""
    n_weights: int = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    sample = torch.zeros(min(n_weights, _SAMPLE_WEIGHTS), device=trainer.args.device, requires_grad=True)
    sample.grad = torch.zeros_like(sample)
    optimizer = torch.optim.AdamW([sample], fused=True)
    optimizer.step()  # makes room for its averages
    watch = Pace()
    with watch.measured("training", sample.numel()), torch.no_grad():
        torch.nn.utils.clip_grad_norm_([sample], 1.0)
        optimizer.step()
        if trainer.average is not None:
            sample.grad.lerp_(sample, 0.5)
    return n_weights * (watch.of("training") or 0.0)


def n_tokens(batch: dict[str, Any]) -> int:
    """Return how many tokens of a batch are not padding."""
    return int(batch["attention_mask"].sum())


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
