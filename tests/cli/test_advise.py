from __future__ import annotations

import json

from matinee.cli.main import run as matinee


def test_it_prints_words_and_a_command_that_train_takes(tiny_csv, capsys):
    assert matinee(["advise", str(tiny_csv), "--test-size", "24", "--offline"]) == 0
    shown = capsys.readouterr().out
    assert "Proposed, within 60 minutes: tfidf" in shown
    assert f"\n  matinee train {tiny_csv} --test-size 24 --encoder tfidf\n" in shown
    assert "To mind:" in shown


def test_everything_as_json_and_the_recipe(tiny_csv, tmp_path, capsys):
    recipe = tmp_path / "mine.yaml"
    assert matinee(["advise", str(tiny_csv), "--json", "--offline", "--output", str(recipe)]) == 0
    advice = json.loads(capsys.readouterr().out)
    assert advice["proposal"]["settings"] == {"encoder": "tfidf"}
    assert advice["data"]["labels"].keys() == {"negative", "positive"}
    arguments = ["train", "--recipe", str(recipe), "--run-dir", str(tmp_path / "run"), "--quiet"]
    assert matinee(arguments) == 0


def test_a_recipe_with_a_space_in_its_name_can_be_copied(tiny_csv, tmp_path, capsys):
    recipe = tmp_path / "my recipe.yaml"
    assert matinee(["advise", str(tiny_csv), "--offline", "--output", str(recipe)]) == 0
    assert capsys.readouterr().out.endswith(f"for `matinee train --recipe '{recipe}'`\n")


def test_wrong_input_is_one_line(tmp_path, tiny_csv, capsys):
    assert matinee(["advise", str(tmp_path / "none.csv")]) == 2
    assert matinee(["advise", str(tiny_csv), "--budget", "-3"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "none.csv" in lines[0]
    assert lines[-1].startswith("Error: --budget") or "--budget must be" in lines[-1]
