"""What happens beside the Trainer's loop: history, progress, and a clean stop on Ctrl-C."""

from __future__ import annotations

import logging
import math
import signal
import threading
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from matinee.core.errors import InterruptedTrainingError

if TYPE_CHECKING:
    from types import FrameType

    from matinee.core.progress import Bar
    from matinee.core.run import RunFolder

logger = logging.getLogger(__name__)

_SHOWN = {"eval_loss": "loss", "eval_accuracy": "accuracy", "eval_f1": "F1"}

# Scores this many standard errors apart are told apart.
_ERRORS = 2

# The Trainer's own bookkeeping, of no use to a reader of the history.
_NOISE = ("total_flos", "_runtime", "_per_second", "train_loss")


def history_rows(log_history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Trainer's log as one plain dict per logged step, without its speed figures."""
    rows = [
        {name: value for name, value in row.items() if not any(noise in name for noise in _NOISE)}
        for row in log_history
    ]
    return [row for row in rows if set(row) - {"step", "epoch"}]


def _finite(value: Any) -> Any:
    """Return the value, None for the infinities and NaN of a diverging training: JSON has no word for them."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class HistoryCallback(TrainerCallback):  # type: ignore[misc]
    """Writes `history.jsonl` after every logged step, so that a running training can be followed."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Rewrite the file from the Trainer's whole log: after a resume nothing stands in it twice."""
        self.run.write_history(history_rows(state.log_history))


class LaterIfAsGoodCallback(TrainerCallback):  # type: ignore[misc]
    """Prefers the latest epoch whose validation score is within two standard errors of the best.

    With 200 validation texts an accuracy of 0.85 has a standard error of 0.025: the best of a few epochs is mostly the
    luckiest. The learning rate falls to zero, so that of epochs that cannot be told apart the last one is the safest bet;
    in docs/lab.md, choosing the luckiest cost up to five points of accuracy, and one standard error was not enough. The
    rule is that of Breiman et al. 1984, with two errors for one and "later" in the place of "simpler".

    It runs before the Trainer looks for a strictly better score, which then keeps the epoch too.
    """

    def __init__(self, metric: str, n_validation: int) -> None:
        self.metric = metric
        self.n_validation = n_validation

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Keep this epoch if it is as good as the best so far."""
        best, score = state.best_metric, metrics[f"eval_{self.metric}"]
        if best is None or not state.global_step:
            return
        if score >= best - _ERRORS * math.sqrt(best * (1 - best) / self.n_validation):
            state.best_global_step = state.global_step


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Shows steps, loss and validation scores."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.note = ""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar."""
        self.bar.update(state.global_step, self.note)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Show the latest loss, and report each epoch's validation scores."""
        logs = logs or {}
        if "loss" in logs:
            self.note = f"loss {logs['loss']:.3f}"
        if "eval_loss" in logs:
            scores = [f"{title} {logs[name]:.3f}" for name, title in _SHOWN.items() if name in logs]
            logger.info(f"Epoch {state.epoch or 0:.3g}: validation {', '.join(scores)}")


class StopCallback(TrainerCallback):  # type: ignore[misc]
    """Ctrl-C finishes the step under way, saves a checkpoint, and stops; a second Ctrl-C stops at once.

    Use as a context manager around training. Signals reach the main thread only; elsewhere nothing is installed.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.asked = False
        self._previous: Any = None

    def __enter__(self) -> StopCallback:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have the state saved now. At the last step of an epoch the Trainer saves by itself, after its evaluation."""
        if self.asked and state.epoch != int(state.epoch):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave, once the state is safe."""
        self.raise_if_asked(state)

    def raise_if_asked(self, state: Any) -> None:
        """Raise InterruptedTrainingError if Ctrl-C was pressed."""
        if self.asked:
            raise InterruptedTrainingError(
                f"Stopped at step {state.global_step} of {state.max_steps}; the state is saved. "
                f"Continue with `matinee train --resume {self.run.path}`."
            )

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("Stopping after this step and saving the state (Ctrl-C again: at once).")
