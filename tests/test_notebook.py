"""The notebook: it holds no trace of a run, and runs from top to bottom, on Colab or elsewhere, and after a disconnect."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PATH = ROOT / "notebooks" / "imdb_distilbert.ipynb"
STRIPPED = runpy.run_path(str(ROOT / "scripts" / "notebook.py"))["stripped"]

_spec = importlib.util.spec_from_file_location("fragment", Path(__file__).with_name("fragment.py"))
fragment = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fragment)


def cells():
    """Return the code of each code cell by the cell's id, in order."""
    notebook = nbformat.read(PATH, as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


class TestTheFile:
    @pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
    def test_it_is_a_notebook_without_traces_of_a_run(self, path):
        text = path.read_bytes().decode("utf-8")
        nbformat.validate(json.loads(text))
        assert text == STRIPPED(text), f"{path.name} holds outputs or other traces of a run: python scripts/notebook.py"

    def test_stripping_takes_everything_out(self):
        notebook = json.loads(PATH.read_text(encoding="utf-8"))
        for count, cell in enumerate(notebook["cells"]):
            cell["metadata"] = {"collapsed": False, "outputId": "1"}
            if cell["cell_type"] == "code":
                cell["execution_count"] = count
                cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["secret"]}]
        notebook["metadata"]["language_info"]["version"] = "3.9.1"
        notebook["metadata"]["widgets"] = {}
        assert STRIPPED(json.dumps(notebook)) == PATH.read_text(encoding="utf-8")

    def test_every_cell_has_a_name_of_its_own(self):
        names = [cell["id"] for cell in json.loads(PATH.read_text(encoding="utf-8"))["cells"]]
        assert len(names) > 20
        assert len(set(names)) == len(names)
        assert [name for name in names if not re.fullmatch(r"[a-z]+(-title)?", name)] == []

    def test_links_lead_somewhere(self):
        targets = re.findall(r"\]\(([^)#]+)\)", PATH.read_text(encoding="utf-8"))
        assert len(targets) >= 2
        assert [target for target in targets if not (PATH.parent / target).exists()] == []

    def test_it_is_plain_python(self):
        for name, source in cells().items():
            compile(source, name, "exec")  # no magics: the same cells run outside of Jupyter


class Installation:
    """A machine without matinee, on which pip only notes what it was asked for."""

    def __init__(self, monkeypatch):
        self.asked = []
        self.find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "matinee" else self.find_spec(name)
        )
        monkeypatch.setattr(subprocess, "run", lambda command, check: self.asked.append((command, check)))


@pytest.fixture
def machine(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MATINEE_SOURCE", raising=False)
    return Installation(monkeypatch)


class TestInstalling:
    def test_from_where_one_is_told(self, machine, monkeypatch):
        monkeypatch.setenv("MATINEE_SOURCE", "git+https://example.com/ada/matinee")
        exec(cells()["install"], {})
        pip = [sys.executable, "-m", "pip", "install", "--quiet"]
        assert machine.asked == [([*pip, "matinee[explain] @ git+https://example.com/ada/matinee"], True)]

    def test_from_the_clone_it_lies_in(self, machine, monkeypatch):
        monkeypatch.chdir(ROOT / "notebooks")
        exec(cells()["install"], {})
        assert [command[-1] for command, _ in machine.asked] == [f"matinee[explain] @ {ROOT.as_uri()}"]

    def test_from_nowhere(self, machine):
        with pytest.raises(RuntimeError, match=r"Set SOURCE above to the address of matinee's repository"):
            exec(cells()["install"], {})
        assert machine.asked == []

    def test_not_where_it_is_installed(self, monkeypatch):
        asked = []
        monkeypatch.setattr(subprocess, "run", lambda *command, **_: asked.append(command))
        exec(cells()["install"], {})
        assert asked == []


class TestWhereRunsAreKept:
    def places(self):
        names = {}
        exec(cells()["install"], names)
        exec(cells()["drive"], names)
        return names["RUNS"]

    def test_on_colab_on_the_drive(self, monkeypatch):
        mounted = []
        colab = ModuleType("google.colab")
        colab.drive = SimpleNamespace(mount=mounted.append)
        monkeypatch.setitem(sys.modules, "google.colab", colab)
        monkeypatch.delenv("MATINEE_RUNS", raising=False)
        assert self.places() == Path("/content/drive/MyDrive/matinee")
        assert mounted == ["/content/drive"]

    def test_elsewhere_beside_the_notebook(self, monkeypatch):
        monkeypatch.delenv("MATINEE_RUNS", raising=False)
        assert self.places() == Path("runs")

    def test_or_where_one_says(self, monkeypatch):
        monkeypatch.setenv("MATINEE_RUNS", "elsewhere")
        assert self.places() == Path("elsewhere")


class ThisPython(KernelSpecManager):
    """Knows one kernel, whatever else is installed on the machine: the Python that runs the tests."""

    def get_kernel_spec(self, kernel_name):
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


class Kernel(AsyncKernelManager):
    """Starts that kernel."""

    def _kernel_spec_manager_default(self):
        return ThisPython()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def small(folder, tiny_csv, tiny_encoder):
    """The environment, with the notebook's parameters set to tiny things and Jupyter's folders to empty ones."""
    values = {
        "MATINEE_DATA": tiny_csv,
        "MATINEE_ENCODER": tiny_encoder,
        "MATINEE_TRAIN_SIZE": 64,
        "MATINEE_VALIDATION_SIZE": 16,
        "MATINEE_TEST_SIZE": 24,
        "MATINEE_EPOCHS": 1,
        "MATINEE_RUNS": folder / "runs",
        "IPYTHONDIR": folder / "ipython",
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "PIP_NO_INDEX": 1,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, str(value))
        patch.delenv("MATINEE_SEED", raising=False)
        yield


@pytest.fixture(scope="module")
def outputs(small, folder):
    """What each code cell shows, by its id."""
    notebook = nbformat.read(PATH, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, kernel_manager_class=Kernel, timeout=300, resources=where).execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def printed(shown):
    return "".join(output.text for output in shown if output.output_type == "stream" and output.name == "stdout")


def html(shown):
    return [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]


class TestRunningIt:
    def test_nothing_complains(self, outputs):
        said = [
            output.text
            for shown in outputs.values()
            for output in shown
            if output.output_type == "stream" and output.name == "stderr"
        ]
        assert said == []

    def test_the_data_is_told_of(self, outputs):
        assert "train           64 texts: 32 negative, 32 positive" in printed(outputs["data"])
        assert "Half of the training texts have at most" in printed(outputs["lengths"])

    def test_training_says_how_it_gets_on_and_the_run_shows_itself(self, outputs):
        assert "Epoch 1: validation loss" in printed(outputs["train"])
        (run,) = html(outputs["train"])
        assert "On 24 test texts" in fragment.Fragment(run).text

    @pytest.mark.parametrize("cell", ["curves", "confusion"])
    def test_pictures(self, outputs, cell):
        (shown,) = outputs[cell]
        assert base64.b64decode(shown.data["image/png"]).startswith(b"\x89PNG\r\n")

    def test_scores_and_the_report(self, outputs):
        assert re.search(
            r"^this classifier +accuracy \d\.\d{3} \[.+\]   F1 \d\.\d{3}", printed(outputs["scores"]), re.MULTILINE
        )
        assert "tfidf " in printed(outputs["scores"])
        assert re.search(r"negative +\d\.\d{3} +\d\.\d{3} +\d\.\d{3} +12", printed(outputs["report"]))

    @pytest.mark.parametrize(("cell", "n_texts"), [("answers", 24), ("samples", 5), ("abstain", 5), ("demo", 1)])
    def test_answers_show_themselves(self, outputs, cell, n_texts):
        page = fragment.Fragment(html(outputs[cell])[0])
        assert page.text.startswith(f"{n_texts} text")
        assert ("uncertain" in page.text) == (cell == "abstain")

    def test_mistakes_and_what_is_said_of_them(self, outputs):
        assert "mistakes in 24 texts" in printed(outputs["mistakes"])
        assert "Texts with cues of sarcasm" in printed(outputs["causes"])
        assert html(outputs["why"]) or "no mistake" in printed(outputs["why"])

    def test_the_demo_says_which_words_decided(self, outputs):
        page = fragment.Fragment(html(outputs["demo"])[1])
        assert len(page.marks) > 2
        assert "I wanted to like it." in page.text


class TestAfterADisconnect:
    def test_it_goes_on_and_what_is_complete_is_not_done_again(self, outputs, small, folder, tmp_path, monkeypatch):
        (complete,) = (folder / "runs").iterdir()
        unfinished = tmp_path / complete.name
        unfinished.mkdir()
        shutil.copy(complete / "config.yaml", unfinished)
        monkeypatch.setenv("MATINEE_RUNS", str(tmp_path))
        code = cells()
        first = list(code)[: list(code).index("train") + 1]
        (tmp_path / "cells.py").write_text("\n".join(code[name] for name in [*first, "train"]), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "cells.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert f"{unfinished} was interrupted: going on." in lines
        assert lines[-1] == f"{unfinished} is complete: nothing to train."
        assert done.stdout.count("Epoch 1: validation loss") == 1
        assert (unfinished / "manifest.json").is_file()
