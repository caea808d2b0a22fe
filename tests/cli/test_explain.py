"""`matinee explain` as a person meets it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from matinee.cli.explain import explain as command
from matinee.cli.main import run as matinee
from matinee.inference.explain import METHODS


@pytest.fixture(scope="module")
def trained(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "linear"
    arguments = ["train", str(tiny_csv), "--encoder", "tfidf", "--run-dir", str(folder), "--test-size", "24", "-q"]
    assert matinee(arguments) == 0
    return folder


def test_words_are_marked_ranked_and_summed(trained, capsys):
    assert (
        matinee(["explain", str(trained), "The film was wonderful.<br />Seats were fine, but cold &amp; small."]) == 0
    )
    shown = capsys.readouterr().out
    assert shown.startswith("positive, ")
    assert "[+wonderful]" in shown
    assert "[-cold]" in shown
    assert "&amp;" not in shown
    assert "<br" not in shown
    for part in ("For positive", "Against positive", "Sentence", "The film was wonderful.", "Linear: from the coeff"):
        assert part in shown
    assert "a gap of +0.000" in shown
    assert "\x1b" not in shown


def test_another_label_can_be_asked_about(trained, capsys):
    assert matinee(["explain", str(trained), "wonderful", "--label", "negative"]) == 0
    shown = capsys.readouterr().out
    assert "(the answer is positive)" in shown
    assert "[-wonderful]" in shown


def test_a_terminal_gets_colours(trained):
    from click.testing import CliRunner

    result = CliRunner().invoke(command, [str(trained), "a wonderful, cold film"], color=True)
    assert result.exit_code == 0
    assert "\x1b[36m" in result.output
    assert "\x1b[35m" in result.output


def test_json_is_one_object_a_text(trained, capsys):
    assert matinee(["explain", str(trained), "A wonderful film \U0001f600", "", "--json", "-q"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    first, second = map(json.loads, shown.out.splitlines())
    assert "".join(word["text"] for word in first["words"]) == "Awonderfulfilm\U0001f600"
    assert first["total"] == pytest.approx(first["value"] - first["base_value"])
    assert second["words"] == second["sentences"] == []


def test_a_page_is_written_and_said(trained, tmp_path, capsys):
    page = tmp_path / "why.html"
    assert matinee(["explain", str(trained), "<script>alert(1)</script>", "--html", str(page)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"1 explanation written to {page}\n"
    assert "<script" not in page.read_text(encoding="utf-8")


def test_standard_input_is_one_text_a_line(trained):
    program = [sys.executable, "-c", "from matinee.cli.main import main; main()", "explain", str(trained)]
    done = subprocess.run(
        [*program, "--input", "-", "--json", "-q"],
        input="wonderful\ndreadful\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["positive", "negative"]


def test_odd_texts_are_shown_plainly(trained, capsys):
    texts = ["", "\U0001f600\U0001f602", "<script>alert(1)</script>", "[bold]wonderful[/bold] \x1b[31mred"]
    assert matinee(["explain", str(trained), *texts]) == 0
    shown = capsys.readouterr().out
    assert "The text has no words." in shown
    assert "\U0001f600" in shown
    assert "alert" in shown
    assert "\x1b" not in shown


def test_a_long_text_is_cut_on_screen_alone(trained, capsys):
    text = "Seat one was fine. " * 200 + "A wonderful film."
    assert matinee(["explain", str(trained), text]) == 0
    shown = capsys.readouterr().out
    assert "--json and --html have all 1,004 words" in shown
    assert "16 strongest of 201" in shown
    assert "A wonderful film." in shown
    assert len(shown) < 8_000


def test_figures_too_small_to_show_are_not_zero(trained, capsys):
    assert matinee(["explain", str(trained), "The film was dreadful. " * 5_000]) == 0
    shown = capsys.readouterr().out
    assert "e-0" in shown
    assert "-0.000" not in shown


def test_the_flag_s_methods_are_all_there_are():
    (option,) = (option for option in command.params if option.name == "method")
    assert set(option.type.choices) == set(METHODS)


def test_what_truncation_cut_off_is_said(tiny_csv, tiny_encoder, tmp_path, capsys):
    folder = tmp_path / "run"
    sizes = [
        "--epochs",
        "1",
        "--max-length",
        "16",
        "--train-size",
        "40",
        "--validation-size",
        "16",
        "--test-size",
        "16",
    ]
    assert (
        matinee(["train", str(tiny_csv), "--encoder", str(tiny_encoder), "--run-dir", str(folder), *sizes, "-q"]) == 0
    )
    capsys.readouterr()
    assert matinee(["explain", str(folder), "The film was wonderful. " * 10, "--method", "occlusion", "-q"]) == 0
    shown = capsys.readouterr().out
    assert "words not read" in shown
    assert "Occlusion: each word left out by itself." in shown
    # The report of the run that was just trained has its mistakes' words.
    analysis = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    assert analysis["explanations"]["method"] == "integrated_gradients"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nowhere", "text"], "There is no run folder nowhere"),
        (["RUN"], "one of the two"),
        (["RUN", "text", "--input", "a.csv"], "one of the two"),
        (["RUN", "--input", "nowhere.csv"], "no file nowhere.csv"),
        (["RUN", "text", "--label", "postive"], "Did you mean 'positive'"),
        (["RUN", "text", "--method", "gradients"], "--method"),
        (["RUN", "text", "--method", "integrated_gradients"], "needs a PyTorch classifier"),
        (["RUN", "text", "--html", "."], "is a folder"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_2(arguments, part, trained, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert matinee(["explain", *[str(trained) if one == "RUN" else one for one in arguments], "-q"]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    assert part in shown.err
    assert not shown.out
