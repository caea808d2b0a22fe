"""Students: what they are taught, what they leave, and that nothing is asked twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from matinee.core.errors import DataError, InterruptedTrainingError, MatineeError, RunError, SettingsError
from matinee.evaluation import read_predictions
from matinee.inference.backends.linear import LinearPredictor
from matinee.model.artifact import ClassifierInfo
from matinee.workflow import distill, load, report, resume, train
from matinee.workflow import teaching as teaching_module

SIZES = {"train_size": 40, "validation_size": 16, "test_size": 24}
SMALL = {"epochs": 2, "batch_size": 16, "max_length": 48, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def teacher(tiny_csv, folder):
    """A linear classifier that knows 40 of 120 texts."""
    return train(tiny_csv, encoder="nblr", run_dir=folder / "teacher", **SIZES)


@pytest.fixture(scope="module")
def tuned(tiny_csv, tiny_encoder, folder):
    return train(tiny_csv, encoder=str(tiny_encoder), run_dir=folder / "tuned", **SIZES, **SMALL)


@pytest.fixture(scope="module")
def student(teacher, tuned, tiny_csv, tiny_encoder, folder):
    """Fine-tuned with one layer, on what two teachers say."""
    return distill(
        [teacher.path, tuned.path],
        unlabelled=tiny_csv,
        into=tiny_encoder,
        run_dir=folder / "student",
        distill_temperature=2.0,
        true_label_share=0.5,
        layers=1,
        **SMALL,
    )


def read(run, name):
    return json.loads((run.path / name).read_text(encoding="utf-8"))


def unlabelled_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text",), *((text,) for text in rows)])
    return path


def test_it_is_a_run_like_any_other(student, teacher):
    assert (student.path / "manifest.json").is_file()
    assert read(student, "metrics.json") == student.metrics
    assert student.test.ids == teacher.test.ids
    assert load(student.path).predict(["a wonderful film"])[0]["label"] in {"positive", "negative"}
    config = yaml.safe_load((student.path / "config.yaml").read_text())
    assert (config["layers"], config["train_size"]) == (1, 40)
    assert json.loads((student.path / "model" / "config.json").read_text())["n_layers"] == 1
    assert student.metrics["test"]["accuracy"]["value"] > 0.6


def test_it_tells_whose_answers_it_learned(student, teacher, tuned):
    about = read(student, "data.json")["distillation"]
    assert [each["name"] for each in about["teachers"]] == ["teacher", "tuned"]
    assert about["teachers"][1]["accuracy"] == tuned.metrics["test"]["accuracy"]["value"]
    assert about["n_texts"] == about["unlabelled"]["n"] == 40
    section = read(student, "analysis.json")["distillation"]
    answers = np.mean([run.test.probabilities for run in (teacher, tuned)], axis=0).argmax(axis=1)
    assert section["agreement"]["test"] == pytest.approx((answers == student.test.predicted).mean())
    assert section["teachers_accuracy"] == pytest.approx((answers == student.test.labels).mean())
    assert 0 < section["agreement"]["teachers"] <= 1
    page = (student.path / "report.html").read_text()
    assert 'id="distillation"' in page
    assert "matinee distill" in page
    report(student.path)
    assert read(student, "analysis.json")["distillation"] == section
    assert 'id="distillation"' in (student.path / "report.html").read_text()


def test_the_answers_kept_are_the_teachers(student, teacher, tuned, tiny_rows):
    """Of the texts that no split of the run holds, in the order of the file."""
    held = set(read_predictions(teacher.path / "predictions.parquet")["test", "classifier"].texts)
    parts = [np.load(student.path / "soft_labels" / f"teacher-{n}" / "from-00000000.npy") for n in (1, 2)]
    all_texts = [text for text, _ in tiny_rows if text not in held]
    for part, run in zip(parts, (teacher, tuned), strict=True):
        said = run.predict(all_texts).probabilities
        for row in part:
            assert np.abs(said - row).sum(axis=1).min() < 1e-4


def test_a_linear_student_stands_beside_the_baseline_of_the_labels_alone(tuned, teacher, tiny_csv, tmp_path):
    run = distill(tuned.path, unlabelled=tiny_csv, into="tfidf", run_dir=tmp_path / "student")
    assert ClassifierInfo.read(run.path / "model").kind == "tfidf"
    # The same true labels, and no other text: the teacher's run has the same baseline.
    assert run.metrics["baseline"] == teacher.metrics["baseline"]
    assert run.metrics["test"] != run.metrics["baseline"]
    page = (run.path / "report.html").read_text()
    assert "This classifier is the baseline" not in page


@pytest.mark.parametrize("into", ["tfidf", "nblr"])
def test_more_texts_from_a_good_teacher_are_worth_it(into, tiny_rows, folder, teacher, tmp_path, monkeypatch):
    """With a teacher that is always right, a student with few labels is as if it had all of them."""
    truth = dict(tiny_rows)

    def right(self, texts):
        column = np.array([self.label_names.index(truth[text]) for text in texts])
        return np.eye(2)[column] * 0.96 + 0.02

    few = train(teacher.settings.data.data, encoder=into, run_dir=tmp_path / "few", **{**SIZES, "train_size": 6})
    with monkeypatch.context() as patch:
        patch.setattr(teaching_module, "_load", lambda teacher, backend: _Teacher(right))
        run = distill(few.path, unlabelled=few.settings.data.data, into=into, run_dir=tmp_path / "student")
    assert run.metrics["test"]["accuracy"]["value"] >= few.metrics["test"]["accuracy"]["value"]
    assert run.metrics["test"]["log_loss"]["value"] < few.metrics["test"]["log_loss"]["value"]


class _Teacher:
    label_names = ("positive", "negative")  # not in the order of the student's

    def __init__(self, answer):
        self.answer = answer

    def probabilities(self, texts):
        return self.answer(self, texts)


def test_the_confident_ones_are_kept_and_the_balance_is_told(teacher, tiny_csv, tmp_path):
    everything = distill(teacher.path, unlabelled=tiny_csv, into="nblr", run_dir=tmp_path / "all")
    about = everything.data["distillation"]
    said = np.load(everything.path / "soft_labels" / "teacher-1" / "from-00000000.npy")
    limit = float(np.median(said.max(axis=1)))
    run = distill(teacher.path, unlabelled=tiny_csv, into="nblr", run_dir=tmp_path / "sure", confidence=limit)
    sure = run.data["distillation"]
    kept = said[said.max(axis=1) >= limit]
    assert (sure["n_texts"], sure["n_unsure"]) == (len(kept), len(said) - len(kept))
    assert sure["labels"]["positive"] == pytest.approx((kept.argmax(axis=1) == 1).mean())
    assert sure["labels_before"] == about["labels"] == about["labels_before"]
    assert sure["confidence"]["mean_kept"] == pytest.approx(kept.max(axis=1).mean())
    with pytest.raises(DataError, match=r"a probability of 0\.999999 or more, the surest has"):
        distill(teacher.path, unlabelled=tiny_csv, into="nblr", run_dir=tmp_path / "none", confidence=0.999999)
    assert not (tmp_path / "none").exists()


def test_the_same_encoder_has_the_run_s_settings(tuned, tiny_csv, tiny_encoder, tmp_path):
    run = distill(tuned.path, unlabelled=tiny_csv, into=tiny_encoder, run_dir=tmp_path / "again", epochs=1)
    own, theirs = run.settings.flat(), tuned.settings.flat()
    assert {name for name in own if own[name] != theirs[name]} == {"epochs"}
    again = distill(
        tuned.path, unlabelled=tiny_csv, into=tiny_encoder, recipe=run.path / "config.yaml", run_dir=tmp_path / "third"
    )
    assert again.metrics == run.metrics


def test_another_file_is_read_by_its_column(teacher, tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("n,words\n1,the plot was superb\n2,the lead was awful\n3,the plot was superb\n", encoding="utf-8")
    with pytest.raises(DataError, match="--text-column"):
        distill(teacher.path, unlabelled=path, into="nblr", run_dir=tmp_path / "run")
    run = distill(teacher.path, unlabelled=path, into="nblr", run_dir=tmp_path / "run", text_column="words")
    assert run.data["distillation"]["unlabelled"]["left_out"] == {"repeated": 1}
    assert "--text-column words" in (run.path / "report.html").read_text()


WRONG = [
    ({"distill_temperature": 0.0}, "--distill-temperature must be between 0.1 and 100, got 0"),
    ({"confidence": 1.0}, "--confidence must be above 0 and below 1, got 1"),
    ({"true_label_share": 1.0}, "--true-label-share must be at least 0 and below 1, got 1"),
    ({"unlabelled_size": 0}, "--unlabelled-size must be at least 1, got 0"),
    ({"unlabelled_size": 1000}, "--unlabelled-size 1,000 is larger than the data: 40 texts"),
    ({"into": "tfidf", "distill_temperature": 2.0}, "--distill-temperature needs an encoder that is fine-tuned"),
    ({"freeze": "all"}, "--freeze all trains no step"),
    ({"layers": 3}, "--layers must be at most 2, the layers of encoder"),
    ({"seed": 4}, "--seed must be 0, that of"),
    ({"train_size": 50}, "train_size cannot be given to distill: data and hold-outs are those of"),
    ({"encoder": "minilm"}, "encoder cannot be given to distill: --into names the encoder"),
    ({"unlabelled": "nowhere.csv"}, "There is no file"),
    ({"unlabelled": "somebody/something"}, "somebody/something"),
    ({"backend": "openvino"}, "matinee export"),
    ({"into": "nothing-of-that-name"}, "Unknown encoder"),
]


@pytest.mark.parametrize(("values", "problem"), WRONG, ids=[problem[:40] for _, problem in WRONG])
def test_what_cannot_be_is_one_line_and_leaves_nothing(values, problem, tuned, tiny_csv, tiny_encoder, tmp_path):
    given = {"unlabelled": tiny_csv, "into": tiny_encoder, "offline": True, **values}
    with pytest.raises(MatineeError, match=problem) as caught:
        distill(tuned.path, run_dir=tmp_path / "run", **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_teachers_must_go_together(teacher, tiny_csv, tiny_rows, tmp_path):
    with pytest.raises(RunError, match="There is no run folder"):
        distill(tmp_path / "nowhere", unlabelled=tiny_csv, into="nblr")
    with pytest.raises(SettingsError, match="No teacher given"):
        distill([], unlabelled=tiny_csv, into="nblr")
    seen = train(tiny_csv, encoder="nblr", run_dir=tmp_path / "seen", **SIZES, split_seed=5)
    with pytest.raises(SettingsError, match="was trained on .* test texts of the student: its scores would flatter"):
        distill([teacher.path, seen.path], unlabelled=tiny_csv, into="nblr", run_dir=tmp_path / "run")
    path = tmp_path / "other.csv"
    rows = [(text, {"positive": "good", "negative": "bad"}[label]) for text, label in tiny_rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    other = train(path, encoder="nblr", run_dir=tmp_path / "other", **SIZES)
    with pytest.raises(
        SettingsError, match="Teachers must have the labels of the first one: .* has bad, good, not neg"
    ):
        distill([teacher.path, other.path], unlabelled=tiny_csv, into="nblr", run_dir=tmp_path / "run")


class TestResuming:
    @pytest.fixture
    def many(self, tmp_path, monkeypatch):
        """1,200 texts in four parts."""
        monkeypatch.setattr(teaching_module, "_CHUNK", 300)
        words = ("wonderful", "dreadful", "boring", "superb")
        return unlabelled_csv(tmp_path / "many.csv", [f"the plot was {words[n % 4]} seat {n}" for n in range(1_200)])

    def test_ctrl_c_while_asking_costs_at_most_a_part(self, teacher, many, tmp_path, monkeypatch):
        asked = []
        whole = distill(teacher.path, unlabelled=many, into="tfidf", run_dir=tmp_path / "whole")
        probabilities = LinearPredictor.probabilities

        def counted(self, texts):
            if len(texts) == 300:
                asked.append(texts[0])
                if len(asked) == 3:
                    signal.raise_signal(signal.SIGINT)
            return probabilities(self, texts)

        monkeypatch.setattr(LinearPredictor, "probabilities", counted)
        with pytest.raises(InterruptedTrainingError, match="matinee train --resume"):
            distill(teacher.path, unlabelled=many, into="tfidf", run_dir=tmp_path / "cut")
        assert len(asked) == 3
        run = resume(tmp_path / "cut")
        assert len(asked) == 4
        assert len(set(asked)) == 4
        assert run.metrics == whole.metrics
        assert run.data == whole.data
        one, other = (load_file(of.path / "model" / "tfidf.safetensors") for of in (run, whole))
        assert all(np.array_equal(one[name], other[name]) for name in one)

    def test_what_changed_meanwhile_is_refused(self, teacher, many, tmp_path, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(teaching_module, "_load", interrupted)
            with pytest.raises(InterruptedTrainingError):
                distill(teacher.path, unlabelled=many, into="tfidf", run_dir=tmp_path / "cut")
        plan = json.loads((tmp_path / "cut" / "distillation.json").read_text())
        changed = {**plan, "teachers": [{**plan["teachers"][0], "weights": {}}]}
        (tmp_path / "cut" / "distillation.json").write_text(json.dumps(changed))
        with pytest.raises(RunError, match="was trained anew since"):
            resume(tmp_path / "cut")
        (tmp_path / "cut" / "distillation.json").write_text(json.dumps(plan))
        many.write_text(many.read_text() + "one more\n", encoding="utf-8")
        with pytest.raises(RunError, match="unlabelled texts of .* are no longer what they were"):
            resume(tmp_path / "cut")


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed(teacher, tiny_csv, tiny_encoder, tmp_path):
    """A real process and a real signal: the same weights as an uninterrupted one, and no text asked about again."""
    settings = ["--into", str(tiny_encoder), "--unlabelled", str(tiny_csv), "--epochs", "6", "--batch-size", "4"]
    settings += ["--max-length", "48", "--learning-rate", "1e-3", "--precision", "fp32", "--dropout", "0.1"]
    settings += ["--distill-temperature", "2", "--true-label-share", "0.4", "--freeze", "1", "--quiet"]
    code = "from matinee.cli.main import main; main()"

    def start(*arguments):
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(*arguments):
        process = start(*arguments)
        errors = process.communicate(timeout=300)[1]
        assert process.returncode == 0, errors

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finish("distill", str(teacher.path), *settings, "--run-dir", str(whole))
    process = start("distill", str(teacher.path), *settings, "--run-dir", str(cut))
    deadline = time.monotonic() + 240
    while not list(cut.glob("checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (cut / "manifest.json").exists()
    answers = next(cut.glob("soft_labels/teacher-1/*.npy"))
    before = answers.stat().st_mtime_ns
    finish("train", "--resume", str(cut), "--quiet")
    assert answers.stat().st_mtime_ns == before
    one, other = (
        {
            path.name: {name: array.tobytes() for name, array in load_file(path).items()}
            for path in of.glob("*.safetensors")
        }
        for of in (whole / "model", cut / "model")
    )
    assert one == other
    assert len(one) == 2
