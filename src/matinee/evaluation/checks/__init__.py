"""Checks of a run, in the manner of a linter: each looks at what is known and says what is wrong, how bad it is, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.core.errors import SettingsError, did_you_mean
from matinee.evaluation.checks import data, score, training, trust
from matinee.evaluation.checks.facts import SEVERITIES, Check, CheckFacts, Found

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CHECKS", "SEVERITIES", "Check", "CheckFacts", "Found", "run_checks"]

CHECKS: dict[str, Check] = {check.code: check for module in (score, data, training, trust) for check in module.CHECKS}
"""Every check by its code, in the order of the codes."""


def run_checks(facts: CheckFacts, ignore: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return what is wrong with a run, worst first.

    Args:
        facts: What is known of it. A check whose facts are missing finds nothing.
        ignore: Codes or names of checks to leave out.

    Returns:
        `[{"code", "name", "severity", "title", "found", "advice"}]`: `found` has the figures, `advice` says what to do.

    Raises:
        SettingsError: `ignore` names no check.

    Example:
        >>> small = {"test": {"n": 40, "accuracy": {"value": 0.8, "low": 0.65, "high": 0.9}}}
        >>> [finding["name"] for finding in run_checks(CheckFacts(metrics=small), ignore=["no-validation", "not-audited"])]
        ['test-too-small']
    """
    ignored = {_code(name) for name in ignore}
    findings = []
    for code, check in CHECKS.items():
        found = None if code in ignored else check.look(facts)
        if found is not None:
            findings.append(
                {
                    "code": code,
                    "name": check.name,
                    "severity": found.severity or check.severity,
                    "title": check.title,
                    "found": found.words,
                    "advice": check.advice,
                }
            )
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding["severity"]))


def _code(name: str) -> str:
    """Return the code of a check that was named by its code or its name."""
    codes = {known.lower(): code for code, check in CHECKS.items() for known in (code, check.name)}
    if name.strip().lower() not in codes:
        known = [known for code, check in CHECKS.items() for known in (code, check.name)]
        raise SettingsError(
            f"There is no check {name!r} to ignore.{did_you_mean(name, known)} There are {', '.join(CHECKS)}."
        )
    return codes[name.strip().lower()]
