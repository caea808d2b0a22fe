"""One tiny classifier in every format, each made once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from matinee.core.files import write_json
from matinee.core.run import RunFolder
from matinee.core.settings import ModelSettings, TextSettings
from matinee.exporting.onnx import quantise_onnx, write_onnx
from matinee.exporting.openvino import calibration_inputs, quantise, read_graph, save_graph
from matinee.inference.backends.linear import LinearPredictor
from matinee.inference.backends.torch import TorchPredictor
from matinee.inference.exports import source_of
from matinee.model.artifact import ClassifierInfo, load_tokenizer, save_classifier, save_linear
from matinee.model.classifier import build_classifier
from matinee.model.exported import ExportInfo
from matinee.model.load import prepare_texts
from matinee.model.tfidf import fit_tfidf

LABELS = ("negative", "positive")
TEXT = TextSettings(max_length=64)
WINDOWS = replace(TEXT, long="windows", max_windows=4)
PROOF = {"format": 1, "passed": True, "flips": {"share": 0.0}, "accuracy": {"change": {"value": 0.0}}}


@pytest.fixture(scope="session")
def build(tiny_encoder):
    """Return a function that builds a torch predictor with random weights, strong enough to tell texts apart."""

    def built(settings=None, text=TEXT, precision="fp32"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_classifier(tiny_encoder, settings or ModelSettings(), LABELS)
            with torch.no_grad():
                for module in model.modules():
                    if isinstance(module, torch.nn.Linear):
                        module.weight.mul_(4)
        return TorchPredictor(model, prepare_texts(load_tokenizer(tiny_encoder), text), LABELS, precision=precision)

    return built


@pytest.fixture(scope="session")
def reference(build):
    """The classifier that every export is of; not to be changed."""
    return build()


@pytest.fixture(scope="session")
def linear(tiny_rows):
    labels = np.array([label == "positive" for _, label in tiny_rows], dtype=np.int64)
    return LinearPredictor(fit_tfidf([text for text, _ in tiny_rows], labels, 2, seed=0), LABELS)


@pytest.fixture(scope="session")
def graphs(reference, tiny_rows, tmp_path_factory):
    """The folder of the graphs by back end and precision: `openvino-int8/model.xml` and so on."""
    folder = tmp_path_factory.mktemp("graphs")
    for name in ("onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8"):
        (folder / name).mkdir()
    onnx = folder / "onnx-fp32" / "model.onnx"
    write_onnx(reference.model, onnx)
    quantise_onnx(onnx, folder / "onnx-int8" / "model.onnx")
    save_graph(read_graph(onnx), folder / "openvino-fp32" / "model.xml")
    ids = reference.preparation.encode([text for text, _ in tiny_rows[:40]])
    int8 = quantise(read_graph(onnx), calibration_inputs(ids, reference.preparation.pad_id))
    save_graph(int8, folder / "openvino-int8" / "model.xml")
    return folder


@pytest.fixture(scope="session")
def write_export(reference, graphs):
    """Return a function that writes a whole export folder, with whatever its proof shall say."""

    def written(folder, backend="openvino", precision="fp32", *, source=None, text=None, threshold=None, **parity):
        folder.mkdir(parents=True)
        graph = graphs / f"{backend}-{'fp32' if precision == 'bf16' else precision}"
        for path in graph.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        preparation = reference.preparation
        info = ClassifierInfo("transformer", "tiny", LABELS, "mean", text or preparation.settings, threshold=threshold)
        if text is not None:
            info = replace(info, text=replace(text, lowercase=True))
        write_json(folder / "matinee.json", info.to_json())
        preparation.tokenizer.save(str(folder / "tokenizer.json"))
        write_json(folder / "parity.json", {**PROOF, "backend": backend, "texts_per_second": 10.0, **parity})
        model = "model.xml" if backend == "openvino" else "model.onnx"
        ExportInfo(backend, precision, model, preparation.pad_id, source or {}).write(folder)
        return folder

    return written


@pytest.fixture(scope="session")
def write_cascade(linear, write_export):
    """Return a function that writes a cascade of the tf-idf classifier and an export."""

    def written(folder, sure_from, *, source=None, threshold=None, **parity):
        write_export(folder / "encoder", source=source, threshold=threshold)
        save_linear(folder / "cheap", linear.model, ClassifierInfo("tfidf", "tfidf", LABELS))
        for name in ("matinee.json", "tokenizer.json"):
            (folder / name).write_bytes((folder / "encoder" / name).read_bytes())
        write_json(folder / "cascade.json", {"threshold": sure_from})
        write_json(folder / "parity.json", {**PROOF, "backend": "cascade", "texts_per_second": 90.0, **parity})
        ExportInfo("cascade", "fp32", "encoder", 0, source or {}).write(folder)
        return folder

    return written


@pytest.fixture
def run(reference, tiny_encoder, tmp_path):
    """A complete run folder, as small as can be, of the classifier that exports are of."""
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(yaml.safe_dump({"data": "reviews.csv"}))
    settings = reference.preparation.settings
    info = ClassifierInfo("transformer", "tiny", LABELS, "mean", settings)
    save_classifier(run.model, reference.model, reference.preparation, load_tokenizer(tiny_encoder), info)
    run.finish({})
    return run


@pytest.fixture
def exported(run, write_export):
    """Return a function that puts an export into the run."""

    def put(name, **values):
        backend, _, precision = name.partition("-")
        return write_export(run.exports / name, backend, precision, **{"source": source_of(run), **values})

    return put
