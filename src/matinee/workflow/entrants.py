"""Who takes part in a leaderboard, with which settings, and on which texts: everything that is decided before the first cell."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matinee.core.errors import DataError, NotAvailableError, SettingsError, did_you_mean
from matinee.core.schema import Layer, from_recipe, resolve, settings_fields
from matinee.core.settings import LINEAR, Settings
from matinee.core.suggested import suggested_settings
from matinee.workflow.recipes import read_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.core.types import Dataset

logger = logging.getLogger(__name__)

ALL: Literal["all"] = "all"

# What the board itself decides for each cell.
OWN_SETTINGS = ("data", "encoder", "train_size", "seed")

_DEFAULT_SIZES = (200, 1000, 5000)
_ALWAYS = (*LINEAR, "minilm")

# How many times another size one must be to tell more than that does.
_APART = 1.5

# Texts to validate by, for each to train on.
_VALIDATION = 0.2

# Groups of settings that a linear classifier has no use for, but for these.
_TUNING_GROUPS, _LINEAR_TOO = {"text", "model", "training"}, {"calibration", "optimise"}


@dataclass(frozen=True)
class Entrant:
    """One encoder of a board.

    Attributes:
        name: What the board calls it.
        settings: Of its cells, but for size and seed.
        weights_mb: Size of its weights, by which cheap ones come first; 0 for a linear classifier.
        skipped: Why it cannot take part here; None where it can.
    """

    name: str
    settings: Settings
    weights_mb: float = 0.0
    skipped: str | None = None

    def of(self, size: BoardSize, seed: int) -> Settings:
        """Return all settings of one cell."""
        data = replace(self.settings.data, train_size=size.train_size, validation_size=size.validation_size)
        return replace(self.settings, data=data, training=replace(self.settings.training, seed=seed))

    def told(self) -> dict[str, Any]:
        """Return in what its settings for reading, model and training differ from the defaults, as JSON values."""
        defaults, own = Settings().flat(), self.settings.flat()
        groups = {name: field.group for name, field in settings_fields().items()}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in own.items()
            if groups[name] in _TUNING_GROUPS and name not in OWN_SETTINGS and value != defaults[name]
        }


@dataclass(frozen=True)
class BoardSize:
    """One number of labels.

    Attributes:
        n: Training texts.
        train_size: The setting that gives so many.
        validation_size: The setting of the texts to choose the epoch by.
    """

    n: int
    train_size: int | None
    validation_size: int | float | None


@dataclass(frozen=True)
class BoardTexts:
    """What all cells have in common.

    Attributes:
        name: The data's name.
        label_names: As the dataset has them.
        n_test: Number of test texts.
        majority_label: Their most frequent label.
        majority_share: The share of them that have it.
        test_fingerprint: Of the test texts.
        train_fingerprint: Of all training texts that there are.
        sizes: Numbers of labels, ascending.
        left_out: Sizes that the data does not have: `size` and `reason`.
    """

    name: str
    label_names: list[str]
    n_test: int
    majority_label: str
    majority_share: float
    test_fingerprint: str
    train_fingerprint: str
    sizes: list[BoardSize]
    left_out: list[dict[str, Any]]


def asked_sizes(sizes: Sequence[int | str] | str | None) -> list[int | Literal["all"]] | None:
    """Return numbers of labels and perhaps `"all"` from a list, or text such as `200,1000,all`; None stays None.

    Raises:
        SettingsError: One is neither.
    """
    if sizes is None:
        return None
    parts = sizes.split(",") if isinstance(sizes, str) else list(sizes)
    found: list[int | Literal["all"]] = []
    for part in parts:
        said = str(part).strip().lower()
        if said != ALL and (not said.isdecimal() or int(said) < 1):
            raise SettingsError(f"--sizes must be numbers of training texts, or all, as in 200,1000,all; got {part!r}.")
        found.append(ALL if said == ALL else int(said))
    if not found:
        raise SettingsError("--sizes names none: give numbers of training texts, as in 200,1000,5000.")
    return sorted(set(found), key=lambda size: float("inf") if size == ALL else size)


def asked_encoders(encoders: Sequence[str] | str | None) -> list[str]:
    """Return names of encoders from a list, or text such as `tfidf,minilm`; where there is none, those that are here.

    Raises:
        SettingsError: None is named.
        NotAvailableError: Nothing of such a name is known.
    """
    from matinee.model.encoders import CATALOGUE, check_known, whereabouts

    if encoders is None:
        return [*_ALWAYS, *(name for name, entry in CATALOGUE.items() if name not in _ALWAYS and whereabouts(entry))]
    parts = encoders.split(",") if isinstance(encoders, str) else list(encoders)
    names = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not names:
        raise SettingsError("--encoders names none: give some, as in tfidf,minilm. `matinee encoders` lists them.")
    for name in names:
        check_known(name)
    return names


def make_entrants(
    data: str, encoders: Sequence[str], recipes: Mapping[str, str | Path], layers: Sequence[Layer]
) -> list[Entrant]:
    """Return the encoders with their settings; whether they can be had is another matter: see `located`.

    An encoder has the settings that are suggested for it, then those of its recipe, then those that were given for all.

    Args:
        data: What to learn from.
        encoders: Their names, hub ids or folders.
        recipes: YAML files of settings, or names of shipped ones, by encoder; what the board decides itself is left out.
        layers: Settings for all.

    Raises:
        SettingsError: A setting is unknown, wrong, or the board's own business; a recipe is for an encoder that is not there.
    """
    for layer in layers:
        if own := [layer.spell(name) for name in layer.values if name in OWN_SETTINGS]:
            raise SettingsError(f"{own[0]}: a leaderboard decides this itself; see --encoders, --sizes and --seeds.")
    if unknown := [name for name in recipes if name not in encoders]:
        raise SettingsError(
            f"--recipe {unknown[0]}=…: {unknown[0]!r} is not among the encoders.{did_you_mean(unknown[0], encoders)}"
        )
    names = _names(encoders)
    return [Entrant(names[name], _settings(data, name, recipes.get(name), layers)) for name in encoders]


def located(entrants: Sequence[Entrant]) -> list[Entrant]:
    """Find each encoder, fetch it if need be; one that cannot be had here is skipped, with its reason.

    Raises:
        NotAvailableError: None of them can be had.
    """
    found = [_locate(entrant) for entrant in entrants]
    if all(entrant.skipped for entrant in found):
        raise NotAvailableError(f"None of the encoders can be had here. {found[0].name}: {found[0].skipped}")
    for entrant in found:
        if entrant.skipped:
            logger.warning(f"{entrant.name} is skipped: {entrant.skipped}")
    return found


def board_texts(settings: Settings, sizes: Sequence[int | Literal["all"]] | None) -> BoardTexts:
    """Load the data once for each size: what it does not have is found before anything is trained.

    The hold-outs depend on `split_seed`, so that all cells have the same test texts; a fifth of the size is held out to validate
    by, or what `--validation-size` says; of all texts a tenth, as in training.

    Args:
        settings: Those of the data count.
        sizes: As `asked_sizes` returns them; where not given, 200, 1,000 and 5,000, and all texts in place of those that the data
            does not have, with a half or a quarter of them so that there are three sizes to draw a curve through.

    Raises:
        DataError: The data cannot be used, or has none of the sizes.
        NotAvailableError: It cannot be had.
    """
    whole = _load(settings)
    about = whole.about["splits"]
    found: dict[int, BoardSize] = {}
    left_out: list[dict[str, Any]] = []
    everything = BoardSize(about["train"]["n"], None, settings.data.validation_size)
    for size in sizes or _DEFAULT_SIZES:
        chosen = everything if size == ALL else _size_of(settings, whole, size)
        if isinstance(chosen, str):
            left_out.append({"size": size, "reason": chosen})
        else:
            found[chosen.n] = chosen
    if sizes is None and left_out:
        found = _three_sizes(settings, whole, {**found, everything.n: everything})
    if not found:
        raise DataError(f"{whole.name} has none of the sizes. {left_out[0]['size']:,}: {left_out[0]['reason']}")
    for row in left_out if sizes else ():
        logger.warning(f"Size {row['size']:,} is left out: {row['reason']}")
    if left_out and not sizes:
        lacking, taken = (
            ", ".join(f"{n:,}" for n in each) for each in ((row["size"] for row in left_out), sorted(found))
        )
        logger.info(f"Sizes: {taken}; the data do not have {lacking}.")
    label, share = _majority(whole)
    return BoardTexts(
        _name_of(whole),
        list(whole.label_names),
        about["test"]["n"],
        label,
        share,
        about["test"]["fingerprint"],
        about["train"]["fingerprint"],
        [found[n] for n in sorted(found)],
        left_out,
    )


def _size_of(settings: Settings, whole: Dataset, size: int) -> BoardSize | str:
    """Return how to get so many training texts, or why the data does not have them.

    Raises:
        DataError: The test texts would be others.
    """
    chosen = BoardSize(size, size, _validation_size(settings, whole, size))
    try:
        loaded = _load(settings, chosen).about["splits"]
    except DataError as error:
        return str(error)
    if loaded["test"]["fingerprint"] != whole.about["splits"]["test"]["fingerprint"]:
        raise DataError(f"{whole.name}: the test texts change with the number of others; give a test split of its own.")
    return chosen


def _three_sizes(settings: Settings, whole: Dataset, found: dict[int, BoardSize]) -> dict[int, BoardSize]:
    """Return three sizes or more, as far as a half, a quarter and an eighth of what there is lie apart from those found."""
    from matinee.evaluation.learning_curve import FEWEST_SIZES

    for part in (2, 4, 8):
        size = max(found) // part
        if len(found) >= FEWEST_SIZES or not size or any(n / _APART < size < n * _APART for n in found):
            continue
        chosen = _size_of(settings, whole, size)
        if isinstance(chosen, BoardSize):
            found = {**found, size: chosen}
    return found


def _majority(whole: Dataset) -> tuple[str, float]:
    """Return the most frequent label of the test texts, and the share of them that have it."""
    import numpy as np

    labels = whole.splits["test"].labels
    counts = np.bincount(labels, minlength=len(whole.label_names))
    return whole.label_names[int(counts.argmax())], float(counts.max() / len(labels))


def _settings(data: str, encoder: str, recipe: str | Path | None, layers: Sequence[Layer]) -> Settings:
    folder = Path(encoder).expanduser()
    chosen = str(folder.absolute()) if (folder / "config.json").is_file() else encoder
    own = [Layer(suggested_settings(encoder))]
    if recipe is not None:
        own.append(_recipe_of(encoder, recipe))
    kept = [Layer(_for_encoder(layer, encoder), layer.spell) for layer in (*own, *layers)]
    return resolve(*kept, Layer({"data": data, "encoder": chosen}))


def _recipe_of(encoder: str, recipe: str | Path) -> Layer:
    """Return a recipe's settings without those of the data, which all cells share."""
    layer, known = read_recipe(recipe), settings_fields()
    theirs = layer.values.get("encoder", encoder)
    if theirs != encoder:
        raise SettingsError(f"--recipe {encoder}={recipe}: that recipe is for the encoder {theirs!r}.")
    values = {
        name: value
        for name, value in layer.values.items()
        if name not in OWN_SETTINGS and (name not in known or known[name].group != "data")
    }
    return from_recipe(values, str(recipe))


def _for_encoder(layer: Layer, encoder: str) -> dict[str, object]:
    """Return a layer's values without those that a linear classifier would refuse or ignore; wrong ones are wrong all the same."""
    known = settings_fields()
    if encoder not in LINEAR:
        return dict(layer.values)
    kept: dict[str, object] = {}
    for name, value in layer.values.items():
        if name in _LINEAR_TOO or name not in known or known[name].group not in _TUNING_GROUPS:
            kept[name] = value
            continue
        try:
            known[name].parse(value)
        except ValueError as error:
            raise SettingsError(f"{layer.spell(name)} must be {error}, got {value!r}.") from error
    return kept


def _locate(entrant: Entrant) -> Entrant:
    from matinee.workflow.fitting import locate_encoder

    try:
        folder = locate_encoder(entrant.settings).folder
    except NotAvailableError as error:
        return replace(entrant, skipped=str(error))
    weights = folder.glob("*.safetensors") if folder else ()
    return replace(entrant, weights_mb=sum(path.stat().st_size for path in weights) / 1e6)


def _names(encoders: Sequence[str]) -> dict[str, str]:
    """Return what each is called: a folder by its last name, as long as no other has it."""
    short = {encoder: Path(encoder).name if Path(encoder).expanduser().is_dir() else encoder for encoder in encoders}
    names = list(short.values())
    return {encoder: name if names.count(name) == 1 else encoder for encoder, name in short.items()}


def _load(settings: Settings, size: BoardSize | None = None) -> Dataset:
    from matinee.data import load_dataset

    if size is None:
        return load_dataset(settings.data, seed=0)
    data = replace(settings.data, train_size=size.train_size, validation_size=size.validation_size)
    # What there is to say of the data was said when all of it was loaded.
    rooms = logging.getLogger("matinee.data")
    before = rooms.level
    rooms.setLevel(logging.ERROR)
    try:
        return load_dataset(data, seed=0)
    finally:
        rooms.setLevel(before)


def _validation_size(settings: Settings, whole: Dataset, size: int) -> int | float:
    if settings.data.validation_size is not None:
        return settings.data.validation_size
    n = max(round(_VALIDATION * size), len(whole.label_names))
    is_own = whole.about["held_out"]["validation"].startswith("the dataset's own")
    return min(n, len(whole.splits["validation"])) if is_own else n


def _name_of(dataset: Dataset) -> str:
    """Return what the data are called: files and folders by their last name, for where they lie is this machine's business."""
    return Path(dataset.name).name if dataset.about["source"] == "file" else dataset.name
