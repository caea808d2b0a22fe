"""`matinee search`: many trainings with settings of a space, scored on validation; the best is repeated, refitted and tested once."""

from __future__ import annotations

import logging
import shutil
import statistics
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.durations import parse_duration
from matinee.core.errors import (
    InterruptedTrainingError,
    MatineeError,
    RunError,
    SettingsError,
    StoppedError,
    TrainingError,
)
from matinee.core.ranks import refuse_several
from matinee.core.schema import Layer, resolve
from matinee.core.settings import LINEAR
from matinee.core.space import varied
from matinee.core.wording import duration_in_words
from matinee.training.study import FINISHED, StudyStorageError, check_installed
from matinee.training.workers import Workers
from matinee.workflow.cluster import LOCAL, RAY, check_engine, check_ray
from matinee.workflow.fitting import CLASSIFIER
from matinee.workflow.processes import run_processes
from matinee.workflow.recipes import read_recipe
from matinee.workflow.spaces import read_space
from matinee.workflow.study_plan import FINALISTS, Plan, StudyFolder
from matinee.workflow.study_setup import (
    check_metric,
    check_numbers,
    check_space,
    known,
    new_study_dir,
    open_folder,
    storage_of,
)
from matinee.workflow.studying import Record, Teller, spelled, value_of
from matinee.workflow.train import Run, from_anywhere, prepare, resume, start_run
from matinee.workflow.trials import Stop, in_words, run_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from matinee.core.run import RunFolder
    from matinee.core.settings import Settings
    from matinee.core.types import Dataset
    from matinee.training.study import TrialRow

logger = logging.getLogger(__name__)

N_TRIALS = 30
"""Trials of a search that is told no number."""


@dataclass(frozen=True)
class Study:
    """A search that is over.

    Attributes:
        path: Its folder.
        best: The settings it ends with, by name.
        best_value: Their score on validation, the mean over further seeds where they were repeated.
        trials: One row each, as in `study.json`.
        run: The run of the best settings; None where they were not refitted.
        gain: How much better it is than the settings the search began with, on the test texts, by the metric that was searched for:
            `value`, `low` and `high`, above 0 where it is better; None where they were not refitted.
        record: All of `study.json`.
    """

    path: Path
    best: dict[str, Any]
    best_value: float
    trials: list[dict[str, Any]]
    run: Run | None
    gain: dict[str, Any] | None
    record: dict[str, Any]


def search(
    data: str | Path | None = None,
    *,
    recipe: str | Path | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    n_trials: int | None = None,
    sampler: str = "tpe",
    pruner: str = "median",
    metric: str = "accuracy",
    timeout: float | str | None = None,
    storage: str | None = None,
    n_jobs: int = 1,
    engine: str = LOCAL,
    address: str | None = None,
    workers: int | None = None,
    n_finalists: int = 3,
    finalist_seeds: int = 3,
    refit: bool = True,
    study_dir: str | Path | None = None,
    overwrite: bool = False,
    offline: bool = False,
    flags: Layer | None = None,
    **settings: object,
) -> Study:
    """Search for better settings, and say how much of what was gained on validation is left on test.

    The same call goes on with a study that is there, from this process or from several at once.

    Args:
        data: Dataset name, file, glob, folder or hub id; the recipe's where not given.
        recipe: YAML file of settings to vary, or the name of a shipped one.
        space: What to try: a YAML file, the name of a shipped space, or a mapping from setting to a list or a range.
        n_trials: Finished trials that the study shall have, pruned and failed ones too; not given: 30, of a grid all.
        sampler: `"tpe"`, `"random"`, `"grid"` or `"cmaes"`.
        pruner: `"median"`, `"hyperband"` or `"none"`.
        metric: Validation score to search for.
        timeout: Seconds, or text such as `"2h"` and `"90m"`, after which no further trial is begun; what the best ones are worth is
            found out all the same, which takes its time.
        storage: Where trials are kept: a database URL, or `journal:FILE`; a file in the study's folder where not given.
        n_jobs: Processes on this machine.
        engine: `"local"`: this machine. `"ray"`: workers of Ray's, on this machine or on all of a cluster, in the place of `n_jobs`.
        address: Of a Ray cluster, `"auto"` or `host:port`; where not given RAY_ADDRESS, else Ray is started on this machine.
        workers: How many of them, with one core each; where not given one for each core, or accelerator.
        n_finalists: Best trials to repeat with further seeds; 0: the best trial wins.
        finalist_seeds: With how many.
        refit: Train the winner and the settings it is held against, and test each once.
        study_dir: Folder of the study; `searches/<data>-<encoder>` where not given.
        overwrite: Start again, in the place of a study that is there.
        offline: Never touch the network.
        flags: Settings as the command line gives them.
        **settings: Any setting by its name (docs/settings.md); they win over the recipe.

    Raises:
        MatineeError: Anything that a user can put right; see `matinee.core.errors`.

    Example:
        >>> study = matinee.search("imdb", train_size=1000, n_trials=30)  # doctest: +SKIP
        >>> study.best["learning_rate"], study.gain  # doctest: +SKIP
    """
    refuse_several("matinee search")
    check_installed()
    check_engine(engine, address, workers)
    layers = [read_recipe(recipe)] if recipe else []
    layers += [flags] if flags else []
    layers.append(Layer({**settings, **({} if data is None else {"data": str(data)})}))
    base = resolve(*layers)
    if base.data.data is None:
        raise SettingsError(
            "Nothing to learn from: name a dataset, as in `matinee search imdb`, or a recipe that does."
        )
    check_numbers(n_trials, n_jobs, n_finalists, finalist_seeds)
    crew = Crew(n_jobs, engine, address, workers)
    crew.check()
    seconds = parse_duration(timeout)
    folder = StudyFolder(Path(study_dir).expanduser() if study_dir else new_study_dir(base))
    plan = Plan(
        folder,
        storage_of(storage, folder),
        folder.path.name,
        base,
        read_space(space),
        known(metric, "metric"),
        N_TRIALS if n_trials is None else n_trials,
        known(sampler, "sampler"),
        known(pruner, "pruner"),
        None if seconds is None else time.time() + seconds,
        offline,
    )
    check_space(plan)
    with hub.offline(offline):
        _, dataset = prepare(base)
        check_metric(metric, dataset)
        _say_how_epochs_are_chosen(plan)
        plan = replace(plan, base=from_anywhere(base, dataset))
        plan = open_folder(plan, dataset, wanted=n_trials, overwrite=overwrite)
        return _Search(plan, dataset, crew, n_finalists if finalist_seeds else 0, finalist_seeds).run(refit=refit)


def _say_how_epochs_are_chosen(plan: Plan) -> None:
    chosen_by = plan.base.training.selection_metric
    if (
        plan.metric != chosen_by
        and plan.base.model.encoder not in LINEAR
        and "selection_metric" not in plan.space.dimensions
    ):
        logger.info(
            f"Trials are held against each other by {plan.metric}; which epoch each of them keeps is chosen by {chosen_by}: "
            "--selection-metric"
        )


@dataclass(frozen=True)
class Crew:
    """Who does the trials of a search.

    Attributes:
        n_jobs: Processes on this machine; 1: the one that was asked.
        engine: `"local"`, or `"ray"`: its workers, in their place.
        address: Of the Ray cluster.
        workers: Of Ray; None: as many as it has cores or accelerators.
    """

    n_jobs: int
    engine: str
    address: str | None
    workers: int | None

    def check(self) -> None:
        """Raise MatineeError if there is no such crew."""
        if self.engine != RAY:
            return
        if self.n_jobs != 1:
            raise SettingsError("--jobs is for processes of this machine alone: with --engine ray, say --workers.")
        check_ray(self.address, self.workers)

    def run(self, plan: Plan, dataset: Dataset, stop: Stop, seen: Callable[[], None]) -> None:
        """Do the trials of the plan's stage; raises as `run_stage`, `run_processes` and `run_on_ray` do."""
        if self.engine == RAY:
            from matinee.workflow.search_ray import run_on_ray

            run_on_ray(plan, self.address, self.workers, stop, seen)
        elif self.n_jobs == 1:
            run_stage(plan, dataset, stop, seen)
        else:
            run_processes(plan, self.n_jobs, stop, seen)

    @property
    def size(self) -> int:
        """How many trials are done at a time, as far as that is known beforehand."""
        return (self.workers or 1) if self.engine == RAY else self.n_jobs

    def __str__(self) -> str:
        if self.engine == RAY:
            return f", workers of Ray's at {self.address}" if self.address else ", workers of Ray's"
        return f", {self.n_jobs} processes" if self.n_jobs > 1 else ""


class _Search:
    """A search from its first trial to its page.

    Args:
        plan: Of it.
        dataset: The base's.
        crew: Who does the trials.
        n_finalists: Best trials to repeat.
        n_seeds: With how many further seeds.
    """

    def __init__(self, plan: Plan, dataset: Dataset, crew: Crew, n_finalists: int, n_seeds: int) -> None:
        self.plan = plan
        self.dataset = dataset
        self.crew = crew
        self.n_finalists = n_finalists
        self.n_seeds = n_seeds
        self.trials = plan.open_trials()
        self.record = Record(plan, dataset.name, len(dataset.splits["validation"]))
        self.teller = Teller(self.record, self.trials)
        self.record.recall()
        if not self._is_of_these_texts(plan.folder.best):
            self.record.test = None
        self._spent = 0.0

    def run(self, *, refit: bool) -> Study:
        """Do all that is left to do."""
        record = self.record
        # For all of it: who starts the study over must see that somebody is at work while the winner is trained, too.
        with Workers(self.plan.folder.workers).enrolled():
            record.write()
            run = self._run(refit=refit)
        self._clear()
        best = varied(self.plan.base, record.best_values())
        winner = record.winner or {}
        gain = record.test and record.test["gain"]
        return Study(
            self.plan.folder.path, best.flat(), winner["mean"], record.to_json()["trials"], run, gain, record.to_json()
        )

    def _run(self, *, refit: bool) -> Run | None:
        """Do trials, finalists and refitting; what is known is written however they end."""
        record, is_reachable = self.record, True
        try:
            self._run_trials()
            self._choose()
            return self._refit() if refit else None
        except StudyStorageError:  # one that is locked would be waited for again
            is_reachable = False
            raise
        finally:
            if is_reachable:
                with suppress(OSError, MatineeError):
                    record.rows = self.trials.rows()
                    record.importance = self.trials.importance() if record.rows else None
            record.write()
            record.write_page()

    # -- trials -------------------------------------------------------------------------------------------------------

    def _run_trials(self) -> None:
        n_done = self.record.n_finished
        n_left = self.plan.n_trials - n_done
        if n_left > 0:
            going_on = f", after {n_done} that are done" if n_done else ""
            where = f"{self.plan.folder.path}{self.crew}"
            logger.info(f"Searching: {n_left} trials{going_on} ({self.plan.sampler}; {where})")
            self._run_stage(self.plan, self.teller.look)
        finished = [row for row in self.record.rows if row.state in FINISHED]
        if not any(row.state == "complete" for row in finished):
            reasons = [row.outcome.reason or "" if row.outcome else "its process ended" for row in finished]
            none = ": there was no time for one" if self.plan.deadline is not None else ": none was begun"
            why = f" of {len(finished)}: {in_words(reasons)}" if reasons else none
            raise TrainingError(f"No trial was completed{why}.")

    def _run_stage(self, plan: Plan, seen: Callable[[], None]) -> None:
        """Run the trials of a stage.

        Raises:
            StoppedError: Ctrl-C.
        """
        with Stop() as stop:
            try:
                self.crew.run(plan, self.dataset, stop, seen)
            except StoppedError as error:
                raise StoppedError(f"{error} {self._how_to_go_on()}") from None
            if stop.asked:
                raise StoppedError(f"Stopped. {self._how_to_go_on()}")

    def _how_to_go_on(self) -> str:
        self.teller.look()
        n_done, best, recipe = self.record.n_finished, self.record.best_row(), self.plan.folder.recipe
        best_so_far = ""
        if self.record.winner is not None:
            best_so_far = f" What was chosen of the first {self.record.chosen_of} trials: {recipe}."
        elif best is not None:
            best_so_far = f" The best so far has {self.plan.metric} {value_of(best):.3f}: {recipe}."
        return f"{n_done} of {self.plan.n_trials} trials are kept; the same command goes on.{best_so_far}"

    # -- finalists ----------------------------------------------------------------------------------------------------

    def _choose(self) -> None:
        """Repeat the best trials and the base with further seeds, and settle which settings win."""
        finalists = self._finalists()
        first = self.plan.base.training.seed + 1
        seeds = [(first + n) % 2**32 for n in range(self.n_seeds)] if self.n_finalists else []
        values = self._repeat(finalists, seeds) if seeds and len(finalists) > 1 else {}
        rows = []
        own_settings = self.plan.space.base_of(self.plan.base)
        for row in finalists:
            own = [values.get((row.number, seed)) for seed in seeds] if values else [value_of(row)]
            known = [value for value in own if value is not None]
            mean = statistics.fmean(known) if len(known) == len(own) else None
            params = self.record.params_of(row)
            is_base = params == own_settings
            rows.append(
                {
                    "number": row.number,
                    "is_base": is_base,
                    "params": params,
                    "seeds": seeds if values else [],
                    "values": own,
                    "mean": mean,
                }
            )
        self.record.choose(self._winner(rows), rows if values else [])
        self._say_winner(rows)

    def _finalists(self) -> list[TrialRow]:
        """Return the best complete trials, each setting once, best first, and the base last, where it was measured.

        Where the base's own trial was not completed, another one of the same settings stands for it.
        """
        complete = [row for row in self.record.rows if row.state == "complete"]
        of_base = self.plan.space.base_of(self.plan.base)
        base = [row for row in complete if self.record.params_of(row) == of_base]
        base.sort(key=lambda row: not row.attrs.get("base"))
        best: list[TrialRow] = []
        seen = [of_base]
        for row in sorted(complete, key=lambda row: self.record.rank(value_of(row))):
            if (params := self.record.params_of(row)) not in seen:
                seen.append(params)
                best.append(row)
        return [*best[: max(1, self.n_finalists)], *base[:1]]

    def _repeat(self, finalists: list[TrialRow], seeds: list[int]) -> dict[tuple[int, int], float | None]:
        """Return what finalists score with further seeds, by (trial, seed); those that are done are not done again."""
        from filelock import FileLock

        plan = replace(self.plan, stage=FINALISTS, deadline=None)
        repeats, wanted = plan.open_finalists(), [(row.number, seed) for seed in seeds for row in finalists]
        with FileLock(plan.folder.lock("setup")):
            repeats.revive()
            there = {_task(row) for row in repeats.rows() if row.state != "lost"}
            for number, seed in wanted:
                if (number, seed) not in there:
                    repeats.add({}, number=number, seed=seed)
        n_left = len(set(wanted) - {_task(row) for row in repeats.rows() if row.state in FINISHED})
        if n_left:
            seconds = (
                n_left * statistics.fmean(row.outcome.seconds for row in finalists if row.outcome) / self.crew.size
            )
            of_base = self.plan.space.base_of(self.plan.base)
            n_others = sum(self.record.params_of(row) != of_base for row in finalists)
            yours = ", and your settings," if n_others < len(finalists) else ""
            if self.plan.deadline is not None and time.time() > self.plan.deadline:
                logger.info(
                    "The time is over: no further trial is begun; what the best ones are worth is found out yet (Ctrl-C ends it)"
                )
            logger.info(
                f"Repeating the {n_others} best trials{yours} with {len(seeds)} further seeds: {n_left} trainings, about "
                f"{duration_in_words(seconds)}"
            )
            self._run_stage(plan, lambda: None)
        done = [row for row in repeats.rows() if row.state in FINISHED and row.outcome is not None]
        self._spend(sum(row.outcome.seconds for row in done if row.outcome is not None))
        return {
            _task(row): row.outcome.value if row.state == "complete" else None
            for row in done
            if row.outcome is not None
        }

    def _winner(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the settings with the best mean; those that the search began with where none is better."""
        base = next((row for row in rows if row["is_base"] and row["mean"] is not None), None)
        others = [row for row in rows if row["mean"] is not None and not row["is_base"]]
        best = min(others, key=lambda row: self.record.rank(row["mean"]), default=None)
        base_mean = None if base is None else base["mean"]
        if best is None and base is None:
            raise TrainingError(
                "No finalist could be trained with further seeds: give --finalists 0, or search further."
            )
        if best is None or (base is not None and self.record.rank(best["mean"]) >= self.record.rank(base["mean"])):
            assert base is not None  # noqa: S101 - narrows a type
            return {"params": base["params"], "is_base": True, "mean": base_mean, "base_mean": base_mean}
        return {"params": best["params"], "is_base": False, "mean": best["mean"], "base_mean": base_mean}

    def _say_winner(self, rows: list[dict[str, Any]]) -> None:
        metric, winner = self.plan.metric, self.record.winner
        assert winner is not None  # noqa: S101 - narrows a type
        if winner["is_base"]:
            said = "Nothing that was tried beats your settings"
            if all(row["is_base"] for row in rows):
                said = "No other settings were trained to their end: yours stay"
            logger.info(f"{said}: validation {metric} {winner['mean']:.3f}")
            return
        against = "; your settings were not measured beside them"
        if winner["base_mean"] is not None:
            against = f", your settings have {winner['base_mean']:.3f}"
        base = self.plan.space.base_of(self.plan.base)
        changed = ", ".join(f"{name} {spelled(of)}" for name, of in winner["params"].items() if of != base[name])
        logger.info(f"Best: {changed}; validation {metric} {winner['mean']:.3f}{against}")

    # -- refitting ----------------------------------------------------------------------------------------------------

    def _refit(self) -> Run:
        """Train the winner and the base as runs, test each once, and record what is gained."""
        from matinee.evaluation import gain

        folder, metric = self.plan.folder, self.plan.metric
        with _alone(folder.lock("refit")):
            self.record.rows = self.trials.rows()
            self.record.write()  # which knows what another process has chosen meanwhile
            winner = self.record.winner
            assert winner is not None  # noqa: S101 - narrows a type
            best = self._run_of(folder.best, varied(self.plan.base, winner["params"]))
            base = best if winner["is_base"] else self._run_of(folder.base, self.plan.base)
        gained = {"value": 0.0, "low": 0.0, "high": 0.0} if best is base else gain(metric, best.test, base.test)
        self._spend(sum(sum(run.seconds.values()) for run in {id(run): run for run in (best, base)}.values()))
        self.record.test = {
            "n": len(best.test),
            **{
                name: {of: run.metrics["test"][of] for of in dict.fromkeys([metric, "accuracy"])}
                for name, run in (("winner", best), ("base", base))
            },
            "gain": gained,
            "validation_gain": self.record.validation_gain(),
        }
        return best

    def _spend(self, seconds: float) -> None:
        """Add to what the search cost; of a search that was over before, no second is counted twice."""
        self._spent += seconds
        self.record.more_seconds = max(self.record.more_seconds, self._spent)

    def _is_of_these_texts(self, run: RunFolder) -> bool:
        """Return whether a run learned from the texts that the dataset has now, and was tested on them."""
        if not run.data.is_file():
            return not run.is_complete
        try:
            then = run.read_json(run.data)["splits"]
            return all(
                then[name]["fingerprint"] == of["fingerprint"] for name, of in self.dataset.about["splits"].items()
            )
        except (RunError, KeyError, TypeError):
            return False

    def _run_of(self, run: RunFolder, settings: Settings) -> Run:
        """Return the run of some settings: one that is there, goes on, or is made anew in the place of another's."""
        try:
            same = run.is_run and _same_settings(run.read_config(), settings)
            if same and not self._is_of_these_texts(run):
                logger.info(f"The data is no longer what {run.path} was made of: it is made anew")
            elif same:
                if run.is_complete:
                    return _reopened(run)
                logger.info(f"Going on with {run.path}")
                return resume(run.path, offline=self.plan.offline)
            logger.info(f"Training {run.path.name} as a run, and testing it: {run.path}")
            encoder, dataset = prepare(settings)
            return start_run(run, settings, encoder, dataset, overwrite=run.is_run)
        except InterruptedTrainingError as error:
            raise StoppedError(
                f"Stopped while training {run.path}; its state is kept, and the same command goes on."
            ) from error

    def _clear(self) -> None:
        """Remove what only a search that goes on needs, unless another process is at work yet, of whatever stage."""
        studies = (self.trials, self.plan.open_finalists())
        at_work = any(row.state == "running" for study in studies for row in study.rows())
        if not at_work and not self.trials.workers.any_at_work():
            for folder in (self.plan.folder.features, self.plan.folder.workers):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process of the study is in such a block, and say so."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("Waiting: another process of this search is training the best settings.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _task(row: TrialRow) -> tuple[int, int]:
    return row.attrs["number"], row.attrs["seed"]


def _same_settings(first: Settings, second: Settings) -> bool:
    """Return whether two runs are of the same settings, wherever their files are said to lie."""

    def plain(settings: Settings) -> dict[str, object]:
        flat = settings.flat()
        return {**flat, "data": Path(str(flat["data"])).name, "encoder": Path(str(flat["encoder"])).name}

    return plain(first) == plain(second)


def _reopened(run: RunFolder) -> Run:
    """Return a complete run from its folder."""
    from matinee.evaluation import read_predictions
    from matinee.inference import load_predictor

    return Run(
        run.path,
        run.read_config(),
        run.read_json(run.metrics),
        load_predictor(run.path, "torch"),
        read_predictions(run.predictions)["test", CLASSIFIER],
        run.read_json(run.data),
        run.read_json(run.analysis)["checks"],
        run.read_json(run.manifest)["seconds"],
    )
