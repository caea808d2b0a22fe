"""`matinee search` as a person meets it."""

from __future__ import annotations

import pytest

from matinee.cli.main import run as matinee
from matinee.cli.search import verdict
from matinee.workflow.trials import TrialRunner

SMALL = ("--encoder", "tfidf", "--test-size", "24", "--validation-size", "16")


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("calibration: [temperature, none]\nencoder: [tfidf, nblr]\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def command(tiny_csv, tmp_path, space):
    folder = str(tmp_path / "study")
    return ["search", str(tiny_csv), "--space", space, "--sampler", "grid", "--study-dir", folder, *SMALL]


def test_a_search_shows_trials_finalists_and_what_is_left_on_test(command, tmp_path, capsys):
    assert matinee([*command, "--metric", "log_loss", "--finalists", "1", "--finalist-seeds", "1"]) == 0
    shown = capsys.readouterr()
    for part in (
        "4 trials, scored on 16 validation texts",
        "0 (yours)",
        "calibration",
        "The best of them, repeated",
        "seed 1",
        "On the 24 test texts, which nothing was chosen by: log_loss",
        "Accuracy: ",
        f"Recipe: {tmp_path / 'study' / 'best.yaml'}",
        f"Report: {tmp_path / 'study' / 'report.html'}",
        f'Try it: matinee predict {tmp_path / "study" / "best"} "your own sentence"',
    ):
        assert part in shown.out
    assert "Trial 0 (your settings): log_loss" in shown.err
    assert "Trial 3" in shown.err
    assert "Fine-tuning" not in shown.err


def test_quiet_and_without_refitting(command, tmp_path, capsys):
    assert matinee([*command, "--no-refit", "--finalists", "0", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"Train it: matinee train --recipe {tmp_path / 'study' / 'best.yaml'}" in shown.out
    assert not (tmp_path / "study" / "best").exists()


def test_without_a_name_the_same_command_finds_its_study(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    at = command.index("--study-dir")
    unnamed = [*command[:at], *command[at + 2 :], "--no-refit", "--finalists", "0", "--quiet"]
    tried = []
    monkeypatch.setattr(TrialRunner, "_score", lambda self, settings, tell: tried.append(1) or 0.5)
    for _ in range(2):
        assert matinee(unnamed) == 0
    assert len(tried) == 4
    assert (tmp_path / "searches" / "reviews-tfidf" / "study.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["search"], "Nothing to learn from"),
        (["search", "x.csv", "--space", "nowhere.yaml"], "There is no space nowhere.yaml"),
        (["search", "x.csv", "--sampler", "bayes"], "--sampler"),
        (["search", "x.csv", "--timeout", "soon"], "--timeout must be seconds, or a time"),
        (["search", "x.csv", "--trials", "0"], "--trials must be at least 1"),
        (["search", "imbd"], "imdb"),
        (["search", "x.csv", "--epochs", "-1", "--space", "quick"], "--epochs must be"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_2(arguments, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert matinee(arguments) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not shown.out
    assert not list(tmp_path.iterdir())


def test_a_study_in_which_somebody_works_is_not_overwritten(command, tmp_path, capsys):
    from matinee.training.workers import Workers

    quick = [*command, "--no-refit", "--finalists", "0", "--quiet"]
    assert matinee(quick) == 0
    with Workers(tmp_path / "study" / "workers").enrolled():
        assert matinee([*quick, "--overwrite"]) == 2
        assert "Another process is searching in" in capsys.readouterr().err
    assert matinee([*quick, "--overwrite"]) == 0


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


WON = {"is_base": False, "mean": 0.9, "base_mean": 0.88}


class TestVerdict:
    def record(self, winner, gain):
        accuracy = {"accuracy": interval(0.9, 0.88, 0.92)}
        test = gain and {"n": 2000, "winner": accuracy, "base": accuracy, "gain": gain}
        return {"winner": winner, "test": test, "metric": "accuracy"}

    def test_a_gain_that_stands(self):
        said = verdict(self.record(WON, interval(0.02, 0.01, 0.03)))
        assert said.startswith("The best settings have validation accuracy 0.900, against 0.880 of your settings.")
        assert "+2.0 [+1.0, +3.0] points. That is of one training each" in said

    def test_a_gain_that_chance_could_have_made(self):
        said = verdict(self.record(WON, interval(0.002, -0.01, 0.014)))
        assert "+0.2 [-1.0, +1.4] points: no difference that could be told from chance. That is" in said

    def test_a_gain_in_another_score(self):
        scores = {name: interval(0.3, 0.2, 0.4) for name in ("log_loss", "accuracy")}
        test = {"n": 200, "winner": scores, "base": scores, "gain": interval(0.02, 0.01, 0.03)}
        said = verdict({"winner": WON, "test": test, "metric": "log_loss"})
        assert (
            "log_loss 0.300 [0.200, 0.400], yours 0.300 [0.200, 0.400]; better by +0.020 [+0.010, +0.030]. That is"
            in said
        )
        assert said.endswith("Accuracy: 0.300 [0.200, 0.400], yours 0.300 [0.200, 0.400].")
        undefined = {"value": None, "low": None, "high": None, "reason": "a label has no or too few texts"}
        said = verdict({"winner": WON, "test": {**test, "gain": undefined}, "metric": "log_loss"})
        assert "; the difference is not known: a label has no or too few texts." in said

    def test_none(self):
        said = verdict(self.record({"is_base": True, "mean": 0.9, "base_mean": 0.9}, interval(0.0, 0.0, 0.0)))
        assert said == (
            "Nothing that was tried beats your settings: validation accuracy 0.900; they have accuracy 0.900 [0.880, 0.920] "
            "on 2,000 test texts."
        )

    def test_untested(self):
        assert verdict(self.record({**WON, "base_mean": None}, None)) == (
            "The best settings have validation accuracy 0.900; your settings were not measured beside them."
        )
