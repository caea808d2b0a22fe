"""`matinee evaluate`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.backends import AUTO
from matinee.core.errors import RunError, SettingsError
from matinee.core.files import write_json
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.workflow.fitting import CLASSIFIER, TFIDF

if TYPE_CHECKING:
    from matinee.core.types import Predictions, Split, SplitName

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """How good a classifier is on some labelled texts.

    Attributes:
        predictions: What it said.
        metrics: Scores with 95 % intervals by name, and `n`.
        by_label: Precision, recall, F1 and support of each label.
        confusion: Counts, true label by predicted label.
        baselines: Scores of the run's baselines on the same texts, by name; empty for other data.
        folder: Where everything was written; None if it was not.
        seen: How many of the texts the classifier was trained on; None where nobody knows.
    """

    predictions: Predictions
    metrics: dict[str, Any]
    by_label: list[dict[str, Any]]
    confusion: list[list[int]]
    baselines: dict[str, dict[str, Any]]
    folder: Path | None = None
    seen: int | None = None


def evaluate(
    run: str | Path,
    data: str | Path | None = None,
    *,
    split: SplitName = "test",
    output: str | Path | None = None,
    offline: bool = False,
    backend: str = AUTO,
    flags: Layer | None = None,
    **settings: object,
) -> Evaluation:
    """Score a run's classifier.

    Args:
        run: Run folder; with `data` a model folder, the folder of an export, or a hub id will do.
        data: Labelled data to score it on; the run's own hold-out where not given, from its stored predictions.
        split: Which hold-out of the run, `"test"` or `"validation"`; of `data`, the split to take where it has several.
        output: Folder for metrics.json, predictions.parquet and figures/; `RUN/evaluations/<data>` for other data.
        offline: Never touch the network.
        backend: What computes the answers to `data`: see `matinee.inference.load_predictor`.
        flags: Settings as the command line gives them.
        **settings: How to read `data`: text_column, label_column, missing, encoding; as in training where not given.
    """
    if data is None:
        if backend != AUTO:
            raise SettingsError(
                "--backend needs DATA to answer: the scores of a run's own hold-outs are those of its stored predictions."
            )
        said, baselines = _stored(Path(run), split)
        return _score(said, baselines, Path(output) if output else None, {"run": str(run), "split": split})
    from matinee.data import read_split
    from matinee.inference import choose_classifier, predict

    base = RunFolder(Path(run)).read_config().flat() if RunFolder(Path(run)).is_run else {}
    resolved = resolve(Layer(base), *([flags] if flags else []), Layer({**settings, "data": str(data)}))
    with hub.offline(offline):
        chosen = choose_classifier(run, backend)
        predictor = chosen.open()
        labelled = read_split(str(data), resolved.data, predictor.label_names, split=split)
        said = predict(predictor, labelled.texts, ids=labelled.ids, labels=labelled.labels)
        seen = _count_seen(Path(run), labelled)
    folder = Path(output) if output else _default_output(Path(run), str(data), split)
    about = {"run": str(run), "data": str(data), "split": split, "backend": f"{chosen.backend}-{chosen.precision}"}
    return _score(said, {}, folder, about, seen)


def _stored(path: Path, split: str) -> tuple[Predictions, dict[str, Predictions]]:
    from matinee.evaluation import read_predictions

    run = RunFolder(path.expanduser())
    run.check_complete()
    stored = read_predictions(run.predictions)
    if (split, CLASSIFIER) not in stored:
        known = sorted({name for name, _ in stored})
        raise RunError(f"{run.path} holds no predictions of a {split} split; it has {', '.join(known)}.")
    baselines = {name: said for (of, name), said in stored.items() if of == split and name != CLASSIFIER}
    return stored[split, CLASSIFIER], baselines


def _named(baselines: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the baselines' scores under the names that they have in a run's metrics.json."""
    return {"baseline" if name == TFIDF else name: scores for name, scores in baselines.items()}


def _count_seen(path: Path, labelled: Split) -> int | None:
    """Return how many of the texts were trained on, and warn of them; None where the run's folder is not at hand."""
    from matinee.data import count_seen

    run = RunFolder(path)
    if not run.is_run:
        return None
    seen = count_seen(run.seen, labelled)
    if seen:
        logger.warning(
            f"{seen:,} of the {len(labelled):,} texts are among those the classifier was trained on: "
            "these scores say little of new texts."
        )
    return seen


def _default_output(run: Path, data: str, split: str) -> Path | None:
    """Return a folder of its own for every dataset and split, inside the run; None where there is no run."""
    if not RunFolder(run).is_run:
        return None
    where = str(Path(data).resolve()) if Path(data).exists() else data
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(data).name) or "data"
    return run / "evaluations" / f"{name}-{sha256(f'{where}:{split}'.encode()).hexdigest()[:8]}"


def _score(
    said: Predictions,
    baselines: dict[str, Predictions],
    folder: Path | None,
    about: dict[str, str],
    seen: int | None = 0,
) -> Evaluation:
    from matinee.evaluation import class_report, confusion_matrix, score, write_predictions
    from matinee.report import write_figures

    evaluation = Evaluation(
        predictions=said,
        metrics=score(said),
        by_label=class_report(said),
        confusion=confusion_matrix(said).tolist(),
        baselines={name: score(other) for name, other in baselines.items()},
        folder=folder,
        seen=seen,
    )
    if folder is not None:
        split = about["split"]
        write_predictions(folder / "predictions.parquet", {(split, CLASSIFIER): said})
        write_figures(folder / "figures", said, [], kept_epoch=None)
        write_json(
            folder / "metrics.json",
            {**about, "seen_in_training": seen, split: evaluation.metrics, **_named(evaluation.baselines)},
        )
    return evaluation
