"""`matinee leaderboard` as a person meets it."""

from __future__ import annotations

import json

import pytest

from matinee.cli.leaderboard import _show_ahead
from matinee.cli.main import run as matinee


def test_a_board_in_the_terminal_and_as_json(tiny_csv, tmp_path, capsys):
    folder = tmp_path / "board"
    command = ["leaderboard", str(tiny_csv), "--encoders", "tfidf,distilbert", "--sizes", "24,48,4000", "--seeds", "1"]
    command += ["--test-size", "24", "--board-dir", str(folder)]
    assert matinee(command) == 0
    shown = capsys.readouterr()
    for part in (
        "24 labels; 24 test texts",
        "F1",
        "would be right for ",
        "another seed may turn this",
        "Texts/s",
        "distilbert is skipped: ",
        "4,000 labels are left out: ",
        "48 labels; 24 test texts",
        "With 48 labels tfidf answers ",
        f"Leaderboard: {folder / 'board.html'}",
    ):
        assert part in " ".join(shown.out.split())
    assert "1 of 2: tfidf with 24 labels, seed 0: accuracy " in shown.err
    assert list((folder / "figures").glob("*.png"))
    assert (folder / "board.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert matinee([*command, "--json", "--quiet"]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out)["rows"][0]["encoder"] == "tfidf"
    assert json.loads(again.out) == json.loads((folder / "board.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "name a dataset"),
        (["{csv}", "--encoders", "tfidf,minillm"], "Did you mean 'minilm'"),
        (["{csv}", "--encoders", "tfidf", "--sizes", "some"], "--sizes must be"),
        (["{csv}", "--encoders", "tfidf", "--seeds", "0"], "--seeds must be"),
        (["{csv}", "--encoders", "tfidf", "--timeout", "x"], "--timeout must be"),
        (["{csv}", "--encoders", "tfidf", "--recipe", "imdb-mpnet"], "ENCODER=FILE"),
        (["{csv}", "--encoders", "tfidf", "--recipe", "tfidf=nowhere.yaml"], "no recipe nowhere.yaml"),
        (["{csv}", "--encoders", "tfidf", "--epochs", "-1"], "--epochs must be"),
        (["{csv}", "--encoders", "tfidf", "--train-size", "3"], "No such option"),
        (["nowhere.csv", "--encoders", "tfidf"], "nowhere.csv"),
        (["{csv}", "--encoders", "distilbert"], "None of the encoders"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_2(arguments, part, tiny_csv, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert matinee(["leaderboard", *(argument.format(csv=tiny_csv) for argument in arguments), "--quiet"]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not shown.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("flat_fits", "gain"), [(True, "at most +3.0"), (False, "+2.0 [+0.0, +3.0]")])
def test_what_more_labels_would_bring_is_not_promised(flat_fits, gain, capsys):
    step = {"more": 500, "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}, "is_guess": False}
    step["gain"] = {"value": 0.02, "low": 0.0, "high": 0.03}
    _show_ahead([{"encoder": "tfidf", "flat_fits": flat_fits, "ahead": [step]}])
    shown = " ".join(capsys.readouterr().out.split())
    assert gain in shown
    assert ("+0.0" in shown) != flat_fits
    assert "cannot fall" in shown
