"""`matinee compare`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core.errors import RunError, SettingsError
from matinee.core.run import RunFolder
from matinee.workflow.fitting import CLASSIFIER, seconds_of_learning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.types import Predictions, SplitName

METRICS = ("accuracy", "f1", "log_loss", "ece")


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Attributes:
        name: Its folder's name, with as much of the path in front as tells it from the others.
        path: Its folder.
        encoder: What it fine-tuned.
        accuracy: `value`, `low` and `high` of the 95 % interval; so the other scores.
        f1: Of the second of two labels, macro above two.
        log_loss: Lower is better.
        ece: Expected calibration error, lower is better.
        model_bytes: Size of its model folder.
        training_seconds: Wall-clock time of making the classifier; None where the run does not say.
    """

    name: str
    path: str
    encoder: str
    accuracy: dict[str, Any]
    f1: dict[str, Any]
    log_loss: dict[str, Any]
    ece: dict[str, Any]
    model_bytes: int
    training_seconds: float | None


@dataclass(frozen=True)
class RunComparison:
    """Several runs on the same texts.

    Attributes:
        split: Which hold-out they were scored on.
        n: Number of texts.
        label_names: What they choose from.
        runs: One row each, in the order given.
        pairs: Each with each, as plain dicts: see `matinee.evaluation.comparison.Pair`, and `better`, the name of the better
            one or None.
        n_disagree: Texts to which they do not all give the same answer.
        disagreements: Some of those, first those that each run is surest of: `id`, `text`, `label`, and `answers` by run.
        verdict: Which is best, or that one cannot tell.
    """

    split: str
    n: int
    label_names: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    pairs: tuple[dict[str, Any], ...]
    n_disagree: int
    disagreements: tuple[dict[str, Any], ...]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        values = asdict(self)
        lists = ("label_names", "runs", "pairs", "disagreements")
        return {**values, **{name: list(values[name]) for name in lists}}


def compare(
    runs: Sequence[str | Path], *, split: SplitName = "test", n_examples: int = 20, seed: int = 0
) -> RunComparison:
    """Say which of several runs is best on the same hold-out, or that one cannot tell.

    Works on the predictions that the runs stored: nothing is predicted anew.

    Args:
        runs: Two or more complete run folders.
        split: Which of their hold-outs, `"test"` or `"validation"`.
        n_examples: How many of the texts that they disagree on to return.
        seed: Of the bootstrap resamples.

    Raises:
        SettingsError: There are fewer than two runs, or one is named twice.
        RunError: A run is missing, incomplete or damaged, or has no such predictions.
        DataError: The runs were not scored on the same texts.
    """
    from matinee.evaluation import compare_predictions

    folders = [RunFolder(Path(run).expanduser()) for run in runs]
    names = _names([folder.path.resolve() for folder in folders])
    said = {name: _stored(folder, split) for name, folder in zip(names, folders, strict=True)}
    compared = compare_predictions(said, n_examples=n_examples, seed=seed)
    return RunComparison(
        split=split,
        n=compared.n,
        label_names=next(iter(said.values())).label_names,
        runs=tuple(_row(name, folder, said[name], seed) for name, folder in zip(names, folders, strict=True)),
        pairs=tuple({**asdict(pair), "better": pair.better} for pair in compared.pairs),
        n_disagree=compared.n_disagree,
        disagreements=tuple(compared.disagreements),
        verdict=compared.verdict,
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest tail of each path that no other one ends in."""
    if len(paths) < 2:
        raise SettingsError(f"A comparison takes at least two runs, got {len(paths)}.")
    if twice := [str(path) for path, count in Counter(paths).items() if count > 1]:
        raise SettingsError(f"{twice[0]} is named twice: name two or more different runs.")
    return [_name(path, [other for other in paths if other != path]) for path in paths]


def _name(path: Path, others: Sequence[Path]) -> str:
    depth = 1
    while depth < len(path.parts) and any(other.parts[-depth:] == path.parts[-depth:] for other in others):
        depth += 1
    return str(Path(*path.parts[-depth:]))


def _stored(run: RunFolder, split: str) -> Predictions:
    from matinee.evaluation import read_predictions

    run.check_complete()
    stored = read_predictions(run.predictions)
    if (split, CLASSIFIER) not in stored:
        raise RunError(f"{run.path} holds no predictions of a {split} split.")
    return stored[split, CLASSIFIER]


def _row(name: str, run: RunFolder, said: Predictions, seed: int) -> ComparedRun:
    from matinee.evaluation import score

    scores = score(said, only=METRICS, seed=seed)
    return ComparedRun(
        name=name,
        path=str(run.path),
        encoder=run.read_config().model.encoder,
        **{metric: scores[metric] for metric in METRICS},
        model_bytes=sum(path.stat().st_size for path in run.model.rglob("*") if path.is_file()),
        training_seconds=seconds_of_learning(run.read_json(run.manifest).get("seconds", {})),
    )
