"""`matinee stress` as a person meets it."""

from __future__ import annotations

import json

import pytest

from matinee.cli.main import run as matinee


@pytest.fixture(scope="module")
def trained(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "linear"
    assert (
        matinee(["train", str(tiny_csv), "--encoder", "tfidf", "--run-dir", str(folder), "--test-size", "24", "-q"])
        == 0
    )
    return folder


@pytest.fixture
def pairs_csv(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(
        "text,label,pair\nThe film was brilliant.,positive,1\nThe film was boring.,negative,1\n", encoding="utf-8"
    )
    return path


def test_it_shows_rates_an_example_and_where_it_wrote(trained, pairs_csv, capsys):
    arguments = ["stress", str(trained), "--n", "12", "--pairs", str(pairs_csv), "--pair-column", "pair"]
    assert matinee(arguments) == 0
    shown = capsys.readouterr().out
    for part in (
        "Failure rate",
        "Negated praise",
        "Typos",
        "for example:",
        "Both right (consistency)",
        "100.0 % [20.7, 100.0]",
    ):
        assert part in shown
    assert f"Written to {trained / 'stress.json'}" in shown
    assert "{'" not in shown


def test_json_is_what_the_file_holds(trained, capsys):
    assert matinee(["stress", str(trained), "--n", "8", "--json", "-q"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    stored = json.loads((trained / "stress.json").read_text(encoding="utf-8"))
    stored.pop("pairs", None)  # of an earlier test, which the file keeps
    assert json.loads(shown.out) == stored


def test_flags_reach_the_cases(trained, tmp_path, capsys):
    def about(*more):
        assert matinee(["stress", str(trained), "--output", str(tmp_path / "said.json"), "--json", "-q", *more]) == 0
        return json.loads(capsys.readouterr().out)["about"]

    given = about("--seed", "5", "--n", "9", "--topic", "hotel", "--sentiment", "positive,negative")
    assert (given["seed"], given["n"], given["topic"]) == (5, 9, "hotel")
    assert given["sentiment"] == {"negative": ["positive"], "positive": ["negative"]}


def test_columns_of_the_pairs_can_be_named(trained, tmp_path, capsys):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\tc\td\nboring\tnegative\t1\tedit\nbrilliant\tpositive\t1\toriginal\n", encoding="utf-16")
    columns = (
        "--text-column",
        "a",
        "--label-column",
        "b",
        "--pair-column",
        "c",
        "--edit-column",
        "d",
        "--encoding",
        "utf-16",
    )
    assert matinee(["stress", str(trained), "--n", "8", "--pairs", str(path), *columns, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"]["consistency"]["value"] == 1


def test_strict_tells_by_its_exit_code(trained, capsys):
    assert matinee(["stress", str(trained), "--n", "8", "--strict"]) == 1
    assert matinee(["stress", str(trained), "--n", "8", "--strict", "--limit", "1"]) == 0
    assert "for example:" not in capsys.readouterr().out.rpartition("Failure rate")[2]


def test_what_was_not_tested_is_said(trained, tiny_rows, tmp_path, capsys):
    path = tmp_path / "numbers.csv"
    lines = [f'"{text}",{int(label == "positive")}' for text, label in tiny_rows]
    path.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    folder = tmp_path / "run"
    assert matinee(["train", str(path), "--encoder", "tfidf", "--run-dir", str(folder), "-q"]) == 0
    assert matinee(["stress", str(folder), "--n", "8"]) == 0
    assert "Not tested, the labels do not say which is negative and which positive" in capsys.readouterr().out
    assert matinee(["stress", str(folder), "--n", "8", "--sentiment", "0,1"]) == 0
    assert "Not tested, the labels" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nowhere"], "no run folder"),
        (["RUN", "--n", "2"], "--n must be"),
        (["RUN", "--topic", "cats"], "--topic must be one of film"),
        (["RUN", "--pairs", "nowhere.csv"], "--pair-column"),
        (["RUN", "--pairs", "nowhere.csv", "--pair-column", "p"], "no file nowhere.csv"),
        (["RUN", "--sentiment", "negative"], "--sentiment must name"),
        (["RUN", "--limit", "2"], "--limit"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_2(arguments, part, trained, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert matinee(["stress", *[str(trained) if one == "RUN" else one for one in arguments], "-q"]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not shown.out
