"""`matinee audit` as a person meets it."""

from __future__ import annotations

import json

import pytest

from matinee.cli.main import run as matinee


@pytest.fixture
def faulty(tiny_rows, tmp_path):
    """A JSON lines file with a copy, a conflict, HTML, control characters and an empty text."""
    rows = [*tiny_rows, tiny_rows[0], ("a \x1b[31mred\x1b[0m [bold]thing[/bold]", "positive"), ("", "positive")]
    rows += [("both ways", "positive"), ("both ways", "negative")]
    path = tmp_path / "faulty.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return path


def test_tables_advice_and_examples(faulty, tiny_encoder, capsys):
    assert matinee(["audit", str(faulty), "--encoder", str(tiny_encoder), "--max-length", "16"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "Findings in 125 texts (file)",
        "A203",
        "1 text stands with different labels",
        "A301 empty-texts: There is nothing to learn from",
        "row-124 [positive] = row-125 [negative]: both ways",
        "Classes",
        "Tokens",
        f"With at most 16 tokens of a text {tiny_encoder} sees all of",
    ):
        assert part in " ".join(shown.split()), part


def test_no_control_character_of_a_text_reaches_the_terminal(faulty, capsys):
    assert matinee(["audit", str(faulty), "--encoder", "tfidf", "--examples", "9"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "a \\x1b[31mred\\x1b[0m [bold]thing[/bold]" in shown


def test_json(faulty, capsys):
    assert matinee(["audit", str(faulty), "--encoder", "tfidf", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["n"], said["source"]) == (125, "file")
    assert {"A201", "A203", "A301"} <= {finding["code"] for finding in said["findings"]}
    assert {"code", "name", "severity", "title", "n", "share", "advice", "examples"} == said["findings"][0].keys()


def test_strict_is_an_exit_code(faulty, tiny_rows, tmp_path, capsys):
    command = ["audit", "--encoder", "tfidf", "--strict", "--quiet"]
    assert matinee([*command, str(faulty)]) == 1
    ignored = [f"--ignore={code}" for code in ("A201", "A203", "empty-texts", "A204", "A306", "A501")]
    assert matinee([*command, str(faulty), *ignored]) == 0
    assert capsys.readouterr().err == ""


def test_a_cleaned_copy(faulty, tmp_path, capsys):
    assert matinee(["audit", str(faulty), "--encoder", "tfidf", "--fix", str(tmp_path / "clean.jsonl")]) == 0
    shown = capsys.readouterr().out
    assert "clean.jsonl: 121 of 125 rows" in shown
    assert "4 dropped (1 exact-duplicates, 2 conflicting-labels, 1 empty-texts)" in shown
    assert f"What and why: {tmp_path / 'clean.changes.jsonl'}" in shown
    assert len((tmp_path / "clean.jsonl").read_text().splitlines()) == 121


def test_nothing_found_is_said(tmp_path, capsys):
    rows = [{"text": f"{'good' if n % 2 else 'bad'} text number {n}", "label": n % 2} for n in range(60)]
    (tmp_path / "fine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert matinee(["audit", str(tmp_path / "fine.jsonl"), "--encoder", "tfidf", "--strict"]) == 0
    assert "Nothing found in 60 texts (file)." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["audit"], "Missing argument"),
        (["audit", "nowhere.csv"], "There is no file nowhere.csv"),
        (["audit", "imbd"], "Did you mean 'imdb'"),
        (["audit", "x.csv", "--ignore", "A999"], "no such finding"),
        (["audit", "x.csv", "--drop-label-errors"], "--fix"),
        (["audit", "x.csv", "--fix", "clean.tsv"], "must end in .csv"),
        (["audit", "x.csv", "--run", "nowhere"], "no run folder"),
        (["audit", "x.csv", "--encoder", "minilmm"], "Unknown encoder"),
        (["audit", "x.csv", "--max-length", "1"], "--max-length must be"),
        (["audit", "x.csv", "--text-column", "texts"], "no column 'texts'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_2(arguments, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("text,label\na,x\nb,y\n")
    assert matinee([*arguments, "--quiet"]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not shown.out
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
