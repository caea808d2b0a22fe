"""An export answers where nothing but its own requirements is installed: no torch, no transformers, no scikit-learn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import matinee
from matinee.inference import load_predictor, runtime_requirements

ROOT = Path(__file__).parents[2]
ABSENT = ("torch", "transformers", "sklearn", "scipy", "safetensors", "onnx", "nncf")
TEXTS = ["The plot was wonderful.", "", "the lead was dreadful " * 40]


def closure(requirements):
    """Return the distributions that pip would install for the requirements, by their names here."""
    wanted, found = [Requirement(line) for line in requirements], {}
    while wanted:
        requirement = wanted.pop()
        distribution = metadata.distribution(requirement.name)
        assert distribution.version in requirement.specifier, requirement
        name = distribution.metadata["Name"].lower()
        extras = requirement.extras - found.get(name, (None, set()))[1] | ({""} if name not in found else set())
        found[name] = (distribution, found.get(name, (None, set()))[1] | requirement.extras)
        for line in distribution.requires or []:
            needed = Requirement(line)
            if any(needed.marker is None or needed.marker.evaluate({"extra": extra}) for extra in extras):
                wanted.append(needed)
    return [distribution for distribution, _ in found.values()]


def environment(folder, backend, more=()):
    """Fill a folder with links to what the requirements of a back end bring, and to matinee itself; return it."""
    folder.mkdir()
    for distribution in closure([*runtime_requirements(backend), *more]):
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    (folder / "matinee").symlink_to(Path(matinee.__file__).parent)
    return folder


def run(packages, code):
    """Run Python with the standard library and these packages alone."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(packages)!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(packages), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done


NOTHING_ELSE = f"""
import importlib.util
there = [name for name in {ABSENT} if importlib.util.find_spec(name)]
assert not there, there
"""


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "precision"), [("openvino", "int8"), ("onnx", "fp32")])
def test_an_export_answers_without_torch(write_export, tmp_path, backend, precision):
    folder = write_export(tmp_path / "made", backend, precision)
    packages = environment(tmp_path / "packages", backend)
    expected = load_predictor(folder).probabilities(TEXTS)

    done = run(
        packages,
        f"{NOTHING_ELSE}\nimport json, matinee\n"
        f"print(json.dumps(matinee.load({str(folder)!r}).predict({TEXTS!r}).probabilities.tolist()))",
    )
    np.testing.assert_allclose(np.array(json.loads(done.stdout)), expected, atol=1e-5)

    (tmp_path / "texts.csv").write_text("text\nThe plot was wonderful.\nThe lead was dreadful.\n")
    for texts in (TEXTS[:1], ["--input", str(tmp_path / "texts.csv"), "--output", str(tmp_path / "said.parquet")]):
        arguments = ["predict", str(folder), *texts, "--json"]
        code = f"{NOTHING_ELSE}\nfrom matinee.cli.main import run\nsys.exit(run({arguments!r}))"
        printed = run(packages, code).stdout.splitlines()
        first = json.loads(printed[0])
        assert first["text"] == TEXTS[0]
        np.testing.assert_allclose(list(first["probabilities"].values()), expected[0], atol=1e-5)
    assert (tmp_path / "said.parquet").is_file()


@pytest.mark.slow
def test_an_export_is_served_without_torch(write_export, tmp_path):
    """With what the extra `serve` brings beside the export's own requirements."""
    folder = write_export(tmp_path / "made", "onnx", "fp32")
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serve"]
    packages = environment(tmp_path / "packages", "onnx", extra)
    code = f"""{NOTHING_ELSE}
import json, os, signal, threading, urllib.request
from matinee import serve
said = []
def ask(address):
    try:
        ask_all(address)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
def ask_all(address):
    for path, body in (("predict", {{"texts": {TEXTS!r}}}), ("explain", {{"text": {TEXTS[0]!r}}})):
        request = urllib.request.Request(f"{{address}}/{{path}}", json.dumps(body).encode(), {{"Content-Type": "application/json"}})
        said.append(json.load(urllib.request.urlopen(request, timeout=60)))
    said.append(urllib.request.urlopen(f"{{address}}/docs").status)
serve({str(folder)!r}, port=0, ready=lambda address: threading.Thread(target=ask, args=[address]).start())
print(json.dumps(said))
"""
    predicted, explained, status = json.loads(run(packages, code).stdout)
    expected = load_predictor(folder).probabilities(TEXTS)
    said = np.array([list(each["probabilities"].values()) for each in predicted["predictions"]])
    np.testing.assert_allclose(said, expected, atol=1e-5)
    assert explained["method"] == "occlusion"
    assert [word["text"] for word in explained["words"]] == ["The", "plot", "was", "wonderful", "."]
    assert status == 200


def test_a_classifier_says_what_it_lacks(run_folder_of_tfidf, tmp_path):
    packages = environment(tmp_path / "packages", "onnx")
    code = f"from matinee.cli.main import run\nprint(run(['predict', {str(run_folder_of_tfidf)!r}, 'a text']))"
    done = run(packages, code)
    assert done.stdout.strip() == "2"
    assert done.stderr.strip().endswith("scikit-learn is not installed: pip install scikit-learn.")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.fixture
def run_folder_of_tfidf(linear, tmp_path):
    from matinee.model.artifact import ClassifierInfo, save_linear

    save_linear(tmp_path / "model", linear.model, ClassifierInfo("tfidf", "tfidf", linear.label_names))
    return tmp_path / "model"


def test_the_requirements_are_those_that_the_package_declares():
    """Ranges are written down twice: for pip in pyproject.toml, and for those who install without it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {*project["dependencies"], *extras["openvino"], *extras["onnx"]}
    assert set(runtime_requirements("openvino", "onnx", "cascade")) <= declared
    assert not {"torch", "transformers", "scikit-learn"} & {
        Requirement(line).name for line in runtime_requirements("openvino", "onnx")
    }
    assert "scikit-learn" in {Requirement(line).name for line in runtime_requirements("cascade", "openvino")}
