"""`matinee compare` as a person meets it."""

from __future__ import annotations

import json

import pytest

from matinee.cli.main import run as matinee


@pytest.fixture(scope="module")
def trained(tiny_csv, tmp_path_factory):
    """Three linear runs, of which the last was tested on other texts."""
    root = tmp_path_factory.mktemp("runs")
    folders = {
        "large": ("--test-size", "24"),
        "small": ("--test-size", "24", "--train-size", "8"),
        "other": ("--test-size", "12"),
    }
    for name, sizes in folders.items():
        command = ["train", str(tiny_csv), "--encoder", "tfidf", "--validation-size", "16", "--quiet", *sizes]
        assert matinee([*command, "--run-dir", str(root / name)]) == 0
    return root


def test_tables_and_a_verdict(trained, capsys):
    assert matinee(["compare", str(trained / "large"), str(trained / "small")]) == 0
    shown = capsys.readouterr()
    for part in (
        "24 test texts",
        "large",
        "small",
        "Accuracy",
        "F1 (positive)",
        "Log-loss",
        "ECE",
        "Model on disk",
        " MB",
    ):
        assert part in shown.out
    assert "large less small" in shown.out
    assert "large and small" in shown.out or "is better than" in shown.out
    assert "another seed" in shown.out
    assert not shown.err


def test_json_holds_what_the_tables_say(trained, capsys):
    assert matinee(["compare", str(trained / "large"), str(trained / "small"), "--split", "validation", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["n"], said["split"]) == (16, "validation")
    assert [run["name"] for run in said["runs"]] == ["large", "small"]
    assert said["verdict"] == said["pairs"][0]["sentence"]
    assert len(said["disagreements"]) == min(20, said["n_disagree"])


def test_disagreements_are_shown_with_every_answer(trained, capsys):
    assert matinee(["compare", str(trained / "large"), str(trained / "small")]) == 0
    table = capsys.readouterr().out
    assert matinee(["compare", str(trained / "large"), str(trained / "small"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n_disagree"] > 0
    assert f"They disagree on {said['n_disagree']} of 24 texts" in table
    first = said["disagreements"][0]
    assert " ".join(first["text"].split())[:20] in table


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["large"], "at least two runs, got 1"),
        (["large", "nowhere"], "no run folder"),
        (["large", "other"], "their texts differ: "),
        (["large", "small", "large"], "named twice"),
    ],
)
def test_a_mistake_is_one_clear_line(trained, names, part, capsys):
    assert matinee(["compare", *(str(trained / name) for name in names)]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not shown.out


def test_no_run_at_all_is_a_usage_error(capsys):
    assert matinee(["compare"]) == 2
    assert "RUN" in capsys.readouterr().err
