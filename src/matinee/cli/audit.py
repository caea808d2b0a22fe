"""`matinee audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from matinee.cli import terminal
from matinee.cli.findings import print_findings, visible
from matinee.cli.options import SettingsCommand, given, settings_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Texts on the terminal are cut there; --json has more of them.
_SHOWN = 100
# More classes than that are left to --json.
_MOST_CLASSES = 20


@click.command(cls=SettingsCommand, short_help="Say what is wrong with a dataset.")
@click.argument("data")
@click.option(
    "--fix",
    metavar="OUT",
    help="Write a cleaned copy: a file for a file, else a folder. Beside it goes a .changes.jsonl of the same name, the list of what was "
    "dropped, changed and only listed.",
)
@click.option(
    "--drop-near-duplicates", is_flag=True, help="Drop near duplicates from the copy too, and not only list them."
)
@click.option(
    "--drop-label-errors", is_flag=True, help="Drop likely label errors from the copy too, and not only list them."
)
@click.option(
    "--run",
    metavar="RUN",
    help="Rank likely label errors by what this run's classifier said of its validation and test texts. "
    "[default: by a linear baseline, in five folds]",
)
@click.option(
    "--ignore", "ignored", metavar="CODE", multiple=True, help="Leave out a finding, by code or name; may be repeated."
)
@click.option("--strict", is_flag=True, help="Exit with 1 where there is an error or a warning.")
@click.option("--examples", type=click.IntRange(0, 10), default=2, show_default=True, help="Examples of each finding.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@terminal.offline_option
@settings_options(
    names=[
        *("text_column", "label_column", "encoding", "lowercase", "max_length"),
        *("long", "max_windows", "encoder", "seed"),
    ]
)
@terminal.shared_options
def audit(
    data: str,
    fix: str | None,
    drop_near_duplicates: bool,
    drop_label_errors: bool,
    run: str | None,
    ignored: tuple[str, ...],
    strict: bool,
    examples: int,
    as_json: bool,
    offline: bool,
    **values: Any,
) -> int:
    """Say what is wrong with DATA before anything is trained on it: repeated, conflicting, broken and mislabelled texts.

    DATA is whatever `matinee train` takes. It is only read: --fix writes a cleaned copy.

    \b
      matinee audit reviews.csv
      matinee audit reviews.csv --fix clean.csv
      matinee audit data/ --max-length 256 --strict
    """
    import json

    from matinee.core.schema import from_flags
    from matinee.workflow import audit as audit_

    result = audit_(
        data,
        fix=fix,
        drop_near_duplicates=drop_near_duplicates,
        drop_label_errors=drop_label_errors,
        run=run,
        ignore=ignored,
        offline=offline,
        flags=from_flags(given(values)),
    )
    if as_json:
        fixed = {} if result.fixed is None else {"fixed": result.fixed.to_json()}
        terminal.say(json.dumps({**result.summary, "source": result.source, **fixed}, ensure_ascii=False))
    else:
        _show(result.summary, result.source, examples)
        if result.fixed is not None:
            _show_fixed(result.fixed.to_json())
    return 0 if result.passed or not strict else 1


def _show(summary: Mapping[str, Any], source: str, n_examples: int) -> None:
    _show_findings(summary, source)
    for finding in summary["findings"]:
        _show_finding(finding, n_examples)
    if summary["findings"]:
        terminal.say()
    _show_classes(summary["classes"], list(summary["splits"]))
    _show_lengths(summary)


def _show_findings(summary: Mapping[str, Any], source: str) -> None:
    texts = f"{summary['n']:,} {'text' if summary['n'] == 1 else 'texts'} ({source})"
    if not summary["findings"]:
        terminal.say(f"Nothing found in {texts}.")
        return
    shares = [_percent(finding["share"]) for finding in summary["findings"]]
    print_findings(f"Findings in {texts}", summary["findings"], shares)


def _show_finding(finding: Mapping[str, Any], n_examples: int) -> None:
    terminal.say(f"{finding['code']} {finding['name']}: {finding['advice']}")
    for example in finding["examples"][:n_examples]:
        terminal.say(f"  {_in_words(example)}")


def _in_words(example: Mapping[str, Any]) -> str:
    """Return an example in one line: what names it, what is special about it, and its text."""
    notes = [_name(example)]
    if "same_as" in example:
        notes.append(f"= {_name(example['same_as'])}")
    if "near" in example:
        notes.append(f"~ {_name(example['near'])}, {example['near']['similarity']:.0%} alike")
    if "suggested" in example:
        notes.append(f"rather {example['suggested']}")
    notes += [f"{example[key]:,} tokens" for key in ("tokens",) if key in example]
    notes += [example[key] for key in ("script", "language") if key in example]
    text = example["text"]
    if "repaired" in example:
        notes.append(f"would be {example['repaired']!r}")
    return visible(f"{' '.join(notes)}: {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}")


def _name(example: Mapping[str, Any]) -> str:
    label = "no label" if example["label"] is None else example["label"]
    return f"{example['id']} [{label}]"


def _show_classes(classes: Mapping[str, Any], split_names: Sequence[str]) -> None:
    labels = sorted(classes["labels"], key=lambda label: -label["n"])
    if not labels:
        return
    rows = [
        [
            visible(label["label"]),
            f"{label['n']:,}",
            _percent(label["share"]),
            *(f"{label['splits'][name]:,}" for name in split_names if len(split_names) > 1),
        ]
        for label in labels[:_MOST_CLASSES]
    ]
    more = f" (the {_MOST_CLASSES} largest of {len(labels):,})" if len(labels) > _MOST_CLASSES else ""
    splits = [name.capitalize() for name in split_names if len(split_names) > 1]
    terminal.print_table(f"Classes{more}", ["", "Texts", "Share", *splits], rows, bold_first=False)


def _show_lengths(summary: Mapping[str, Any]) -> None:
    names = ("min", "mean", "median", "p95", "max")
    lengths = {name: of for name, of in summary["lengths"].items() if "reason" not in of}
    rows = [[name.capitalize(), *(f"{of[key]:,.0f}" for key in names)] for name, of in lengths.items()]
    terminal.print_table("Lengths", ["", "Min", "Mean", "Median", "95 %", "Max"], rows, bold_first=False)
    truncation, errors = summary["truncation"], summary["label_errors"]
    if "reason" in truncation:
        terminal.say(f"Lengths in tokens are not known. {truncation['reason']}")
    else:
        terminal.say(
            f"With at most {truncation['max_length']:,} tokens of a text {truncation['encoder']} sees all of "
            f"{1 - truncation['texts']:.1%} of the texts and {1 - truncation['tokens']:.1%} of the tokens."
        )
    if "reason" in errors:
        terminal.say(f"No label errors were looked for. {errors['reason']}")


def _show_fixed(fixed: Mapping[str, Any]) -> None:
    parts = [f"{n:,} {name}" for name, n in fixed["dropped"].items()]
    listed = [f"{n:,} {name}" for name, n in fixed["listed"].items()]
    n_dropped = f"{fixed['n_before'] - fixed['n_after']:,} dropped" + (f" ({', '.join(parts)})" if parts else "")
    terminal.say()
    terminal.say(
        f"Written to {fixed['output']}: {fixed['n_after']:,} of {fixed['n_before']:,} rows, {fixed['changed']:,} repaired, "
        f"{n_dropped}."
    )
    kept = f" Kept, and listed there: {', '.join(listed)}." if listed else ""
    terminal.say(f"What and why: {fixed['changes']}.{kept}")


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share:.1%}" if share >= 0.0005 or share == 0 else "<0.1%"
