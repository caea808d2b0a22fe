"""Reads settings from flags, YAML recipes and Python arguments: one definition, one set of rules, all errors at once."""

from __future__ import annotations

import ast
import inspect
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from matinee.core.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matinee.core.settings import Settings


@dataclass(frozen=True)
class Between:
    """A number's allowed range, ends included; `high` None means no upper end."""

    low: float
    high: float | None = None

    def __str__(self) -> str:
        low = _plain(self.low)
        return f"at least {low}" if self.high is None else f"between {low} and {_plain(self.high)}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


@dataclass(frozen=True)
class _SizeRule:
    """Marks a count (an integer of at least 1) or a fraction (a number between 0 and 1, ends excluded).

    Attributes:
        nothing: The word for no size at all, beside `none` itself.
    """

    nothing: str = "none"


Size = Annotated[int | float | None, _SizeRule()]
SizeOrAll = Annotated[int | float | None, _SizeRule("all")]


@dataclass(frozen=True)
class _PatternsRule:
    """Marks names with a regular expression each: a mapping in YAML and Python, `NAME=REGEX` on the command line."""


Patterns = Annotated[Mapping[str, str] | None, _PatternsRule()]


@dataclass(frozen=True)
class _NamesRule:
    """Marks several names: a list in YAML and Python, a flag that can be repeated on the command line."""


Names = Annotated[tuple[str, ...] | None, _NamesRule()]


@dataclass(frozen=True)
class Field:
    """One setting, as every surface sees it.

    Attributes:
        name: Flat name, `train_size`.
        group: Name of its group, `data`.
        help: Its docstring, one line.
        default: Its default.
        kind: What a value must be, for a person: "a whole number between 1 and 4096".
        choices: The allowed words, where it is a choice.
        is_flag: Whether it is yes or no.
        item: What the command line takes several times, `NAME=REGEX`; empty where it takes one value.
        parse: Turns text or a YAML or Python value into the setting; ValueError says what was expected.
    """

    name: str
    group: str
    help: str
    default: object
    kind: str
    choices: tuple[str, ...]
    is_flag: bool
    item: str
    parse: Callable[[object], object]

    @property
    def flag(self) -> str:
        """The command line's name for it."""
        return "--" + self.name.replace("_", "-")

    def typed(self, value: object) -> list[str]:
        """Return a value as the words to type on the command line; none where there is nothing to type: yes or no left open, no names."""
        if value is None:
            return [] if self.is_flag else [self.flag, "none"]
        if self.is_flag:
            return [self.flag if value else f"--no-{self.flag[2:]}"]
        if isinstance(value, Mapping):
            return [word for name, pattern in value.items() for word in (self.flag, f"{name}={pattern}")]
        if isinstance(value, tuple | list):
            return [word for name in value for word in (self.flag, str(name))]
        return [self.flag, repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)]


@dataclass(frozen=True)
class Layer:
    """Values from one place; later layers win.

    Attributes:
        values: By flat name.
        spell: How that place writes a setting's name, for messages.
    """

    values: Mapping[str, object]
    spell: Callable[[str], str] = str


def from_flags(values: Mapping[str, object]) -> Layer:
    """Return the layer of the command line's flags."""
    return Layer(values, lambda name: "--" + name.replace("_", "-"))


def from_recipe(values: Mapping[str, object], path: str) -> Layer:
    """Return the layer of a recipe file."""
    return Layer(values, lambda name: f"{name} (in {path})")


def flatten(settings: object) -> dict[str, object]:
    """Return the fields of a dataclass of dataclasses by their own names."""
    return {
        inner.name: getattr(getattr(settings, outer.name), inner.name)
        for outer in fields(settings)  # type: ignore[arg-type]
        for inner in fields(getattr(settings, outer.name))
    }


@cache
def settings_fields() -> dict[str, Field]:
    """Return every setting by its flat name, in order."""
    from matinee.core.settings import GROUPS

    found: dict[str, Field] = {}
    for group, cls in GROUPS.items():
        docs, hints = _field_docstrings(cls), get_type_hints(cls, include_extras=True)
        for field in fields(cls):
            if field.name in found:
                raise TypeError(f"two settings are named {field.name}")
            kind, choices, parse = _parser(hints[field.name])
            found[field.name] = Field(
                name=field.name,
                group=group,
                help=docs[field.name],
                default=field.default,
                kind=kind,
                choices=choices,
                is_flag=kind == "yes or no",
                item={_PATTERNS_KIND: "NAME=REGEX", _NAMES_KIND: "NAME"}.get(kind, ""),
                parse=parse,
            )
    return found


def resolve(*layers: Layer) -> Settings:
    """Return the settings that the layers give together, defaults below.

    Raises:
        SettingsError: One message with every unknown name, wrong value and contradiction of all layers.
    """
    from matinee.core.settings import GROUPS, Settings, contradictions

    known, chosen, wrong = settings_fields(), dict[str, object](), list[str]()
    spelled = {name: name for name in known}
    for layer in layers:
        for name, value in layer.values.items():
            if name not in known:
                wrong.append(f"unknown setting {layer.spell(str(name))}.{did_you_mean(str(name), known)}")
                continue
            spelled[name] = layer.spell(name)
            try:
                chosen[name] = known[name].parse(value)
            except ValueError as error:
                hint = did_you_mean(str(value), known[name].choices)
                wrong.append(f"{layer.spell(name)} must be {error}, got {value!r}.{hint}")
    groups: dict[str, Any] = {
        group: cls(**{f.name: chosen[f.name] for f in fields(cls) if f.name in chosen}) for group, cls in GROUPS.items()
    }
    settings = Settings(**groups)
    if not wrong:
        wrong = [f"{spelled[name]}: {problem}" for name, problem in contradictions(settings)]
    if wrong:
        raise SettingsError("; ".join(item.rstrip(".") for item in wrong) + ".")
    return settings


def _field_docstrings(cls: type) -> dict[str, str]:
    """Return the string literal below each field of a dataclass (PEP 257's attribute docstrings)."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - narrows a type
    docs = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            docs[statement.target.id] = " ".join(following.value.value.split())
    return docs


_PATTERNS_KIND = "a regular expression per name, or none"
_NAMES_KIND = "names, or none"

Parser = tuple[str, tuple[str, ...], "Callable[[object], object]"]


def _parser(hint: Any) -> Parser:
    """Return what a value must be, its choices, and its parser, for a field's annotation."""
    if get_origin(hint) is Annotated:
        return _noted_parser(*get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not type(None))
        kind, choices, parse = _parser(inner)
        if kind == "yes or no":
            return kind, choices, _or_none(parse)
        return f"{kind}, or none", choices, _or_none(parse)
    if get_origin(hint) is Literal:
        choices = tuple(get_args(hint))
        return f"one of {', '.join(choices)}", choices, _one_of(choices)
    return {
        bool: ("yes or no", (), _parse_bool),
        int: ("a whole number", (), _parse_int),
        float: ("a number", (), _parse_float),
        str: ("text", (), _parse_text),
    }[hint]


def _noted_parser(inner: Any, *notes: Any) -> Parser:
    """Return the parser of an annotation with notes, the rules for its values."""
    for note in notes:
        if isinstance(note, _SizeRule):
            return f"a count or a fraction below 1, or {note.nothing}", (), _size_or(note.nothing)
        if isinstance(note, _PatternsRule):
            return _PATTERNS_KIND, (), _parse_patterns
        if isinstance(note, _NamesRule):
            return _NAMES_KIND, (), _parse_names
    kind, choices, parse = _parser(inner)
    for note in notes:
        if isinstance(note, Between):
            kind, parse = f"{kind} {note}", _within(parse, kind, note)
    return kind, choices, parse


def _within(parse: Callable[[object], object], kind: str, bounds: Between) -> Callable[[object], object]:
    def parse_within(value: object) -> object:
        try:
            number = parse(value)
        except ValueError as error:
            raise ValueError(f"{error} {bounds}") from error
        low_ok = bounds.low <= number  # type: ignore[operator]
        if not low_ok or (bounds.high is not None and number > bounds.high):  # type: ignore[operator]
            raise ValueError(f"{kind} {bounds}")
        return number

    return parse_within


def _or_none(parse: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if _is_none(value) else parse(value)


def _is_none(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in {"none", "null"})


def _one_of(choices: Sequence[str]) -> Callable[[object], object]:
    def parse_choice(value: object) -> object:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return parse_choice


def _parse_bool(value: object) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError("yes or no")


def _parse_int(value: object) -> int:
    number = _number(value, "a whole number")
    if number != int(number):
        raise ValueError("a whole number")
    return int(number)


def _parse_float(value: object) -> float:
    return float(_number(value, "a number"))


def _parse_text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):  # a label or a column named 1
        return str(value)
    raise ValueError("text")


def _size_or(nothing: str) -> Callable[[object], int | float | None]:
    expected = f"a count (1 or more) or a fraction (above 0, below 1), or {nothing}"

    def parse_size(value: object) -> int | float | None:
        if _is_none(value) or (isinstance(value, str) and value.strip().lower() == nothing):
            return None
        number = _number(value, expected)
        if number >= 1 and number == int(number):
            return int(number)
        if 0 < number < 1:
            return float(number)
        raise ValueError(expected)

    return parse_size


def _parse_patterns(value: object) -> dict[str, str] | None:
    expected = "a name and a regular expression each (NAME=REGEX on the command line), or none"
    if _is_none(value):
        return None
    pairs = (
        list(value.items())
        if isinstance(value, Mapping)
        else [_name_and_pattern(one, expected) for one in _listed(value)]
    )
    patterns = {}
    for name, pattern in pairs:
        if not isinstance(pattern, str) or not pattern or not str(name).strip():
            raise ValueError(expected)
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"regular expressions, but that of {str(name)!r} is not one ({error})") from error
        patterns[str(name).strip()] = pattern
    if len(patterns) < len(pairs):
        raise ValueError("names that differ, with a regular expression each")
    return patterns or None


def _parse_names(value: object) -> tuple[str, ...] | None:
    if _is_none(value):
        return None
    names = _listed(value)
    if len(names) == 1 and _is_none(names[0]):  # a flag that can be repeated comes as a tuple
        return None
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError("names, or none")
    return tuple(dict.fromkeys(str(name).strip() for name in names)) or None


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else [value]


def _name_and_pattern(value: object, expected: str) -> tuple[str, str]:
    name, equals, pattern = value.partition("=") if isinstance(value, str) else ("", "", "")
    if not equals:
        raise ValueError(expected)
    return name, pattern


def _number(value: object, expected: str) -> int | float:
    """Return a finite number; YAML 1.1 reads `5e-5` as text, and flags are text, so text that is a number counts."""
    if isinstance(value, bool):
        raise ValueError(expected)  # noqa: TRY004 - a parser refuses with ValueError, whatever was wrong
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
        except ValueError as error:
            raise ValueError(expected) from error
    if hasattr(value, "item"):  # a numpy scalar, as a grid search passes them
        value = value.item()
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(expected)
    return value


def check_is_settings(cls: type) -> None:
    """Raise TypeError unless every field of a settings dataclass has a default and a docstring."""
    if not is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is not a dataclass")
    docs = _field_docstrings(cls)
    for field in fields(cls):
        if field.default is MISSING or field.name not in docs:
            raise TypeError(f"{cls.__name__}.{field.name} lacks a default or a docstring")
