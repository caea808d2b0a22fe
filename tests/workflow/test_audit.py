"""The audit of whole datasets: planted faults are found, and hard data is no reason to stop."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core import hub
from matinee.core.errors import DataError, NotAvailableError, SettingsError
from matinee.core.schema import resolve
from matinee.data import load_dataset
from matinee.workflow import audit, audit_dataset, train

if TYPE_CHECKING:
    from matinee.core.settings import Settings


@pytest.fixture
def write(tmp_path):
    """Write rows (text, label) to a CSV file and return it."""

    def write(rows, name="data.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
        return path

    return write


def codes_of(result):
    return {finding["code"]: finding for finding in result.findings}


def flipped(rows, n):
    """Return the rows with `n` labels of two turned round, and which."""
    chosen = set(random.Random(0).sample(range(len(rows)), n))
    other = {"negative": "positive", "positive": "negative"}
    return [(text, other[label] if row in chosen else label) for row, (text, label) in enumerate(rows)], chosen


class TestPlanted:
    @pytest.fixture
    def planted(self, tiny_rows, write):
        rows, wrong = flipped(tiny_rows, 6)
        copies = [rows[0], (rows[1][0].upper(), rows[1][1])]
        conflict = (rows[2][0], "positive" if rows[2][1] == "negative" else "negative")
        rare = [(f"a question number {n} about the tickets", "question") for n in range(3)]
        broken = [("the film was wonderful, cafÃ© scene and all", "positive")]
        return write([*rows, *copies, conflict, *rare, *broken]), wrong

    def test_each_is_reported(self, planted):
        path, _ = planted
        found = codes_of(audit(path, encoder="tfidf"))
        assert found["A201"]["n"] >= 2
        assert "row-121" in {example["id"] for example in found["A201"]["examples"]}
        assert (found["A203"]["n"], found["A203"]["severity"]) == (1, "error")
        assert "'question' (3)" in found["A104"]["title"]
        assert found["A307"]["examples"][0]["repaired"].startswith("the film was wonderful, café scene")
        assert found["A501"]["n"] >= 5

    def test_wrong_labels_come_first(self, planted):
        path, wrong = planted
        ranked = audit(path, encoder="tfidf").summary["label_errors"]["ranked"]
        expected = {f"row-{row + 1}" for row in wrong}
        assert len(expected & {suspect["id"] for suspect in ranked[:8]}) >= 5

    def test_a_copy_without_them_can_be_trained_on(self, planted, tmp_path):
        path, wrong = planted
        before = path.read_bytes()
        result = audit(path, encoder="tfidf", fix=tmp_path / "clean.csv", drop_label_errors=True)
        assert path.read_bytes() == before
        assert result.fixed.dropped["conflicting-labels"] == 2
        again = codes_of(audit(tmp_path / "clean.csv", encoder="tfidf"))
        assert not {"A201", "A203", "A307"} & again.keys()
        with result.fixed.changes.open(encoding="utf-8") as lines:
            dropped = {json.loads(line)["id"] for line in lines if '"likely-label-errors"' in line}
        assert len(dropped & {f"row-{row + 1}" for row in wrong}) >= 5

    def test_clean_data_passes(self, tiny_rows, write):
        result = audit(write([(f"{text} {n}", label) for n, (text, label) in enumerate(tiny_rows)]), encoder="tfidf")
        assert result.passed
        assert not codes_of(result).keys() & {"A104", "A105", "A201", "A202", "A203", "A307"}


class TestSplits:
    def fill_hub_cache(self, root, **splits):
        """Lay out Parquet files as the hub library does, under the names of the official IMDB."""
        base, commit = root / "datasets--stanfordnlp--imdb", "c" * 40
        (base / "refs").mkdir(parents=True)
        (base / "refs" / "main").write_text(commit)
        for name, rows in splits.items():
            blob = base / "blobs" / name
            link = base / "snapshots" / commit / "plain_text" / f"{name}-00000-of-00001.parquet"
            blob.parent.mkdir(exist_ok=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"text": [row[0] for row in rows], "label": [row[1] for row in rows]}), blob)
            link.symlink_to(os.path.relpath(blob, link.parent))

    @pytest.fixture
    def official_imdb(self, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        hub._probe.cache_clear()
        train_rows = [(f"this is review number {n} of a film", n % 2) for n in range(400)]
        test_rows = [(f"and here is review {n} of another one", n % 2) for n in range(300)]
        shared = [(text.upper() if n % 2 else f"{text} ", label) for n, (text, label) in enumerate(train_rows[:123])]
        self.fill_hub_cache(tmp_path / "hub", train=train_rows, test=[*test_rows, *shared])

    @pytest.mark.usefixtures("official_imdb")
    def test_texts_that_stand_in_train_and_in_test_are_found(self):
        result = audit("imdb", encoder="tfidf")
        assert result.source == "huggingface-cache"
        found = codes_of(result)["A202"]
        assert (found["n"], found["severity"]) == (123, "error")
        assert found["title"] == "123 texts stand in two splits (123 in train and test)"
        assert result.summary["splits"] == {"train": 400, "test": 423}

    @pytest.mark.usefixtures("official_imdb")
    def test_a_copy_lacks_them_in_train(self, tmp_path):
        result = audit("imdb", encoder="tfidf", fix=tmp_path / "clean")
        assert result.fixed.dropped["texts-in-two-splits"] == 123
        again = audit(tmp_path / "clean", encoder="tfidf")
        assert again.summary["splits"] == {"train": 277, "test": 423}
        assert "A202" not in codes_of(again)

    def test_near_copies_across_the_files_of_a_folder_are_found(self, tiny_rows, write, tmp_path):
        text = " ".join(f"word{n}" for n in range(60))
        write([*tiny_rows[:80], (text, "positive")], "data/train.csv")
        write([*tiny_rows[80:], (f"{text} or so", "positive")], "data/test.csv")
        found = codes_of(audit(tmp_path / "data", encoder="tfidf"))
        assert found["A205"]["examples"][0]["id"] == "train-81"
        assert found["A205"]["examples"][0]["near"]["id"] == "test-41"


class TestHardData:
    """What stops a training, or is at odds with every assumption, still gets an audit."""

    def test_one_row(self, write):
        result = audit(write([("good", "a")]), encoder="tfidf")
        assert codes_of(result)["A103"]["severity"] == "error"
        assert "Fewer than two classes" in result.summary["label_errors"]["reason"]

    def test_no_labels(self, tmp_path):
        (tmp_path / "texts.csv").write_text("text\none\ntwo\ntwo\n")
        result = audit(tmp_path / "texts.csv", encoder="tfidf")
        assert codes_of(result).keys() >= {"A102", "A201"}
        assert result.summary["classes"]["unlabelled"] == 3
        assert result.summary["label_errors"] == {"reason": "No text has a label."}

    def test_all_emoji(self, write):
        chance = random.Random(0)
        faces = ("😂😀😁😆😄", "🔥🌋💥🚒🧨")
        rows = [("".join(chance.choices(faces[n % 2], k=8)), ("funny", "hot")[n % 2]) for n in range(40)]
        result = audit(write(rows), encoder="tfidf")
        assert codes_of(result)["A304"]["n"] == 40
        assert result.summary["label_errors"]["n_judged"] == 40

    def test_a_text_of_a_megabyte(self, tiny_rows, write, tiny_encoder):
        result = audit(
            write([*tiny_rows, ("wonderful <b>film</b> & more " * 40_000, "positive")]), encoder=str(tiny_encoder)
        )
        assert codes_of(result)["A303"]["examples"][0]["id"] == "row-121"
        assert all(len(json.dumps(finding)) < 10_000 for finding in result.findings)

    def test_empty_texts_alone(self, write):
        result = audit(write([("", "a"), ("<br>", "b"), (" ", "a")]), encoder="tfidf")
        assert codes_of(result)["A301"]["n"] == 3

    def test_numbers_for_labels(self, write):
        found = codes_of(audit(write([(f"text {n}", n / 7) for n in range(1, 6)]), encoder="tfidf"))
        assert found["A103"]["severity"] == "error"

    def test_classes_too_rare_to_be_judged_are_left_out(self, tiny_rows, write):
        rows = [*tiny_rows, *((f"rare thing number {n}", "rare") for n in range(4))]
        facts = audit(write(rows), encoder="tfidf").summary["label_errors"]
        assert facts["n_judged"] == 120
        assert "rare" not in {suspect["suggested"] for suspect in facts["ranked"]}

    def test_script_in_a_text_stays_text(self, write):
        result = audit(write([("<script>alert(1)</script>", "a"), ("fine", "b")]), encoder="tfidf")
        assert "<script>alert(1)" in codes_of(result)["A305"]["examples"][0]["text"]


class TestTokens:
    def test_truncation_is_measured_with_the_encoder(self, tiny_csv, tiny_encoder):
        result = audit(tiny_csv, encoder=str(tiny_encoder), max_length=16)
        facts = result.summary["truncation"]
        assert (facts["max_length"], facts["n_measured"], facts["sampled"]) == (16, 120, False)
        assert 0 < facts["tokens"] < facts["texts"] < 1
        assert codes_of(result)["A401"]["examples"][0]["tokens"] > 16
        whole = audit(tiny_csv, encoder=str(tiny_encoder), max_length=512)
        assert "A401" not in codes_of(whole)
        assert whole.summary["truncation"]["tokens"] == 0

    def test_the_tokens_are_those_of_training(self, tiny_csv, tiny_encoder):
        from matinee.model.artifact import load_tokenizer
        from matinee.model.load import prepare_texts

        settings = resolve().text
        with tiny_csv.open(encoding="utf-8") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        ids = prepare_texts(load_tokenizer(tiny_encoder), settings).encode(texts)
        lengths = audit(tiny_csv, encoder=str(tiny_encoder)).summary["lengths"]["tokens"]
        assert lengths["max"] == max(map(len, ids))
        assert lengths["mean"] == pytest.approx(sum(map(len, ids)) / len(ids), abs=0.05)

    def test_a_folder_without_a_fast_tokenizers_file_will_do(self, tiny_csv, tiny_encoder, tmp_path):
        folder = tmp_path / "encoder"
        folder.mkdir()
        for path in tiny_encoder.iterdir():
            if path.name != "tokenizer.json":
                (folder / path.name).symlink_to(path)
        from tokenizers import Tokenizer

        vocabulary = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")).get_vocab()
        (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)))
        expected = audit(tiny_csv, encoder=str(tiny_encoder)).summary["lengths"]["tokens"]
        assert audit(tiny_csv, encoder=str(folder)).summary["lengths"]["tokens"] == expected

    def test_an_encoder_that_is_not_here_is_a_reason(self, tiny_csv):
        result = audit(tiny_csv, encoder="distilbert")
        assert result.summary["truncation"] == {
            "reason": "Encoder distilbert is not on this machine: `matinee fetch distilbert` brings it."
        }

    def test_an_unknown_encoder_is_a_mistake(self, tiny_csv):
        with pytest.raises(NotAvailableError, match="Unknown encoder 'minilmm'"):
            audit(tiny_csv, encoder="minilmm")

    def test_many_texts_are_sampled(self, tiny_csv, tiny_encoder, monkeypatch):
        # `matinee.workflow.audit` is the function of that name.
        monkeypatch.setattr(sys.modules["matinee.workflow.audit"], "_MOST_MEASURED", 50)
        facts = audit(tiny_csv, encoder=str(tiny_encoder), max_length=16).summary["truncation"]
        assert (facts["n_measured"], facts["sampled"]) == (50, True)


class TestLoadedDataset:
    def test_it_is_what_training_sees(self, tiny_csv, tiny_encoder):
        settings = resolve_for(tiny_csv, encoder=str(tiny_encoder), test_size=30)
        dataset = load_dataset(settings.data, seed=0)
        summary = audit_dataset(dataset, settings)
        assert summary["splits"] == {name: len(dataset.splits[name]) for name in ("train", "validation", "test")}
        assert summary["truncation"]["n_measured"] == summary["n"]
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary

    def test_label_errors_may_be_looked_for_in_a_sample(self, tiny_csv):
        settings = resolve_for(tiny_csv, encoder="tfidf")
        dataset = load_dataset(settings.data, seed=0)
        assert audit_dataset(dataset, settings, judged_at_most=60)["label_errors"]["n_judged"] == 60
        assert audit_dataset(dataset, settings) == audit_dataset(dataset, settings, judged_at_most=None)


def resolve_for(data, **settings) -> Settings:
    from matinee.core.schema import Layer

    return resolve(Layer({"data": str(data), **settings}))


@pytest.fixture(scope="module")
def trained(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(tiny_csv, run_dir=folder, encoder="tfidf", test_size=30, validation_size=20)
    return folder


class TestRun:
    def test_its_answers_rank_the_texts_that_it_was_not_trained_on(self, trained, tiny_rows, write):
        rows, _ = flipped(tiny_rows, 12)
        facts = audit(write(rows), encoder="tfidf", run=trained).summary["label_errors"]
        assert facts["n_judged"] == 50
        assert str(trained) in facts["judged_by"]
        right = dict(tiny_rows)
        wrong = [text for text, label in rows if right[text] != label]
        ranked = {row["id"] for row in facts["ranked"]}
        assert ranked <= {f"row-{n}" for n, (text, _) in enumerate(rows, start=1) if text in wrong}
        assert ranked

    def test_other_texts_are_refused(self, trained, write):
        with pytest.raises(DataError, match="none of these texts"):
            audit(write([("one", "negative"), ("two", "positive")]), encoder="tfidf", run=trained)

    def test_other_labels_are_refused(self, trained, write):
        with pytest.raises(DataError, match="its labels are negative, positive; those of the data are bad, good"):
            audit(write([("one", "good"), ("two", "bad")]), encoder="tfidf", run=trained)


class TestMistakes:
    def test_an_unknown_code_to_ignore(self, tiny_csv):
        with pytest.raises(SettingsError, match="Did you mean 'html'"):
            audit(tiny_csv, ignore=["htm"])

    def test_dropping_without_a_copy(self, tiny_csv):
        with pytest.raises(SettingsError, match="--fix"):
            audit(tiny_csv, drop_label_errors=True)

    def test_dropping_label_errors_where_none_can_be_found(self, write, tmp_path):
        with pytest.raises(DataError, match="Fewer than two classes"):
            audit(write([("a", "x"), ("b", "y")]), encoder="tfidf", fix=tmp_path / "clean.csv", drop_label_errors=True)
        assert not (tmp_path / "clean.csv").exists()

    def test_an_output_in_the_way_is_refused_before_anything_is_read(self, tiny_csv, tmp_path, monkeypatch):
        monkeypatch.setattr("matinee.data.audit.read_raw", lambda *_: pytest.fail("it was read"))
        (tmp_path / "clean.csv").write_text("mine")
        with pytest.raises(DataError, match="never overwritten"):
            audit(tiny_csv, fix=tmp_path / "clean.csv")


def test_nothing_heavy_is_imported(tiny_csv):
    code = f"import sys, matinee.workflow; matinee.workflow.audit({str(tiny_csv)!r}, encoder='tfidf'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr
