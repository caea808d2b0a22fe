"""Exports of a whole run: what a folder holds, what is refused, and that nothing half-made stays."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import matinee
from matinee.cli.main import run as run_command
from matinee.core.errors import DataError, NotAvailableError, RunError, SettingsError, StorageError
from matinee.core.run import RunFolder
from matinee.core.schema import from_flags
from matinee.evaluation import read_predictions
from matinee.exporting.openvino import CAREFUL, MIXED
from matinee.inference import load_predictor, predict
from matinee.model.artifact import whole_folder
from matinee.model.exported import ExportInfo, check_export, read_parity
from matinee.workflow import Exported, export, train

FILES = {
    "README.md",
    "export.json",
    "matinee.json",
    "parity.json",
    "requirements.txt",
    "tokenizer.json",
    "validation.json",
}


@pytest.fixture
def run(made_run, tmp_path):
    """A copy of the run, without its exports."""
    return shutil.copytree(made_run, tmp_path / "run", ignore=shutil.ignore_patterns("exports", "checkpoints"))


@pytest.fixture
def traced(onnx, monkeypatch):
    """The graph of the run's model, traced once: that takes seconds, and is not the point of every test."""
    monkeypatch.setattr(
        "matinee.exporting.onnx.write_onnx", lambda model, path: shutil.copyfile(onnx.path / "model.onnx", path)
    )


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_complete_and_opens_by_itself(made_run, onnx, tmp_path):
    assert onnx.path == made_run / "exports" / "onnx-fp32"
    assert names(onnx.path) == FILES | {"model.onnx"}
    info = ExportInfo.read(onnx.path)
    assert (info.backend, info.precision, info.model) == ("onnx", "fp32", "model.onnx")
    files = RunFolder(made_run).read_json(RunFolder(made_run).manifest)["files"]
    assert info.source == {
        name.removeprefix("model/"): of["sha256"] for name, of in files.items() if name.endswith(".safetensors")
    }
    assert (onnx.path / "matinee.json").read_bytes() == (made_run / "model" / "matinee.json").read_bytes()
    moved = shutil.copytree(onnx.path, tmp_path / "moved")
    check_export(moved)
    assert matinee.load(moved).predict(["The film was wonderful."])[0]["label"] == "positive"


def test_the_proof_is_what_anybody_can_count(made_run, onnx):
    stored = read_predictions(made_run / "predictions.parquet")["test", "classifier"]
    said = predict(load_predictor(onnx.path), stored.texts)
    parity = read_parity(onnx.path)
    assert parity == onnx.parity
    gaps = np.abs(said.probabilities - stored.probabilities).max(axis=1)
    assert parity["gap"]["largest"] == pytest.approx(gaps.max(), abs=1e-6)
    assert parity["gap"]["largest"] < 1e-4
    assert parity["flips"] == {"n": 0, "share": 0.0, "limit": 0.01}
    assert parity["held_out"] == {"split": "test", "n": 24, "n_labelled": 24}
    assert parity["accuracy"]["candidate"] == float((stored.predicted == stored.labels).mean())
    assert parity["odd"]["flips"] == 0
    assert parity["size_mb"] > 0
    assert parity["attempts"] == []


def test_run_page_and_manifest_know_of_it(made_run, onnx):
    page = (made_run / "report.html").read_text(encoding="utf-8")
    assert "onnx fp32" in page[page.index('<section id="fast"') : page.index('<section id="data"')]
    files = RunFolder(made_run).read_json(RunFolder(made_run).manifest)["files"]
    assert "exports/onnx-fp32/parity.json" in files
    assert "report.html" in files


def test_the_readme_says_how_to_use_it_and_what_was_proved(onnx):
    text = (onnx.path / "README.md").read_text(encoding="utf-8")
    assert "matinee predict" in text
    assert "pip install --no-deps PATH_OR_WHEEL_OF_MATINEE" in text
    assert "--no-deps matinee" not in text
    assert "Labels that differ: 0 (0.00 %)" in text
    assert "onnxruntime" in (onnx.path / "requirements.txt").read_text(encoding="utf-8")
    assert "torch" not in (onnx.path / "requirements.txt").read_text(encoding="utf-8")


def test_int8_is_calibrated_on_training_texts_and_keeps_its_own_validation_answers(made_run, int8):
    assert int8.parity["calibration"] == {"split": "training", "n": 72}
    (attempt,) = int8.parity["attempts"]
    assert attempt["recipe"] == MIXED
    assert attempt["n"] == 24
    stored = read_predictions(made_run / "predictions.parquet")["validation", "classifier"]
    saved = json.loads((int8.path / "validation.json").read_text(encoding="utf-8"))
    own = load_predictor(int8.path).probabilities(stored.texts)
    np.testing.assert_allclose(np.sort(saved["probabilities"], axis=0), np.sort(own, axis=0), atol=2e-6)
    assert int8.parity["gap"]["mean"] > 0
    assert b"int8" in (int8.path / "model.xml").read_bytes() or b'"i8"' in (int8.path / "model.xml").read_bytes()


def test_a_cascade_holds_both_and_counts_what_is_cheap(made_run, cascade, int8):
    found = names(cascade.path)
    assert {
        "cascade.json",
        "cheap/tfidf.json",
        "cheap/matinee.json",
        "encoder/model.xml",
        "encoder/export.json",
    } <= found
    check_export(cascade.path)
    check_export(cascade.path / "encoder")
    threshold = json.loads((cascade.path / "cascade.json").read_text(encoding="utf-8"))["threshold"]
    assert cascade.parity["threshold"] == threshold
    assert cascade.parity["validation"] == {"n": 24, "threshold": threshold}
    assert cascade.parity["cheap_share"] > 0
    texts = read_predictions(made_run / "predictions.parquet")["test", "classifier"].texts
    cheap = load_predictor(cascade.path / "cheap").probabilities(texts)
    assert cascade.parity["cheap_share"] == float((cheap.max(axis=1) >= threshold).mean())
    assert cascade.parity["flips"]["limit"] is None
    sure = cheap.max(axis=1) >= threshold
    said, rest = load_predictor(cascade.path).probabilities(texts), load_predictor(int8.path).probabilities(texts)
    np.testing.assert_allclose(said, np.where(sure[:, None], cheap, rest), atol=1e-6)
    needed = (cascade.path / "requirements.txt").read_text(encoding="utf-8")
    assert "scikit-learn" in needed
    assert "openvino" in needed


def test_a_cascade_takes_another_linear_run_of_the_same_labels(made_run, run, int8, tiny_csv, tmp_path):
    train(tiny_csv, encoder="nblr", run_dir=tmp_path / "nblr", test_size=24, validation_size=24)
    done = export(made_run, cascade=True, cheap=tmp_path / "nblr", out=tmp_path / "cascade", max_accuracy_drop=30)
    assert "cheap/nblr.json" in names(done.path)
    other = tmp_path / "other.csv"
    with other.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "label"), *((f"{a} text {n}", a) for n in range(30) for a in ("red", "blue"))])
    train(other, encoder="tfidf", run_dir=tmp_path / "colours")
    with pytest.raises(SettingsError, match=r"other labels \(blue, red\) than the encoder \(negative, positive\)"):
        export(run, cascade=True, cheap=tmp_path / "colours")
    with pytest.raises(SettingsError, match="--cheap takes a run of tfidf or nblr"):
        export(run, cascade=True, cheap=made_run)
    assert not any((run / "exports").glob("*")), "all of it is checked before the encoder is exported"


def test_a_cheap_run_that_was_trained_on_the_hold_outs_is_refused(run, tiny_csv, tmp_path):
    train(tiny_csv, encoder="nblr", run_dir=tmp_path / "other", test_size=24, validation_size=24, split_seed=5)
    for cheap in (tmp_path / "other", tmp_path / "other" / "model"):
        with pytest.raises(
            SettingsError, match=r"was trained on \d+ of the texts that the cascade is chosen by and [1-9]"
        ):
            export(run, cascade=True, cheap=cheap)
    assert not any((run / "exports").glob("*"))


def test_a_cascade_is_refused_where_nothing_would_prove_it(run, tmp_path, caplog):
    lines = tmp_path / "lines.txt"
    lines.write_text("The film was wonderful.\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"proved by its accuracy: give labelled texts with --data\.$"):
        export(run, cascade=True, data=lines)
    assert not any((run / "exports").glob("*"))
    assert caplog.messages == []


def test_a_baseline_that_cannot_be_fitted_again_leaves_nothing(run, monkeypatch):
    from matinee.workflow import datasets

    def gone(run):
        raise NotAvailableError("The data is gone.")

    monkeypatch.setattr(datasets, "reload_dataset", gone)
    with pytest.raises(NotAvailableError, match="The data is gone"):
        export(run, cascade=True)
    assert not any((run / "exports").glob("*"))


def test_a_cascades_encoder_of_other_weights_is_replaced_only_when_asked(run, int8, monkeypatch):
    encoder = shutil.copytree(int8.path, run / "exports" / "openvino-int8")
    replace(ExportInfo.read(encoder), source={"model.safetensors": "0"}).write(encoder)
    before = (encoder / "export.json").read_bytes()
    with pytest.raises(RunError, match="was made from other weights or is damaged.*pass --overwrite to make it anew"):
        export(run, cascade=True)
    assert (encoder / "export.json").read_bytes() == before
    made = []
    monkeypatch.setattr("matinee.exporting.export_encoder", lambda source, target, *more: made.append(target))
    monkeypatch.setattr("matinee.exporting.export_cascade", lambda *more: {})
    export(run, cascade=True, overwrite=True)
    assert made == [encoder]


def turn_all_labels_around(source, target):
    """A quantisation that breaks the model."""
    import onnx

    model = onnx.load(str(source))
    for node in model.graph.node:
        node.output[:] = ["broken" if name == "rows" else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Neg", ["broken"], ["rows"]))
    onnx.save(model, str(target))


def test_a_quantisation_that_breaks_the_model_fails_and_leaves_nothing(run, traced, monkeypatch, capsys):
    monkeypatch.setattr("matinee.exporting.onnx.quantise_onnx", turn_all_labels_around)
    assert run_command(["-q", "export", str(run), "--to", "onnx", "--int8"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "onnx int8 does not say the same as torch fp32: of 24 held-out texts, 100.0 % of its labels differ" in said
    assert "points lower (limit 0.5)" in said
    assert list((run / "exports").iterdir()) == []


def test_where_int8_costs_too_much_accuracy_control_comes_next(run, traced, monkeypatch, caplog):
    """And where the training texts are gone, validation texts give the ranges."""
    import openvino as ov
    from openvino import opset13

    from matinee.workflow import datasets

    def broken(model, inputs, kept):
        turned = opset13.multiply(model.output(0).get_node().input_value(0), np.float32(-1))
        return ov.Model([turned], model.get_parameters())

    def gone(run):
        raise NotAvailableError("The data is gone.")

    monkeypatch.setattr("matinee.exporting.openvino.quantise", broken)
    monkeypatch.setattr(datasets, "reload_dataset", gone)
    caplog.set_level("INFO", "matinee")
    done = export(run, precision="int8", max_flips=10, max_accuracy_drop=5)
    first, second = done.parity["attempts"]
    assert (first["recipe"], first["passed"]) == (MIXED, False)
    assert first["flips"] > 0.9
    assert (second["recipe"], second["passed"]) == (CAREFUL, True)
    assert done.parity["calibration"] == {"split": "validation", "n": 24}
    assert "The data is gone. int8 takes its ranges from validation texts" in caplog.text


@pytest.mark.parametrize(
    ("error", "expected"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), StorageError)],
    ids=["Ctrl-C", "disk full"],
)
def test_nothing_stays_of_an_export_that_is_broken_off(run, traced, monkeypatch, error, expected):
    def fail(*args):
        raise error

    monkeypatch.setattr("matinee.exporting.encoder.prove", fail)
    (run / "exports" / ".left-by-a-kill").mkdir(parents=True)
    with pytest.raises(expected):
        export(run, to="onnx")
    assert list((run / "exports").iterdir()) == []


def test_too_little_room_is_said_before_anything_is_made(run, monkeypatch):
    usage = shutil.disk_usage(run)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    with pytest.raises(StorageError, match=r"making it takes \d+ MB, and 0 MB are free"):
        export(run, to="onnx")
    assert not any((run / "exports").glob("*"))


def test_an_export_is_replaced_only_when_asked(made_run, onnx):
    with pytest.raises(RunError, match="holds an export: choose another --out, or pass --overwrite"):
        export(made_run, to="onnx")
    for folder in (made_run, made_run / "model"):
        with pytest.raises(RunError, match="is not empty and not an export"):
            export(made_run, to="onnx", out=folder, overwrite=True)
    with pytest.raises(RunError, match="is a file"):
        export(made_run, to="onnx", out=made_run / "config.yaml", overwrite=True)
    check_export(onnx.path)


def test_a_model_folder_is_held_against_texts_that_are_given(made_run, traced, tiny_csv, tmp_path, caplog):
    # Away from its run, so that nobody knows what it was trained on.
    source, lines = shutil.copytree(made_run / "model", tmp_path / "away" / "model"), tmp_path / "lines.txt"
    lines.write_text("The film was wonderful.\nThe plot was dreadful.\nso so\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="give held-out ones with --data FILE"):
        export(source, to="onnx")
    done = export(source, to="onnx", data=lines, out=tmp_path / "plain")
    assert done.parity["held_out"] == {"split": "lines.txt", "n": 3, "n_labelled": 0}
    assert done.parity["accuracy"] is None
    assert (tmp_path / "plain" / "validation.json").read_bytes() == (source / "validation.json").read_bytes()
    done = export(source, precision="int8", data=tiny_csv, out=tmp_path / "int8", max_flips=10, max_accuracy_drop=10)
    assert done.parity["calibration"] == {"split": "reviews.csv", "n": 60}
    assert done.parity["held_out"] == {"split": "reviews.csv", "n": 60, "n_labelled": 60}


def test_texts_that_were_trained_on_prove_nothing(made_run, traced, tiny_csv, tmp_path, caplog):
    for name, source in (("run", made_run), ("model", made_run / "model")):
        caplog.clear()
        done = export(source, to="onnx", data=tiny_csv, out=tmp_path / name)
        assert done.parity["held_out"] == {"split": "reviews.csv", "n": 48, "n_labelled": 48}
        assert "72 of the 120 texts of" in caplog.text
        assert "the proof leaves them out" in caplog.text
    stored = read_predictions(made_run / "predictions.parquet")
    known = {*stored["test", "classifier"].texts, *stored["validation", "classifier"].texts}
    with tiny_csv.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row[0] not in known]
    with (tmp_path / "trained.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(DataError, match="was trained on all texts of .*trained.csv: they prove nothing"):
        export(made_run, to="onnx", data=tmp_path / "trained.csv", out=tmp_path / "never")


def test_what_a_kill_left_between_two_renames_is_not_lost(run, monkeypatch):
    (run / "exports" / "mine").mkdir(parents=True)
    (run / "exports" / "mine" / "model").write_text("old")
    code = (
        "import os, pathlib, sys\n"
        "from matinee.model.artifact import whole_folder\n"
        "rename = pathlib.Path.rename\n"
        "pathlib.Path.rename = lambda old, new: os._exit(9) if new.name == 'mine' else rename(old, new)\n"
        f"with whole_folder(pathlib.Path({str(run / 'exports' / 'mine')!r})) as folder:\n"
        "    (folder / 'model').write_text('new')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert not (run / "exports" / "mine").exists()

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("matinee.exporting.export_encoder", stop)
    with pytest.raises(KeyboardInterrupt):
        export(run, to="onnx")
    assert [path.name for path in (run / "exports").iterdir()] == ["mine"]
    assert (run / "exports" / "mine" / "model").read_text() == "new"


def test_a_rename_that_fails_leaves_the_old_folder(tmp_path, monkeypatch):
    folder, rename = tmp_path / "mine", Path.rename
    folder.mkdir()
    (folder / "model").write_text("old")

    def interrupted(old, new):
        if new == folder and not old.name.endswith("-replaced"):
            raise KeyboardInterrupt
        return rename(old, new)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_folder(folder) as made:
        (made / "model").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (folder / "model").read_text() == "old"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "tensorrt"}, "--to must be one of openvino, onnx, got 'tensorrt'"),
        ({"to": "onnx", "precision": "bf16"}, "--to onnx has --precision fp32, int8, not 'bf16'"),
        ({"max_flips": 101}, "--max-flips must lie between 0 and 100, got 101"),
        ({"max_accuracy_drop": -1}, "--max-accuracy-drop must lie between 0 and 100"),
        ({"calibration_texts": 0}, "--calibration-texts must be at least 1"),
        ({"cheap": "run"}, "--cheap is of a cascade: pass --cascade too, or leave it out"),
        ({"bound": 0.2}, "--bound is of a cascade: pass --cascade too"),
        ({"calibration_texts": 300}, "--calibration-texts is of int8 for OpenVINO: pass --to openvino --int8"),
        ({"to": "onnx", "precision": "int8", "calibration_texts": 300}, "--calibration-texts is of int8 for OpenVINO"),
        ({"label_column": "label"}, "--label-column says how to read --data: pass that too, or leave it out"),
        ({"flags": from_flags({"text_column": "text"})}, "--text-column says how to read --data"),
        ({"missing": "drop"}, "--missing says how to read --data"),
    ],
)
def test_settings_at_odds_are_one_line(made_run, options, message):
    with pytest.raises(SettingsError, match=message):
        export(made_run, **options)


def test_a_missing_library_comes_with_the_line_that_installs_it(made_run, monkeypatch):
    # By its name the module cannot be had: the package offers the function under it.
    module = sys.modules["matinee.workflow.export"]
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "nncf" else object())
    with pytest.raises(NotAvailableError, match=r'in int8 needs nncf: pip install "matinee\[export\]"'):
        export(made_run, precision="int8", out=made_run / "exports" / "never")


def test_a_linear_run_is_not_exported(tiny_csv, tmp_path):
    train(tiny_csv, encoder="tfidf", run_dir=tmp_path / "tfidf", test_size=24)
    with pytest.raises(SettingsError, match="is a tfidf classifier: it is fast as it is"):
        export(tmp_path / "tfidf")


class TestTerminal:
    @pytest.fixture
    def answer(self, monkeypatch):
        """Have the command print a proof without making it."""

        def give(done):
            monkeypatch.setattr("matinee.workflow.export", lambda *args, **options: done)

        return give

    def test_the_table_holds_size_speed_gap_flips_and_accuracy(self, onnx, answer, capsys):
        answer(onnx)
        assert run_command(["export", "run", "--to", "onnx"]) == 0
        said = capsys.readouterr().out
        for words in ("onnx fp32", "Size", "Texts a second", "0 (0.00 %, limit 1 %)", "Accuracy", "0 of 15 differ"):
            assert words in said
        assert f"matinee predict {onnx.path}" in said

    def test_a_cascade_says_what_is_answered_cheaply(self, cascade, answer, capsys):
        answer(cascade)
        assert run_command(["export", "run", "--cascade"]) == 0
        assert "The linear classifier answers" in capsys.readouterr().out
        answer(Exported(cascade.path, {**cascade.parity, "threshold": 2.0, "cheap_share": 0.0}))
        assert run_command(["export", "run", "--cascade"]) == 0
        assert "answers nothing" in capsys.readouterr().out

    def test_what_needed_looser_limits_says_who_answers_with_it(self, onnx, cascade, answer, capsys):
        loose = {**onnx.parity, "flips": {"n": 1, "share": 0.04, "limit": 1.0}}
        answer(Exported(onnx.path, loose))
        assert run_command(["export", "run", "--to", "onnx", "--max-flips", "100"]) == 0
        said = capsys.readouterr().out
        assert "It needed looser limits: 4.0 % of its labels differ (limit 1 %)." in said
        assert "Only --backend onnx or its folder answers with it, --backend auto does not." in said
        fallen = {
            **cascade.parity,
            "accuracy": {**cascade.parity["accuracy"], "change": {"value": -0.02, "low": -0.03, "high": 0}},
        }
        answer(Exported(cascade.path, fallen))
        assert run_command(["export", "run", "--cascade", "--max-accuracy-drop", "5"]) == 0
        assert "Only its folder answers with it" in capsys.readouterr().out
        answer(onnx)
        assert run_command(["export", "run", "--to", "onnx", "--max-flips", "100"]) == 0
        assert "looser" not in capsys.readouterr().out

    def test_json_is_the_proof(self, onnx, answer, capsys):
        answer(onnx)
        assert run_command(["export", "run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == onnx.parity

    def test_two_precisions_contradict(self, capsys):
        assert run_command(["export", "run", "--int8", "--precision", "fp32"]) == 2
        assert "contradict each other" in capsys.readouterr().err
