"""`matinee stress`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.backends import TORCH
from matinee.core.errors import DataError, RunError, SettingsError, did_you_mean
from matinee.core.files import write_json
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.workflow.fitting import CLASSIFIER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.core.settings import DataSettings
    from matinee.evaluation.behaviour import Case, Sentiment
    from matinee.inference import Predictor

logger = logging.getLogger(__name__)

FEWEST_CASES = 4


@dataclass(frozen=True)
class StressTest:
    """How a classifier behaves when it is asked what a reader could answer.

    Attributes:
        capabilities: A dict per capability that was tested: see `matinee.evaluation.behaviour.score_cases`.
        skipped: `name`, `title` and `reason` of each that could not be.
        pairs: Originals against their edits (`matinee.evaluation.behaviour.score_pairs`); None where no file was given.
        about: What was asked: `n_texts`, `own_texts` (how many of the run's own there were to choose from), `topic`,
            `sentiment` (label names by sign, or None), `n`, `seed`.
        path: The file that holds all this; None where nothing was written.
    """

    capabilities: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    pairs: dict[str, Any] | None
    about: dict[str, Any]
    path: Path | None = None

    def above(self, limit: float) -> list[dict[str, Any]]:
        """Return the capabilities whose failure rate is above a limit."""
        return [row for row in self.capabilities if row["rate"]["value"] > limit]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values: what stress.json holds."""
        pairs = {} if self.pairs is None else {"pairs": self.pairs}
        return {"capabilities": self.capabilities, "skipped": self.skipped, **pairs, "about": self.about}


@dataclass(frozen=True)
class _PairsFile:
    path: Path
    settings: DataSettings
    pair_column: str
    edit_column: str | None


def stress(
    run: str | Path,
    *,
    pairs: str | Path | None = None,
    pair_column: str | None = None,
    edit_column: str | None = None,
    sentiment: str | None = None,
    topic: str | None = None,
    n: int = 60,
    seed: int = 0,
    output: str | Path | None = None,
    offline: bool = False,
    flags: Layer | None = None,
    **settings: object,
) -> StressTest:
    """Test how a classifier behaves: on sentences whose sentiment is known, under changes that must not matter, on pairs.

    Args:
        run: Run folder, model folder or hub id. Changes are made to a run's own test texts too.
        pairs: File of originals and their edits, two rows each.
        pair_column: Of `pairs`: holds a name that the two rows of a pair share.
        edit_column: Of `pairs`: tells the edit from the original; the first row of a pair is the original where not given.
        sentiment: `"NEGATIVE,POSITIVE"`: the labels that blame and praise, several joined by `+`; guessed from their names.
        topic: What the sentences talk about, one of `matinee.evaluation.behaviour.TOPICS`; guessed from the test texts.
        n: Most cases of each capability that are made from templates; there are fewer changes.
        seed: Seed of the cases.
        output: JSON file to write; `RUN/stress.json` of a run folder where not given.
        offline: Never touch the network.
        flags: Settings as the command line gives them.
        **settings: How to read `pairs`: text_column, label_column, encoding.

    Raises:
        SettingsError: A setting is wrong, or two are at odds.
        DataError: There is nothing to ask, or `pairs` cannot be used.
        RunError: There is no such classifier, or its run is not complete.
    """
    file = _pairs_file(pairs, pair_column, edit_column, resolve(*([flags] if flags else []), Layer(settings)).data)
    _check(n, topic)
    from matinee.inference import load_predictor

    with hub.offline(offline):
        predictor = load_predictor(run, backend=TORCH)  # the classifier itself is in question, not an export of it
    signs = _sentiment(sentiment, predictor)
    # Read before anything is predicted: a mistake in the file shall not cost minutes.
    scored_pairs = None if file is None else _PairScoring(file, predictor)
    own_texts = _own_texts(Path(run))
    cases, about = _cases(own_texts, signs, topic, n, seed)
    if not cases and scored_pairs is None:
        raise DataError(
            f"There is nothing to ask {run}: its labels ({', '.join(predictor.label_names[:10])}) do not say which is negative and "
            "which positive, and it has no test texts to change. Give a run folder, --sentiment NEGATIVE,POSITIVE, or --pairs."
        )
    result = StressTest(
        capabilities=_scored(cases, predictor),
        skipped=_skipped(cases, signs, about["english"]),
        pairs=None if scored_pairs is None else scored_pairs.score(),
        about={**about, "sentiment": _named(signs, predictor)},
        path=_target(run, output),
    )
    _write(result, Path(run))
    return result


class _PairScoring:
    """Pairs that have been read and matched, to be predicted later."""

    def __init__(self, file: _PairsFile, predictor: Predictor) -> None:
        from matinee.data.pair_files import read_pairs
        from matinee.evaluation.behaviour import match_pairs

        read = read_pairs(
            file.path, file.settings, file.pair_column, predictor.label_names, edit_column=file.edit_column
        )
        self.predictor, self.split = predictor, read.split
        self.matched = match_pairs(read.pairs, read.is_edit)

    def score(self) -> dict[str, Any]:
        from matinee.evaluation.behaviour import score_pairs
        from matinee.inference import predict

        said = predict(self.predictor, self.split.texts, ids=self.split.ids, labels=self.split.labels)
        return score_pairs(said, self.matched)


def _check(n: int, topic: str | None) -> None:
    from matinee.evaluation.behaviour import TOPICS

    if n < FEWEST_CASES:
        raise SettingsError(f"--n must be at least {FEWEST_CASES}, got {n}.")
    if topic is not None and topic not in TOPICS:
        raise SettingsError(f"--topic must be one of {', '.join(TOPICS)}, got {topic!r}.{did_you_mean(topic, TOPICS)}")


def _pairs_file(
    pairs: str | Path | None, pair_column: str | None, edit_column: str | None, settings: DataSettings
) -> _PairsFile | None:
    if pairs is None:
        if pair_column is not None or edit_column is not None:
            raise SettingsError(
                "--pair-column and --edit-column say how to read a file of pairs: give --pairs FILE too."
            )
        return None
    if pair_column is None:
        raise SettingsError("--pairs needs --pair-column: the column whose value the two rows of a pair share.")
    return _PairsFile(Path(pairs).expanduser(), settings, pair_column, edit_column)


def _sentiment(spelled: str | None, predictor: Predictor) -> Sentiment | None:
    from matinee.evaluation.behaviour import find_sentiment, named_sentiment

    return find_sentiment(predictor.label_names) if spelled is None else named_sentiment(spelled, predictor.label_names)


def _named(signs: Sentiment | None, predictor: Predictor) -> dict[str, list[str]] | None:
    if signs is None:
        return None
    return {
        "negative": [predictor.label_names[label] for label in signs.negative],
        "positive": [predictor.label_names[label] for label in signs.positive],
    }


def _own_texts(path: Path) -> dict[str, str]:
    """Return the run's test texts by id, its validation texts where it has no test; nothing where there is no run."""
    from matinee.evaluation import read_predictions

    run = RunFolder(path.expanduser())
    if not run.is_run:
        return {}
    stored = read_predictions(run.predictions)
    said = stored.get(("test", CLASSIFIER)) or stored.get(("validation", CLASSIFIER))
    return {} if said is None else dict(zip(said.ids, said.texts, strict=True))


def _cases(
    own_texts: Mapping[str, str], signs: Sentiment | None, topic: str | None, n: int, seed: int
) -> tuple[list[Case], dict[str, Any]]:
    from matinee.evaluation.behaviour import TOPICS, find_topic, looks_english, make_cases, texts_to_ask

    texts = list(own_texts.values())
    topic, english = topic or find_topic(texts), looks_english(texts)
    cases = make_cases(own_texts, sentiment=signs, topic=TOPICS[topic], english=english, n=n, seed=seed)
    about = {"n_texts": len(texts_to_ask(cases)), "own_texts": len(texts), "english": english, "topic": topic}
    return cases, {**about, "n": n, "seed": seed}


def _scored(cases: list[Case], predictor: Predictor) -> list[dict[str, Any]]:
    from matinee.evaluation.behaviour import score_cases, texts_to_ask
    from matinee.inference import predict

    if not cases:
        return []
    texts = texts_to_ask(cases)
    logger.info(f"{len(cases):,} cases, {len(texts):,} texts to answer")
    return score_cases(cases, predict(predictor, texts))


def _skipped(cases: list[Case], signs: Sentiment | None, english: bool) -> list[dict[str, str]]:
    from matinee.evaluation.behaviour import CAPABILITIES

    tested = {case.capability for case in cases}
    skipped = []
    for name, capability in CAPABILITIES.items():
        if name in tested:
            continue
        if capability.english and not english:
            reason = "the test texts do not look English"
        elif capability.sentiment and signs is None:
            reason = "the labels do not say which is negative and which positive: see --sentiment"
        else:
            reason = "no text holds anything to change"
        skipped.append({"name": name, "title": capability.title, "reason": reason})
    return skipped


def _target(run: str | Path, output: str | Path | None) -> Path | None:
    if output is not None:
        return Path(output).expanduser()
    folder = RunFolder(Path(run).expanduser())
    return folder.stress if folder.is_run else None


def _write(result: StressTest, path: Path) -> None:
    if result.path is None:
        return
    run = RunFolder(path.expanduser())
    found = result.to_json()
    if result.path == run.stress and "pairs" not in found:
        found |= _earlier_pairs(run)
    write_json(result.path, found)
    if result.path == run.stress:
        run.refresh_manifest()


def _earlier_pairs(run: RunFolder) -> dict[str, Any]:
    """Return what became of pairs when they were last tested: another test without a file of pairs says nothing of them."""
    try:
        return {"pairs": run.read_json(run.stress)["pairs"]}
    except (RunError, KeyError, TypeError):
        return {}
