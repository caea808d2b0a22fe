"""The trials of a search: what one of them does, and the loop in which a process does one after the other.

A trial learns from the train texts and is scored on the validation texts. The test texts are not even tokenised: what was
chosen by them could no longer be tested on them.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from matinee.core import hub
from matinee.core.errors import (
    MatineeError,
    NotAvailableError,
    SettingsError,
    StoppedError,
    StorageError,
    TrainingError,
)
from matinee.core.progress import told_to
from matinee.core.run import RunFolder
from matinee.core.space import varied
from matinee.training.study import FINISHED, Outcome, StudyStorageError, TakenOverError, task_of
from matinee.workflow.calibrating import calibrate
from matinee.workflow.fitting import Watch, check_encoder, fine_tune, fit_linear, locate_encoder
from matinee.workflow.study_plan import TRIALS, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from matinee.core.settings import Settings
    from matinee.core.types import Dataset
    from matinee.model.feature_cache import FeatureCache
    from matinee.training.study import OpenTrial, SharedStudy, TrialRow
    from matinee.training.workers import Owner
    from matinee.workflow.fitting import LocatedEncoder

logger = logging.getLogger(__name__)

# Failures in a row, from the first trial on, after which the cause is most likely none that another trial lacks.
MOST_FAILURES = 5

# Drawn settings that contradict each other, for each trial that is wanted, after which they count as trials: a search ends.
_MOST_IMPOSSIBLE = 20

# States of trials that are none, or are tried again in another's place.
_UNDONE = ("lost", "impossible")

# Seconds between looks at a study whose last trials others work on.
_SECONDS_BETWEEN_LOOKS = 0.5


class Stop:
    """Ctrl-C lets the trial under way finish; a second one takes effect at once. Use as a context manager.

    Args:
        also: Whether to stop for another reason.
    """

    def __init__(self, also: Callable[[], bool] = lambda: False) -> None:
        self._also = also
        self._asked = False
        self._previous: Any = None

    @property
    def asked(self) -> bool:
        """Whether no further trial shall be begun."""
        return self._asked or self._also()

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a handler
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        logger.warning("Stopping after the trial under way (Ctrl-C again: at once, and it is tried again later).")


class _PrunedError(Exception):
    """A trial is not worth its end."""


class TrialRunner:
    """Trains and scores the settings of one trial after the other.

    Args:
        plan: Of the search.
        dataset: The base's; None: it is read.
    """

    def __init__(self, plan: Plan, dataset: Dataset | None = None) -> None:
        self.plan = plan
        self._datasets = {} if dataset is None else {plan.base.training.seed: _without_test(dataset)}
        self._encoders: dict[str, LocatedEncoder] = {}
        self._cache: FeatureCache | None = None

    def run(self, trial: OpenTrial, settings: Settings) -> Outcome:
        """Train and score; whatever goes wrong is an outcome too, but Ctrl-C and a storage that cannot be used.

        Raises:
            StudyStorageError: The score cannot be told, which says nothing of the settings.
            TakenOverError: Nobody waits for it any more.
        """
        start, epochs = time.perf_counter(), list[list[float]]()

        def tell(epoch: float, scores: Mapping[str, float]) -> None:
            value = scores.get(self.plan.metric, scores.get("loss") if self.plan.metric == "log_loss" else None)
            if value is None:
                return
            epochs.append([round(epoch, 4), float(value)])
            if trial.report(epoch / settings.training.epochs, float(value)):
                raise _PrunedError

        def outcome(state: Any, value: float | None, reason: str | None = None) -> Outcome:
            return Outcome(state, value, round(time.perf_counter() - start, 2), reason, epochs)

        try:
            with _quietly(is_first=not trial.number):
                return outcome("complete", self._score(settings, tell))
        except _PrunedError:
            done = f"after {epochs[-1][0]:g} of {settings.training.epochs:g} epochs"
            return outcome("pruned", epochs[-1][1], f"stopped {done}: not as good as others were by then")
        except SettingsError as error:
            return outcome("pruned", None, _one_line(error))
        except (StudyStorageError, TakenOverError):
            raise
        except Exception as error:  # noqa: BLE001 - a search of a night shall not end for one trial
            if _is_memory(error):
                return outcome("pruned", None, f"out of memory: {_one_line(error)}")
            may_pass = isinstance(error, (NotAvailableError, StorageError))
            return replace(outcome("failed", None, _one_line(error)), may_pass=may_pass)

    def _score(self, settings: Settings, tell: Callable[[float, Mapping[str, float]], None]) -> float:
        """Return what the settings score on validation.

        Raises:
            MatineeError: They cannot be trained, or leave the metric undefined.
        """
        from matinee.data import Augmentations
        from matinee.evaluation import point_scores

        Augmentations.parse(settings.training.augment)
        dataset, encoder = self._dataset(settings), self._encoder(settings)
        check_encoder(encoder, settings)
        if encoder.folder is None:
            linear = fit_linear(dataset, settings, encoder.name)
            calibrated = calibrate(linear, dataset.splits["validation"], settings.training)
        else:
            with self._scratch() as folder:
                tuned = fine_tune(
                    dataset,
                    settings,
                    encoder,
                    RunFolder(folder),
                    Watch(),
                    throwaway=True,
                    each_epoch=tell,
                    cache=self._features(),
                )
            calibrated = tuned.calibrated
        scores = point_scores(calibrated.validation)
        if self.plan.metric not in scores:
            raise TrainingError(f"--metric {self.plan.metric} is undefined on these validation texts")
        return scores[self.plan.metric]

    def _dataset(self, settings: Settings) -> Dataset:
        """Return train and validation; another seed draws other train texts where not all are taken."""
        from matinee.data import load_dataset

        seed = settings.training.seed
        if settings.data.train_size is None and self._datasets:
            return next(iter(self._datasets.values()))
        if seed not in self._datasets:
            with hub.offline(self.plan.offline):
                self._datasets[seed] = _without_test(load_dataset(settings.data, seed=seed))
        return self._datasets[seed]

    def _encoder(self, settings: Settings) -> LocatedEncoder:
        name = settings.model.encoder
        if name not in self._encoders:
            with hub.offline(self.plan.offline):
                self._encoders[name] = locate_encoder(settings)
        return self._encoders[name]

    def _features(self) -> FeatureCache:
        from matinee.model.feature_cache import FeatureCache

        if self._cache is None:
            self._cache = FeatureCache(self.plan.folder.features)
        return self._cache

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        folder = self.plan.folder.workers / f"scratch-{uuid4().hex[:12]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _free_memory()


def work(
    plan: Plan,
    shared: SharedStudy,
    runner: TrialRunner,
    settings_of: Callable[[OpenTrial], Settings],
    *,
    stop: Stop,
    seen: Callable[[], None] = lambda: None,
) -> None:
    """Do one trial after the other, until the study has as many as it shall have, time is over, or Ctrl-C.

    Args:
        plan: Of the search.
        shared: What the trials belong to.
        runner: Does them.
        settings_of: Gives a trial's settings.
        stop: Set by Ctrl-C.
        seen: Called after each trial, and now and then while others do the last ones.

    Raises:
        TrainingError: The first trials of the study all failed.
        StudyStorageError: The storage cannot be used; a trial that was under way is tried again later.
        StoppedError: Ctrl-C was pressed twice.
    """
    reasons: list[str] | None = None if any(row.state == "complete" for row in shared.rows()) else []
    with shared.workers.enrolled() as owner:
        while not stop.asked and not _is_over(plan):
            try:
                trial = _next_trial(plan, shared, owner)
            except TakenOverError:  # nothing was done for it yet
                continue
            if trial is None:
                if not _others_at_work(shared):
                    return
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                seen()
                continue
            try:
                outcome = _settled(shared, trial) or _do(trial, runner, settings_of)
                trial.close(outcome)
            except TakenOverError:
                logger.warning(
                    f"Trial {trial.number} was taken over by another process, which had heard nothing of this one for minutes."
                )
                continue
            seen()
            if outcome.state == "impossible":
                continue
            reasons = None if reasons is None or outcome.state != "failed" else [*reasons, outcome.reason or ""]
            if reasons and len(reasons) >= MOST_FAILURES and not _goes_on_elsewhere(shared):
                raise TrainingError(f"The first {len(reasons)} trials failed: {in_words(reasons)}.")


def _settled(shared: SharedStudy, trial: OpenTrial) -> Outcome | None:
    """Return how a trial ends that need not be done; None where it must.

    Machines that share a storage but no folder may enter the same task at the same time: the first one counts. Trials of the same
    settings have the same seed, and come to the same end.
    """
    task, rows = task_of(trial.attrs, trial.values), shared.rows()
    for row in rows:
        is_earlier = row.number < trial.number and row.state not in _UNDONE
        if task is not None and is_earlier and task == task_of(row.attrs, row.values):
            return Outcome("impossible", None, 0.0, f"entered twice: the same as trial {row.number}")
    for row in rows if trial.values else []:
        if row.outcome is not None and row.outcome.state == "complete" and row.values == trial.values:
            return replace(row.outcome, seconds=0.0, reason=f"the same settings as trial {row.number}")
    return None


def _do(trial: OpenTrial, runner: TrialRunner, settings_of: Callable[[OpenTrial], Settings]) -> Outcome:
    try:
        try:
            settings = settings_of(trial)
        except SettingsError as error:
            return Outcome("impossible", None, 0.0, f"cannot be: {_one_line(error)}")
        with trial.alive():
            return runner.run(trial, settings)
    except KeyboardInterrupt:
        trial.give_back()
        raise StoppedError(f"Stopped in the middle of trial {trial.number}, which is tried again later.") from None


def _is_over(plan: Plan) -> bool:
    return plan.deadline is not None and time.time() > plan.deadline


def _next_trial(plan: Plan, shared: SharedStudy, owner: Owner) -> OpenTrial | None:
    """Return the next trial; None where the rest of them is done, or under way elsewhere.

    Processes of one machine look one after the other, so that they do not begin more trials than are wanted.
    """
    from filelock import FileLock

    with FileLock(plan.folder.lock("next")):
        shared.reclaim()
        rows = shared.rows()
        n_begun = sum(row.state in (*FINISHED, "running") for row in rows)
        n_begun += max(0, sum(row.state == "impossible" for row in rows) - _MOST_IMPOSSIBLE * plan.n_trials)
        is_waiting = any(row.state == "waiting" for row in rows)
        if n_begun >= plan.n_trials and plan.stage == TRIALS:
            return None
        if plan.only_entered and not is_waiting:
            return None
        return shared.take(owner)


def _goes_on_elsewhere(shared: SharedStudy) -> bool:
    """Return whether another process has completed a trial, or may yet: what fails here may be the lot of a few settings."""
    return any(row.state in {"complete", "running"} for row in shared.rows())


def _others_at_work(shared: SharedStudy) -> bool:
    return any(row.state == "running" for row in shared.rows())


def settings_of_trial(plan: Plan) -> Callable[[OpenTrial], Settings]:
    """Return what gives a trial's settings: the base's, or the base with the trial's values in it."""

    def settings_of(trial: OpenTrial) -> Settings:
        return plan.base if trial.attrs.get("base") else varied(plan.base, trial.values)

    return settings_of


def settings_of_finalist(plan: Plan, rows: list[TrialRow]) -> Callable[[OpenTrial], Settings]:
    """Return what gives the settings of a repeated trial: its own, with another seed."""
    by_number = {row.number: row for row in rows}

    def settings_of(trial: OpenTrial) -> Settings:
        row = by_number[trial.attrs["number"]]
        values = {} if row.attrs.get("base") else row.values
        return varied(plan.base, {**values, "seed": trial.attrs["seed"]})

    return settings_of


def run_stage(plan: Plan, dataset: Dataset | None, stop: Stop, seen: Callable[[], None] = lambda: None) -> None:
    """Do trials of the plan's stage in this process; raises as `work`."""
    runner, trials = TrialRunner(plan, dataset), plan.open_trials()
    if plan.stage == TRIALS:
        work(plan, trials, runner, settings_of_trial(plan), stop=stop, seen=seen)
    else:
        finalists = settings_of_finalist(plan, trials.rows())
        work(plan, plan.open_finalists(), runner, finalists, stop=stop, seen=seen)


def main() -> int:
    """Work on the search that standard input describes, as one process of several; errors go to standard error, one line."""
    parent = os.getppid()
    if hasattr(
        signal, "pthread_sigmask"
    ):  # Ray's threads hold the signal back, and a process has that from whoever starts it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    logging.getLogger("matinee").setLevel(logging.ERROR)
    try:
        plan = Plan.from_json(sys.stdin.read())
        with Stop(lambda: os.getppid() != parent) as stop, hub.offline(plan.offline):
            run_stage(plan, None, stop)
    except MatineeError as error:
        sys.stderr.write(f"{_one_line(error)}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return StoppedError.exit_code
    return 0


def in_words(reasons: list[str], most: int = 3) -> str:
    """Return reasons in one line, the most frequent first, each once."""
    once = sorted(dict.fromkeys(reasons), key=lambda reason: -reasons.count(reason))
    parts = [f"{reason.rstrip('.')}{f' ({n} times)' if (n := reasons.count(reason)) > 1 else ''}" for reason in once]
    return "; ".join(parts[:most]) + (f"; and {len(parts) - most} other reasons" if len(parts) > most else "")


def _without_test(dataset: Dataset) -> Dataset:
    return replace(dataset, splits={name: of for name, of in dataset.splits.items() if name != "test"})


@contextmanager
def _quietly(*, is_first: bool) -> Iterator[None]:
    """Leave out what each training says of itself: a search has a line for it. What it warns of is told once."""
    log = logging.getLogger("matinee")
    before = log.level
    if before != logging.DEBUG:
        log.setLevel(max(before, logging.WARNING if is_first else logging.ERROR))
    try:
        with told_to(lambda share: None, ""):  # noqa: ARG005 - nobody listens
            yield
    finally:
        log.setLevel(before)


def _is_memory(error: BaseException | None) -> bool:
    from matinee.training.recovery import is_out_of_memory

    while error is not None:
        if isinstance(error, Exception) and is_out_of_memory(error):
            return True
        error = error.__cause__
    return False


def _free_memory() -> None:
    import gc

    from matinee.training.recovery import free_memory

    gc.collect()  # a model and what trained it refer to each other
    free_memory()


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, MatineeError):
        text = f"{type(error).__name__}: {text}"
    return text[:500].rstrip(".")
