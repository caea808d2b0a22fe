"""`matinee distill` as a person meets it."""

from __future__ import annotations

import pytest

from matinee.cli.main import run as matinee


@pytest.fixture(scope="module")
def trained(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    sizes = ("--train-size", "40", "--test-size", "24")
    assert matinee(["train", str(tiny_csv), "--encoder", "nblr", "--run-dir", str(folder), *sizes]) == 0
    return folder


def test_it_shows_the_student_beside_the_labels_alone(trained, tiny_csv, tmp_path, capsys):
    given = ("--unlabelled", str(tiny_csv), "--into", "tfidf", "--unlabelled-size", "30", "--true-label-share", "0.5")
    assert matinee(["distill", str(trained), *given, "--run-dir", str(tmp_path / "student")]) == 0
    shown = capsys.readouterr()
    assert "30 unlabelled texts of" in shown.err
    assert "Soft labels of 30 texts; most probable: negative" in shown.err
    # A tf-idf student is not the baseline.
    assert "tf-idf baseline" in shown.out
    assert "Against the linear baseline, on the same texts:" in shown.out
    assert f"Run folder: {tmp_path / 'student'}" in shown.out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--into", "tfidf"], "Missing option '--unlabelled'"),
        (["--unlabelled", "x.csv"], "Missing option '--into'"),
        (["--unlabelled", "x.csv", "--into", "tfidf"], "There is no file"),
        (["--unlabelled", "somebody/data", "--into", "tfidf", "--offline"], "--offline"),
        (["--unlabelled", "x.csv", "--into", "tfidf", "--confidence", "2"], "--confidence must be above 0"),
        (["--unlabelled", "x.csv", "--into", "tfidf", "--layers", "2"], "--layers: needs an encoder that has layers"),
        (["--unlabelled", "x.csv", "--into", "minilm", "--train-size", "9"], "No such option"),
        (["--unlabelled", "x.csv", "--into", "minilm", "--epochs", "-1"], "--epochs must be"),
    ],
    ids=lambda value: value[-1][:30] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(trained, arguments, part, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert matinee(["distill", str(trained), *arguments, "--quiet"]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not (tmp_path / "runs").exists()
