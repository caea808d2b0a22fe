"""The promises that no single room can keep: light imports, the public face, recipes, reference pages, versions, paths."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest
import yaml

import matinee
from matinee.core.schema import check_is_settings, from_recipe, resolve, settings_fields
from matinee.core.settings import GROUPS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "matinee"

HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "huggingface_hub",
    "sklearn",
    "scipy",
    "pyarrow",
    "matplotlib",
)

PUBLIC = [
    "MatineeError",
    "Predictions",
    "TextClassifier",
    "__version__",
    "advise",
    "audit",
    "bench",
    "compare",
    "distill",
    "evaluate",
    "explain",
    "export",
    "fetch",
    "leaderboard",
    "load",
    "predict",
    "score",
    "search",
    "serve",
    "stress",
    "train",
]


def python(code: str) -> str:
    """Run code in a fresh interpreter; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def heavy_after(code: str) -> list[str]:
    """Return the heavy packages that a fresh interpreter has loaded after running some code."""
    last_line = python(
        f"{code}\nimport json, sys\nprint(json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    ).splitlines()[-1]
    return list(json.loads(last_line))


def help_of(*command: str) -> str:
    """Return code that asks the command line for a help page and goes on afterwards."""
    return f"""
import sys
from matinee.cli.main import main
sys.argv = ["matinee", *{command}, "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def repository_files() -> list[Path]:
    """Return the files that are, or would be, in the repository."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


class TestRooms:
    @pytest.mark.parametrize(
        "room", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: str(path.parent.relative_to(PACKAGE))
    )
    def test_a_room_says_what_lives_in_it(self, room):
        assert re.match(r'"""\w', room.read_text(encoding="utf-8")), f"{room} has no docstring"

    def test_the_settings_groups_are_whole(self):
        for cls in GROUPS.values():
            check_is_settings(cls)


class TestLightImports:
    def test_the_probe_sees_a_heavy_import(self):
        assert heavy_after("import pyarrow") == ["pyarrow"]

    def test_importing_matinee(self):
        assert heavy_after("import matinee") == []

    @pytest.mark.parametrize(
        "command",
        [
            (),
            ("train",),
            ("evaluate",),
            ("predict",),
            ("score",),
            ("search",),
            ("fetch",),
            ("encoders",),
            ("audit",),
            ("bench",),
            ("compare",),
            ("distill",),
            ("leaderboard",),
            ("stress",),
            ("export",),
            ("advise",),
            ("report",),
        ],
        ids=" ".join,
    )
    def test_help(self, command):
        assert heavy_after(help_of(*command)) == []


class TestPublicFace:
    def test_it_is_the_documented_list(self):
        assert matinee.__all__ == PUBLIC

    @pytest.mark.parametrize("name", PUBLIC)
    def test_every_name_resolves(self, name):
        assert getattr(matinee, name) is not None
        assert name in dir(matinee)

    def test_an_unknown_name_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match="no attribute 'trian'"):
            _ = matinee.trian


class TestRecipes:
    RECIPES = sorted((ROOT / "recipes").glob("*"))

    def test_how_many_there_are(self):
        names = [
            "imdb-distilbert.yaml",
            "imdb-full.yaml",
            "imdb-minilm-quick.yaml",
            "imdb-minilm.yaml",
            "imdb-mpnet.yaml",
        ]
        assert [path.name for path in self.RECIPES] == names

    @pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
    def test_each_is_understood(self, path):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings = resolve(from_recipe(values, str(path)))
        assert settings.data.data == "imdb"
        assert settings.data.train_size == (None if path.stem == "imdb-full" else 1000)
        assert values.keys() <= settings_fields().keys()

    def test_the_distilbert_recipe_is_the_original_project(self):
        path = ROOT / "recipes" / "imdb-distilbert.yaml"
        flat = resolve(from_recipe(yaml.safe_load(path.read_text(encoding="utf-8")), path.name)).flat()
        expected = {
            "encoder": "distilbert",
            "pooling": "cls",
            "head": "random",
            "lowercase": True,
            "max_length": 256,
            "truncation": "head",
            "epochs": 2.0,
            "batch_size": 32,
            "learning_rate": 5e-5,
        }
        assert {name: flat[name] for name in expected} == expected


class TestPages:
    def test_the_reference_pages_are_fresh(self):
        command = [sys.executable, str(ROOT / "scripts" / "docs.py"), "--check"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_every_decision_is_in_the_index(self):
        folder = ROOT / "docs" / "decisions"
        index = (folder / "README.md").read_text(encoding="utf-8")
        notes = sorted(path.name for path in folder.glob("[0-9]*.md"))
        assert notes
        assert re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", index) == notes

    @pytest.mark.parametrize("page", sorted(p for p in repository_files() if p.suffix == ".md"), ids=lambda p: p.name)
    def test_links_between_pages_lead_somewhere(self, page):
        targets = re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        missing = [target for target in targets if not (page.parent / target).exists()]
        assert not missing


class TestVersions:
    def test_installed_and_source_agree(self):
        assert version("matinee") == matinee.__version__

    def test_the_changelog_has_it(self):
        released = re.findall(
            r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
        )
        assert released[0] == matinee.__version__

    def test_the_license_is_the_one_declared(self):
        text = (ROOT / "LICENSE").read_text(encoding="utf-8")
        assert metadata("matinee")["License-Expression"] == "Apache-2.0"
        assert re.search(r"Apache License\s+Version 2\.0", text)
        assert "END OF TERMS AND CONDITIONS" in text


class TestDependencies:
    COUNT = runpy.run_path(str(ROOT / "scripts" / "count_dependencies.py"))

    def test_there_are_fewer_than_fifty(self):
        ours, torch = self.COUNT["beside_torch"]()
        assert 10 < len(ours) < 50
        assert {"torch", "sympy"} <= torch

    def test_the_constraints_cover_all_of_them_and_nothing_else(self):
        torch = self.COUNT["closure"]("torch")  # brings CUDA libraries on some machines, which we do not pin
        wanted = self.COUNT["closure"]("matinee", frozenset({"dev"})) - {"matinee"}
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        constrained = {line.split("==")[0] for line in lines if not line.startswith("#")}
        assert wanted - torch | {"torch"} <= constrained
        assert constrained <= wanted

    def test_each_has_its_reason_written_down(self):
        reasons = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        asked_for = [
            *project["dependencies"],
            *(line for extra in project["optional-dependencies"].values() for line in extra),
        ]
        names = [re.split(r"[<>=;\[ ]", line)[0] for line in asked_for]
        assert "torch" in names
        assert [name for name in names if f"| {name} |" not in reasons] == []


class TestNobodysPaths:
    PATTERN = re.compile(r"(?<![\w.~-])/(?:home|root|tmp|Users|work)/[\w.-]+|[A-Z]:\\Users")

    def test_the_pattern_finds_one(self):
        assert self.PATTERN.search("cache = /" + "home/ada/cache")

    def test_no_file_names_a_home_or_temporary_folder(self):
        found = {}
        for path in repository_files():
            if path.suffix in {".png", ".parquet"}:
                continue
            if hits := self.PATTERN.findall(path.read_text(encoding="utf-8")):
                found[str(path.relative_to(ROOT))] = hits
        assert found == {}
