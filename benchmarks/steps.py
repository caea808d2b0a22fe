"""Timed training steps: one clock for both sides of a comparison, the stock one and matinee's own.

Times are those between the ends of two steps, so that they hold whatever a training does for a step: collating,
forward and backward pass, clipping, optimizer, averaging, logging.
"""

# ruff: noqa: ARG002 - the Trainer hands over more than a clock needs

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import transformers.trainer
from torch import nn
from transformers import TrainerCallback

from stock import BATCH_SIZE, LEARNING_RATE, MAX_LENGTH, Stock


class StepClock(TrainerCallback):
    """Seconds, and shape of the input, of every training step."""

    def __init__(self):
        self.seconds, self.shapes, self.n_tokens = [], [], []
        self.matrices = {}
        self._last = 0.0

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Look at what each step is given."""
        self.matrices = matrices_of(model)
        model.register_forward_pre_hook(self._see, with_kwargs=True)

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Start: an evaluation before the epoch does not count."""
        self._last = _now()

    def on_step_end(self, args, state, control, **kwargs):
        """Take the time; a GPU is not waited for, since nobody does who is not measuring."""
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now

    def on_epoch_end(self, args, state, control, **kwargs):
        """Count what a GPU still had to do to the last step."""
        if torch.cuda.is_available():
            before = time.perf_counter()
            self.seconds[-1] += _now() - before

    def _see(self, module, positional, inputs):
        if module.training:
            given = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
            mask = inputs.get("attention_mask")
            self.shapes.append(list(given.shape[:2]))
            self.n_tokens.append(mask.sum() if mask is not None else given.shape[0] * given.shape[1])


def _now():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def clocked():
    """Have every Trainer that is made in the block watched by a clock."""
    clock = StepClock()
    transformers.trainer.DEFAULT_CALLBACKS.append(clock)
    try:
        yield clock
    finally:
        transformers.trainer.DEFAULT_CALLBACKS.remove(clock)


def stock_steps(encoder, texts, labels):
    """Train the stock way for an epoch."""
    with tempfile.TemporaryDirectory() as folder, clocked() as clock:
        Stock(encoder, texts, labels, folder, epochs=1).train()
    return _measured(clock)


def matinee_steps(encoder, texts, labels, **settings):
    """Train with matinee's defaults for an epoch; batch, length and learning rate are those of the stock way, no layer is frozen.

    The head starts at random: what a fitted one costs, once and before the first step, is no matter of epochs.
    """
    import matinee.training.fit  # noqa: F401 - timed_reading looks for it
    from matinee.core.run import RunFolder
    from matinee.core.schema import Layer, resolve
    from matinee.core.types import Dataset, Split
    from matinee.workflow.fitting import LocatedEncoder, Watch, fine_tune

    equal = {"batch_size": BATCH_SIZE, "max_length": MAX_LENGTH, "learning_rate": LEARNING_RATE, "epochs": 1}
    equal["head"] = "random"
    resolved = resolve(Layer({"data": "imdb", **equal, **settings}))
    whole = Split([str(row) for row in range(len(texts))], list(texts), np.asarray(labels, dtype=np.int64))
    # Enough to keep a best epoch by; evaluations are not timed.
    few = whole.take(np.arange(min(16, len(texts))))
    names = tuple(map(str, range(int(max(labels)) + 1)))
    with tempfile.TemporaryDirectory() as folder, clocked() as clock, timed_reading() as reading:
        fine_tune(
            Dataset("sample", names, {"train": whole, "validation": few}),
            resolved,
            LocatedEncoder("benchmark", Path(encoder), "folder"),
            RunFolder(Path(folder)),
            Watch(),
            throwaway=True,
        )
    return {**_measured(clock), "reading_seconds": round(sum(reading), 2)}


@contextmanager
def timed_reading():
    """Note the seconds that texts take through frozen layers, once and before the first step."""
    module, seconds = sys.modules["matinee.training.fit"], []
    read = module.lower_states

    def timed(*arguments):
        start = _now()
        states = read(*arguments)
        seconds.append(_now() - start)
        return states

    module.lower_states = timed
    try:
        yield seconds
    finally:
        module.lower_states = read


def _measured(clock):
    return {
        "step_seconds": [round(seconds, 4) for seconds in clock.seconds],
        "shapes": clock.shapes,
        "n_tokens": [int(n) for n in clock.n_tokens],
        "matrices": clock.matrices,
        "peak_memory_gb": peak_memory_gb(),
    }


def peak_memory_gb():
    """Return the most memory that this process ever had."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)


def matrices_of(model):
    """Return what the number of operations depends on: parameters in matrices, layers, width."""
    linear = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear))
    return {
        "parameters": linear,
        "layers": model.config.num_hidden_layers,
        "width": model.config.hidden_size,
    }


def operations(matrices, n_texts, length):
    """Return the floating-point operations of a training step over texts of one length, padding included.

    Six for each parameter in a matrix and token (two forward, four backward: Kaplan et al. 2020, section 2.1), and of
    attention's two products 12 · width · length² for each layer and text.
    """
    attention = 12 * matrices["layers"] * matrices["width"] * n_texts * length**2
    return 6 * matrices["parameters"] * n_texts * length + attention


def peak_gflops(dtype, device="cpu", sizes=((4096, 768, 3072), (4096, 3072, 768), (4096, 768, 768)), repeats=7):
    """Return the most GFLOP/s that products of the sizes of a training reach, the best of all repeats."""
    best = 0.0
    for rows, inner, columns in sizes:
        a, b = torch.randn(rows, inner).to(device, dtype), torch.randn(inner, columns).to(device, dtype)
        torch.matmul(a, b)
        seconds = []
        for _ in range(repeats):
            start = _now()
            torch.matmul(a, b)
            seconds.append(_now() - start)
        best = max(best, 2 * rows * inner * columns / min(seconds) / 1e9)
    return float(f"{best:.4g}")


def share_of_peak(measured, gflops, first=1):
    """Return the share of the peak that the steps from `first` on reached, padding counted as work."""
    done = sum(operations(measured["matrices"], *shape) for shape in measured["shapes"][first:])
    return round(done / sum(measured["step_seconds"][first:]) / 1e9 / gflops, 3)


def random_distilbert(tokenizer_from, folder):
    """Write a full-size DistilBERT with random weights; speed does not depend on what the weights are.

    Args:
        tokenizer_from: A folder with a tokenizer of BERT's 30,522 uncased words.
        folder: Where to.
    """
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_from)
    config = DistilBertConfig()
    if len(tokenizer) != config.vocab_size:
        raise SystemExit(f"{tokenizer_from} has {len(tokenizer)} words, DistilBERT {config.vocab_size}.")
    torch.manual_seed(0)
    DistilBertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def spread_by_length(lengths, n):
    """Return `n` rows whose lengths are spread like those of all: each n-th in order of length, shuffled."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    chosen = order[((np.arange(n) + 0.5) * len(order) / n).astype(np.int64)]
    return np.random.default_rng(0).permutation(chosen)


def summary(values):
    """Return median, smallest and largest."""
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}
