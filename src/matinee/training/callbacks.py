"""What happens beside the Trainer's loop: history, progress, and a clean stop on Ctrl-C."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from matinee.core.errors import InterruptedTrainingError, StorageError
from matinee.core.files import check_reachable, why_away
from matinee.core.ranks import is_helper, world_size
from matinee.training.estimate import announce
from matinee.training.processes import any_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    import torch

    from matinee.core.progress import Bar
    from matinee.core.run import RunFolder
    from matinee.training.estimate import Work
    from matinee.training.evaluations import Evaluations
    from matinee.training.trackers import Trackers
    from matinee.training.trainer import FineTuner

logger = logging.getLogger(__name__)

_SHOWN = {"eval_loss": "loss", "eval_accuracy": "accuracy", "eval_f1": "F1"}

_SECONDS_BETWEEN_UPDATES = 0.25

# Scores this many standard errors apart are told apart.
_ERRORS = 2

# The Trainer's own bookkeeping, of no use to a reader of the history.
_NOISE = ("total_flos", "_runtime", "_per_second", "train_loss")


def history_rows(log_history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Trainer's log as one plain dict per logged step, without its speed figures."""
    rows = [
        {name: _finite(value) for name, value in row.items() if not any(noise in name for noise in _NOISE)}
        for row in log_history
    ]
    return [row for row in rows if set(row) - {"step", "epoch"}]


def _finite(value: Any) -> Any:
    """Return the value, None for the infinities and NaN of a diverging training: JSON has no word for them."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class HistoryCallback(TrainerCallback):  # type: ignore[misc]
    """Writes `history.jsonl` after every logged step, so that a running training can be followed.

    The file is written whole each time, so that nothing is lost where it cannot be written while a drive is away: training
    waits for the drive when it has a checkpoint to write, no sooner.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.is_away = False

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Rewrite the file from the Trainer's whole log: after a resume nothing stands in it twice."""
        try:
            check_reachable(self.run.checkpoints)
            self.run.write_history(history_rows(state.log_history))
        except (OSError, StorageError) as error:
            reason = why_away(error, self.run.checkpoints)
            if reason is None:
                raise
            if not self.is_away:
                logger.warning(f"{self.run.history} cannot be written now ({reason}); training goes on meanwhile.")
            self.is_away = True
        else:
            self.is_away = False


class TrackerCallback(TrainerCallback):  # type: ignore[misc]
    """Tells the trackers of every logged step."""

    def __init__(self, trackers: Trackers) -> None:
        self.trackers = trackers

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hand on the newest row of the Trainer's log."""
        for row in history_rows(state.log_history[-1:]):
            self.trackers.log(row["step"], row)


class EvaluationsCallback(TrainerCallback):  # type: ignore[misc]
    """Has the Trainer evaluate and save within epochs too; at their ends it does so by itself."""

    def __init__(self, evaluations: Evaluations) -> None:
        self.evaluations = evaluations
        self.last = -1

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for an evaluation, and for a checkpoint of what it is about."""
        if state.global_step < state.max_steps and self.evaluations.is_within_epoch(state.global_step):
            control.should_evaluate = control.should_save = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note what was evaluated."""
        self.last = state.global_step

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave it at one evaluation of the same weights where training stopped early within an epoch."""
        if self.last == state.global_step:
            control.should_evaluate = control.should_save = False


class LaterIfAsGoodCallback(TrainerCallback):  # type: ignore[misc]
    """Prefers the latest evaluation whose validation score is within two standard errors of the best.

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
        # The fitted head was there first, and the reasons for the later one do not hold for it: an epoch must match it.
        errors = _ERRORS if state.best_global_step else 0
        if score >= best - errors * math.sqrt(best * (1 - best) / self.n_validation):
            state.best_global_step = state.global_step


class StartCallback(TrainerCallback):  # type: ignore[misc]
    """Enters the classifier as it is before the first step, the fitted head on the encoder as it came, as the one to beat.

    With a few labels it beats every fine-tuned epoch (Kumar et al. 2022). It needs the evaluation before the first step.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Make it the best so far; checkpoints hold that."""
        if not state.global_step:
            state.best_metric, state.best_global_step = metrics[f"eval_{self.metric}"], 0


class PatienceCallback(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Stops training after some evaluations without a better validation score.

    Transformers' own would count what is there before the first step as an epoch to beat, once it is entered as one: the
    learning rate is still rising when a fitted head is ahead.
    """

    def __init__(self, patience: int, metric: str, *, higher_is_better: bool) -> None:
        self.patience = patience
        self.metric = metric
        self.higher_is_better = higher_is_better
        self.best: float | None = None
        self.n_worse = 0

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Count the evaluation."""
        if not state.global_step:
            return
        score = metrics[f"eval_{self.metric}"]
        if self.best is None or (score > self.best if self.higher_is_better else score < self.best):
            self.best, self.n_worse = score, 0
        else:
            self.n_worse += 1
        control.should_training_stop |= self.n_worse >= self.patience

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {
            "args": {"patience": self.patience, "metric": self.metric, "higher_is_better": self.higher_is_better},
            "attributes": {"best": self.best, "n_worse": self.n_worse},
        }


class EachEpochCallback(TrainerCallback):  # type: ignore[misc]
    """Tells somebody of the validation scores of each evaluation after the first step; what they raise ends the training."""

    def __init__(self, tell: Callable[[float, Mapping[str, float]], None]) -> None:
        self.tell = tell

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Hand on epoch and scores, by their own names."""
        if state.global_step:
            own = {name.removeprefix("eval_"): value for name, value in metrics.items() if name.startswith("eval_")}
            self.tell(float(state.epoch or 0), own)


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Says how long it will all take, and shows epoch, loss, speed and what is left; reports each epoch's scores.

    Args:
        bar: On show.
        trainer: Whose pace it is.
        work: What there is to do, in training and afterwards.
        announced: Whether to measure the pace before the first step, and say what follows from it.
    """

    def __init__(self, bar: Bar, trainer: FineTuner, work: Work, *, announced: bool) -> None:
        self.bar = bar
        self.trainer = trainer
        self.work = work
        self.announced = announced
        self.loss = ""
        self.shown = 0.0
        self.seconds, self.n_texts, self.n_tokens = 0.0, 0, 0
        self.unseen: tuple[float, Any] = (0.0, 0)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the pace, once: validation was read before the first epoch, unless the training is a resumed one."""
        if self.announced:
            announce(self.trainer, self.work, state.epoch or 0.0)
        self.announced = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar."""
        now, update = time.perf_counter(), self.trainer.update
        # The other processes' shares are as large as this one's, but for a text.
        self.n_texts += sum(len(batch["labels"]) for batch in update.batches) * world_size()
        # Tokens are counted on the device and fetched now and then: a GPU would have to be waited for.
        seconds, tokens = self.unseen
        tokens = sum((batch["attention_mask"].sum() for batch in update.batches), start=tokens)
        self.unseen = seconds + now - update.started, tokens
        if now - self.shown < _SECONDS_BETWEEN_UPDATES and state.global_step < state.max_steps:
            return
        self.shown = now
        seconds, tokens, self.unseen = self.unseen[0], int(self.unseen[1]) * world_size(), (0.0, 0)
        self.trainer.pace.add("training", seconds, tokens)
        self.seconds, self.n_tokens = self.seconds + seconds, self.n_tokens + tokens
        left = sum(self.work.left(state.epoch, self.trainer.pace).values())
        self.bar.update(state.global_step, self._note(state.epoch), left)

    def _note(self, epoch: float) -> str:
        parts = [f"epoch {math.ceil(epoch)} of {self.work.epochs:g}", self.loss]
        parts += [f"{self.n_texts / self.seconds:,.0f} texts/s", f"{self.n_tokens / self.seconds:,.0f} tokens/s"]
        return ", ".join(filter(None, parts))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Show the latest loss, and report each epoch's validation scores."""
        logs = logs or {}
        if "loss" in logs:
            self.loss = f"loss {logs['loss']:.3f}"
        if "eval_loss" in logs:
            scores = [f"{title} {logs[name]:.3f}" for name, title in _SHOWN.items() if name in logs]
            logger.info(f"Epoch {state.epoch or 0:.3g}: validation {', '.join(scores)}")


class StopCallback(TrainerCallback):  # type: ignore[misc]
    """Ctrl-C finishes the step under way, saves a checkpoint, and stops; a second Ctrl-C stops at once.

    Use as a context manager around training. Signals reach the main thread only; elsewhere nothing is installed. Of several
    processes each hears the signal when it does: they agree after each step, so that all stop after the same one.

    Args:
        run: To say how to go on.
        device: What the processes compute on.
    """

    def __init__(self, run: RunFolder, device: torch.device | str = "cpu") -> None:
        self.run = run
        self.device = device
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
        """Have the state saved now. At the last step of an epoch, or of all, the Trainer saves by itself, after evaluating."""
        asked = any_process(self.asked, self.device)
        if asked and state.epoch != int(state.epoch) and state.global_step < state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave, once the state is safe."""
        self.raise_if_asked(state)

    def raise_if_asked(self, state: Any) -> None:
        """Raise InterruptedTrainingError if Ctrl-C was pressed, in the first process; to be called by all, the others end."""
        if any_process(self.asked, self.device):
            if is_helper():
                raise SystemExit(0)  # the first process says it
            raise InterruptedTrainingError(
                f"Stopped at step {state.global_step} of {state.max_steps}; the state is saved. "
                f"Continue with `matinee train --resume {self.run.path}`."
            )

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if not is_helper():
            logger.warning("Stopping after this step and saving the state (Ctrl-C again: at once).")
