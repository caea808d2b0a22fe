"""Checks of a run from its folder, and those of its seeds from the folders beside it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import yaml

from matinee.cli.main import run as matinee
from matinee.core.errors import RunError, SettingsError
from matinee.evaluation import read_predictions, write_predictions
from matinee.workflow import report, train

SMALL = {"encoder": "tfidf", "test_size": 12, "validation_size": 16}


@pytest.fixture(scope="module")
def trained(tiny_csv, tmp_path_factory):
    return train(tiny_csv, run_dir=tmp_path_factory.mktemp("checked") / "one", **SMALL)


@pytest.fixture
def run(trained, tmp_path):
    """A copy in a folder of its own, to which neighbours can be added."""
    shutil.copytree(trained.path, tmp_path / "runs" / "one")
    return replace(trained, path=tmp_path / "runs" / "one")


def names(found):
    return {row["name"] for row in found}


def with_seed(run, name, seed, accuracy):
    """Write a run beside `run` that has another seed and another accuracy."""
    path = run.path.parent / name
    shutil.copytree(run.path, path)
    config = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump({**config, "seed": seed}))
    metrics = json.loads((path / "metrics.json").read_text())
    metrics["test"]["accuracy"]["value"] = accuracy
    (path / "metrics.json").write_text(json.dumps(metrics))


def test_a_training_runs_them_and_keeps_what_they_found(run):
    assert "test-too-small" in names(run.checks)  # 12 texts
    assert "below-baseline" not in names(run.checks)  # it is the baseline
    kept = json.loads((run.path / "analysis.json").read_text(encoding="utf-8"))["checks"]
    assert kept == run.checks
    assert run.checks[0]["advice"] in (run.path / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")


def test_a_check_that_is_ignored_is_not_made(run, tiny_csv, tmp_path):
    again = train(tiny_csv, run_dir=tmp_path / "again", ignore=["M103"], **SMALL)
    assert names(again.checks) == names(run.checks) - {"test-too-small"}
    assert yaml.safe_load((tmp_path / "again" / "config.yaml").read_text())["ignore"] == ["M103"]
    assert names(report(run.path, ignore=["test-too-small"]).checks) == names(again.checks)


def test_an_unknown_check_is_said_before_a_folder_is_made(tiny_csv, tmp_path):
    with pytest.raises(SettingsError, match=r"no check 'overfitt' to ignore. Did you mean 'overfit'"):
        train(tiny_csv, run_dir=tmp_path / "run", ignore=["overfitt"], **SMALL)
    assert not (tmp_path / "run").exists()


def test_seeds_that_disagree_are_found_in_the_folders_beside_it(run):
    accuracy = run.metrics["test"]["accuracy"]["value"]
    assert "unstable-seeds" not in names(report(run.path).checks)
    with_seed(run, "two", 1, accuracy)
    with_seed(run, "three", 2, abs(accuracy - 0.6))
    (found,) = (row for row in report(run.path).checks if row["name"] == "unstable-seeds")
    assert found["found"].startswith("3 seeds gave accuracies")


def test_a_neighbour_with_other_settings_or_damage_is_no_seed_of_it(run):
    accuracy = run.metrics["test"]["accuracy"]["value"]
    with_seed(run, "two", 1, accuracy)
    with_seed(run, "three", 2, abs(accuracy - 0.6))
    config = run.path.parent / "three" / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 3.0", "epochs: 4.0"))
    assert "unstable-seeds" not in names(report(run.path).checks)
    config.write_text("[")
    assert "unstable-seeds" not in names(report(run.path).checks)


def test_a_folder_beside_it_that_is_no_run_is_left_alone(run):
    (run.path.parent / "app").mkdir()
    (run.path.parent / "app" / "manifest.json").write_text("{}")
    (run.path.parent / "half").mkdir()
    (run.path.parent / "half" / "config.yaml").mkdir()
    (run.path.parent / "half" / "manifest.json").write_text("{}")
    assert names(report(run.path).checks) == names(run.checks)


def test_a_run_beside_its_file_knows_its_other_seeds(tiny_csv, tmp_path, monkeypatch):
    shutil.copy(tiny_csv, tmp_path / "reviews.csv")
    monkeypatch.chdir(tmp_path)
    one = train("reviews.csv", run_dir="runs/one", **SMALL)
    accuracy = one.metrics["test"]["accuracy"]["value"]
    with_seed(one, "two", 1, accuracy)
    with_seed(one, "three", 2, abs(accuracy - 0.6))
    again = train("reviews.csv", run_dir="runs/four", **{**SMALL, "seed": 3})
    assert "unstable-seeds" in names(again.checks)


def test_a_lost_audit_is_said_and_a_damaged_file_is_named(run):
    (run.path / "audit.json").unlink()
    assert "not-audited" in names(report(run.path).checks)
    (run.path / "stress.json").write_text("{")
    with pytest.raises(RunError, match=r"stress\.json is damaged: delete it"):
        report(run.path)


def test_a_report_does_without_data_json(run):
    (run.path / "data.json").unlink()
    assert report(run.path).path.is_file()


def test_behaviour_that_fails_is_found_once_it_was_tested(run):
    rate = {"value": 0.9, "low": 0.8, "high": 0.96}
    tested = {
        "capabilities": [{"name": "negation", "title": "Negation", "n": 50, "failures": 45, "rate": rate, "worst": []}]
    }
    (run.path / "stress.json").write_text(json.dumps(tested))
    (found,) = (row for row in report(run.path).checks if row["name"] == "misbehaves")
    assert "Negation (90 %)" in found["found"]


def test_predictions_without_labels_leave_a_report_that_says_so(run):
    path = run.path / "predictions.parquet"
    said = read_predictions(path)
    write_predictions(path, {key: replace(each, labels=None) for key, each in said.items()})
    report(run.path)
    assert "Nobody knows the true labels of these texts" in (run.path / "report.html").read_text(encoding="utf-8")


class TestOnTheCommandLine:
    def test_strict_fails_with_what_was_found(self, run, capsys):
        codes = [row["code"] for row in run.checks if row["severity"] != "info"]
        assert codes
        assert matinee(["report", str(run.path), "--strict"]) == 1
        said = capsys.readouterr()
        assert f"--strict: {', '.join(codes)} found" in said.err
        assert all(f"{row['code']} {row['name']}: {row['found']}" in said.out for row in run.checks)

    def test_what_is_ignored_does_not_fail(self, run, capsys):
        ignored = [part for row in run.checks for part in ("--ignore", row["code"])]
        assert matinee(["report", str(run.path), "--strict", *ignored]) == 0
        assert "Checks: nothing found." in capsys.readouterr().out

    def test_without_strict_findings_are_told_and_nothing_fails(self, tiny_csv, tmp_path, capsys):
        sizes = ["--test-size", "12", "--validation-size", "16"]
        train_it = ["train", str(tiny_csv), "--encoder", "tfidf", *sizes, "--run-dir"]
        assert matinee([*train_it, str(tmp_path / "a")]) == 0
        assert "M103 test-too-small: " in capsys.readouterr().out
        assert matinee([*train_it, str(tmp_path / "b"), "--strict"]) == 1

    def test_an_unknown_check(self, run, capsys):
        assert matinee(["report", str(run.path), "--ignore", "M999"]) == 2
        assert "There is no check 'M999' to ignore." in capsys.readouterr().err
