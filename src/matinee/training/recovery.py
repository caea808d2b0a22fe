"""Updates that go through: in pieces where memory is short, once more in fp32 where numbers ran over.

Neither changes what is learned. A batch's loss is a mean over its texts, so that the gradients of its pieces, each weighted
by its share of the texts, add up to those of the batch.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from matinee.core.errors import SettingsError, TrainingError
from matinee.core.ranks import world_size
from matinee.model.fast import transformer_of
from matinee.tokens import LENGTH_STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    from matinee.training.trainer import FineTuner

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# What a batch holds of each text; all else it holds of each input, which is a text or a window of one.
PER_TEXT = frozenset({"labels", "n_windows", "targets", "temperatures", "counted"})

# What torch says where it has no class of error for it: its CPU allocator (Linux, Windows), and cuBLAS.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class TokenBudget(TrainerCallback, ExportableState):  # type: ignore[misc]
    """How many tokens, padding included, are computed at once; None: a whole batch.

    A callback, for the Trainer keeps such things in its checkpoints: a resumed training computes the same pieces.
    """

    def __init__(self, tokens: int | None) -> None:
        self.tokens = tokens

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"args": {"tokens": self.tokens}, "attributes": {}}


class Update:
    """One update of the weights, which can be computed again from its first batch until they change.

    Args:
        trainer: Computes the pieces.
    """

    def __init__(self, trainer: FineTuner) -> None:
        self.trainer = trainer
        self.batches: list[dict[str, Tensor]] = []
        self.n_texts: Any = None
        self.started = time.perf_counter()
        self._random: list[Tensor] = []
        self._under_way = (0, 0)

    def add(self, batch: dict[str, Tensor], n_texts: Any) -> Tensor:
        """Add the gradients of the next batch to the model's; return its share of the update's loss.

        Args:
            batch: As the collator makes it.
            n_texts: Of all batches of the update.

        Raises:
            TrainingError: The loss is not finite, in fp32 too, or memory is short for a single text.
        """
        if not self.batches:
            self._random = random_state()
        self.batches.append(batch)
        self.n_texts = n_texts
        loss = self._within_memory(lambda: self._compute(batch))
        return loss if torch.isfinite(loss) else self.again_in_fp32(f"loss is {loss.item():g}")

    def again_in_fp32(self, what: str) -> Tensor:
        """Compute all batches so far once more, in fp32; return the last one's share of the loss.

        The random numbers are the same, and with them the dropout, unless texts were packed: in fp32 they are padded.

        Args:
            what: What is wrong, for a person.

        Raises:
            TrainingError: It is wrong again, or fp32 is what it was computed in.
        """
        step = f"step {self.trainer.state.global_step + 1} of {self.trainer.state.max_steps}"
        if not _is_mixed(self.trainer.model):
            raise TrainingError(f"At {step} the {what}: training cannot go on. {self.trainer.advice()}")
        with full_precision(self.trainer.model):
            loss = self._within_memory(self._compute_again)
            norms = [weight.grad.norm() for weight in self.trainer.model.parameters() if weight.grad is not None]
        if not torch.isfinite(torch.stack([loss.to(norms[0]), *norms]) if norms else loss).all():
            raise TrainingError(f"At {step} the {what}, in fp32 too: training cannot go on. {self.trainer.advice()}")
        logger.warning(f"At {step} the {what} in bf16; computed again in fp32 it is fine, and training goes on.")
        return loss

    def _compute_again(self) -> Tensor:
        self.trainer.start_over()
        set_random_state(self._random)
        return [self._compute(batch) for batch in self.batches][-1]

    def _compute(self, batch: dict[str, Tensor]) -> Tensor:
        losses = []
        for piece in pieces(batch, self.trainer.budget.tokens):
            self._under_way = len(piece["attention_mask"]), piece["attention_mask"].numel()
            losses.append(self.trainer.compute_piece(piece, self.n_texts))
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

    def _within_memory(self, work: Callable[[], Tensor]) -> Tensor:
        """Return what `work` returns; where memory is short for it, compute the update again in smaller and smaller pieces."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)
            # The error is gone by now, and with it the activations that its traceback held on to.
            free_memory()
            work = self._compute_again

    def _halve(self, error: Exception) -> None:
        n_texts, n_tokens = self._under_way
        length = n_tokens // max(n_texts, 1)
        # A long text's windows are computed in slices of the budget, so that a piece may hold more than was computed at once.
        at_once = min(n_tokens, self.trainer.budget.tokens or n_tokens)
        if n_texts < 2 or at_once < 2 * length:
            raise TrainingError(
                f"Out of memory with a single text of {length:,} tokens: pass --gradient-checkpointing, a smaller "
                "--max-length or a smaller --encoder."
            ) from error
        self.trainer.budget.tokens = at_once // 2
        logger.warning(
            f"Out of memory with {at_once // length} texts of {length:,} tokens at once: steps are computed in pieces "
            f"of at most {at_once // 2:,} tokens from now on. Their updates stay the same."
        )


def pieces(batch: dict[str, Tensor], tokens: int | None) -> list[dict[str, Tensor]]:
    """Return a batch as one or more, of texts of like length, each of at most `tokens` tokens if it has several texts.

    Args:
        batch: As the collator makes it.
        tokens: Padding included; None: the batch is computed whole.
    """
    mask = batch["attention_mask"]
    if tokens is None or mask.numel() <= tokens:
        return [batch]
    n_rows = batch["n_windows"].tolist() if "n_windows" in batch else [1] * len(mask)
    ends = list(accumulate(n_rows))
    of_rows = mask.sum(dim=1).tolist()
    lengths = [max(of_rows[end - n : end]) for end, n in zip(ends, n_rows, strict=True)]
    found = []
    for texts in cut(lengths, n_rows, tokens):
        rows = [row for text in texts for row in range(ends[text] - n_rows[text], ends[text])]
        width = _rounded(max(lengths[text] for text in texts))
        found.append({name: of[texts] if name in PER_TEXT else of[rows][:, :width] for name, of in batch.items()})
    return found


def cut(lengths: Sequence[int], n_rows: Sequence[int], tokens: int) -> list[list[int]]:
    """Return the texts of each piece, the longest texts first: what is too large for memory fails at once.

    Args:
        lengths: Tokens of each text's longest input.
        n_rows: Inputs of each text: its windows, or one.
        tokens: Most tokens of a piece, padding included; a text that has more is a piece of its own.
    """
    found: list[list[int]] = []
    rows = width = 0
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        if found and (rows + n_rows[text]) * width <= tokens:
            found[-1].append(text)
            rows += n_rows[text]
        else:
            found.append([text])
            rows, width = n_rows[text], _rounded(lengths[text])
    return found


def evaluate_within_memory(work: Callable[[], _Result], arguments: Any) -> _Result:
    """Return what an evaluation returns, in smaller batches where memory is short.

    Args:
        work: The evaluation.
        arguments: The Trainer's; its batch size for evaluations is halved until it fits.
    """
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or arguments.per_device_eval_batch_size < 2:
                raise
            if world_size() > 1:
                raise TrainingError(
                    "Out of memory while evaluating, where several processes cannot go on in smaller batches as one does: "
                    "launch fewer of them on this machine, or pass a smaller --max-length."
                ) from error
        arguments.per_device_eval_batch_size //= 2
        free_memory()
        logger.warning(
            f"Out of memory while evaluating: {arguments.per_device_eval_batch_size} texts at once from now on."
        )


@contextmanager
def memory_errors() -> Iterator[None]:
    """Say in one line that memory is short where smaller pieces do not help: for the optimizer's averages, for one text.

    Raises:
        TrainingError: Memory is short.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "Out of memory, and not for want of smaller batches: weights, gradients and the optimizer's two averages of "
            "them do not fit. Take a smaller --encoder, or --freeze some of its layers."
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Return whether the processor or the accelerator had no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def free_memory() -> None:
    """Have the accelerator give back what torch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def full_precision(model: nn.Module) -> Iterator[None]:
    """Take off the autocast that the Trainer's Accelerator wrapped around the model's forward pass, and put it on again."""
    mixed = model.__dict__.get("forward")
    if _is_mixed(model):
        model.forward = model.__dict__["_original_forward"]
    try:
        yield
    finally:
        if mixed is not None:
            model.forward = mixed


@contextmanager
def recomputed_activations(model: nn.Module) -> Iterator[None]:
    """Have the encoder's layers compute their activations anew in the backward pass (Chen et al. 2016), with the same dropout.

    Raises:
        SettingsError: The architecture cannot do it.
    """
    encoder = transformer_of(model)
    if not encoder.supports_gradient_checkpointing:
        raise SettingsError(f"--gradient-checkpointing cannot be used with {type(encoder).__name__}: leave it out.")
    # transformers renamed it.
    new = hasattr(encoder, "activation_checkpointing_enable")
    (encoder.activation_checkpointing_enable if new else encoder.gradient_checkpointing_enable)(
        {"use_reentrant": False}
    )
    # Meant for the other way of doing it; frozen embeddings would be given gradients.
    encoder.disable_input_require_grads()
    try:
        yield
    finally:
        (encoder.activation_checkpointing_disable if new else encoder.gradient_checkpointing_disable)()


def _is_mixed(model: nn.Module) -> bool:
    return "_original_forward" in model.__dict__


def _rounded(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def random_state() -> list[Tensor]:
    """Return where torch's random generators are."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def set_random_state(states: list[Tensor]) -> None:
    """Put torch's random generators back to where they were."""
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
