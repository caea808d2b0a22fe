"""`matinee train`: from data and a recipe to a run folder."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.environment import describe_environment
from matinee.core.errors import InterruptedTrainingError, RunError, SettingsError, UnreachableError
from matinee.core.files import write_json
from matinee.core.interruption import interrupts_held
from matinee.core.ranks import check_shares, world_size
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.wording import score_in_words
from matinee.workflow.analysis import add_neighbours, analyse, detailed_mistakes
from matinee.workflow.audit import audit_dataset
from matinee.workflow.checking import check_codes, check_run
from matinee.workflow.explain import explain_rows
from matinee.workflow.fitting import CLASSIFIER, FROZEN, TFIDF, Watch, check_encoder, fit_dataset, locate_encoder
from matinee.workflow.recipes import read_recipe
from matinee.workflow.report import update_card, write_page
from matinee.workflow.teaching import read_teaching, teaching_section
from matinee.workflow.together import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matinee.core.settings import Settings
    from matinee.core.types import Dataset, Predictions
    from matinee.inference import Predictor
    from matinee.training.trackers import Trackers
    from matinee.workflow.fitting import Fitted, LocatedEncoder
    from matinee.workflow.teaching import Teaching

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A complete run.

    Attributes:
        path: Its folder.
        settings: What it was made with.
        metrics: As in `metrics.json`.
        predictor: The classifier.
        test: What it said of the test texts.
        data: As in `data.json`: where the data came from and how it was divided.
        checks: What the checks found wrong, worst first: code, name, severity, title, found, advice.
        seconds: Wall-clock time of each stage.
    """

    path: Path
    settings: Settings
    metrics: dict[str, Any]
    predictor: Predictor
    test: Predictions
    data: dict[str, Any]
    checks: list[dict[str, Any]]
    seconds: dict[str, float]

    @property
    def confusion(self) -> list[list[int]]:
        """Counts of the test texts, true label by predicted label."""
        from matinee.evaluation import confusion_matrix

        counts: list[list[int]] = confusion_matrix(self.test).tolist()
        return counts

    def predict(self, texts: Sequence[str]) -> Predictions:
        """Return what the classifier says of the texts."""
        from matinee.inference import predict

        return predict(self.predictor, texts)

    def __repr__(self) -> str:
        return f"<Run {self.path}: accuracy {score_in_words(self.metrics['test'].get('accuracy'))}>"

    def _repr_html_(self) -> str:
        """Return how a notebook shows it: its scores beside its baselines, and what the checks found."""
        from matinee.report.notebook import run_html

        n_labels = len(self.test.label_names)
        return run_html(
            str(self.path), self.settings.flat(), self.metrics, self.checks, self.seconds, n_labels=n_labels
        )


@together
def train(
    data: str | Path | None = None,
    *,
    recipe: str | Path | None = None,
    run_dir: str | Path | None = None,
    overwrite: bool = False,
    offline: bool = False,
    flags: Layer | None = None,
    **settings: object,
) -> Run:
    """Fine-tune a classifier, score it beside its baselines, and leave a run folder.

    Of several processes that torchrun or Accelerate started, the first one does all this; the others help it to train and
    end inside this call (docs/scale.md).

    Args:
        data: Dataset name, file, glob, folder or hub id; the recipe's where not given.
        recipe: YAML file of settings, or the name of a shipped one.
        run_dir: Folder to make; `runs/<data>-<encoder>-<time>` where not given.
        overwrite: Replace a run that is already there.
        offline: Never touch the network.
        flags: Settings as the command line gives them.
        **settings: Any setting by its name (docs/settings.md); they win over the recipe.

    Raises:
        MatineeError: Anything that a user can put right; see `matinee.core.errors`.

    Example:
        >>> run = matinee.train("imdb", train_size=1000, test_size=2000)  # doctest: +SKIP
        >>> run.metrics["test"]["accuracy"]["value"]  # doctest: +SKIP
    """
    layers = [read_recipe(recipe)] if recipe else []
    layers += [flags] if flags else []
    layers.append(Layer({**settings, **({} if data is None else {"data": str(data)})}))
    resolved = resolve(*layers)
    if resolved.data.data is None:
        raise SettingsError("Nothing to learn from: name a dataset, as in `matinee train imdb`, or a recipe that does.")
    run = RunFolder(Path(run_dir).expanduser() if run_dir else new_run_dir(resolved))
    run.check_free(overwrite=overwrite)
    with hub.offline(offline):
        encoder, dataset = prepare(resolved)
        return start_run(run, resolved, encoder, dataset, overwrite=overwrite)


def start_run(
    run: RunFolder,
    settings: Settings,
    encoder: LocatedEncoder,
    dataset: Dataset,
    *,
    overwrite: bool,
    teaching: Teaching | None = None,
) -> Run:
    """Make the run folder, and fit, score and report into it; what fails early leaves no folder.

    Args:
        run: The folder, checked to be free.
        settings: All of them.
        encoder: As `prepare` returns it.
        dataset: As `prepare` returns it.
        overwrite: Replace a run that is already there.
        teaching: What else is learned from; None: nothing.
    """
    with run.locked():
        run.create(overwrite=overwrite)
        with _nothing_left_behind(run):
            lasting = from_anywhere(settings, dataset)
            if teaching is not None:
                # First: with settings alone, the run would be taken up again as one without teachers.
                teaching.write(run)
            run.write_config(lasting)
            with interrupts_held():
                write_json(run.data, dataset.about)
                return _fit_and_report(dataset, lasting, encoder, run, teaching)


@together
def resume(run_dir: str | Path, *, offline: bool = False) -> Run:
    """Finish a run that was interrupted, to the same weights as if it never had been.

    Raises:
        RunError: There is no unfinished run, or its data has changed since.
    """
    run = RunFolder(Path(run_dir).expanduser())
    run.check_unfinished()
    settings = run.read_config()
    with hub.offline(offline), run.locked():
        run.sweep()
        encoder, dataset = prepare(settings)
        if run.data.is_file() and run.read_json(run.data)["splits"] != dataset.about["splits"]:
            raise RunError(
                f"The data of {run.path} is no longer what it was when training started: train anew with --overwrite."
            )
        teaching = read_teaching(run, dataset, settings)
        with interrupts_held():
            write_json(run.data, dataset.about)
            return _fit_and_report(dataset, settings, encoder, run, teaching)


def prepare(settings: Settings) -> tuple[LocatedEncoder, Dataset]:
    """Find encoder and data and check them, before a folder is made.

    Raises:
        MatineeError: One of them cannot be had, or does not go with the settings.
    """
    from matinee.data import Augmentations, load_dataset
    from matinee.model.encoders import check_known
    from matinee.training.trackers import check_trackers

    check_known(settings.model.encoder)
    check_shares(settings.training.batch_size)
    check_trackers(settings.tracking.track)
    check_codes(settings)
    Augmentations.parse(settings.training.augment)
    dataset = load_dataset(settings.data, seed=settings.training.seed)
    if settings.training.optimise is not None and len(dataset.label_names) != 2:
        raise SettingsError(f"--optimise needs two labels; {dataset.name} has {len(dataset.label_names)}.")
    encoder = locate_encoder(settings)
    check_encoder(encoder, settings)
    return encoder, dataset


def _fit_and_report(
    dataset: Dataset, settings: Settings, encoder: LocatedEncoder, run: RunFolder, teaching: Teaching | None
) -> Run:
    from matinee.data import write_seen
    from matinee.training.trackers import tracked

    write_json(
        run.environment,
        {
            **describe_environment(),
            "seed": settings.training.seed,
            "processes": world_size(),
            "encoder": encoder.about(),
        },
    )
    write_seen(run.seen, dataset.splits["train"].texts)
    watch = Watch()
    with watch.stage("audit"):
        audited = audit_dataset(dataset, settings)
        write_json(run.audit, audited)
    for finding in audited["findings"]:
        if finding["severity"] != "info":
            logger.info(f"Audit {finding['code']}: {finding['title']}")
    for folder in (run.checkpoints, run.figures):
        folder.mkdir(exist_ok=True)
    soft = None
    if teaching is not None:
        with watch.stage("asking the teachers"):
            soft, told = teaching.soft_texts(run, dataset)
        write_seen(run.seen, [*dataset.splits["train"].texts, *soft.texts])
        dataset = dataset.with_about(distillation=told)
        write_json(run.data, dataset.about)
    with tracked(run, settings) as trackers:
        fitted = fit_dataset(dataset, settings, encoder, run, watch, trackers, soft)
        with watch.stage("report"):
            metrics, analysis = _report(fitted, run, settings, dataset, watch)
        run.finish(watch.seconds)
        _drop_what_only_a_resume_needs(run)
        _keep_results(trackers, run, fitted, metrics)
    test = fitted.predictions["test", CLASSIFIER]
    return Run(
        run.path,
        settings,
        metrics,
        fitted.predictor,
        test,
        dataset.about,
        analysis["checks"],
        dict(watch.seconds),
    )


def _report(
    fitted: Fitted, run: RunFolder, settings: Settings, dataset: Dataset, watch: Watch
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write predictions, scores, analysis, pictures, the model card and the page; return scores and analysis."""
    from matinee.evaluation import accuracy_gain, score, write_predictions
    from matinee.report import write_figures

    run.write_history(fitted.history)
    write_predictions(run.predictions, fitted.predictions)
    said = fitted.predictions
    metrics: dict[str, Any] = {
        split: score(predictions) for (split, name), predictions in said.items() if name == CLASSIFIER
    }
    metrics["baseline"] = score(said["test", TFIDF])
    metrics["gain_over_baseline"] = {"accuracy": accuracy_gain(said["test", CLASSIFIER], said["test", TFIDF])}
    if ("test", FROZEN) in said:
        metrics["frozen_features"] = score(said["test", FROZEN])
    if fitted.kept_epoch is not None:
        metrics["kept_epoch"] = fitted.kept_epoch
    analysis = analyse(said, settings, temperature=fitted.temperature)
    add_neighbours(analysis, dataset, fitted.vectors)
    analysis["explanations"] = explain_rows(fitted.predictor, detailed_mistakes(analysis), seed=settings.training.seed)
    analysis["checks"] = check_run(run, settings, said["test", CLASSIFIER], metrics, analysis)
    if fitted.augmentation is not None:
        analysis["augmentation"] = fitted.augmentation
    if "distillation" in dataset.about:
        analysis["distillation"] = teaching_section(run, dataset.about["distillation"], said["test", CLASSIFIER])
    write_json(run.metrics, metrics)
    write_json(run.analysis, analysis)
    write_figures(run.figures, said["test", CLASSIFIER], fitted.history, kept_epoch=fitted.kept_epoch)
    update_card(run, settings, metrics, analysis)
    today = datetime.now(UTC).date().isoformat()
    write_page(run, run.report, said, analysis, seconds=watch.seconds, completed=today)
    return metrics, analysis


def _keep_results(trackers: Trackers, run: RunFolder, fitted: Fitted, metrics: dict[str, Any]) -> None:
    """Have the trackers keep the test scores and the files of a complete run."""
    scores = {f"test_{name}": score["value"] for name, score in metrics["test"].items() if isinstance(score, dict)}
    trackers.log(max((row["step"] for row in fitted.history), default=0), scores)
    trackers.artifacts(run)


def _drop_what_only_a_resume_needs(run: RunFolder) -> None:
    if any(run.checkpoints.iterdir()):
        from matinee.training.checkpoints import keep_weights_only

        keep_weights_only(run.checkpoints)


def from_anywhere(settings: Settings, dataset: Dataset) -> Settings:
    """Return the settings with local paths made absolute, so that a resume works from any folder."""
    data, encoder = str(settings.data.data), settings.model.encoder
    if dataset.about["source"] == "file":
        settings = replace(settings, data=replace(settings.data, data=str(Path(data).absolute())))
    if Path(encoder, "config.json").is_file():
        settings = replace(settings, model=replace(settings.model, encoder=str(Path(encoder).absolute())))
    return settings


def new_run_dir(settings: Settings) -> Path:
    """Return a name for a run that was given none: data, encoder and time."""
    data = Path(str(settings.data.data)).stem or "data"
    encoder = Path(settings.model.encoder).name
    name = "-".join(["".join(c if c.isalnum() else "-" for c in part).strip("-") for part in (data, encoder)])
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


@contextmanager
def _nothing_left_behind(run: RunFolder) -> Iterator[None]:
    """Remove the folder again if training fails before there is a checkpoint.

    On Ctrl-C, and where its drive is away, it stays, to be resumed.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if run.is_complete:
            raise InterruptedTrainingError(
                f"Interrupted, but the run in {run.path} is complete: only its trackers may lack the last files."
            ) from interrupt
        raise InterruptedTrainingError(
            f"Interrupted. Continue with `matinee train --resume {run.path}`: from the last checkpoint, or from the start "
            "where there is none yet."
        ) from interrupt
    except (InterruptedTrainingError, UnreachableError):
        raise
    except BaseException:
        if not any(run.checkpoints.glob("checkpoint-*/trainer_state.json")):
            shutil.rmtree(run.path, ignore_errors=True)
        raise
