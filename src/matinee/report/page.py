"""The report: one HTML file that needs no network, for a screen of any width, for paper, in light and dark.

Everything that a user or a data set may have written is escaped by the template engine; nothing of it stands in code or
in a style. The page's own style and script are named by their hashes in its content security policy, so that a browser runs
nothing else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core.settings import LINEAR
from matinee.report import facts, mistakes, sections
from matinee.report.augmentation import augmentation
from matinee.report.backends import fast_versions
from matinee.report.distillation import distillation
from matinee.report.verdict import verdict
from matinee.report.wording import known, mapping, number, one_line, percent, points, printable, rows, span, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment


@dataclass(frozen=True)
class PageContents:
    """What a page is made from: plain values, as the files of a run hold them. Whatever is missing is said to be unknown, with the reason.

    A part that could not be made may be `{"reason": "why"}`.

    Attributes:
        name: Name of the run.
        label_names: In the order of the confusion matrix.
        settings: Flat, as in `config.yaml`.
        metrics: `metrics.json`.
        history: Rows of `history.jsonl`.
        class_report: As `evaluation.class_report` returns it, of the test texts.
        confusion: Counts of the test texts, true label by predicted label.
        analysis: `analysis.json`: calibration, coverage, conformal, slices, causes, mistakes, explanations, checks,
            augmentation, distillation.
        audit: `audit.json`.
        stress: `stress.json`.
        exports: `parity.json` of each export, with its folder's `name`.
        bench: `bench.json`.
        environment: `environment.json`.
        data: `data.json`.
        threshold: Of two labels the second one is answered where its probability is at least this; None: the more probable one.
        seconds: Wall-clock time of each stage, as in `manifest.json`.
        completed: When the run was, for people.
        command: The one command that repeats the run.
    """

    name: str
    label_names: Sequence[str] = ()
    settings: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] | None = None
    class_report: Sequence[Mapping[str, Any]] | None = None
    confusion: Sequence[Sequence[int]] | None = None
    analysis: Mapping[str, Any] | None = None
    audit: Mapping[str, Any] | None = None
    stress: Mapping[str, Any] | None = None
    exports: Sequence[Mapping[str, Any]] | None = None
    bench: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    threshold: float | None = None
    seconds: Mapping[str, Any] | None = None
    completed: str = ""
    command: str = ""


def render_page(contents: PageContents) -> str:
    """Return the report as one HTML file. The same contents give the same page."""
    style, script = _asset("report.css"), _asset("report.js")
    page = (
        _templates()
        .get_template("report.html")
        .render(
            **_views(contents),
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            version=__version__,
        )
    )
    return printable(page)


def _views(contents: PageContents) -> dict[str, Any]:
    """Return what each section says."""
    metrics, settings, analysis = (mapping(part) for part in (contents.metrics, contents.settings, contents.analysis))
    names = [one_line(name, 80) for name in contents.label_names]
    n_labels = max(2, len(names))
    is_linear, taught = settings.get("encoder") in LINEAR, distillation(analysis.get("distillation"))
    is_baseline = settings.get("encoder") == "tfidf" and taught is None
    calibration = analysis.get("calibration")
    return {
        "name": one_line(contents.name, 120),
        "about": _about(contents),
        "verdict": verdict(metrics, mapping(calibration), n_labels=n_labels, is_baseline=is_baseline),
        "tiles": _tiles(metrics, mapping(calibration)),
        "threshold": _threshold(contents, names),
        "scores": sections.scores(metrics, rows(contents.class_report), n_labels),
        "checks": sections.checks(analysis.get("checks")),
        "curves": sections.curves(rows(contents.history), metrics, n_labels, is_linear=is_linear),
        "confusion": sections.confusion(contents.confusion or (), names),
        "calibration": sections.calibration(calibration),
        "coverage": sections.coverage(analysis.get("coverage"), analysis.get("conformal")),
        "slices": sections.slices(analysis.get("slices")),
        "causes": sections.causes(analysis.get("causes")),
        "mistakes": mistakes.mistakes(analysis.get("mistakes"), analysis.get("explanations"), analysis.get("slices")),
        "explanations": sections.explanations(analysis.get("explanations")),
        "stress": sections.stress(contents.stress),
        "fast": fast_versions(contents.exports, contents.bench),
        "data": facts.data_facts(mapping(contents.data), contents.audit),
        "augmentation": augmentation(analysis.get("augmentation")),
        "distillation": taught,
        "settings": facts.settings(settings),
        "environment": facts.environment(contents.environment, contents.seconds),
        "command": printable(contents.command[:2000]),
    }


def _about(contents: PageContents) -> list[str]:
    """Return what was trained on what, when."""
    settings, data = mapping(contents.settings), mapping(contents.data)
    encoder, name = settings.get("encoder"), data.get("name") or settings.get("data")
    parts = [
        f"Encoder {one_line(encoder, 80)}" if encoder else "",
        f"data {one_line(name, 80)}" if name else "",
        one_line(contents.completed, 60),
    ]
    return [part for part in parts if part]


def _tiles(metrics: Mapping[str, Any], calibration: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures that the verdict rests on: (what, figure, beside it)."""
    accuracy = mapping(mapping(metrics.get("test")).get("accuracy"))
    baseline = mapping(mapping(metrics.get("baseline")).get("accuracy"))
    gain = value_of(mapping(metrics.get("gain_over_baseline")).get("accuracy"))
    error = mapping(mapping(calibration.get("after")).get("ece")) or mapping(mapping(metrics.get("test")).get("ece"))
    found = []
    if value_of(accuracy) is not None:
        found.append(("Texts labelled right", percent(value_of(accuracy), 1), f"likely {span(accuracy)}"))
    if value_of(baseline) is not None:
        lead = f"the classifier: {points(gain)} points" if gain is not None else "on the same texts"
        found.append(("Word-count baseline", percent(value_of(baseline), 1), lead))
    if (off := value_of(error)) is not None:
        found.append(("Probabilities are off by", f"{100 * off:.1f} points", "on average (ECE)"))
    return found


def _threshold(contents: PageContents, names: Sequence[str]) -> str:
    if not known(contents.threshold) or len(names) != 2:
        return ""
    goal = mapping(contents.settings).get("optimise")
    chosen = f", chosen on the validation texts for {one_line(goal, 40)}" if goal else ""
    return f"It answers “{names[1]}” where the probability of that is at least {number(contents.threshold)}{chosen}; else “{names[0]}”."


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("matinee.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> Any:
    """Return a style sheet or script of the package, as it stands on the page."""
    from importlib.resources import files

    from markupsafe import Markup

    text = files("matinee.report").joinpath("templates", name).read_text(encoding="utf-8")
    if re.search(r"</(style|script)", text):
        raise ValueError(f"{name} would end its own element")
    return Markup(text)  # noqa: S704 - a file of this package, not of a user


def _hash(text: str) -> str:
    """Return the hash that a content security policy names an inline style or script by."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
