"""Flags made from the settings: one definition, in `matinee.core.settings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from matinee.core.backends import AUTO, BACKENDS
from matinee.core.schema import Field, settings_fields
from matinee.core.settings import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_Command = TypeVar("_Command", bound="Callable[..., Any]")


class _SettingOption(click.Option):
    """The flag of a setting; an option of a command's own may have the name of one."""


class SettingsCommand(click.Command):
    """A command whose help lists settings under the names of their groups, and its own options last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        sections: dict[str, list[tuple[str, str]]] = {group: [] for group in (*GROUPS, "")}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                is_setting = isinstance(parameter, _SettingOption)
                sections[settings_fields()[parameter.name or ""].group if is_setting else ""].append(record)
        for group, records in sections.items():
            if records:
                with formatter.section(f"{group.capitalize()} settings" if group else "Options"):
                    formatter.write_dl(records)


def settings_options(
    *, groups: Iterable[str] = (), names: Iterable[str] = (), but: Iterable[str] = ()
) -> Callable[[_Command], _Command]:
    """Return a decorator that adds a flag for every setting of the groups but some, and for the settings named.

    Values arrive as text (a tuple of texts where a flag can be repeated), or as None or an empty tuple where the flag was
    not given: `given` picks the given ones, and `schema.resolve` reads and checks them all together.
    """
    groups, names, left_out = set(groups), set(names), {"data", *but}  # the data are a positional argument
    chosen = [field for field in settings_fields().values() if field.group in groups or field.name in names]

    def decorate(command: _Command) -> _Command:
        for field in reversed(chosen):
            if field.name not in left_out:
                command = _option(field)(command)
        return command

    return decorate


def input_option(command: _Command) -> _Command:
    """Add --input, as `source`: a file of texts in place of texts on the command line."""
    return click.option(
        "--input",
        "source",
        metavar="FILE",
        help=".csv, .tsv, .jsonl or .parquet file, .txt with one text a line, or - for standard input, always one text a line.",
    )(command)


def backend_option(command: _Command) -> _Command:
    """Add --backend: what computes the answers."""
    return click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default=AUTO,
        show_default=True,
        help="What computes the answers; auto: the fastest export of the run that is proved to say the same, else PyTorch.",
    )(command)


def engine_options(command: _Command) -> _Command:
    """Add --engine, --address and --workers: what runs the command."""
    for option in (
        click.option("--workers", type=int, metavar="N", help="Of Ray, with a core each. [default: all cores]"),
        click.option(
            "--address",
            metavar="ADDRESS",
            help="Of a Ray cluster: auto, or HOST:PORT. [default: RAY_ADDRESS, else Ray is started here]",
        ),
        click.option(
            "--engine",
            default="local",
            show_default=True,
            metavar="local|ray",
            help="What runs it: this machine, or workers of Ray's, on this machine or many.",
        ),
    ):
        command = option(command)
    return command


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among `values` that were given on the command line."""
    return {name: value for name, value in values.items() if name in settings_fields() and value not in (None, ())}


def _option(field: Field) -> Callable[[_Command], _Command]:
    help_text = f"{field.help} [default: {_spell(field.default)}]" if field.default is not None else field.help
    if field.is_flag:
        return click.option(
            f"{field.flag}/--no-{field.flag[2:]}", field.name, default=None, cls=_SettingOption, help=help_text
        )
    if field.item:
        return click.option(
            field.flag,
            field.name,
            multiple=True,
            metavar=field.item,
            cls=_SettingOption,
            help=f"{help_text} Repeatable.",
        )
    return click.option(
        field.flag, field.name, default=None, metavar=_metavar(field), cls=_SettingOption, help=help_text
    )


def _metavar(field: Field) -> str:
    if field.choices:
        return "|".join(field.choices)
    if "whole number" in field.kind:
        return "N"
    if "fraction" in field.kind:
        return "N|SHARE|all" if "or all" in field.kind else "N|SHARE"
    return "X" if "number" in field.kind else "TEXT"


def _spell(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
