"""A study: the trials of one search, kept by Optuna in a database or a file that several processes and machines can share.

Optuna alone lives here: which settings are tried next, which trial is stopped early, and what was tried so far. What a
trial does is somebody else's business.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matinee.core.errors import MatineeError, NotAvailableError, SettingsError
from matinee.core.space import Choices, Range
from matinee.training.workers import is_recent, pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import optuna

    from matinee.core.space import Dimension, Space
    from matinee.training.workers import Owner, Workers

JOURNAL = "journal:"
"""What a storage begins with that is a file of lines, for drives on which a database cannot lock its file."""

STEPS = 4
"""Parts of a training at which trials are compared. Epochs will not do: after the first of four, the learning rate still rises."""

_STARTUP_TRIALS = 5  # complete ones, before which the median pruner stops nothing

# Seconds to wait for a database that another process has locked.
_PATIENCE = 60.0

# The database's driver, by what the URL begins with, and what installs it.
_DRIVERS = {"postgresql": '"psycopg[binary]"', "mysql": "mysqlclient", "mariadb": "mysqlclient"}

TrialState = Literal["complete", "pruned", "failed", "impossible", "lost", "running", "waiting"]
FINISHED: tuple[TrialState, ...] = ("complete", "pruned", "failed")
"""States of trials that count; a lost one is tried again in its place, and an impossible one was none."""

# What is said of a trial while it goes on or of how it ended, and does not pass on to the one in its place.
_OWN_ATTRS = ("owner", "beat", "given_back", "retry_of", "again_of", "outcome")


class StudyStorageError(NotAvailableError):
    """What keeps the trials cannot be used: no fault of the trial that finds out."""


class TakenOverError(Exception):
    """A trial that was worked on here has been ended by another process, which heard nothing of this one for too long."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: `"complete"`, `"pruned"`, `"failed"`, or `"impossible"`: the settings contradict each other.
        value: What it scored; of one that was stopped its last score, if it got that far.
        seconds: How long it took.
        reason: Why it is not complete; None where it is.
        epochs: Epoch and score of each evaluation.
        may_pass: Whether the reason may be gone another day: something could not be fetched.
    """

    state: TrialState
    value: float | None
    seconds: float
    reason: str | None = None
    epochs: list[list[float]] = field(default_factory=list)
    may_pass: bool = False


@dataclass(frozen=True)
class TrialRow:
    """One trial, as it is kept.

    Attributes:
        number: In the order in which they were begun.
        state: A lost one is one whose process ended before it did, or a failed one that is tried again in its place.
        values: By setting.
        attrs: What it was entered with.
        outcome: How it ended; None where it has not.
    """

    number: int
    state: TrialState
    values: dict[str, Any]
    attrs: dict[str, Any]
    outcome: Outcome | None


def check_installed() -> None:
    """Raise NotAvailableError, with the line that installs it, if what a search needs is not there."""
    absent = [name for name in ("optuna", "cmaes") if find_spec(name) is None]
    if absent:
        raise NotAvailableError(f'Searching needs {" and ".join(absent)}: pip install "matinee[search]".')


def task_of(attrs: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """Return what tells one trial that was entered beforehand from the others; None of one that was made up.

    Args:
        attrs: What it was entered with.
        values: Its values of the space's settings.
    """
    if attrs.get("base"):
        return "base"
    if attrs.get("grid"):
        return dict(values)
    if "seed" in attrs:
        return attrs["number"], attrs["seed"]
    return ("again", attrs["again_of"]) if "again_of" in attrs else None


class SharedStudy:
    """The trials of a search, or of a part of it.

    Args:
        study: Optuna's.
        space: What is tried; None: trials have no settings of their own, but what they are entered with.
        workers: Who works on it from here.
        shown: The storage, as it may be shown.
        sampler: Gives what makes up trials, by how many there are: another one for each, so that neither a study that goes
            on nor two processes draw the same twice.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space | None,
        workers: Workers,
        shown: str,
        sampler: Callable[[int], optuna.samplers.BaseSampler],
    ) -> None:
        self.study = study
        self.space = space
        self.workers = workers
        self._shown = shown
        self._sampler = sampler

    @property
    def about(self) -> dict[str, Any]:
        """What the study says of itself; empty where it is new."""
        with self._told():
            return dict(self.study.user_attrs.get("about", {}))

    def describe(self, about: Mapping[str, Any]) -> None:
        """Have the study say of itself what it is."""
        with self._told():
            self.study.set_user_attr("about", dict(about))

    def add(self, values: Mapping[str, Any], **attrs: Any) -> None:
        """Enter a trial with these values of the space's settings, to be taken before any other."""
        with self._told():
            fixed = {name: _label(value) for name, value in values.items()}
            self.study.enqueue_trial(fixed, user_attrs=attrs)

    def rows(self) -> list[TrialRow]:
        """Return every trial so far, by number."""
        with self._told():
            rows = [self._row(trial) for trial in self.study.get_trials(deepcopy=False)]
        replaced = {row.attrs.get("again_of") for row in rows}
        return [replace(row, state="lost") if row.number in replaced else row for row in rows]

    def take(self, owner: Owner) -> OpenTrial:
        """Return the next trial, to be worked on here: one that was entered, else one that the sampler makes up.

        Raises:
            TakenOverError: Before it was said whose it is, which took too long, another process ended it.
        """
        with self._told(), _ended_by_none_else():
            self.study.sampler = self._sampler(len(self.study.get_trials(deepcopy=False)))
            trial = self.study.ask()
            # Another process may have asked in between; no two trials have the same number, and nothing is drawn before it is known.
            self.study.sampler = self._sampler(trial.number)
            trial.set_user_attr("owner", owner)
            trial.set_user_attr("beat", [0, time.time()])
            own = self.space is not None and not trial.user_attrs.get("outside")
            values = {name: self._suggest(trial, name, of) for name, of in self._dimensions().items()} if own else {}
            return OpenTrial(self, trial, values)

    def reclaim(self) -> None:
        """Find trials whose process is gone, and have each tried again, once."""
        from optuna.trial import TrialState as State

        with self._told():
            running = self.study.get_trials(deepcopy=False, states=(State.RUNNING,))
            for trial in running:
                attrs = trial.user_attrs
                if not self.workers.is_gone(trial.number, attrs.get("owner"), attrs.get("beat")):
                    continue
                if "outcome" in attrs:  # it was over, all but the last word
                    self._tell(trial.number, Outcome(**attrs["outcome"]), attrs)
                elif self._lose(trial.number) and not _was_second(attrs):
                    # Who was killed before it said whose it is had not begun: the settings are not to blame.
                    self._again(_params(trial), attrs, **({"retry_of": trial.number} if "owner" in attrs else {}))

    def revive(self) -> None:
        """Have failures whose reason may be gone by now tried again in their place, and the base whatever it failed for."""
        for row in self.rows():
            if row.state == "failed" and (row.attrs.get("base") or (row.outcome is not None and row.outcome.may_pass)):
                with self._told():
                    fixed = {name: _label(value) for name, value in row.values.items()}
                    self._again(fixed, row.attrs, again_of=row.number)

    def importance(self) -> dict[str, float] | None:
        """Return how much of the differences in value each setting accounts for, as shares; None of fewer than five trials."""
        from optuna.importance import get_param_importances
        from optuna.trial import TrialState as State

        with self._told():
            complete = self.study.get_trials(deepcopy=False, states=(State.COMPLETE,))
            if len(complete) < _STARTUP_TRIALS or len({trial.value for trial in complete}) < 2:
                return None
            try:
                found = get_param_importances(self.study)
            except (ValueError, RuntimeError, ZeroDivisionError):
                return None
        shares = {name: float(share) for name, share in found.items() if math.isfinite(share)}
        return shares or None

    def _tell(self, number: int, outcome: Outcome, attrs: Mapping[str, Any]) -> bool:
        """Enter how a trial ended; False where another process was quicker."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState as State

        # Of a trial outside of the space the sampler shall not know: it would take it for a point of it; nor of one entered twice.
        states = {"complete": State.COMPLETE, "pruned": State.PRUNED, "impossible": State.PRUNED}
        is_none = attrs.get("outside") or (outcome.state == "impossible" and task_of(attrs, {}) is not None)
        state = State.FAIL if is_none else states.get(outcome.state, State.FAIL)
        try:
            self.study.tell(number, outcome.value if state is State.COMPLETE else None, state)
        except (ValueError, UpdateFinishedTrialError):
            return False
        return True

    def _lose(self, number: int) -> bool:
        return self._tell(number, Outcome("lost", None, 0.0), {})

    def _again(self, params: Mapping[str, Any], attrs: Mapping[str, Any], **more: int) -> None:
        kept = {name: of for name, of in attrs.items() if name not in _OWN_ATTRS}
        self.study.enqueue_trial(dict(params), user_attrs={**kept, **more})

    def _row(self, trial: optuna.trial.FrozenTrial) -> TrialRow:
        attrs = dict(trial.user_attrs)
        outcome = Outcome(**attrs.pop("outcome")) if "outcome" in attrs else None
        params = _params(trial)
        values = {name: _value(of, params[name]) for name, of in self._dimensions().items() if name in params}
        return TrialRow(trial.number, _state(trial, outcome), values, attrs, outcome)

    def _suggest(self, trial: optuna.Trial, name: str, of: Dimension) -> Any:
        if isinstance(of, Choices):
            return _value(of, trial.suggest_categorical(name, [_label(value) for value in of.values]))
        if of.whole:
            step = int(of.step or 1)
            return trial.suggest_int(name, int(of.low), int(_last(of)), step=step, log=of.log)
        return trial.suggest_float(name, of.low, _last(of), step=of.step, log=of.log)

    def _dimensions(self) -> dict[str, Dimension]:
        return {} if self.space is None else self.space.dimensions

    def _told(self) -> AbstractContextManager[None]:
        return storage_trouble(self._shown)


class OpenTrial:
    """A trial that this process works on."""

    def __init__(self, shared: SharedStudy, trial: optuna.Trial, values: dict[str, Any]) -> None:
        self.shared = shared
        self.trial = trial
        self.values = values
        self._reported: set[int] = set()

    @property
    def number(self) -> int:
        """In the order in which they were begun."""
        return self.trial.number

    @property
    def attrs(self) -> dict[str, Any]:
        """What it was entered with."""
        return dict(self.trial.user_attrs)

    def alive(self) -> AbstractContextManager[None]:
        """Have other machines see, in the block, that it is being worked on."""
        storage, trial_id = self.trial.storage, self.trial._trial_id  # its own attributes are not for a second thread
        return pulse(lambda n: storage.set_trial_user_attr(trial_id, "beat", [n, time.time()]))

    def report(self, share: float, value: float) -> bool:
        """Tell the score after a share of the training; return whether the rest of it is not worth the time.

        Raises:
            TakenOverError: Nobody waits for it any more.
        """
        step = math.floor(share * STEPS + 1e-9)
        if not step or step in self._reported or not math.isfinite(value):
            return False
        self._reported.add(step)
        with self._ours():
            self.trial.report(value, step)
            # The base is what all others are held against: it runs to its end.
            return step < STEPS and not self.attrs.get("base") and self.trial.should_prune()

    def close(self, outcome: Outcome) -> None:
        """Enter how it ended.

        Raises:
            TakenOverError: It has been entered otherwise.
        """
        with self._ours():
            self.trial.set_user_attr("outcome", asdict(outcome))
            self.shared._tell(self.number, outcome, self.attrs)

    def give_back(self) -> None:
        """Leave it undone: it is tried again later."""
        with suppress(TakenOverError), self._ours():
            self.trial.set_user_attr("given_back", True)
            if self.shared._lose(self.number):
                self.shared._again(self.trial.params, self.attrs)  # whoever stopped it: no fault of its own

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Turn what the storage refuses into errors that say why.

        Raises:
            StudyStorageError: It cannot be used.
            TakenOverError: The trial is over: somebody else has ended it.
        """
        with self.shared._told(), _ended_by_none_else():
            yield


@contextmanager
def _ended_by_none_else() -> Iterator[None]:
    """Raise TakenOverError where a trial that is worked on here has been ended by somebody else."""
    from optuna.exceptions import UpdateFinishedTrialError

    try:
        yield
    except UpdateFinishedTrialError:
        raise TakenOverError from None


def open_study(
    storage: str,
    name: str,
    workers: Workers,
    *,
    space: Space | None,
    higher_is_better: bool = True,
    sampler: str = "random",
    pruner: str = "none",
    seed: int = 0,
) -> SharedStudy:
    """Return the study of that name in a storage, made where there is none.

    Args:
        storage: A database's URL as SQLAlchemy reads it, or `journal:` and the path of a file.
        name: Of the study in the storage.
        workers: Who works on it from here.
        space: What is tried; None: only what is entered.
        higher_is_better: Whether a larger value is the better one.
        sampler: One of `matinee.core.space.SAMPLERS`.
        pruner: One of `matinee.core.space.PRUNERS`.
        seed: Of the sampler.

    Raises:
        NotAvailableError: The storage cannot be reached, is locked, or needs a driver that is not installed.
        SettingsError: The sampler cannot sample from this space.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _sampler(sampler, space, seed)
    shown = shown_storage(storage)
    with storage_trouble(shown):
        study = optuna.create_study(
            storage=_backend(storage),
            study_name=name,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
            pruner=_pruner(pruner),
        )
    return SharedStudy(study, space, workers, shown, lambda n_trials: _sampler(sampler, space, seed + 1_000 * n_trials))


def worked_on_elsewhere(storage: str, name: str, workers: Workers) -> str | None:
    """Return the machine on which another folder's process works on that study, by its pulse; None where there is none.

    Raises:
        StudyStorageError: The storage cannot be used.
    """
    import optuna
    from optuna.trial import TrialState as State

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with storage_trouble(shown_storage(storage)):
        backend = _backend(storage)
        if name not in optuna.get_all_study_names(backend):
            return None
        running = optuna.load_study(study_name=name, storage=backend).get_trials(
            deepcopy=False, states=(State.RUNNING,)
        )
    attrs = [trial.user_attrs for trial in running]
    owners = [each["owner"] for each in attrs if "owner" in each and is_recent(each.get("beat"))]
    return next((owner["host"] for owner in owners if not workers.are_here(owner)), None)


def delete_study(storage: str, name: str) -> None:
    """Delete the study of that name, if there is one.

    Raises:
        NotAvailableError: As `open_study`.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with storage_trouble(shown_storage(storage)):
        backend = _backend(storage)
        if name in optuna.get_all_study_names(backend):
            optuna.delete_study(study_name=name, storage=backend)


def is_in_memory(storage: str) -> bool:
    """Return whether a storage is a database that ends with its process: what one of them enters no other one sees."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return False
    inside = url.database in (None, "", ":memory:") or "mode=memory" in storage
    return url.drivername.startswith("sqlite") and inside


def shown_storage(storage: str) -> str:
    """Return a storage as it may be shown: without its password."""
    if storage.startswith(JOURNAL):
        return storage
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(storage).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "given by --storage"


@contextmanager
def storage_trouble(shown: str) -> Iterator[None]:
    """Turn what a database or a file refuses into one line that holds no password.

    Raises:
        StudyStorageError: It did.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MatineeError:
        raise
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StudyStorageError(f"The storage {shown} cannot be used: {_refusal(error)}.") from None
    except (ValueError, KeyError, TypeError, AssertionError) as error:  # as Optuna takes lines of another
        if not shown.startswith(JOURNAL):
            raise
        raise StudyStorageError(f"The storage {shown} cannot be used: the file is damaged, or no journal.") from error
    except OSError as error:
        raise StudyStorageError(
            f"The storage {shown} cannot be used: {error.strerror or 'it cannot be reached'}."
        ) from None


def _refusal(error: BaseException) -> str:
    """Return why in a few words; a driver's own may name the user, the host, and whatever else was in the URL."""
    said = " ".join(str(each) for each in (error, error.__cause__, getattr(error, "orig", None)) if each).lower()
    known = {
        "database is locked": "another process has locked it; try again, or take journal:FILE, made for shared drives",
        "readonly": "it is read-only",
        "read-only": "it is read-only",
        "unable to open database file": "the file cannot be opened; is its folder there?",
        "not a database": "the file is no database",
        "could not parse": "it is no URL; write sqlite:///study.db, postgresql://user:password@host/database or journal:FILE",
        "can't load plugin": "no such kind of database is known",
        "authentication failed": "user or password are wrong",
        "access denied": "user or password are wrong",
        "no space": "no space left on the device",
        "disk is full": "no space left on the device",
    }
    for words, reason in known.items():
        if words in said:
            return reason
    return "it cannot be reached; is the server running, and the address right?"


def _backend(storage: str) -> Any:
    """Return Optuna's storage."""
    import optuna

    if storage.startswith(JOURNAL):
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        path = str(Path(storage.removeprefix(JOURNAL)).expanduser())
        return optuna.storages.JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    kind = storage.partition(":")[0].partition("+")
    waits = {"connect_args": {"timeout": _PATIENCE}} if kind[0] == "sqlite" else {"pool_pre_ping": True}
    try:
        return optuna.storages.RDBStorage(storage, engine_kwargs=waits)
    except ImportError:
        driver = kind[2] or _DRIVERS.get(kind[0], f"the driver of {kind[0]}")
        raise NotAvailableError(
            f"The storage {shown_storage(storage)} needs a driver that is not installed: pip install {driver}."
        ) from None
    except RuntimeError:
        raise NotAvailableError(
            f"The storage {shown_storage(storage)} was made by another version of Optuna: take another one."
        ) from None


def _pruner(name: str) -> optuna.pruners.BasePruner:
    import optuna

    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=STEPS, reduction_factor=2)
    return optuna.pruners.NopPruner()


def _sampler(name: str, space: Space | None, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if name == "cmaes":
        n_ranges = sum(isinstance(of, Range) for of in space.dimensions.values()) if space is not None else 0
        if n_ranges < 2:
            raise SettingsError(
                f"--sampler cmaes needs at least two ranges in the space, which has {n_ranges}: take tpe."
            )
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.RandomSampler(seed=seed)  # what a grid tries is entered beforehand


def _last(of: Range) -> float:
    """Return the last value of a range: Optuna would warn of a rest that its steps leave."""
    if of.step is None:
        return of.high
    last = of.low + math.floor((of.high - of.low) / of.step + 1e-9) * of.step
    return float(f"{last:.12g}")  # the dust of steps would be such a rest


def _label(value: Any) -> Any:
    """Return a value as Optuna keeps one: it has no lists."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _params(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """Return a trial's values, those too that it was entered with and has not come to yet."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _value(of: Dimension, label: Any) -> Any:
    """Return the setting's value."""
    if isinstance(of, Choices):
        return next(value for value in of.values if _label(value) == label)
    return int(label) if of.whole else float(f"{label:.12g}")  # steps leave dust: 0.8999999999999999


def _state(trial: optuna.trial.FrozenTrial, outcome: Outcome | None) -> TrialState:
    if outcome is not None:
        return outcome.state
    if not trial.state.is_finished():
        return "waiting" if trial.state.name == "WAITING" else "running"
    return "failed" if _was_second(trial.user_attrs) and "given_back" not in trial.user_attrs else "lost"


def _was_second(attrs: Mapping[str, Any]) -> bool:
    """Return whether a trial was begun in the place of one whose process was killed."""
    return "retry_of" in attrs and "owner" in attrs
