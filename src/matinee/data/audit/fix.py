"""A cleaned copy of a dataset: what is dropped, what is repaired, and a list of all of it. The source is only read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.core.files import write_jsonl
from matinee.data.audit.copying import check_copyable, write_copy
from matinee.data.audit.duplicates import NO_TEXT, conflicting, group_same, repeats
from matinee.data.audit.findings import CHECKS
from matinee.data.audit.near import best_matches
from matinee.data.audit.oddities import repair
from matinee.data.audit.rows import Rows, well_formed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from matinee.data.audit.raw import Raw
    from matinee.data.audit.report import Audit
    from matinee.data.sources.found import Found

Record = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What to write.

    Attributes:
        output: The file or folder to make.
        drop_near_duplicates: Drop them too, and not only list them.
        drop_label_errors: Drop the texts whose labels are likely wrong, and not only list them.
        ignore: Codes or names of findings to leave as they are.
    """

    output: Path
    drop_near_duplicates: bool = False
    drop_label_errors: bool = False
    ignore: Collection[str] = ()

    @property
    def changes(self) -> Path:
        """The list of what was dropped, changed and only listed, beside the copy."""
        return self.output.with_name(f"{self.output.stem}.changes.jsonl")


@dataclass(frozen=True)
class Fixed:
    """What was written.

    Attributes:
        output: The cleaned copy.
        changes: The list beside it, a JSON object a line.
        n_before: Rows of the source.
        n_after: Rows of the copy.
        dropped: Rows left out, by the name of the finding.
        changed: Texts that were repaired.
        listed: Rows that were kept and are on the list, by the name of the finding.
    """

    output: Path
    changes: Path
    n_before: int
    n_after: int
    dropped: dict[str, int]
    changed: int
    listed: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "output": str(self.output),
            "changes": str(self.changes),
            "n_before": self.n_before,
            "n_after": self.n_after,
            "dropped": self.dropped,
            "changed": self.changed,
            "listed": self.listed,
        }


@dataclass
class Plan:
    """What happens to each row.

    Attributes:
        dropped: Code of the finding for which a row goes, by row.
        texts: New texts, by row.
        listed: Codes of the findings that a kept row is listed for, by row.
        more: What else is to be said of a row, by (row, code).
    """

    dropped: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    listed: dict[int, list[str]] = field(default_factory=dict)
    more: dict[tuple[int, str], Record] = field(default_factory=dict)

    def drop(self, rows: Iterable[int], code: str) -> None:
        """Drop rows for a finding; the first one that is given holds."""
        for row in rows:
            self.dropped.setdefault(row, code)


def check_free(found: Found, request: Request) -> None:
    """Refuse an output that cannot be written, before anything is read.

    Raises:
        DataError: It is there already, or has another ending than the source.
    """
    for path in (request.output, request.changes):
        if path.exists():
            raise DataError(f"{path} is there already, and is never overwritten: name another --fix.")
    check_copyable(found, request.output)


def write_fixed(raw: Raw, audit: Audit, request: Request) -> Fixed:
    """Write a cleaned copy of a dataset and the list of what was dropped and changed, both or neither.

    Args:
        raw: The dataset as its files have it.
        audit: What is wrong with it.
        request: What to write.

    Raises:
        DataError: Nothing would be left of a split, the source has changed since it was read, or the output cannot be
            written as asked.
        StorageError: The write was refused.
    """
    check_free(raw.found, request)
    plan = make_plan(audit, request)
    _check_something_left(raw.rows, plan)
    write_copy(raw, request.output, plan.dropped.keys(), plan.texts, also=lambda: _write_list(raw, plan, request))
    return Fixed(
        output=request.output,
        changes=request.changes,
        n_before=len(raw.rows),
        n_after=len(raw.rows) - len(plan.dropped),
        dropped=_counted(plan.dropped.values()),
        changed=len(plan.texts),
        listed=_counted(code for codes in plan.listed.values() for code in codes),
    )


def make_plan(audit: Audit, request: Request) -> Plan:
    """Return what is to happen to each row; texts are compared as they are once repaired."""
    plan, rows = Plan(), audit.rows
    wanted = _wanted(request)
    _repair(audit, plan, wanted)
    groups = audit.groups
    if plan.texts:
        groups = group_same([plan.texts.get(row, text) for row, text in enumerate(rows.texts)])
    if wanted("A301"):
        plan.drop(np.flatnonzero(groups == NO_TEXT).tolist(), "A301")
    if wanted("A203"):
        plan.drop((row for copies in conflicting(rows, groups, within_split=True) for row in copies), "A203")
    if wanted("A201"):
        _drop_copies(plan, rows, "A201", _earlier_copies(rows, groups))
    if wanted("A202"):
        _drop_copies(plan, rows, "A202", _copies_in_later_splits(rows, groups))
    _near(audit, plan, request, wanted)
    _errors(audit, plan, request, wanted)
    plan.listed = {row: codes for row, codes in plan.listed.items() if row not in plan.dropped}
    plan.texts = {row: text for row, text in plan.texts.items() if row not in plan.dropped}
    return plan


def _wanted(request: Request) -> Callable[[str], bool]:
    return lambda code: not {code, CHECKS[code].name} & set(request.ignore)


def _repair(audit: Audit, plan: Plan, wanted: Callable[[str], bool]) -> None:
    odd = audit.oddities
    broken = odd.repaired if wanted("A307") else {}
    tidied = {**(odd.html if wanted("A305") else {}), **(odd.control if wanted("A306") else {})}
    for row in sorted({*broken, *tidied}):
        text = broken.get(row, audit.rows.texts[row])
        text = repair(text) if row in tidied else text
        if text != audit.rows.texts[row]:
            plan.texts[row] = text


def _drop_copies(plan: Plan, rows: Rows, code: str, copies: dict[int, int]) -> None:
    """Drop rows that are the same as others, and say which."""
    plan.drop(copies, code)
    plan.more |= {(row, code): {"same_as": rows.ids[other]} for row, other in copies.items()}


def _earlier_copies(rows: Rows, groups: NDArray[np.int64]) -> dict[int, int]:
    """Return the rows whose text stands in their own split already, and the row where it stands first."""
    places = list(zip(groups.tolist(), rows.splits.tolist(), strict=True))
    first = {place: row for row, place in reversed(list(enumerate(places)))}
    return {row: first[places[row]] for row in repeats(rows, groups).tolist()}


def _copies_in_later_splits(rows: Rows, groups: NDArray[np.int64]) -> dict[int, int]:
    """Return the rows whose text stands in a split that matters more too, and the row where."""
    # Rows are in the order of their splits.
    last = {group: row for row, group in enumerate(groups.tolist()) if group != NO_TEXT}
    return {
        row: last[group]
        for row, group in enumerate(groups.tolist())
        if group != NO_TEXT and rows.splits[row] < rows.splits[last[group]]
    }


def _near(audit: Audit, plan: Plan, request: Request, wanted: Callable[[str], bool]) -> None:
    for code, matches in zip(("A204", "A205"), best_matches(audit.rows, audit.groups, audit.near), strict=True):
        if not wanted(code):
            continue
        for row, (other, similarity) in matches.items():
            plan.more[row, code] = {"near": audit.rows.ids[other], "similarity": round(similarity, 3)}
            if request.drop_near_duplicates and other not in plan.dropped:
                plan.drop([row], code)
            else:
                plan.listed.setdefault(row, []).append(code)


def _errors(audit: Audit, plan: Plan, request: Request, wanted: Callable[[str], bool]) -> None:
    if audit.errors is None or not wanted("A501"):
        return
    for row, suggested in zip(audit.errors.rows.tolist(), audit.errors.suggested.tolist(), strict=True):
        quality = round(float(audit.errors.quality[row]), 4)
        plan.more[row, "A501"] = {"suggested": audit.rows.label_names[suggested], "quality": quality}
        if request.drop_label_errors:
            plan.drop([row], "A501")
        else:
            plan.listed.setdefault(row, []).append("A501")


def _check_something_left(rows: Rows, plan: Plan) -> None:
    for number, name in enumerate(rows.split_names):
        if all(row in plan.dropped for row in np.flatnonzero(rows.splits == number).tolist()):
            where = "the file" if len(rows.split_names) == 1 else f"the {name} split"
            raise DataError(f"--fix would drop every row of {where}: look at the findings first, without --fix.")


def _write_list(raw: Raw, plan: Plan, request: Request) -> None:
    write_jsonl(request.changes, list(_records(raw, plan)))


def _records(raw: Raw, plan: Plan) -> Iterable[Record]:
    """Yield what happened to each row that was dropped, changed or listed, in the order of the rows."""
    start = 0
    for part in raw.parts:
        for row in range(start, start + part.n_rows):
            where = {"file": part.table.path.name, "row": row - start + 1}
            for action, code in _actions(row, plan):
                why = {"action": action, "code": code, "reason": CHECKS[code].name if code else "repaired"}
                text: Record = {"text": well_formed(raw.rows.texts[row])}
                if action == "changed":
                    text["text_after"] = well_formed(plan.texts[row])
                yield {**raw.rows.name(row), **where, **why, **plan.more.get((row, code or ""), {}), **text}
        start += part.n_rows


def _actions(row: int, plan: Plan) -> list[tuple[str, str | None]]:
    if row in plan.dropped:
        return [("dropped", plan.dropped[row])]
    changed: list[tuple[str, str | None]] = [("changed", None)] if row in plan.texts else []
    return [*changed, *(("kept", code) for code in plan.listed.get(row, ()))]


def _counted(codes: Iterable[str]) -> dict[str, int]:
    return {CHECKS[code].name: n for code, n in sorted(Counter(codes).items())}
