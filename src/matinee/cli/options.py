"""Flags made from the settings: one definition, in `matinee.core.settings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from matinee.core.schema import Field, settings_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def settings_options(*, groups: Iterable[str] = (), names: Iterable[str] = ()) -> Callable[[_Command], _Command]:
    """Return a decorator that adds a flag for every setting of the groups, and for the settings named.

    Values arrive as text, or None where the flag was not given: `given` picks the given ones, and `schema.resolve`
    reads and checks them all together.
    """
    groups, names = set(groups), set(names)
    chosen = [field for field in settings_fields().values() if field.group in groups or field.name in names]

    def decorate(command: _Command) -> _Command:
        for field in reversed(chosen):
            if field.name != "data":  # a positional argument
                command = _option(field)(command)
        return command

    return decorate


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among `values` that were given on the command line."""
    return {name: value for name, value in values.items() if name in settings_fields() and value is not None}


def _option(field: Field) -> Callable[[_Command], _Command]:
    help_text = f"{field.help} [default: {_spell(field.default)}]" if field.default is not None else field.help
    if field.is_flag:
        return click.option(f"{field.flag}/--no-{field.flag[2:]}", field.name, default=None, help=help_text)
    return click.option(field.flag, field.name, default=None, metavar=_metavar(field), help=help_text)


def _metavar(field: Field) -> str:
    if field.choices:
        return "|".join(field.choices)
    if "whole number" in field.kind:
        return "N"
    if "fraction" in field.kind:
        return "N|SHARE"
    return "X" if "number" in field.kind else "TEXT"


def _spell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
