"""Fast versions of the classifier: what was proved of each export, and how fast each back end is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matinee.report.charts import Axis, Series, axis_around, line_chart
from matinee.report.wording import (
    NOTHING,
    known,
    mapping,
    number,
    one_line,
    percent,
    plural,
    points,
    rows,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

_MOST_ROWS = 30
# Accuracies nearer than this look alike, so that noise does not look like news.
_LEAST_SPAN = 0.04
_TICKS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


def fast_versions(exports: Any, bench: Any) -> dict[str, Any]:
    """Return a table of the exports' proofs, one of the measured speeds, and a picture of speed against accuracy.

    Args:
        exports: `parity.json` of each export, with its folder's `name`.
        bench: `bench.json`.
    """
    proofs = [row for row in rows(exports) if row.get("backend")][:_MOST_ROWS]
    measured = [row for row in rows(mapping(bench).get("rows")) if row.get("backend")][:_MOST_ROWS]
    if not proofs and not measured:
        return {
            "reason": "There is no fast version of it yet: `matinee export RUN --to openvino --int8` makes one and proves it, "
            "`matinee bench RUN` measures."
        }
    drawn = measured or _as_measured(proofs)
    return {
        "reason": "",
        "proofs": [_proof(row) for row in proofs],
        "bench": [_speed(place, row) for place, row in enumerate(measured, start=1)],
        "about": _about(mapping(bench)),
        "legend": [] if measured else [(place, _name(row)) for place, row in enumerate(drawn, start=1)],
        "chart": _chart(drawn),
    }


def _proof(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row of the table of proofs."""
    gap, flips, accuracy, odd = (mapping(row.get(name)) for name in ("gap", "flips", "accuracy", "odd"))
    held, change = mapping(row.get("held_out")), mapping(accuracy.get("change"))
    ends = f"95% interval {points(change.get('low'))} to {points(change.get('high'))}"
    return {
        "name": _name(row),
        "held_out": plural(held.get("n"), "text"),
        "split": one_line(held.get("split") or "", 60),
        "flips": percent(flips.get("share"), 1),
        "flips_limit": "" if flips.get("limit") is None else f"limit {percent(flips.get('limit'), 1)}",
        "gap": number(gap.get("mean")),
        "largest": f"largest {number(gap.get('largest'))}",
        "accuracy": points(value_of(change)),
        "interval": ends if value_of(change) is not None else "",
        "odd": f"{number(odd.get('flips'))} of {number(odd.get('n'))}",
        "size": _megabytes(row.get("size_mb")),
        "speed": _rate(row.get("texts_per_second")),
        "speedup": _times(row.get("texts_per_second"), row.get("reference_texts_per_second")),
        "note": _note(row),
    }


def _note(row: Mapping[str, Any]) -> str:
    """Return what is special about an export."""
    if known(row.get("cheap_share")):
        return f"the linear classifier answers {percent(row['cheap_share'])}"
    attempts = rows(row.get("attempts"))
    calibration = mapping(row.get("calibration"))
    parts = []
    if calibration:
        parts.append(
            f"calibrated on {plural(calibration.get('n'), 'text')} of {one_line(calibration.get('split'), 40)}"
        )
    if len(attempts) > 1:
        parts.append(f"{one_line(attempts[-1].get('recipe'), 60)}, as less cost too much on validation")
    return "; ".join(parts)


def _speed(place: int, row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row of the table of speeds."""
    latency = mapping(row.get("latency_ms"))
    return {
        "place": str(place),
        "name": _name(row),
        "speed": _rate(row.get("texts_per_second")),
        "speedup": f"{number(row.get('speedup'), 1)} ×" if known(row.get("speedup")) else "",
        "p50": _milliseconds(latency.get("p50")),
        "tail": f"{_milliseconds(latency.get('p95'))} · {_milliseconds(latency.get('p99'))}",
        "memory": _megabytes(row.get("peak_memory_mb")),
        "size": _megabytes(row.get("size_mb")),
        "load": f"{number(row.get('load_s'), 1)} s" if known(row.get("load_s")) else NOTHING,
        "first": f"{number(row.get('first_answer_s'), 1)} s" if known(row.get("first_answer_s")) else NOTHING,
        "accuracy": percent(row.get("accuracy"), 1),
    }


def _as_measured(proofs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the proofs know of speed and accuracy, as rows of a bench: torch's first, then each export's."""
    first = proofs[0]
    found = [
        {
            "backend": first.get("reference"),
            "stock": True,
            "texts_per_second": first.get("reference_texts_per_second"),
            "accuracy": mapping(first.get("accuracy")).get("reference"),
        }
    ]
    return found + [{**row, "accuracy": mapping(row.get("accuracy")).get("candidate")} for row in proofs]


def _chart(measured: Sequence[Mapping[str, Any]]) -> Markup | str:
    """Return speed, on a logarithmic axis, against accuracy; nothing where fewer than two have both."""
    drawn = [
        (place, row)
        for place, row in enumerate(measured, start=1)
        if known(row.get("accuracy")) and known(row.get("texts_per_second")) and row["texts_per_second"] > 0
    ]
    if len(drawn) < 2:
        return ""
    logs = [math.log10(row["texts_per_second"]) for _, row in drawn]
    low, high = min(logs) - 0.15, max(logs) + 0.15
    ticks = tuple(math.log10(tick) for tick in _TICKS if low <= math.log10(tick) <= high)
    across = Axis(low, high, "Texts a second", ticks, lambda value: f"{10**value:,.0f}")
    up = axis_around(
        [row["accuracy"] for _, row in drawn], "Accuracy", least_span=_LEAST_SPAN, percent=True, within=(0.0, 1.0)
    )
    series = [
        Series(
            name=f"{_name(row)}: {_rate(row['texts_per_second'])} texts a second, {percent(row['accuracy'], 1)} right",
            kind="before" if row.get("stock") else "after",
            points=((log, row["accuracy"]),),
            marker="square" if row.get("stock") else "circle",
            label=str(place),
        )
        for (place, row), log in zip(drawn, logs, strict=True)
    ]
    return line_chart(across, up, series, label="Speed of each back end against its accuracy; up and right is better.")


def _about(bench: Mapping[str, Any]) -> str:
    machine = mapping(bench.get("machine"))
    parts = [
        plural(bench.get("n_texts"), "text") if known(bench.get("n_texts")) else "",
        f"{number(bench.get('max_length'))} tokens at most" if known(bench.get("max_length")) else "",
        one_line(machine.get("processor") or "", 100),
        plural(machine.get("cores"), "core") if known(machine.get("cores")) else "",
    ]
    return ", ".join(part for part in parts if part)


def _name(row: Mapping[str, Any]) -> str:
    """Return what a back end is called: `openvino int8`; an export in a folder of another name has that beside it."""
    name = one_line(f"{row.get('backend') or NOTHING} {row.get('precision') or ''}", 80)
    folder = one_line(row.get("name") or "", 60)
    return name if folder in {"", name, name.replace(" ", "-"), str(row.get("backend"))} else f"{name} ({folder})"


def _rate(value: Any) -> str:
    return f"{value:,.{0 if value >= 10 else 1}f}" if known(value) else NOTHING


def _times(ours: Any, theirs: Any) -> str:
    return f"{ours / theirs:.1f} × torch" if known(ours) and known(theirs) and theirs > 0 else ""


def _milliseconds(value: Any) -> str:
    return f"{_rate(value)} ms" if known(value) else NOTHING


def _megabytes(value: Any) -> str:
    return f"{_rate(value)} MB" if known(value) else NOTHING
