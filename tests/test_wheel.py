"""The package as a user gets it: the wheel is built, looked into, installed into an empty environment, and run there."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import matinee

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def run(*command: object, cwd: Path) -> str:
    """Run a command outside the checkout; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel installed, which borrows this one's other packages."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    # A path file adds the folder alone: the path file in there that leads to the checkout is not followed.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


class TestContents:
    @pytest.fixture
    def names(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            return set(archive.namelist())

    def test_what_is_in_it(self, names):
        assert {
            "matinee/py.typed",
            "matinee/recipes/imdb-minilm.yaml",
            "matinee/recipes/imdb-distilbert.yaml",
            "matinee/report/templates/report.html",
            "matinee/report/templates/report.css",
            f"matinee-{matinee.__version__}.dist-info/licenses/LICENSE",
        } <= names
        source = ROOT / "src"
        assert {path.relative_to(source).as_posix() for path in source.rglob("*.py")} <= names

    def test_the_package_and_nothing_else_is_in_it(self, names):
        sources = [path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]
        package = {path.relative_to(ROOT / "src").as_posix() for path in sources}
        recipes = {f"matinee/recipes/{path.name}" for path in (ROOT / "recipes").iterdir()}
        info = {name for name in names if name.startswith(f"matinee-{matinee.__version__}.dist-info/")}
        assert names - info == package | recipes

    def test_it_is_small(self, wheel):
        assert wheel.stat().st_size < 1_000_000


class TestInstalled:
    def test_it_is_the_wheel_that_is_imported(self, installed, tmp_path):
        place = run(installed / "python", "-c", "import matinee; print(matinee.__file__)", cwd=tmp_path).strip()
        assert Path(place).is_relative_to(installed.parent)

    def test_help(self, installed, tmp_path):
        assert "Usage: matinee" in run(installed / "matinee", "--help", cwd=tmp_path)

    def test_version(self, installed, tmp_path):
        assert matinee.__version__ in run(installed / "matinee", "--version", cwd=tmp_path)

    def test_encoders(self, installed, tmp_path):
        listed = run(installed / "matinee", "encoders", "--offline", cwd=tmp_path)
        assert "minilm" in listed
        assert "distilbert" in listed

    @pytest.mark.parametrize("name", ["imdb-minilm", "imdb-mpnet", "imdb-distilbert"])
    def test_a_recipe_resolves(self, installed, tmp_path, name):
        code = f"""
from importlib.resources import files
import yaml
from matinee.core.schema import from_recipe, resolve
text = files("matinee").joinpath("recipes", "{name}.yaml").read_text(encoding="utf-8")
print(resolve(from_recipe(yaml.safe_load(text), "{name}.yaml")).training.epochs)
"""
        assert float(run(installed / "python", "-c", code, cwd=tmp_path)) > 0

    def test_every_module_imports(self, installed, tmp_path):
        said = run(installed / "python", ROOT / "scripts" / "import_everything.py", cwd=tmp_path)
        assert f"of matinee {matinee.__version__}" in said
