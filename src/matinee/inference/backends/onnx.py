"""Predicts with ONNX Runtime, from what `matinee export --to onnx` wrote: wherever Python runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import RunError
from matinee.inference.backends.encoder import MANY_INPUTS, EncoderPredictor, n_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matinee.tokens import TextPreparation

_ERRORS_ONLY = 3


class OnnxPredictor(EncoderPredictor):
    """A transformer classifier computed by ONNX Runtime, one text at a time.

    Dynamic int8 takes the scale of the activations from all that is computed at once: in a batch, a text's answer would
    depend on the texts beside it. Alone it has no padding either, so that as much is computed as there is to read, and
    cores are kept busy by a text each.

    Args:
        path: The `.onnx` file.
        preparation: From texts to token ids, as in training.
        label_names: In the order of the logits.
        threshold: As in `Predictor`.

    Raises:
        RunError: ONNX Runtime cannot read the file.
    """

    def __init__(
        self, path: Path, preparation: TextPreparation, label_names: tuple[str, ...], threshold: float | None = None
    ) -> None:
        super().__init__(preparation, label_names, threshold)
        self._path = path
        # By threads of one text; made when first needed, for each holds the weights.
        self._sessions: dict[int, Any] = {}
        self._session(n_threads())

    def rows(self, inputs: Sequence[NDArray[np.int32]], done: Callable[[int], None]) -> NDArray[np.float32]:
        """Return what the classifier says of each input; see `EncoderPredictor.rows`."""
        rows = np.empty((len(inputs), self.n_columns), dtype=np.float32)
        longest_first = np.argsort([-len(row) for row in inputs], kind="stable")
        threads = n_threads()
        if len(inputs) < MANY_INPUTS or threads == 1:
            session = self._session(threads)
            computed: Iterator[NDArray[np.float32]] = (_run(session, inputs[row]) for row in longest_first)
            _collect(computed, longest_first, rows, done)
            return rows
        session, pool = self._session(1), ThreadPoolExecutor(threads, "onnx")
        try:
            computed = pool.map(lambda row: _run(session, inputs[row]), longest_first)
            _collect(computed, longest_first, rows, done)
        finally:
            pool.shutdown(cancel_futures=True)
        return rows

    def _session(self, threads: int) -> Any:
        import onnxruntime

        if threads not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = threads, _ERRORS_ONLY
            try:
                session = onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
            except Exception as error:  # its errors share no narrower class
                reason = (str(error).strip().splitlines() or ["no reason given"])[0]
                raise RunError(
                    f"{self._path} cannot be read by ONNX Runtime {onnxruntime.__version__} ({reason}): export again, or "
                    "install a newer ONNX Runtime."
                ) from error
            self._sessions[threads] = session
        return self._sessions[threads]


def _run(session: Any, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the row of one input, shape (n_columns,)."""
    input_ids = ids.astype(np.int64)[None]
    (rows,) = session.run(None, {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids)})
    row: NDArray[np.float32] = rows[0]
    return row


def _collect(
    computed: Iterator[NDArray[np.float32]],
    order: NDArray[np.int64],
    rows: NDArray[np.float32],
    done: Callable[[int], None],
) -> None:
    for n_done, (place, row) in enumerate(zip(order, computed, strict=True), start=1):
        rows[place] = row
        done(n_done)
