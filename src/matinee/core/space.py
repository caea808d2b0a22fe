"""The space of a search: which settings are tried, and which values of each, read and checked like the settings themselves.

A space is a mapping from a setting's name to what may be tried: a list of values, or a range.

    learning_rate: {low: 2e-5, high: 4e-4, log: true}
    epochs: [2, 3, 4]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from matinee.core.errors import SettingsError, did_you_mean
from matinee.core.schema import Layer, flatten, resolve, settings_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matinee.core.schema import Field
    from matinee.core.settings import Settings

SAMPLERS = ("tpe", "random", "grid", "cmaes")
"""How the settings of the next trial are chosen: the values of `--sampler`."""

PRUNERS = ("median", "hyperband", "none")
"""How unpromising trials are stopped: the values of `--pruner`."""

MOST_OF_A_GRID = 2_000
"""Combinations that a grid may have at most: more of them nobody waits for, and random ones find as good a one sooner."""

# Combinations drawn of a space too large to go through, to see whether any is allowed.
_DRAWN = 300

_TEXTS = "it decides which texts are learned from and scored: values of different texts cannot be compared"
_UNSCORED = "it changes nothing that is scored"
_REASONS = {
    "seed": "a lucky seed is no better setting (--finalist-seeds repeats the best trials with further ones)",
    "keep_checkpoints": _UNSCORED,
}
_REASONS_OF_GROUPS = {"data": _TEXTS, "evaluation": _UNSCORED, "tracking": _UNSCORED}
_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Choices:
    """Some values of a setting.

    Attributes:
        values: As the setting has them, each once.
    """

    values: tuple[Any, ...]

    def contains(self, value: object) -> bool:
        """Return whether the value is one of them."""
        return value in self.values

    @property
    def n_values(self) -> int:
        """How many there are."""
        return len(self.values)

    def listed(self) -> tuple[Any, ...]:
        """Return every value."""
        return self.values

    def drawn(self, random: Random) -> Any:
        """Return any of them."""
        return random.choice(self.values)


@dataclass(frozen=True)
class Range:
    """A range of a number, ends included.

    Attributes:
        low: Its lower end.
        high: Its upper end, above the lower one.
        log: Whether equal factors, and not equal differences, are as likely.
        step: What lies between neighbouring values; None: nothing does.
        whole: Whether the setting is a whole number.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def contains(self, value: object) -> bool:
        """Return whether the value lies in the range, and on its steps."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    @property
    def n_values(self) -> int | None:
        """How many values it has; None where there is no end to them."""
        step = self._between()
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    def listed(self) -> tuple[Any, ...]:
        """Return every value; none where there is no end to them."""
        return tuple(self._at(n) for n in range(self.n_values or 0))

    def drawn(self, random: Random) -> Any:
        """Return any of them."""
        n_values = self.n_values
        return random.uniform(self.low, self.high) if n_values is None else self._at(random.randrange(n_values))

    def _between(self) -> float | None:
        return self.step or (1 if self.whole else None)

    def _at(self, n: int) -> Any:
        value = self.low + n * (self._between() or 0)
        return int(value) if self.whole else float(f"{value:.12g}")


Dimension = Choices | Range


@dataclass(frozen=True)
class Space:
    """What a search may try.

    Attributes:
        dimensions: By setting, what may be tried of it.
        given: The same as plain JSON values, as one would write them.
    """

    dimensions: dict[str, Dimension]
    given: dict[str, Any]

    @classmethod
    def read(cls, given: object, where: str) -> Space:
        """Return a space, checked.

        Args:
            given: A mapping from setting to a list or a range.
            where: Where it was written, for messages: `"the space"`, `"space.yaml"`.

        Raises:
            SettingsError: One message with every unknown name, wrong value and setting that cannot be searched.
        """
        if not isinstance(given, Mapping):
            raise SettingsError(f"{where} must hold settings as `name: values` lines.")
        if not given:
            raise SettingsError(f"{where} allows nothing: name a setting, as in `learning_rate: [5e-5, 1e-4]`.")
        dimensions, wrong = dict[str, Dimension](), list[str]()
        for name, values in given.items():
            try:
                dimensions[str(name)] = _dimension(str(name), values)
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise SettingsError(f"In {where}: {'; '.join(item.rstrip('.') for item in wrong)}.")
        return cls(dimensions, {name: _plain(dimension) for name, dimension in dimensions.items()})

    def contains(self, values: Mapping[str, object]) -> bool:
        """Return whether the values of its settings are among those that may be tried."""
        return all(dimension.contains(values[name]) for name, dimension in self.dimensions.items())

    def base_of(self, settings: Settings) -> dict[str, Any]:
        """Return what settings have for the names of this space."""
        flat = flatten(settings)
        return {name: flat[name] for name in self.dimensions}

    def grid(self, base: Settings) -> list[dict[str, Any]]:
        """Return every combination that does not contradict itself, the last setting changing fastest.

        Raises:
            SettingsError: A range has no end of values, there are too many combinations, or none that is not a contradiction.
        """
        n_points = self._n_points()
        if n_points is None:
            endless = [name for name, dimension in self.dimensions.items() if dimension.n_values is None]
            raise SettingsError(
                f"A grid has no end in {', '.join(endless)}: give a list of values, or a range with a step."
            )
        if n_points > MOST_OF_A_GRID:
            raise SettingsError(
                f"A grid of {n_points:,} combinations is more than the {MOST_OF_A_GRID:,} that are allowed: "
                "name fewer values, or take --sampler random."
            )
        found = [(point, contradiction(base, point)) for point in self._points()]
        allowed = [point for point, reason in found if reason is None]
        if not allowed:
            raise SettingsError(f"The space allows nothing: each combination contradicts itself ({found[0][1]}).")
        return allowed

    def check_allows(self, base: Settings) -> None:
        """Raise SettingsError if every combination contradicts itself: all of a small space, of a larger one some hundred drawn."""
        n_points = self._n_points()
        is_small = n_points is not None and n_points <= MOST_OF_A_GRID
        first = None
        for point in self._points() if is_small else self._drawn():
            reason = contradiction(base, point)
            if reason is None:
                return
            first = first or reason
        each = "each combination" if is_small else f"each of {_DRAWN} combinations that were drawn"
        raise SettingsError(f"The space allows nothing: {each} contradicts itself ({first}).")

    def _n_points(self) -> int | None:
        """Return how many combinations there are; None where there is no end to them."""
        numbers = [dimension.n_values for dimension in self.dimensions.values()]
        return None if None in numbers else math.prod(n for n in numbers if n is not None)

    def _points(self) -> Iterator[dict[str, Any]]:
        values = [dimension.listed() for dimension in self.dimensions.values()]
        return (dict(zip(self.dimensions, point, strict=True)) for point in itertools.product(*values))

    def _drawn(self) -> Iterator[dict[str, Any]]:
        random = Random(0)  # noqa: S311 - no secret
        return ({name: of.drawn(random) for name, of in self.dimensions.items()} for _ in range(_DRAWN))


def varied(base: Settings, values: Mapping[str, object]) -> Settings:
    """Return the settings with some of them changed.

    Raises:
        SettingsError: They contradict each other.
    """
    return resolve(Layer(flatten(base)), Layer(values))


def contradiction(base: Settings, values: Mapping[str, object]) -> str | None:
    """Return what is wrong with the settings once these values are theirs; None where nothing is."""
    try:
        varied(base, values)
    except SettingsError as error:
        return str(error).rstrip(".")
    return None


def _dimension(name: str, values: object) -> Dimension:
    """Return what may be tried of a setting; ValueError says what is wrong."""
    known = settings_fields()
    if name not in known:
        raise ValueError(f"unknown setting {name}.{did_you_mean(name, searchable())}")
    reason = why_not(known[name])
    if reason is not None:
        raise ValueError(f"{name} cannot be searched: {reason}")
    if isinstance(values, Mapping):
        return _range(known[name], values)
    if isinstance(values, (list, tuple)):
        return _choices(known[name], values)
    raise ValueError(
        f"{name} must be a list of values or a range such as {{low: 1, high: 4}}, got {values!r}; "
        "a value that stays the same belongs into a recipe or a flag"
    )


def searchable() -> list[str]:
    """Return the names of the settings that a space may have."""
    return [name for name, field in settings_fields().items() if why_not(field) is None]


def why_not(field: Field) -> str | None:
    """Return why a setting cannot be searched; None where it can."""
    return _REASONS.get(field.name) or _REASONS_OF_GROUPS.get(field.group)


def _choices(field: Field, values: list[object] | tuple[object, ...]) -> Choices:
    if not values:
        raise ValueError(f"{field.name} allows nothing: its list is empty")
    parsed = [_parse(field, value) for value in values]
    once = [value for n, value in enumerate(parsed) if value not in parsed[:n]]
    if len(once) < len(parsed):
        raise ValueError(f"{field.name} names a value twice")
    return Choices(tuple(once))


def _range(field: Field, given: Mapping[object, object]) -> Range:
    unknown = [str(key) for key in given if key not in _KEYS]
    if unknown:
        raise ValueError(
            f"{field.name}: a range has no {unknown[0]!r}, but low, high, log and step.{did_you_mean(unknown[0], _KEYS)}"
        )
    if missing := [key for key in ("low", "high") if given.get(key) is None]:
        raise ValueError(f"{field.name}: a range needs {' and '.join(missing)}")
    if not is_number(field):
        raise ValueError(f"{field.name} must be a list: it is {field.kind}, and has no range")
    low, high = (_end(field, given[key]) for key in ("low", "high"))
    log, step = given.get("log", False), _step(field, given.get("step"))
    if not isinstance(log, bool):
        raise ValueError(f"{field.name}: log must be true or false, got {log!r}")  # noqa: TRY004 - as a parser refuses
    wrong = _wrong_range(low, high, step, log=log)
    if wrong:
        raise ValueError(f"{field.name}: {wrong}")
    return Range(low, high, log, step, whole=field.kind.startswith("a whole number"))


def _wrong_range(low: float, high: float, step: float | None, *, log: bool) -> str | None:
    if low >= high:
        return f"low must be below high, got {low:g} and {high:g}"
    if log and low <= 0:
        return f"a logarithmic range must start above 0, got {low:g}"
    if log and step is not None:
        return "log and step cannot go together: take one of them"
    if step is not None and step > high - low:
        return f"step must be at most {high - low:g}, the length of the range, got {step:g}"
    return None


def is_number(field: Field) -> bool:
    """Return whether a setting is a number, which alone has ranges."""
    return field.kind.startswith(("a number", "a whole number"))


def _end(field: Field, value: object) -> float:
    number = _parse(field, value)
    if not isinstance(number, (int, float)):
        raise ValueError(f"{field.name}: an end of a range must be a number, got {value!r}")  # noqa: TRY004 - as a parser refuses
    return number


def _step(field: Field, value: object) -> float | None:
    if value is None:
        return None
    whole = field.kind.startswith("a whole number")
    try:
        step = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field.name}: step must be a number, got {value!r}") from error
    if not math.isfinite(step) or step <= 0 or (whole and step != int(step)):
        raise ValueError(f"{field.name}: step must be {'a whole number ' if whole else ''}above 0, got {value!r}")
    return int(step) if whole else step


def _parse(field: Field, value: object) -> Any:
    try:
        return field.parse(value)
    except ValueError as error:
        raise ValueError(
            f"{field.name} must be {error}, got {value!r}.{did_you_mean(str(value), field.choices)}"
        ) from error


def _plain(dimension: Dimension) -> Any:
    """Return a dimension as JSON has it."""
    if isinstance(dimension, Choices):
        return [list(value) if isinstance(value, tuple) else value for value in dimension.values]
    plain: dict[str, Any] = {"low": dimension.low, "high": dimension.high}
    if dimension.log:
        plain["log"] = True
    if dimension.step is not None:
        plain["step"] = dimension.step
    return plain
