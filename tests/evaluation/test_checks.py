"""Checks: each fires where it should, and keeps quiet where it must."""

from __future__ import annotations

import json
import re

import pytest

from matinee.core.errors import SettingsError
from matinee.evaluation.checks import CHECKS, SEVERITIES, CheckFacts, run_checks


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


def metrics(
    accuracy=(0.88, 0.865, 0.895), gain=(0.05, 0.03, 0.07), ece=(0.02, 0.01, 0.03), n=2_000, kept=3.0, validation=200
):
    made = {
        "test": {"n": n, "accuracy": interval(*accuracy), "ece": interval(*ece)},
        "gain_over_baseline": {"accuracy": interval(*gain)},
        "kept_epoch": kept,
    }
    return made | ({"validation": {"n": validation}} if validation else {})


def history(*epochs):
    """One tuple per epoch, the state before the first one first: training loss, validation loss and accuracy, training accuracy."""
    rows = []
    for number, (loss, eval_loss, eval_accuracy, train_accuracy) in enumerate(epochs):
        if number:
            rows += [{"loss": loss, "epoch": number - 0.5}, {"loss": loss, "epoch": float(number)}]
        rows.append({"eval_loss": eval_loss, "eval_accuracy": eval_accuracy, "epoch": float(number)})
        if number:
            rows[-1]["train_accuracy"] = train_accuracy
    return rows


SETTLED = history((None, 0.5, 0.73, None), (0.5, 0.36, 0.84, 0.80), (0.3, 0.34, 0.86, 0.90), (0.2, 0.345, 0.87, 0.93))


def audit(name, n, severity="error"):
    return {"findings": [{"code": "A202", "name": name, "n": n, "severity": severity, "title": "…", "advice": "…"}]}


def labels(**counts):
    return {"splits": {"train": {"n": sum(counts.values()), "labels": counts}}}


def slices(difference, significant=True, n=200):
    row = {
        "name": "negation",
        "title": "with a negation",
        "n": n,
        "accuracy": interval(0.8, 0.74, 0.85),
        "rest": 0.8 - difference,
        "difference": interval(difference, difference - 0.03, difference + 0.03),
        "significant": significant,
    }
    return {"slices": {"rows": [row]}}


def behaviour(**rates):
    """As stress.json has it: failure rates by capability."""
    return {"capabilities": [{"name": name, "title": name, "rate": rate} for name, rate in rates.items()]}


WELL = {
    "metrics": metrics(),
    "history": SETTLED,
    "analysis": {"calibration": {"after": {"ece": interval(0.02, 0.01, 0.03)}}, **slices(-0.03)},
    "audit": {
        "findings": [],
        "truncation": {"max_length": 384, "texts": 0.1, "tokens": 0.05},
        "label_errors": {"n": 20, "share": 0.02},
    },
    "data": {**labels(bad=500, good=500), "dropped": {}},
    "settings": {"encoder": "minilm"},
    "confusion": [[860, 140], [100, 900]],
    "label_names": ("bad", "good"),
    "seed_accuracies": (0.88, 0.875, 0.885),
}

# Code → (what is different, severity, part of what is said).
FIRES = {
    "M101": [
        (
            {"metrics": metrics(gain=(-0.03, -0.05, -0.01))},
            "error",
            "less accurate than the baseline on the same texts: -3.0 points [-5.0, -1.0]",
        ),
        (
            {"metrics": metrics(gain=(0.01, -0.01, 0.03))},
            "warning",
            "cannot be told from the baseline's on the same texts: +1.0 points [-1.0, +3.0]",
        ),
        ({"metrics": metrics(gain=(0.0, 0.0, 0.0))}, "warning", "cannot be told"),
    ],
    "M102": [
        (
            {"confusion": [[1000, 0], [995, 5]]},
            "error",
            "It answers 'bad' to 100 % of the texts; 50 % have that label.",
        ),
        (
            {"confusion": [[1780, 20], [150, 50]], "metrics": metrics((0.915, 0.895, 0.93))},
            "warning",
            "accuracy of 0.915 [0.895, 0.930] cannot be told from always answering 'bad', which would be right for 90 %",
        ),
        ({"confusion": [[1990, 0], [10, 0]], "metrics": metrics((0.995, 0.99, 0.998))}, "warning", "right for 100 %"),
    ],
    "M103": [
        (
            {"metrics": metrics((0.85, 0.79, 0.90), n=150)},
            "info",
            "With 150 test texts the accuracy lies between 0.790 and 0.900: 11 points",
        ),
        ({"metrics": metrics((0.8, 0.6, 0.92), n=24)}, "warning", "32 points apart"),
    ],
    "M104": [({"confusion": [[10, 2], [0, 0]]}, "warning", "No test text has the label 'good'.")],
    "M201": [
        ({"audit": audit("texts-in-two-splits", 12)}, "error", "12 texts stand in more than one split."),
        (
            {"audit": audit("near-duplicates-in-two-splits", 1)},
            "warning",
            "1 text stands in two splits with few changes.",
        ),
        (
            {
                "audit": audit("near-duplicates-in-two-splits", 3),
                "data": {"dropped": {"training text also in validation or test": 16}},
            },
            "warning",
            "3 texts stand",
        ),
    ],
    "M202": [
        (
            {"audit": {"truncation": {"max_length": 384, "texts": 0.33, "tokens": 0.2}}},
            "info",
            "At most 384 tokens of a text are read: 20 % of all tokens are lost, in 33 % of the texts.",
        ),
        ({"audit": {"truncation": {"max_length": 128, "texts": 0.8, "tokens": 0.5}}}, "warning", "50 % of all tokens"),
    ],
    "M203": [
        (
            {"data": labels(bad=100, good=900)},
            "warning",
            "900 training texts have the label 'good', 100 the label 'bad': 9.0 times as many.",
        )
    ],
    "M204": [
        (
            {"audit": {"label_errors": {"n": 60, "share": 0.06, "judged_by": "tf-idf"}}},
            "info",
            "60 labels, 6.0 % of those judged, look wrong to tf-idf.",
        )
    ],
    "M205": [({"audit": {}}, "warning", "no audit.json")],
    "M301": [
        (
            {
                "history": history(
                    (None, 0.6, 0.6, None), (0.5, 0.55, 0.70, 0.8), (0.1, 0.56, 0.72, 0.95), (0.05, 0.57, 0.73, 0.99)
                )
            },
            "warning",
            "right for 0.990 of its training texts; it is for 0.730 of the validation texts: 26 points less",
        ),
        (
            {
                "history": history(
                    (None, 0.6, 0.6, None), (0.5, 0.4, 0.85, 0.85), (0.3, 0.5, 0.84, 0.90), (0.1, 0.6, 0.84, 0.95)
                )
            },
            "warning",
            "rose from 0.400 (epoch 1) to 0.600 (epoch 3, which was kept)",
        ),
        (
            {
                "history": history(
                    (None, 0.6, 0.6, None), (0.5, 0.4, 0.82, 0.85), (0.3, 0.5, 0.84, 0.90), (0.1, 0.6, 0.86, 0.95)
                )
            },
            "info",
            "surer, and more accurate too",
        ),
        (
            {
                "history": history(
                    (None, 0.6, 0.6, None), (0.5, 0.4, 0.85, 0.85), (0.3, 0.5, 0.84, 0.90), (0.1, 0.6, 0.84, 0.95)
                ),
                "settings": {"encoder": "minilm", "calibration": "temperature"},
            },
            "info",
            "no less accurate, and calibration took the sureness back",
        ),
    ],
    "M302": [
        (
            {
                "history": history(
                    (None, 0.7, 0.5, None), (0.6, 0.6, 0.6, 0.6), (0.5, 0.5, 0.7, 0.7), (0.4, 0.4, 0.8, 0.8)
                )
            },
            "warning",
            "still fell from 0.500 to 0.400 in the last epoch (3)",
        ),
        # Evaluated within epochs: the last one is held against where it began.
        (
            {
                "history": [
                    *history((None, 0.7, 0.5, None), (0.6, 0.5, 0.7, 0.6), (0.4, 0.4, 0.8, 0.8))[:-1],
                    {"eval_loss": 0.41, "eval_accuracy": 0.8, "epoch": 1.5},
                    {"eval_loss": 0.4, "eval_accuracy": 0.8, "epoch": 2.0},
                ],
                "metrics": metrics(kept=2.0),
            },
            "warning",
            "still fell from 0.500 to 0.400 in the last epoch (2)",
        ),
        (
            {
                "history": [
                    {"eval_loss": 0.7, "eval_accuracy": 0.5, "epoch": 0},
                    *({"loss": 0.7 - 0.3 * k / 10, "epoch": k / 10} for k in range(1, 10)),
                    {"eval_loss": 0.4, "eval_accuracy": 0.8, "epoch": 1.0},
                ],
                "metrics": metrics(kept=1.0),
            },
            "warning",
            "in the last epoch (1)",
        ),
    ],
    "M303": [
        (
            {"seed_accuracies": (0.88, 0.816, 0.87)},
            "warning",
            "3 seeds gave accuracies between 0.816 and 0.880: 6.4 points apart.",
        )
    ],
    "M401": [
        (
            {"analysis": {"calibration": {"after": {"ece": interval(0.08, 0.06, 0.1)}}}},
            "warning",
            "off by 8.0 points on average [6.0, 10.0]",
        ),
        ({"analysis": {}, "metrics": metrics(ece=(0.08, 0.06, 0.1))}, "warning", "off by 8.0 points"),
    ],
    "M402": [
        (
            {"analysis": slices(-0.09)},
            "warning",
            "lower on texts with a negation (0.800 against 0.890 elsewhere, 200 texts)",
        )
    ],
    "M403": [({"metrics": metrics(validation=None)}, "info", "no validation split")],
    "M404": [
        (
            {"stress": behaviour(negation=interval(0.6, 0.5, 0.7), typos=interval(0.0, 0.0, 0.05))},
            "warning",
            "more than 10 % of the cases of 1 of 2 kinds, the worst: negation (60 %).",
        )
    ],
}

# Code → differences after which it must still keep quiet, beside a run that is well.
SILENT = {
    "M101": [
        {"metrics": metrics(gain=(0.0, 0.0, 0.0)), "settings": {"encoder": "tfidf"}},  # it is the baseline
        {"metrics": {"gain_over_baseline": {"accuracy": {"value": None, "low": None, "high": None}}}},
    ],
    "M102": [
        {"confusion": [[1780, 20], [100, 100]], "metrics": metrics((0.94, 0.93, 0.95))},
        {"confusion": [[10, 2], [0, 0]]},  # one label alone: another check says so
    ],
    "M103": [{"metrics": metrics((0.85, 0.81, 0.89))}],
    "M104": [{"confusion": [[10, 2], [0, 1]]}, {"confusion": []}],
    "M201": [
        {"audit": audit("exact-duplicates", 12)},
        {"data": {"dropped": {"training text also in validation or test": 12}}},  # left out: none remain
    ],
    "M202": [
        {"audit": {"truncation": {"reason": "no encoder"}}},
        {"audit": {"truncation": {"tokens": 0.09, "texts": 0.2}}},
    ],
    "M203": [
        {"data": labels(bad=201, good=800)},
        {"data": labels(bad=0, good=800)},
        {"data": labels(bad=250, good=300, ugly=400)},
    ],
    "M205": [{"audit": audit("exact-duplicates", 1)}],
    "M404": [
        {"stress": behaviour(negation=interval(0.3, 0.08, 0.6))},
        {"stress": {"capabilities": []}},
    ],
    "M204": [{"audit": {"label_errors": {"reason": "too few"}}}, {"audit": {"label_errors": {"n": 3, "share": 0.03}}}],
    "M301": [
        # The gap is large, and within the noise of 20 validation texts.
        {
            "history": history(
                (None, 0.6, 0.6, None), (0.5, 0.5, 0.80, 0.98), (0.3, 0.5, 0.8, 0.98), (0.2, 0.5, 0.8, 0.98)
            ),
            "metrics": metrics(validation=20),
        },
        # The loss rose after the epoch that was kept.
        {
            "history": history(
                (None, 0.6, 0.6, None), (0.5, 0.4, 0.85, 0.85), (0.3, 0.6, 0.84, 0.90), (0.1, 0.8, 0.84, 0.95)
            ),
            "metrics": metrics(kept=1.0),
        },
    ],
    "M302": [
        # Not the last epoch; accuracy fell; the training loss has settled; nothing to compare with.
        {
            "history": history(
                (None, 0.7, 0.5, None), (0.6, 0.6, 0.6, 0.6), (0.5, 0.5, 0.7, 0.7), (0.4, 0.4, 0.8, 0.8)
            ),
            "metrics": metrics(kept=2.0),
        },
        {"history": history((None, 0.7, 0.5, None), (0.6, 0.6, 0.6, 0.6), (0.5, 0.5, 0.7, 0.7), (0.4, 0.4, 0.65, 0.8))},
        {"history": history((None, 0.7, 0.5, None), (0.6, 0.6, 0.6, 0.6), (0.4, 0.5, 0.7, 0.7), (0.4, 0.4, 0.8, 0.8))},
        {"history": [{"eval_loss": 0.4, "eval_accuracy": 0.8, "epoch": 3.0}, {"loss": 0.3, "epoch": 1.0}]},
    ],
    "M303": [
        {"seed_accuracies": (0.80, 0.90)},
        {"seed_accuracies": (0.84, 0.88, 0.86), "metrics": metrics(n=100)},  # so few texts explain it
    ],
    "M401": [
        {"analysis": {"calibration": {"after": {"ece": interval(0.06, 0.02, 0.1)}}}},  # within chance
        # Before calibration it was worse.
        {
            "analysis": {"calibration": {"after": {"ece": interval(0.02, 0.01, 0.03)}}},
            "metrics": metrics(ece=(0.1, 0.08, 0.12)),
        },
    ],
    "M402": [{"analysis": slices(-0.09, significant=False)}, {"analysis": slices(0.09)}, {"analysis": slices(-0.04)}],
    "M403": [{"metrics": {}}],
}


def found(code, difference):
    findings = {finding["code"]: finding for finding in run_checks(CheckFacts(**{**WELL, **difference}))}
    return findings.get(code)


def test_a_run_that_is_well_has_no_findings():
    assert run_checks(CheckFacts(**WELL)) == []


def test_nothing_known_nothing_found():
    assert run_checks(CheckFacts()) == []


@pytest.mark.parametrize(
    ("code", "difference", "severity", "part"), [(code, *case) for code, cases in FIRES.items() for case in cases]
)
def test_it_fires(code, difference, severity, part):
    finding = found(code, difference)
    assert finding is not None
    assert finding["severity"] == severity
    assert part in finding["found"]
    assert finding["found"].endswith(".")
    assert {key: finding[key] for key in ("name", "title", "advice")} == {
        key: getattr(CHECKS[code], key) for key in ("name", "title", "advice")
    }


@pytest.mark.parametrize(("code", "difference"), [(code, case) for code, cases in SILENT.items() for case in cases])
def test_it_keeps_quiet(code, difference):
    assert found(code, difference) is None


def test_every_check_is_tried_both_ways_and_documented():
    assert set(FIRES) == set(SILENT) == set(CHECKS)
    assert len({check.name for check in CHECKS.values()}) == len(CHECKS)
    assert list(CHECKS) == sorted(CHECKS)
    for code, check in CHECKS.items():
        assert re.fullmatch(r"M[1-4]\d\d", code)
        assert check.code == code
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.name)
        assert check.severity in SEVERITIES
        assert check.explanation.endswith(".")
        assert check.advice.endswith(".")


def test_the_worst_come_first_and_all_is_plain_json():
    facts = CheckFacts(
        metrics=metrics((0.8, 0.7, 0.85), gain=(-0.03, -0.05, -0.01), validation=None), audit={"findings": []}
    )
    findings = run_checks(facts)
    assert [finding["code"] for finding in findings] == ["M101", "M103", "M403"]
    assert json.loads(json.dumps(findings, allow_nan=False)) == findings


def test_findings_can_be_ignored_by_code_and_by_name():
    facts = CheckFacts(metrics=metrics(gain=(0.01, -0.01, 0.03), validation=None), audit={"findings": []})
    assert [finding["code"] for finding in run_checks(facts)] == ["M101", "M403"]
    assert [finding["code"] for finding in run_checks(facts, ignore=["m101"])] == ["M403"]
    assert run_checks(facts, ignore=["M101", "no-validation"]) == []


@pytest.mark.parametrize(
    ("name", "part"), [("M110", "Did you mean"), ("overfitt", "Did you mean 'overfit'"), ("x", "There are M101, ")]
)
def test_an_unknown_code_is_named_with_the_nearest(name, part):
    with pytest.raises(SettingsError, match=re.escape(part)) as caught:
        run_checks(CheckFacts(), ignore=["M101", name])
    assert f"There is no check {name!r} to ignore." in str(caught.value)


def test_undefined_scores_and_diverged_losses_break_nothing():
    nothing = {"value": None, "low": None, "high": None, "reason": "…"}
    facts = CheckFacts(
        metrics={"test": {"n": 5, "accuracy": nothing, "ece": nothing}, "gain_over_baseline": None, "kept_epoch": None},
        history=[{"loss": None, "epoch": 0.5}, {"eval_loss": None, "eval_accuracy": 0.5, "epoch": 1.0}],
        analysis={"calibration": {"reason": "…"}, "slices": {"rows": []}},
        audit={"findings": [], "truncation": {"reason": "…"}},
        data={"splits": {}, "dropped": {}},
    )
    assert [finding["code"] for finding in run_checks(facts)] == ["M403"]
