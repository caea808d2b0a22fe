"""Whose answers a distilled classifier learned, of how many texts, and how far it agrees with them."""

from __future__ import annotations

from typing import Any

from matinee.report.wording import known, mapping, number, one_line, percent, plural, rows, value_of

_MOST_TEACHERS = 10
_MOST_LABELS = 10


def distillation(section: Any) -> dict[str, Any] | None:
    """Return teachers, facts and the balance of the soft labels; None where nobody taught the classifier.

    Args:
        section: `analysis.json`'s: teachers, unlabelled, n_texts, confidence, agreement, labels and the settings of it.
    """
    parts = mapping(section)
    teachers = rows(parts.get("teachers"))
    if not teachers:
        return None
    labels, before = mapping(parts.get("labels")), mapping(parts.get("labels_before"))
    return {
        "teachers": [
            {
                "name": one_line(teacher.get("name") or "", 120),
                "encoder": one_line(teacher.get("encoder") or "", 80),
                "accuracy": percent(teacher.get("accuracy"), 1),
            }
            for teacher in teachers[:_MOST_TEACHERS]
        ],
        "n_texts": plural(parts.get("n_texts"), "text"),
        "has_true_labels": parts.get("true_label_share") != 0,
        "facts": [(title, value) for title, value in _facts(parts) if value],
        "labels": [
            {"name": one_line(name, 80), "share": percent(share, 1), "before": percent(before.get(name), 1)}
            for name, share in list(labels.items())[:_MOST_LABELS]
        ],
    }


def _facts(parts: Any) -> list[tuple[str, str]]:
    unlabelled, confidence, agreement = (mapping(parts.get(name)) for name in ("unlabelled", "confidence", "agreement"))
    left_out = ", ".join(f"{number(n)} {one_line(why, 80)}" for why, n in mapping(unlabelled.get("left_out")).items())
    share, temperature = parts.get("true_label_share"), parts.get("temperature")
    on_test = plural(agreement.get("n_test"), "test text")
    return [
        ("Unlabelled texts from", one_line(unlabelled.get("source") or "", 200)),
        ("Rows read", number(unlabelled.get("rows")) if known(unlabelled.get("rows")) else ""),
        ("Left out before the teachers were asked", left_out),
        ("Left out for want of confidence", _unsure(parts.get("n_unsure"), confidence.get("least"))),
        ("Mean probability of the most probable label", _share(confidence.get("mean_kept"))),
        ("Teachers agree on", _share(agreement.get("teachers"))),
        (f"Student and teachers agree on ({on_test})", _share(agreement.get("test"))),
        ("Accuracy of the teachers together, on these", _share(parts.get("teachers_accuracy"))),
        ("Temperature", number(temperature, 2) if known(temperature) else ""),
        ("Share of the true labels in the loss", percent(share) if known(share) else "as many as there are"),
    ]


def _share(value: Any) -> str:
    return percent(value, 1) if value_of({"value": value}) is not None else ""


def _unsure(n: Any, least: Any) -> str:
    return f"{plural(n, 'text')} below {percent(least)}" if known(n) and known(least) else ""
