"""Predicts with OpenVINO, from what `matinee export --to openvino` wrote: the fastest on an Intel or AMD processor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import RunError
from matinee.inference.backends.encoder import MANY_INPUTS, EncoderPredictor, n_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matinee.tokens import TextPreparation

# Batches this small, several under way at once, were 1.3 times as fast as large ones by all cores together (MiniLM int8,
# IMDB reviews of at most 256 tokens, two cores).
_MAX_TOKENS, _MAX_TEXTS = 2_048, 16

# A single text is answered sooner by all cores together than by one of them.
_FEW, _MANY = "LATENCY", "THROUGHPUT"

_INPUTS = ("input_ids", "attention_mask")

# The very first answer of a process is never computed by two threads at once: what OpenVINO's binding sets up then, each would
# wait for the other to finish (seen with 2026.4.1).
_FIRST = Lock()


class OpenVinoPredictor(EncoderPredictor):
    """A transformer classifier computed by OpenVINO.

    Args:
        path: The model's `.xml` file, its weights beside it, or an ONNX file.
        precision: `"fp32"`, or what the processor's own bf16 may be used with: `"bf16"` and `"int8"`.
        preparation: From texts to token ids, as in training.
        label_names: In the order of the logits.
        threshold: As in `Predictor`.

    Raises:
        RunError: OpenVINO cannot read the file.
    """

    def __init__(
        self,
        path: Path,
        precision: str,
        preparation: TextPreparation,
        label_names: tuple[str, ...],
        threshold: float | None = None,
    ) -> None:
        super().__init__(preparation, label_names, threshold)
        self._core, self._path = openvino_core(), path
        self._for: dict[str, Any] = {}
        has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._number_format = "bf16" if precision != "fp32" and has_bf16 else "f32"
        with _readable(path):
            self._model = self._core.read_model(path)

    @property
    def computed_in(self) -> str:
        """Number format of what is not quantised, on this machine: `"bf16"` or `"f32"`."""
        return self._number_format

    def rows(self, inputs: Sequence[NDArray[np.int32]], done: Callable[[int], None]) -> NDArray[np.float32]:
        """Return what the classifier says of each input; see `EncoderPredictor.rows`."""
        rows = np.empty((len(inputs), self.n_columns), dtype=np.float32)
        compute = self._compute_many if len(inputs) >= MANY_INPUTS else self._compute_few
        compute(inputs, rows, done)
        return rows

    def _compute_few(
        self, inputs: Sequence[NDArray[np.int32]], rows: NDArray[np.float32], done: Callable[[int], None]
    ) -> None:
        request, n_done = self._compiled(_FEW).create_infer_request(), 0
        for batch, feed in self.padded_batches(inputs, max_tokens=_MAX_TOKENS, max_texts=_MAX_TEXTS):
            rows[batch] = request.infer(feed)[0]
            n_done += len(batch)
            done(n_done)

    def _compute_many(
        self, inputs: Sequence[NDArray[np.int32]], rows: NDArray[np.float32], done: Callable[[int], None]
    ) -> None:
        """Keep a request a stream busy from threads of ours.

        Not OpenVINO's AsyncInferQueue: its callbacks wait for Python's lock, which whoever drops the model holds while it
        waits for them (seen with 2026.4.1, in one of some hundred times).
        """
        compiled = self._compiled(_MANY)
        n_requests = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(n_requests):
            idle.put(compiled.create_infer_request())

        def compute(batch: tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]) -> int:
            where, feed = batch
            request = idle.get()
            try:
                rows[where] = request.infer(feed)[0]
            finally:
                idle.put(request)
            return len(where)

        n_done, pool = 0, ThreadPoolExecutor(n_requests, "openvino")
        try:
            for n in pool.map(compute, self.padded_batches(inputs, max_tokens=_MAX_TOKENS, max_texts=_MAX_TEXTS)):
                n_done += n
                done(n_done)
        finally:
            pool.shutdown(cancel_futures=True)  # also on Ctrl-C: requests under way write into `rows`

    def _compiled(self, hint: str) -> Any:
        """Return the model compiled for one text at a time or for many; when first needed, for either takes a while."""
        with _FIRST:
            if hint not in self._for:
                settings = {
                    "PERFORMANCE_HINT": hint,
                    "INFERENCE_PRECISION_HINT": self._number_format,
                    "INFERENCE_NUM_THREADS": n_threads(),
                    # Several processes of one thread each would all be pinned to the first core.
                    "ENABLE_CPU_PINNING": False,
                }
                with _readable(self._path):
                    compiled = self._core.compile_model(self._model, "CPU", settings)
                    compiled.create_infer_request().infer(dict.fromkeys(_INPUTS, np.ones((1, 8), dtype=np.int64)))
                self._for[hint] = compiled
        return self._for[hint]


@cache
def openvino_core() -> Any:
    """Return the process's one OpenVINO core, kept for good.

    Its plugin for CPUs gives the thread that loads it a stack for signal handlers, and frees that stack when it is unloaded. Where
    another thread drops the last core, the first one is left with a stack that is no more: the next Ctrl-C ends the process.
    """
    import openvino

    core = openvino.Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # loads the plugin
    return core


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn OpenVINO's refusal of a model file into one line."""
    import openvino

    try:
        yield
    except (RuntimeError, TypeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
        raise RunError(
            f"{path} cannot be read by OpenVINO {openvino.__version__} ({reason}): export again, or install a newer OpenVINO."
        ) from error
