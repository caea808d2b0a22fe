"""What the page says of the data, the settings and the machine: facts that need no classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.report.wording import NOTHING, known, mapping, number, one_line, percent, plural, rows, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

View = dict[str, Any]

SEVERITIES = {"error": "Error", "warning": "Warning", "info": "Note"}
_MOST_ROWS = 100


def data_facts(data: Mapping[str, Any], audit: Any) -> View:
    """Return where the texts came from, how they were divided, what was dropped, and what is wrong with them."""
    about, audited = mapping(data), mapping(audit)
    splits = mapping(about.get("splits"))
    dropped, left_out = mapping(about.get("dropped")), mapping(about.get("left_out"))
    if not about and not audited:
        return {"reason": "Nothing is known of the data: the run has no data.json."}
    return {
        "reason": "",
        "name": one_line(about.get("name") or NOTHING),
        "source": one_line(about.get("source") or NOTHING),
        "files": [one_line(name) for name in texts(about.get("files"))[:10]],
        "splits": [
            {
                "name": name,
                "n": number(part.get("n")),
                "labels": _label_counts(part),
                "how": one_line(mapping(about.get("held_out")).get(name) or ""),
            }
            for name, part in ((name, mapping(part)) for name, part in splits.items())
        ],
        "dropped": [{"why": one_line(why), "n": number(n)} for why, n in list(dropped.items())[:_MOST_ROWS]],
        "left_out": [{"what": one_line(what), "why": one_line(why)} for what, why in list(left_out.items())[:10]],
        "audit_reason": "" if audited else "The data was not audited: `matinee audit DATA` does that.",
        "findings": _findings(audited),
        "truncation": _truncation(mapping(audited.get("truncation"))),
        "lengths": flat(audited.get("lengths")),
        "classes": _classes(mapping(audited.get("classes"))),
    }


def _label_counts(split: Mapping[str, Any]) -> str:
    counts = list(mapping(split.get("labels")).items())
    named = ", ".join(f"{one_line(name, 60)} {number(n)}" for name, n in counts[:8])
    return named + (f" and {plural(len(counts) - 8, 'more label')}" if len(counts) > 8 else "")


def _findings(audit: Mapping[str, Any]) -> list[View]:
    order = list(SEVERITIES)
    found = [row for row in rows(audit.get("findings")) if row.get("severity") in order]
    found.sort(key=lambda row: order.index(row["severity"]))
    return [
        {
            "severity": row["severity"],
            "word": SEVERITIES[row["severity"]],
            "title": one_line(row.get("title") or row.get("code") or NOTHING),
            "share": f"{percent(row['share'], 1)} of the texts" if known(row.get("share")) else "",
            "advice": one_line(row.get("advice") or "", 600),
            "examples": [_example(each) for each in rows(row.get("examples"))[:3]],
        }
        for row in found[:_MOST_ROWS]
    ]


def _example(row: Mapping[str, Any]) -> View:
    other = mapping(row.get("same_as"))
    where = _where(row) + (f"; the same as {_where(other)}" if other else "")
    return {"where": where, "text": one_line(row.get("text") or "", 280)}


def _where(row: Mapping[str, Any]) -> str:
    return ", ".join(one_line(row[key], 80) for key in ("split", "id", "label") if row.get(key) is not None)


def _classes(found: Mapping[str, Any]) -> list[View]:
    return [
        {
            "label": one_line(row.get("label") or NOTHING, 80),
            "n": number(row.get("n")),
            "share": percent(row.get("share"), 1),
        }
        for row in rows(found.get("labels"))[:_MOST_ROWS]
    ]


def _truncation(found: Mapping[str, Any]) -> str:
    if not known(found.get("texts")) or not known(found.get("tokens")):
        return ""
    sample = (
        f" (measured on a sample of {plural(found.get('n_measured'), 'text')})" if found.get("sampled") is True else ""
    )
    return (
        f"At {number(found.get('max_length'))} tokens, {percent(found['texts'], 1)} of the texts are cut, "
        f"and {percent(found['tokens'], 1)} of all tokens are never read{sample}."
    )


def flat(value: Any, *, most: int = 60) -> list[tuple[str, str]]:
    """Return the plain values inside nested mappings, as (path in words, value), for tables of facts."""
    found: list[tuple[str, str]] = []

    def walk(path: tuple[str, ...], part: Any) -> None:
        if len(found) >= most:
            return
        if hasattr(part, "items"):
            for key, inner in part.items():
                walk((*path, one_line(key, 60).replace("_", " ")), inner)
        elif isinstance(part, (list, tuple)):
            if all(isinstance(item, (str, int, float)) for item in part):
                found.append((" · ".join(path), one_line(", ".join(_plain(item) for item in part[:12]))))
        else:
            found.append((" · ".join(path), _plain(part)))

    walk((), mapping(value))
    return found


def settings(values: Mapping[str, Any]) -> View:
    """Return every setting by name."""
    if not mapping(values):
        return {"reason": "The settings are not known: the run has no config.yaml."}
    return {"reason": "", "rows": [(str(name), _plain(value)) for name, value in list(values.items())[:200]]}


def environment(values: Any, seconds: Any) -> View:
    """Return versions, machine, commit, and how long each stage took."""
    about = flat(values)
    if not about:
        return {"reason": "The environment is not known: the run has no environment.json."}
    stages = [(one_line(name, 60), _duration(value)) for name, value in mapping(seconds).items() if known(value)]
    return {"reason": "", "rows": about, "stages": stages[:30]}


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _plain(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(value)
