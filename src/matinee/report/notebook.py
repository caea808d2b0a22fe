"""A run in a notebook: where it is, how good it is beside its baselines, and what the checks found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.core.notebook import escaped, note, panel, table
from matinee.core.wording import duration_in_words
from matinee.report.sections import scores
from matinee.report.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_CHECKS = 5


def run_html(
    path: str,
    settings: Mapping[str, Any],
    metrics: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    seconds: Mapping[str, float],
    *,
    n_labels: int,
) -> str:
    """Return a run as a notebook shows it.

    Args:
        path: Its folder.
        settings: All of them by name.
        metrics: As in `metrics.json`.
        checks: As in `analysis["checks"]`, worst first.
        seconds: Wall-clock time of each stage.
        n_labels: Number of labels.
    """
    encoder, data = (escaped(settings.get(name), 80) for name in ("encoder", "data"))
    took = f" · {duration_in_words(sum(seconds.values()))}" if seconds else ""
    said = verdict(metrics, n_labels=n_labels, is_baseline=settings.get("encoder") == "tfidf")
    return panel(
        f"<strong>{encoder}</strong> on <strong>{data}</strong>{took}",
        f'<p style="margin:.4em 0">{escaped(said.quality, 600)}</p>',
        _scores(metrics, n_labels),
        _checks(checks),
        note(f"Folder: <code>{escaped(path, 300)}</code>; <code>report.html</code> in it has everything."),
    )


def _scores(metrics: Mapping[str, Any], n_labels: int) -> str:
    view = scores(metrics, [], n_labels)
    if view["reason"]:
        return note(escaped(view["reason"], 300))
    rows = [
        [
            escaped(row["title"]) + (" (lower is better)" if row["better"] == "lower is better" else ""),
            *(_cell(cell) for cell in row["cells"]),
        ]
        for row in view["rows"]
    ]
    return table(["", *view["columns"]], rows, caption=f"On {view['n']}, with 95% intervals")


def _cell(cell: Mapping[str, str]) -> str:
    interval = f' <small style="white-space:nowrap">{escaped(cell["interval"])}</small>' if cell["interval"] else ""
    return f"<strong>{escaped(cell['value'])}</strong>{interval}"


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    if not checks:
        return note("The checks found nothing wrong.")
    rows = [
        [
            f"{escaped(check.get('severity'), 20)} {escaped(check.get('code'), 20)}",
            f"{escaped(check.get('title'))}. {escaped(check.get('found'), 300)}",
        ]
        for check in checks[:_MOST_CHECKS]
    ]
    left = len(checks) - _MOST_CHECKS
    return table(["Check", "What it found"], rows) + (note(f"… and {left} more.") if left > 0 else "")
