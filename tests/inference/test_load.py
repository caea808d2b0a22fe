"""Which back end answers for a source, and what is said where none can."""

from __future__ import annotations

import json
import logging
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest

from matinee.core.errors import MatineeError, NotAvailableError, RunError, SettingsError
from matinee.core.run import RunFolder
from matinee.inference import choose_classifier, load_predictor, requirements
from matinee.inference.backends import openvino as openvino_backend
from matinee.inference.backends.onnx import OnnxPredictor
from matinee.inference.backends.openvino import OpenVinoPredictor
from matinee.inference.backends.torch import TorchPredictor
from matinee.inference.exports import computed_in, source_of
from matinee.model.artifact import ClassifierInfo, save_linear
from matinee.model.exported import EXPORT, ExportInfo

TEXTS = ["The plot was warm.", "The lead was dreadful.", ""]


def chosen(run, backend="auto"):
    found = choose_classifier(run.path, backend)
    return found.folder.name, found.backend, found.precision


def test_a_run_without_exports_is_answered_by_torch_without_a_word(run, caplog):
    with caplog.at_level(logging.INFO, "matinee"):
        assert chosen(run) == ("model", "torch", "fp32")
    assert caplog.records == []
    assert isinstance(load_predictor(run.path), TorchPredictor)


def test_the_fastest_proved_export_answers_and_says_so(run, exported, caplog, reference):
    exported("openvino-fp32", texts_per_second=50.0)
    exported("onnx-fp32", texts_per_second=70.0)
    exported("onnx-int8", texts_per_second=900.0, passed=False)
    with caplog.at_level(logging.INFO, "matinee"):
        predictor = load_predictor(run.path)
    assert isinstance(predictor, OnnxPredictor)
    assert [record.message for record in caplog.records] == [f"Answering with {run.exports / 'onnx-fp32'} (onnx, fp32)"]
    np.testing.assert_allclose(predictor.probabilities(TEXTS), reference.probabilities(TEXTS), atol=1e-5)


def test_a_back_end_is_asked_for_by_name(run, exported):
    exported("openvino-fp32", texts_per_second=50.0)
    exported("openvino-int8", texts_per_second=60.0)
    exported("onnx-fp32", texts_per_second=900.0)
    assert chosen(run, "openvino") == ("openvino-int8", "openvino", "int8")
    assert chosen(run, "torch") == ("model", "torch", "fp32")
    assert isinstance(load_predictor(run.path, "openvino"), OpenVinoPredictor)


def test_an_export_of_other_weights_does_not_answer(run, exported):
    exported("openvino-fp32", source={**source_of(run), "model.safetensors": "0" * 64})
    assert chosen(run) == ("model", "torch", "fp32")
    with pytest.raises(RunError, match=r"openvino-fp32 was made from other weights.*matinee export .* --to openvino"):
        choose_classifier(run.path, "openvino")


def test_an_export_without_a_proof_that_holds_does_not_answer(run, exported):
    exported("openvino-fp32", passed=False)
    assert chosen(run) == ("model", "torch", "fp32")
    with pytest.raises(RunError, match="openvino-fp32 did not pass its proof"):
        choose_classifier(run.path, "openvino")


@pytest.mark.parametrize(
    "proof", [{"flips": {"share": 0.02}}, {"accuracy": {"change": {"value": -0.006}}}], ids=["flips", "accuracy"]
)
def test_what_needed_looser_limits_answers_only_where_it_is_named(run, exported, proof):
    folder = exported("openvino-fp32", texts_per_second=900.0, **proof)
    assert chosen(run) == ("model", "torch", "fp32")
    assert chosen(run, "openvino") == ("openvino-fp32", "openvino", "fp32")
    assert choose_classifier(folder).backend == "openvino"
    exported("onnx-fp32", texts_per_second=10.0, flips={"share": 0.01}, accuracy=None)
    assert chosen(run) == ("onnx-fp32", "onnx", "fp32")


@pytest.mark.parametrize(
    ("accuracy", "answers"),
    [({"change": {"value": -0.005}}, "cascade"), ({"change": {"value": -0.006}}, "model"), (None, "model")],
)
def test_of_a_cascade_accuracy_alone_counts_and_must_be_known(run, write_cascade, accuracy, answers):
    write_cascade(run.exports / "cascade", 0.7, source=source_of(run), flips={"share": 0.3}, accuracy=accuracy)
    assert chosen(run)[0] == answers


def test_a_proof_without_figures_is_damaged(run, exported, caplog):
    exported("openvino-fp32", flips=None)
    assert chosen(run) == ("model", "torch", "fp32")
    assert "parity.json is damaged: export again. It is passed over." in caplog.text


def broken(folder, model):
    (folder / model).write_bytes(b"no model at all")
    info = ExportInfo.read(folder)
    info.write(folder)


def test_what_cannot_be_opened_is_passed_over_with_one_warning_where_nobody_asked_for_it(run, exported, caplog):
    broken(exported("openvino-fp32", texts_per_second=900.0), "model.xml")
    onnx = exported("onnx-fp32", texts_per_second=10.0)
    assert isinstance(load_predictor(run.path), OnnxPredictor)
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "model.xml cannot be read by OpenVINO" in warning
    assert warning.endswith("It is passed over.")
    with pytest.raises(RunError, match="cannot be read by OpenVINO"):
        load_predictor(run.path, "openvino")
    broken(onnx, "model.onnx")
    assert isinstance(load_predictor(run.path), TorchPredictor)


@pytest.mark.parametrize("error", [AttributeError, ImportError, OSError])
def test_a_library_that_does_not_work_is_passed_over_and_one_line(run, exported, monkeypatch, caplog, error):
    class Unusable(ModuleType):
        def __getattr__(self, name):
            raise error(f"no {name}\nand more")

    module = Unusable("openvino")
    module.__spec__ = ModuleSpec("openvino", None)
    monkeypatch.setitem(sys.modules, "openvino", module)
    # Not the core that other tests have made: as in a process that has none yet.
    monkeypatch.setattr(openvino_backend, "openvino_core", openvino_backend.openvino_core.__wrapped__)
    folder = exported("openvino-fp32", texts_per_second=900.0)
    exported("onnx-fp32", texts_per_second=10.0)
    assert isinstance(load_predictor(run.path), OnnxPredictor)
    assert caplog.records[0].message.endswith("pip install --force-reinstall openvino. It is passed over.")
    for source in (run.path, folder):
        with pytest.raises(NotAvailableError, match=r"openvino does not work as it is installed here \(no Core\)"):
            load_predictor(source, "openvino")


def test_a_file_that_may_not_be_read_is_damage(run, exported, monkeypatch, caplog):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    exported("openvino-fp32")
    monkeypatch.setattr("matinee.model.exported.file_sha256", refuse)
    assert chosen(run) == ("model", "torch", "fp32")
    assert "cannot be read: Permission denied. Export again. It is passed over." in caplog.text


@pytest.mark.parametrize("proved", ["f32", "bf16", None])
def test_another_number_format_than_the_proofs_is_said(run, exported, caplog, proved):
    folder = exported("openvino-fp32", computed_in=proved)
    with caplog.at_level(logging.INFO, "matinee"):
        load_predictor(run.path)
    said = [record.message for record in caplog.records if "its proof was made in" in record.message]
    other = f"This machine computes {folder} in f32, its proof was made in bf16: probabilities differ a little"
    assert said == ([other] if proved == "bf16" else [])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_number_format_is_the_one_that_openvino_takes(write_export, tmp_path, precision):
    predictor = load_predictor(write_export(tmp_path / "made", "openvino", precision))
    taken = predictor._compiled("LATENCY").get_property("INFERENCE_PRECISION_HINT")
    assert taken.get_type_name() == predictor.computed_in == computed_in(predictor)
    assert precision == "int8" or predictor.computed_in == "f32"


def test_an_export_whose_library_is_missing_does_not_answer(run, exported, monkeypatch):
    folder = exported("openvino-fp32", texts_per_second=90.0)
    exported("onnx-fp32", texts_per_second=10.0)
    monkeypatch.setattr(requirements, "find_spec", lambda module: None if module == "openvino" else module)
    assert chosen(run) == ("onnx-fp32", "onnx", "fp32")
    install = r'OpenVINO is not installed: pip install "matinee\[openvino\]"'
    with pytest.raises(RunError, match=install):
        choose_classifier(run.path, "openvino")
    with pytest.raises(NotAvailableError, match=install):
        load_predictor(folder)


def test_torch_that_is_missing_is_one_line(run, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda module: None)
    with pytest.raises(NotAvailableError, match="PyTorch is not installed: pip install matinee"):
        load_predictor(run.path)


@pytest.mark.parametrize("damage", ["altered", "missing", "unreadable"])
def test_a_damaged_export_is_passed_over_with_one_warning(run, exported, caplog, damage):
    folder = exported("openvino-fp32", texts_per_second=900.0)
    exported("onnx-fp32", texts_per_second=10.0)
    if damage == "altered":
        (folder / "matinee.json").write_text((folder / "matinee.json").read_text() + " ")
    elif damage == "missing":
        (folder / "model.bin").unlink()
    else:
        (folder / EXPORT).write_text("{")
    assert chosen(run) == ("onnx-fp32", "onnx", "fp32")
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "openvino-fp32" in warning
    assert warning.endswith("It is passed over.")
    with pytest.raises(MatineeError):
        load_predictor(folder)


def test_an_unfinished_export_is_not_seen(run, exported):
    folder = exported("openvino-fp32")
    folder.rename(folder.with_name(".openvino-fp32-made"))
    assert chosen(run) == ("model", "torch", "fp32")


def test_a_cascade_of_the_run_may_answer(run, exported, write_cascade):
    exported("openvino-fp32", texts_per_second=50.0)
    write_cascade(run.exports / "cascade", 0.7, source=source_of(run), texts_per_second=400.0)
    assert chosen(run) == ("cascade", "cascade", "fp32")
    assert chosen(run, "openvino") == ("openvino-fp32", "openvino", "fp32")


def test_a_cascade_without_its_encoder_is_passed_over(run, write_cascade, caplog):
    folder = write_cascade(run.exports / "cascade", 0.7, source=source_of(run))
    (folder / "encoder" / EXPORT).unlink()
    assert chosen(run) == ("model", "torch", "fp32")
    assert caplog.records[0].message.endswith("It is passed over.")


def test_an_export_answers_from_its_own_folder(write_export, tmp_path, reference):
    folder = write_export(tmp_path / "made", "openvino", "int8", threshold=0.25, passed=False)
    assert load_predictor(folder).threshold == 0.25
    assert load_predictor(folder, "openvino").label_names == reference.label_names
    with pytest.raises(SettingsError, match="is an export for openvino and cannot answer with onnx"):
        load_predictor(folder, "onnx")
    (folder / EXPORT).unlink()
    with pytest.raises(RunError, match=r"export.json is missing or damaged.*Export again"):
        load_predictor(folder)


@pytest.mark.parametrize(("backend", "model"), [("openvino", "model.xml"), ("onnx", "model.onnx")])
def test_a_model_that_the_library_cannot_read_is_one_line(write_export, tmp_path, backend, model):
    folder = write_export(tmp_path / "made", backend)
    (folder / model).write_bytes(b"no model at all")
    ExportInfo(backend, "fp32", model, 0, {}).write(folder)
    with pytest.raises(RunError, match=rf"{model} cannot be read by .* export again, or install a newer") as raised:
        load_predictor(folder)
    assert "\n" not in str(raised.value)


def test_a_tokenizer_that_cannot_be_read_is_one_line(write_export, tmp_path):
    folder = write_export(tmp_path / "made")
    (folder / "tokenizer.json").write_text("{}")
    ExportInfo("openvino", "fp32", "model.xml", 0, {}).write(folder)
    with pytest.raises(RunError, match=r"tokenizer.json is missing or damaged"):
        load_predictor(folder)


def test_a_cascade_without_its_threshold_is_one_line(write_cascade, tmp_path):
    folder = write_cascade(tmp_path / "made", 0.7)
    (folder / "cascade.json").write_text("{}")
    ExportInfo("cascade", "fp32", "encoder", 0, {}).write(folder)
    with pytest.raises(RunError, match=r"cascade.json is missing or damaged"):
        load_predictor(folder)


def test_linear_runs_need_no_back_end(linear, tmp_path):
    save_linear(tmp_path / "model", linear.model, ClassifierInfo("tfidf", "tfidf", linear.label_names))
    for backend in ("auto", "torch"):
        assert choose_classifier(tmp_path / "model", backend).backend == "linear"
    with pytest.raises(SettingsError, match="--backend onnx: tfidf runs need no other back end"):
        load_predictor(tmp_path / "model", "onnx")


def test_a_model_folder_has_no_exports(run, exported):
    exported("openvino-fp32")
    assert choose_classifier(run.model).backend == "torch"
    with pytest.raises(RunError, match="is no run folder, which alone holds exports"):
        choose_classifier(run.model, "openvino")


def test_an_unknown_back_end_is_named(run):
    with pytest.raises(SettingsError, match=r"Unknown --backend 'openvno'. Did you mean 'openvino'\?"):
        load_predictor(run.path, "openvno")


def test_bf16_is_asked_for_by_name(run, monkeypatch):
    from matinee.model import precision

    monkeypatch.setattr(precision, "choose_precision", lambda setting, device: "bf16")
    predictor = load_predictor(run.path, "torch-bf16")
    assert isinstance(predictor, TorchPredictor)
    assert predictor.precision == "bf16"
    monkeypatch.setattr(precision, "choose_precision", lambda setting, device: "fp32")
    with pytest.raises(SettingsError, match="--backend torch-bf16: this machine has no arithmetic for it"):
        load_predictor(run.path, "torch-bf16")


def test_the_source_of_a_run_is_its_weights(run):
    hashes = json.loads(run.manifest.read_text())["files"]
    assert source_of(RunFolder(run.path)) == {
        name: hashes[f"model/{name}"]["sha256"] for name in ("model.safetensors", "head.safetensors")
    }
