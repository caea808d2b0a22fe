"""A search from its first trial to its page: what it tries, survives, repeats, refits, and goes on with.

Most tests put a formula in the place of training; the last ones train a tiny encoder, and kill real processes.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

import matinee
from matinee.core.errors import NotAvailableError, RunError, SettingsError, StoppedError, TrainingError
from matinee.core.schema import resolve
from matinee.training.study import Outcome, SharedStudy, StudyStorageError, TakenOverError, open_study
from matinee.training.workers import Workers
from matinee.workflow import processes, train
from matinee.workflow import search as search_
from matinee.workflow import trials as trials_module
from matinee.workflow.recipes import read_recipe
from matinee.workflow.spaces import read_space, shipped_spaces
from matinee.workflow.trials import TrialRunner

SEARCH = sys.modules["matinee.workflow.search"]  # the package has the function by that name
SETUP = sys.modules["matinee.workflow.study_setup"]

SMALL = {"test_size": 24, "validation_size": 16}
SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "epochs": [1, 2, 3]}


def formula(settings):
    """Return a score with a best place, where learning_rate is 1e-3 and epochs are 2; another seed makes no difference."""
    t = settings.training
    return 0.9 - 0.05 * abs(math.log10(t.learning_rate) + 3) - 0.02 * abs(t.epochs - 2)


@pytest.fixture
def scored(monkeypatch):
    """Have trials scored by a function of their settings, `formula` where none is set; give the settings that were tried."""
    tried = []
    monkeypatch.setattr(TrialRunner, "formula", staticmethod(formula), raising=False)

    def score(self, settings, tell):
        tried.append(settings)
        return TrialRunner.formula(settings)

    monkeypatch.setattr(TrialRunner, "_score", score)
    return tried


@pytest.fixture
def go(tiny_csv, tiny_encoder, tmp_path):
    """Return a function that searches around a tiny encoder into one folder, without refitting."""

    def go(**options):
        options = {
            "space": SPACE,
            "n_trials": 6,
            "n_finalists": 0,
            "refit": False,
            "encoder": str(tiny_encoder),
            **SMALL,
            **options,
        }
        return search_(tiny_csv, **{"study_dir": tmp_path / "study", **options})

    return go


def record(folder):
    return json.loads((folder / "study.json").read_text(encoding="utf-8"))


class TestWhatItLeaves:
    def test_the_base_is_first_and_the_best_wins(self, go, scored, tmp_path, caplog):
        caplog.set_level(logging.INFO, "matinee")
        study = go(n_trials=12)
        left = record(study.path)
        assert left["trials"][0]["is_base"]
        assert left["trials"][0]["params"] == {"learning_rate": 1e-4, "epochs": 3.0}
        assert [trial["number"] for trial in left["trials"]] == list(range(12))
        best = max(left["trials"], key=lambda trial: trial["value"])
        assert left["best"] == {name: best[name] for name in ("number", "value", "params")}
        assert left["winner"]["params"] == best["params"]
        assert left["winner"]["base_mean"] == left["trials"][0]["value"]
        assert study.best["learning_rate"] == best["params"]["learning_rate"]
        assert study.best_value == best["value"]
        assert left["counts"] == {"complete": 12, "pruned": 0, "failed": 0, "lost": 0}
        assert left["n_validation"] == 16
        assert sum(left["importance"].values()) == pytest.approx(1)
        lines = [line for line in caplog.messages if line.startswith("Trial ")]
        assert len(lines) == 12
        assert lines[0].startswith("Trial 0 (your settings): accuracy 0.830; 11 to go, about")
        assert (study.path / "report.html").is_file()

    def test_the_table_and_the_recipe(self, go, scored, tiny_csv):
        study = go(batch_size=8)
        with (study.path / "trials.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 6
        assert set(rows[0]) == {"number", "state", "value", "seconds", "is_base", "learning_rate", "epochs", "reason"}
        resolved = resolve(read_recipe(study.path / "best.yaml"))
        assert resolved.flat() == {**study.best, "data": str(tiny_csv.absolute())}
        written = yaml.safe_load((study.path / "best.yaml").read_text())
        assert "max_length" not in written  # as it is by default
        assert written["batch_size"] == 8

    def test_what_only_a_search_under_way_needs_is_gone(self, go, scored):
        path = go().path
        assert {child.name for child in path.iterdir() if not child.name.startswith(".")} == {
            "best.yaml",
            "report.html",
            "study.db",
            "study.json",
            "trials.csv",
        }

    def test_a_lower_score_can_be_the_better_one(self, go, scored, monkeypatch):
        monkeypatch.setattr(TrialRunner, "formula", staticmethod(lambda settings: 1 - formula(settings)))
        study = go(metric="log_loss", n_trials=10)
        assert study.best_value == min(trial["value"] for trial in study.trials)

    def test_a_base_outside_of_the_space_runs_all_the_same(self, go, scored):
        study = go(learning_rate=0.05, n_trials=7)
        assert scored[0].training.learning_rate == 0.05
        assert study.trials[0]["params"]["learning_rate"] == 0.05
        assert study.trials[0]["is_base"]
        assert all(1e-5 <= trial["params"]["learning_rate"] <= 1e-2 for trial in study.trials[1:])
        assert study.record["counts"]["complete"] == 7

    def test_the_same_settings_are_not_trained_twice(self, go, scored):
        study = go(space={"epochs": [2, 3]}, n_trials=6)
        assert len(scored) == 2
        assert [trial["state"] for trial in study.trials] == ["complete"] * 6
        assert study.trials[-1]["reason"].startswith("the same settings as trial ")

    def test_it_is_offered_as_python(self):
        assert matinee.search is search_


class TestGrid:
    def test_every_point_once(self, go, scored):
        study = go(space={"epochs": [1, 2, 3], "batch_size": [8, 16]}, sampler="grid", n_trials=None)
        points = [tuple(trial["params"].values()) for trial in study.trials]
        assert sorted(points) == [(e, b) for e in (1.0, 2.0, 3.0) for b in (8, 16)]
        assert points[0] == (3.0, 16)

    def test_a_part_of_it_and_then_the_rest(self, go, scored):
        grid = {"space": {"epochs": [1, 2, 3], "batch_size": [8, 16]}, "sampler": "grid"}
        assert len(go(**grid, n_trials=2).trials) == 2
        assert len(go(**grid, n_trials=None).trials) == len(scored) == 6

    def test_after_trials_that_were_drawn_all_of_it_is_tried(self, go, scored):
        space = {"epochs": [1, 2, 3], "batch_size": [8, 16]}
        go(space=space, sampler="random", n_trials=8)
        study = go(space=space, sampler="grid", n_trials=None)
        points = {tuple(trial["params"].values()) for trial in study.trials}
        assert points == {(e, b) for e in (1.0, 2.0, 3.0) for b in (8, 16)}
        assert len(scored) == 6

    @pytest.mark.parametrize("sampler", ["grid", "tpe"])
    def test_what_two_machines_enter_at_once_is_tried_once(self, go, scored, monkeypatch, sampler):
        """They share the storage, and no folder whose lock would keep them apart: both see an empty study and fill it."""
        enter = SETUP._enter

        def twice(plan, trials):
            with monkeypatch.context() as patch:
                patch.setattr(trials, "rows", list)
                enter(plan, trials)
                enter(plan, trials)

        with monkeypatch.context() as patch:
            patch.setattr(SETUP, "_enter", twice)
            patch.setattr(SETUP, "_of_grid", lambda rows, wanted: len(rows))  # so that those entered twice are come to
            study = go(space={"epochs": [1, 2, 3]}, sampler=sampler, n_trials=None if sampler == "grid" else 3, seed=1)
        assert [trial["state"] for trial in study.trials] == ["complete"] * 3
        assert [trial["is_base"] for trial in study.trials] == [True, False, False]
        shared = open_study(f"sqlite:///{study.path}/study.db", "study", Workers(study.path / "w"), space=None)
        twice = [row for row in shared.rows() if row.state == "impossible"]
        assert len(twice) == (3 if sampler == "grid" else 1)
        assert all(row.outcome.reason.startswith("entered twice: the same as trial ") for row in twice)
        # The sampler must not take them for settings that came to nothing.
        assert {trial.state.name for trial in shared.study.trials if trial.number in {row.number for row in twice}} == {
            "FAIL"
        }
        if sampler == "grid":
            assert len(scored) == 3

    def test_a_grid_has_so_many_trials_whoever_else_entered_it(self, go, scored, monkeypatch):
        add = SharedStudy.add

        def twice(self, values, **attrs):
            add(self, values, **attrs)
            add(self, values, **attrs)

        monkeypatch.setattr(SharedStudy, "add", twice)
        assert go(space={"epochs": [1, 2, 3]}, sampler="grid", n_trials=None).record["n_trials"] == 3


class TestGoingOn:
    def test_more_trials_are_added_and_nothing_is_done_again(self, go, scored):
        first = go(n_trials=3).trials
        study = go(n_trials=5)
        assert len(scored) == 5
        assert study.trials[:3] == first
        go(n_trials=5)
        assert len(scored) == 5

    @pytest.mark.parametrize(("n_before", "n_others", "n_asked"), [(0, 3, 5), (3, 5, 7)])
    def test_what_another_process_chose_meanwhile_is_kept(
        self, go, scored, monkeypatch, tmp_path, n_before, n_others, n_asked
    ):
        """One that was asked for more trials began first, and writes again after the other is over."""
        chosen = []

        def among_others(settings):
            if len(scored) == n_others + 1:
                chosen.append(go(n_trials=n_others).record)
            if len(scored) == n_others + 2:
                chosen.append(record(tmp_path / "study"))
            return formula(settings)

        if n_before:
            go(n_trials=n_before)
        monkeypatch.setattr(TrialRunner, "formula", staticmethod(among_others))
        assert go(n_trials=n_asked).record["chosen_of"] == n_asked == len(scored)
        assert [(of["chosen_of"], of["winner"]) for of in chosen] == [(n_others, chosen[0]["winner"])] * 2

    def test_overwrite_starts_again(self, go, scored):
        go(n_trials=3)
        other = {"space": {"batch_size": {"low": 4, "high": 4096}}, "n_trials": 2}
        assert len(go(**other, overwrite=True).trials) == 2
        assert len(scored) == 5
        assert len(go(**other).trials) == 2

    def test_overwrite_leaves_a_shared_study_that_another_machine_is_at(self, go, scored, tmp_path):
        shared = {"storage": f"sqlite:///{tmp_path}/shared.db", "n_trials": 2}
        go(**shared)
        study = open_study(shared["storage"], "study", Workers(tmp_path / "w"), space=None)
        study.take({"host": "a-laptop", "place": "p", "name": "n"})
        with pytest.raises(
            RunError, match="A process on a-laptop is searching in study study of this storage: stop it"
        ):
            go(**shared, overwrite=True)
        assert [row.state for row in study.rows()] == ["complete", "complete", "running"]
        assert (tmp_path / "study" / "study.json").is_file()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"space": {**SPACE, "epochs": [1, 2]}}, "another space (epochs: 1.0 2.0 3.0 there, 1.0 2.0 here)"),
            ({"space": {"epochs": [1, 2, 3]}}, "another space (learning_rate:"),
            ({"metric": "f1"}, "another --metric (accuracy there, f1 here)"),
            ({"batch_size": 4}, "other settings (batch_size: 16 there, 4 here)"),
            ({"split_seed": 1}, "other settings (split_seed: 0 there, 1 here)"),
        ],
    )
    def test_another_study_is_refused_with_the_first_difference(self, go, scored, change, said):
        go(n_trials=1)
        with pytest.raises(RunError) as caught:
            go(n_trials=2, **change)
        assert said in str(caught.value)
        assert "pass --overwrite" in str(caught.value)

    def test_other_texts_are_another_study(self, scored, tiny_rows, tmp_path):
        path, space = tmp_path / "own.csv", {"calibration": ["temperature", "none"]}
        for n_rows in (100, 99):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *tiny_rows[:n_rows]])
            if n_rows == 100:
                search_(path, space=space, n_trials=1, refit=False, encoder="tfidf", study_dir=tmp_path / "s", **SMALL)
        with pytest.raises(RunError, match=r"other texts \(train\)"):
            search_(path, space=space, n_trials=1, refit=False, encoder="tfidf", study_dir=tmp_path / "s", **SMALL)

    def test_a_search_that_trains_its_winner_is_not_started_over(self, go, scored, monkeypatch, tmp_path):
        said = []

        def refit(self):
            with pytest.raises(RunError, match="Another process is searching in") as caught:
                go(n_trials=1, overwrite=True)
            said.append(str(caught.value))

        monkeypatch.setattr(SEARCH._Search, "_refit", refit)
        assert len(go(n_trials=2, refit=True).trials) == 2
        assert said
        assert not (tmp_path / "study" / "workers").exists()

    def test_what_others_need_stays(self, go, scored, monkeypatch, tmp_path):
        searches, clear = [], SEARCH._Search._clear
        monkeypatch.setattr(SEARCH._Search, "_clear", lambda self: searches.append(self))
        workers = tmp_path / "study" / "workers"
        go(n_trials=1)
        repeats = searches[0].plan.open_finalists()
        with repeats.workers.enrolled() as owner:
            clear(searches[0])
            assert workers.is_dir()  # somebody is at work, on no trial yet
            repeats.add({}, number=0, seed=1)
            repeats.take(owner)
        clear(searches[0])
        assert workers.is_dir()  # the process of a finalist may be on another machine
        repeats.reclaim()
        clear(searches[0])
        assert not workers.exists()

    def test_a_result_stays_until_there_is_a_newer_one(self, go, scored, monkeypatch, tmp_path):
        """Ctrl-C of a search that goes on leaves winner, finalists and test as they were, and says of how many trials."""
        path, options = tmp_path / "study" / "study.json", {"n_finalists": 1, "finalist_seeds": 1}
        before = go(n_trials=3, **options).record
        gain = {"value": 0.1, "low": 0.0, "high": 0.2}
        before["test"] = {"n": 24, "validation_gain": 0.5, "gain": gain, "winner": {"accuracy": {"value": 0.9}}}
        before["seconds"] += 1_000
        path.write_text(json.dumps(before), encoding="utf-8")
        recipe = (tmp_path / "study" / "best.yaml").read_text(encoding="utf-8")

        def pressed(settings):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            return 0.99

        monkeypatch.setattr(TrialRunner, "formula", staticmethod(pressed))
        with pytest.raises(StoppedError, match=r"4 of 6 trials are kept.* What was chosen of the first 3 trials: "):
            go(n_trials=6, **options)
        after = record(tmp_path / "study")
        assert after["counts"]["complete"] == 4
        assert {name: after[name] for name in ("winner", "finalists", "test", "chosen_of")} == {
            name: before[name] for name in ("winner", "finalists", "test", "chosen_of")
        }
        assert after["chosen_of"] == 3
        assert after["seconds"] >= 1_000
        assert (tmp_path / "study" / "best.yaml").read_text(encoding="utf-8") == recipe
        assert "1 were added since" in (tmp_path / "study" / "report.html").read_text(encoding="utf-8")
        monkeypatch.setattr(TrialRunner, "formula", staticmethod(lambda settings: 0.98))
        last = go(n_trials=6, **options).record
        assert (last["chosen_of"], last["test"]) == (6, None)
        assert last["winner"]["params"] != before["winner"]["params"]

    def test_a_result_that_still_stands_keeps_its_test(self, go, scored, tmp_path):
        path = tmp_path / "study" / "study.json"
        before = go(n_trials=3).record
        test = {"n": 24, "gain": {"value": 0.1}, "validation_gain": 9.0, "winner": {"accuracy": {"value": 0.9}}}
        path.write_text(json.dumps({**before, "test": {**test, "winner": {}}}))
        assert go(n_trials=3).gain is None  # of which score it is a gain is not said
        path.write_text(json.dumps({**before, "test": test}))
        study = go(n_trials=3)
        assert study.gain == {"value": 0.1}
        gained = before["winner"]["mean"] - before["winner"]["base_mean"]
        assert study.record["test"]["validation_gain"] == pytest.approx(gained)

    @pytest.mark.parametrize("change", [{"metric": "f1"}, {"trials": [{"number": 0, "params": {}}]}, {"winner": ...}])
    def test_a_record_of_another_study_says_nothing(self, go, scored, change, tmp_path):
        path = tmp_path / "study" / "study.json"
        left = {**go(n_trials=2).record, "test": {"n": 1, "gain": {"value": 1.0}, "validation_gain": 0.0}, **change}
        path.write_text(json.dumps({name: value for name, value in left.items() if value is not ...}))
        assert go(n_trials=2).record["test"] is None

    def test_a_folder_of_something_else_is_left_alone(self, go, scored, tmp_path):
        (tmp_path / "study").mkdir()
        (tmp_path / "study" / "thesis.txt").write_text("mine")
        for overwrite in (False, True):
            with pytest.raises(RunError, match="not empty and not a study"):
                go(overwrite=overwrite)
        assert (tmp_path / "study" / "thesis.txt").read_text() == "mine"

    def test_time_that_is_over_begins_no_trial(self, go, scored, monkeypatch):
        monkeypatch.setattr(trials_module, "_is_over", lambda plan: plan.deadline is not None)
        with pytest.raises(TrainingError, match="No trial was completed: there was no time for one"):
            go(timeout="1h30m")
        assert not scored
        monkeypatch.setattr(trials_module, "_is_over", lambda plan: plan.deadline is not None and len(scored) >= 2)
        study = go(timeout=3600, n_finalists=1, finalist_seeds=1)
        assert len(study.trials) == 2
        assert len(study.record["finalists"]) == 2  # these are not trials

    def test_a_journal_file_serves_too(self, go, scored, tmp_path):
        study = go(storage=f"journal:{tmp_path}/study.log", n_trials=3)
        assert len(study.trials) == 3
        assert not (study.path / "study.db").exists()
        assert len(go(storage=f"journal:{tmp_path}/study.log", n_trials=4).trials) == len(scored) == 4


class TestWhatGoesWrong:
    def fail_from(self, monkeypatch, error, when):
        n_called = []

        def formula_or_error(settings):
            n_called.append(1)
            if when(len(n_called)):
                raise error
            return formula(settings)

        monkeypatch.setattr(TrialRunner, "formula", staticmethod(formula_or_error))

    @pytest.mark.parametrize(
        ("error", "state", "reason"),
        [
            (TrainingError("The loss is no longer a number."), "failed", "The loss is no longer a number"),
            (NotAvailableError("bert cannot be fetched: no network."), "failed", "bert cannot be fetched: no network"),
            (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
            (MemoryError(), "pruned", "out of memory: MemoryError: MemoryError"),
            (
                torch.OutOfMemoryError("CUDA out of memory"),
                "pruned",
                "out of memory: OutOfMemoryError: CUDA out of memory",
            ),
            (SettingsError("--layers must be at most 2."), "pruned", "--layers must be at most 2"),
        ],
    )
    def test_a_trial_is_survived_with_its_reason(self, go, scored, monkeypatch, error, state, reason):
        self.fail_from(monkeypatch, error, lambda n: n == 2)
        study = go(n_trials=4)
        assert [trial["state"] for trial in study.trials] == ["complete", state, "complete", "complete"]
        assert study.trials[1]["reason"] == reason

    def test_a_trial_that_is_taken_over_before_it_is_said_whose_it_is_is_left_to_others(self, go, scored, monkeypatch):
        take, taken = SharedStudy.take, list[int]()

        def late(shared, owner):
            trial = take(shared, owner)
            taken.append(trial.number)
            if len(taken) == 2:
                shared._lose(trial.number)
                raise TakenOverError
            return trial

        monkeypatch.setattr(SharedStudy, "take", late)
        study = go()
        assert study.record["counts"] == {"complete": 6, "pruned": 0, "failed": 0, "lost": 1}
        assert len(scored) == 6

    def test_memory_that_training_ran_out_of_is_known_by_its_cause(self, go, scored, monkeypatch):
        error = TrainingError("Out of memory, and not for want of smaller batches.")
        error.__cause__ = MemoryError()
        self.fail_from(monkeypatch, error, lambda n: n == 2)
        assert go(n_trials=3).trials[1]["state"] == "pruned"

    def test_what_may_pass_is_tried_again_by_the_same_command(self, go, scored, monkeypatch):
        self.fail_from(monkeypatch, NotAvailableError("bert cannot be fetched: no network."), lambda n: n == 2)
        assert go(n_trials=4).record["counts"]["failed"] == 1
        again = go(n_trials=4)
        assert (again.record["counts"]["complete"], again.record["counts"]["failed"]) == (4, 0)
        assert again.trials[-1]["params"] == again.trials[1]["params"]
        lost = (again.trials[1]["state"], again.trials[1]["reason"])
        assert lost == ("lost", "bert cannot be fetched: no network; it is tried again")
        assert len(scored) == 5

    def test_an_encoder_that_cannot_be_had_holds_up_no_search_that_has_come_far(self, go, scored, monkeypatch):
        def fragile(settings):
            if settings.training.epochs == 2:
                raise NotAvailableError("bert cannot be fetched: no network.")
            return formula(settings)

        monkeypatch.setattr(TrialRunner, "formula", staticmethod(fragile))
        grid = {"space": {"epochs": [2, 3], "batch_size": [4, 8, 16, 32, 64, 128]}, "sampler": "grid", "n_trials": None}
        counts = {"complete": 6, "pruned": 0, "failed": 6, "lost": 0}
        assert go(**grid).record["counts"] == counts
        study = go(**grid)
        assert study.record["counts"] == {**counts, "lost": 6}
        assert study.best["epochs"] == 3

    def test_failures_of_a_worker_are_not_the_first_ones_while_another_is_at_its_trial(self, go, scored, monkeypatch):
        """A grid hands the points of an encoder that cannot be had to some of the workers, all at once."""
        others = []

        def fragile(settings):
            if len(scored) == 1:
                shared = self.opened
                others.append(shared.take({"host": "another", "place": "p", "name": "n"}))
            if len(scored) == 6:
                others[0].close(Outcome("complete", 0.9, 1.0))
            raise NotAvailableError("bert cannot be fetched: no network.")

        add = SharedStudy.add
        monkeypatch.setattr(
            SharedStudy, "add", lambda shared, *a, **kw: (setattr(self, "opened", shared), add(shared, *a, **kw))
        )
        monkeypatch.setattr(TrialRunner, "formula", staticmethod(fragile))
        study = go(n_trials=8)
        assert study.record["counts"] == {"complete": 1, "pruned": 0, "failed": 7, "lost": 0}

    def test_a_trial_that_another_process_took_over_is_its_own(self, go, scored, monkeypatch, caplog):
        """As on a laptop that was shut for the night while another machine went on."""
        report = []

        def overtaken(self, settings, tell):
            scored.append(settings)
            if len(scored) == 2:
                shared = self.plan.open_trials()
                assert shared._lose(1)
                shared._again(
                    {"learning_rate": settings.training.learning_rate, "epochs": settings.training.epochs}, {}
                )
                report.append(tell(1.0, {"accuracy": 0.5}))
            return formula(settings)

        monkeypatch.setattr(TrialRunner, "_score", overtaken)
        study = go(n_trials=4)
        assert study.record["counts"] == {"complete": 4, "pruned": 0, "failed": 0, "lost": 1}
        assert scored[1] == scored[2]
        assert report == []  # telling ended it
        assert [line for line in caplog.messages if line.startswith("Trial 1 was taken over by another process")]

    def test_a_base_that_failed_is_tried_again_others_are_not(self, go, scored, monkeypatch):
        self.fail_from(monkeypatch, TrainingError("The loss is no longer a number."), lambda n: n <= 2)
        assert go(n_trials=4).record["counts"]["failed"] == 2
        again = go(n_trials=4)
        assert (again.record["counts"]["complete"], again.record["counts"]["failed"]) == (3, 1)
        assert again.trials[-1]["is_base"]

    def test_a_storage_that_is_away_is_no_fault_of_the_trial(self, go, scored, monkeypatch):
        self.fail_from(monkeypatch, StudyStorageError("The storage cannot be used."), lambda n: n == 2)
        with pytest.raises(StudyStorageError):
            go(n_trials=4)
        again = go(n_trials=4)
        assert again.record["counts"] == {"complete": 4, "pruned": 0, "failed": 0, "lost": 1}
        assert scored[1] == scored[2]

    def test_without_a_score_of_the_base_the_best_trial_wins_and_it_is_said(self, go, scored, monkeypatch, caplog):
        caplog.set_level(logging.INFO, "matinee")
        self.fail_from(monkeypatch, TrainingError("Nothing works here."), lambda n: n == 1)
        study = go(space={"epochs": [1, 2, 3]}, sampler="grid", n_trials=None, n_finalists=2, finalist_seeds=1)
        assert study.trials[0]["state"] == "failed"
        assert study.record["winner"]["params"] == {"epochs": 2.0}
        assert study.record["winner"]["base_mean"] is None
        assert any(line.startswith("Repeating the 2 best trials with 1 further seeds") for line in caplog.messages)
        (best,) = (line for line in caplog.messages if line.startswith("Best: epochs 2; validation accuracy"))
        assert best.endswith("; your settings were not measured beside them")

    def test_another_trial_of_the_base_s_settings_stands_for_it(self, go, scored, monkeypatch, caplog):
        """As where its own was killed twice: the best settings of all must not be left out for that."""
        caplog.set_level(logging.INFO, "matinee")
        self.fail_from(monkeypatch, TrainingError("Nothing works here."), lambda n: n == 1)
        study = go(space={"epochs": [3]}, n_trials=2)
        assert [trial["state"] for trial in study.trials] == ["failed", "complete"]
        assert study.record["winner"]["is_base"]
        assert study.record["winner"]["base_mean"] == study.trials[1]["value"]
        assert any(
            line.startswith("No other settings were trained to their end: yours stay") for line in caplog.messages
        )

    def test_a_storage_that_cannot_be_used_is_not_waited_for_again(self, go, scored, monkeypatch, tmp_path):
        asked = []

        def away(self):
            asked.append(1)
            raise StudyStorageError("The storage cannot be used: another process has locked it.")

        go(n_trials=2)
        monkeypatch.setattr(SharedStudy, "importance", away)
        assert len(go(n_trials=2).trials) == 2
        assert asked == [1]  # what settings account for is no reason to fail
        monkeypatch.setattr(SEARCH._Search, "_run_trials", away)
        (tmp_path / "study" / "report.html").unlink()
        with pytest.raises(StudyStorageError, match="another process has locked it"):
            go(n_trials=3)
        assert asked == [1, 1]
        assert record(tmp_path / "study")["n_trials"] == 3
        assert (tmp_path / "study" / "report.html").is_file()

    def test_five_failures_from_the_start_are_enough(self, go, scored, monkeypatch):
        self.fail_from(monkeypatch, TrainingError("Nothing works here."), lambda n: True)
        with pytest.raises(TrainingError, match=r"^The first 5 trials failed: Nothing works here \(5 times\)\.$"):
            go(n_trials=9)
        assert len(scored) == 5

    def test_without_a_complete_trial_the_reasons_are_told(self, go, scored, monkeypatch, tmp_path):
        self.fail_from(monkeypatch, TrainingError("Nothing works here."), lambda n: True)
        with pytest.raises(TrainingError, match=r"^No trial was completed of 2: Nothing works here \(2 times\)\.$"):
            go(n_trials=2)
        assert record(tmp_path / "study")["best"] is None

    def test_a_contradiction_costs_nothing(self, go, scored):
        study = go(space={"head": ["fitted", "random"], "freeze": [None, "all"]}, sampler="grid", n_trials=None)
        assert len(study.trials) == 3  # left out of a grid
        n_tried = len(scored)
        study = go(space={"head": ["random"], "freeze": ["all", "1"]}, overwrite=True, n_trials=6)
        assert study.record["counts"]["complete"] == 6  # what cannot be is no trial
        assert {settings.training.freeze for settings in scored[n_tried:]} == {None, "1"}

    def test_a_space_of_contradictions_comes_to_an_end(self, go, scored, monkeypatch):
        monkeypatch.setattr(trials_module, "_MOST_IMPOSSIBLE", 0)
        study = go(space={"head": ["random"], "freeze": ["all", "1"]}, n_trials=8)
        assert 1 < study.record["counts"]["complete"] < 8

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"space": {"learning_rat": [1]}}, "Did you mean 'learning_rate'?"),
            ({"space": {}}, "allows nothing"),
            ({"space": "defult"}, "There is no space defult. Did you mean 'default'?"),
            ({"space": {"encoder": ["minilm", "minilmm"]}}, "Unknown encoder 'minilmm'. Did you mean 'minilm'?"),
            ({"space": {"augment": [None, "delet"]}}, "delet"),
            ({"metric": "acuracy"}, "--metric must be one of accuracy"),
            ({"metric": "f1_weighted"}, "--metric f1_weighted is for more than two labels: take f1."),
            ({"sampler": "bayes"}, "--sampler must be one of tpe, random, grid, cmaes"),
            ({"pruner": "medain"}, "Did you mean 'median'?"),
            ({"n_trials": 0}, "--trials must be at least 1, got 0"),
            ({"n_jobs": 0}, "--jobs must be at least 1, got 0"),
            ({"timeout": "soon"}, "--timeout must be seconds, or a time such as 90m"),
            ({"storage": "study.db"}, "--storage must be a database URL"),
            ({"sampler": "grid"}, "A grid has no end in learning_rate"),
            ({"sampler": "cmaes", "space": {"epochs": [1, 2]}}, "--sampler cmaes needs at least two ranges"),
            ({"space": {"pooling": ["cls"], "learning_rate": {"low": 1e-5, "high": 1e-3}}}, "The space allows nothing"),
            ({"storage": "sqlite:///:memory:"}, "--storage sqlite:///:memory: would be gone with its process"),
            ({"storage": "sqlite://"}, "would be gone with its process"),
            (
                {"encoder": "tfidf"},
                "would be the same whatever the space says of learning_rate, epochs: search calibration",
            ),
            ({"space": {"encoder": ["tfidf", "nblr"], "epochs": [1, 2]}}, "Encoder tfidf and nblr would be the same"),
        ],
    )
    def test_bad_input_is_one_line_and_leaves_nothing(self, go, options, said, tmp_path):
        with pytest.raises((SettingsError, NotAvailableError)) as caught:
            go(**options)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "study" / "study.json").exists()

    def test_nothing_to_learn_from(self):
        with pytest.raises(SettingsError, match="Nothing to learn from: name a dataset, as in `matinee search imdb`"):
            search_()


class TestFinalists:
    def test_the_best_are_repeated_with_other_seeds_and_the_mean_decides(self, go, scored, monkeypatch):
        """The second best by its trial is best by the mean of further seeds."""

        def seeded(settings):
            lucky = settings.training.seed == 0 and settings.training.epochs == 1
            return (
                0.99
                if lucky
                else {1.0: 0.7, 2.0: 0.9, 3.0: 0.8}[settings.training.epochs] + settings.training.seed / 1e3
            )

        monkeypatch.setattr(TrialRunner, "formula", staticmethod(seeded))
        study = go(space={"epochs": [1, 2, 3]}, sampler="grid", n_trials=None, n_finalists=2, finalist_seeds=2)
        assert [settings.training.seed for settings in scored] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        finalists = study.record["finalists"]
        assert [(row["params"]["epochs"], row["is_base"]) for row in finalists] == [
            (1.0, False),
            (2.0, False),
            (3.0, True),
        ]
        assert finalists[1]["values"] == pytest.approx([0.901, 0.902])
        assert finalists[1]["seeds"] == [1, 2]
        assert study.best["epochs"] == 2
        assert study.record["winner"] == {
            "params": {"epochs": 2.0},
            "is_base": False,
            "mean": pytest.approx(0.9015),
            "base_mean": pytest.approx(0.8015),
        }
        go(space={"epochs": [1, 2, 3]}, sampler="grid", n_trials=None, n_finalists=2, finalist_seeds=3)
        assert len(scored) == 12  # a seed more

    def test_what_two_machines_enter_at_once_is_repeated_once(self, go, scored, monkeypatch):
        add = SharedStudy.add

        def twice(self, values, **attrs):
            for _ in range(1 + ("seed" in attrs)):
                add(self, values, **attrs)

        monkeypatch.setattr(SharedStudy, "add", twice)
        study = go(space={"epochs": [1, 2, 3]}, sampler="grid", n_trials=None, n_finalists=2, finalist_seeds=2)
        assert [settings.training.seed for settings in scored] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert all(None not in row["values"] for row in study.record["finalists"])

    def test_the_base_stays_where_nothing_beats_it(self, go, scored, monkeypatch, caplog):
        caplog.set_level(logging.INFO, "matinee")
        monkeypatch.setattr(TrialRunner, "formula", staticmethod(lambda settings: 0.8))
        study = go(space={"epochs": [1, 3]}, sampler="grid", n_trials=None, n_finalists=1, finalist_seeds=2)
        assert study.record["winner"]["is_base"]
        assert study.best["epochs"] == 3
        assert "Nothing that was tried beats your settings: validation accuracy 0.800" in caplog.messages

    def test_one_that_fails_with_another_seed_cannot_win(self, go, scored, monkeypatch):
        def fragile(settings):
            if settings.training.epochs == 2 and settings.training.seed == 2:
                raise TrainingError("The loss is no longer a number.")
            return formula(settings)

        monkeypatch.setattr(TrialRunner, "formula", staticmethod(fragile))
        study = go(space={"epochs": [1, 2, 3]}, sampler="grid", n_trials=None, n_finalists=2, finalist_seeds=2)
        assert study.record["finalists"][0]["values"][1] is None
        assert study.record["finalists"][0]["mean"] is None
        assert study.best["epochs"] != 2

    def test_one_that_failed_for_what_may_pass_is_repeated_again(self, go, scored, monkeypatch):
        away = NotAvailableError("bert cannot be fetched: no network.")

        def fragile(settings):
            if settings.training.seed == 1 and len(scored) <= 5:
                raise away
            return formula(settings)

        monkeypatch.setattr(TrialRunner, "formula", staticmethod(fragile))
        options = {"space": {"epochs": [2, 3]}, "sampler": "grid", "n_trials": None, "n_finalists": 1}
        with pytest.raises(TrainingError, match="No finalist could be trained"):
            go(**options, finalist_seeds=2)
        assert len(scored) == 6
        study = go(**options, finalist_seeds=2)
        assert len(scored) == 8  # two of the four
        assert study.record["winner"]["params"] == {"epochs": 2.0}


class TestCtrlC:
    def press(self, monkeypatch, n_times):
        def pressed(settings):
            if len(self.tried) == 2:
                for _ in range(n_times):
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.01)
            return formula(settings)

        monkeypatch.setattr(TrialRunner, "formula", staticmethod(pressed))

    def test_the_first_finishes_the_trial_under_way(self, go, scored, monkeypatch, tmp_path):
        self.tried = scored
        self.press(monkeypatch, 1)
        with pytest.raises(
            StoppedError, match=r"^Stopped\. 2 of 6 trials are kept; the same command goes on\. The best so far"
        ):
            go()
        assert record(tmp_path / "study")["counts"]["complete"] == 2
        assert len(go().trials) == len(scored) == 6

    def test_the_second_stops_at_once_and_the_trial_is_tried_again(self, go, scored, monkeypatch, tmp_path):
        self.tried = scored
        self.press(monkeypatch, 2)
        with pytest.raises(
            StoppedError, match=r"in the middle of trial 1, which is tried again later\. 1 of 6 trials are kept"
        ):
            go()
        study = go()
        assert scored[1] == scored[2]
        assert study.record["counts"] == {"complete": 6, "pruned": 0, "failed": 0, "lost": 1}
        assert (study.trials[1]["state"], study.trials[1]["reason"]) == ("lost", "interrupted; it is tried again")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture(scope="module")
def refitted(tiny_csv, tmp_path_factory):
    """Among linear classifiers of few texts: the base is the worst of them by far."""
    folder = tmp_path_factory.mktemp("refit")
    options = {"space": {"calibration": ["temperature", "none"], "encoder": ["tfidf", "nblr"]}, "sampler": "grid"}
    return search_(
        tiny_csv, **options, metric="log_loss", calibration="none", encoder="tfidf", n_finalists=1, finalist_seeds=1,
        study_dir=folder / "study", **SMALL,
    )  # fmt: skip


class TestRefitting:
    def test_winner_and_base_are_runs_tested_on_the_same_texts(self, refitted):
        assert not refitted.record["winner"]["is_base"]
        assert refitted.run.path == refitted.path / "best"
        test = refitted.record["test"]
        assert test["n"] == 24
        metrics = {
            name: json.loads((refitted.path / name / "metrics.json").read_text())["test"] for name in ("best", "base")
        }
        assert test["winner"]["accuracy"] == metrics["best"]["accuracy"]
        assert test["base"]["accuracy"] == metrics["base"]["accuracy"]
        gained = metrics["base"]["log_loss"]["value"] - metrics["best"]["log_loss"]["value"]
        assert test["gain"]["value"] == pytest.approx(gained)
        assert gained > 0
        assert test["gain"]["low"] <= test["gain"]["value"] <= test["gain"]["high"]
        assert refitted.gain == test["gain"]
        assert test["validation_gain"] > 0

    def test_the_recipe_trains_the_same_again(self, refitted, tmp_path):
        again = train(recipe=refitted.path / "best.yaml", run_dir=tmp_path / "again")
        assert again.metrics["test"] == refitted.run.metrics["test"]

    def test_a_second_call_trains_nothing_again(self, refitted, tiny_csv):
        before = (refitted.path / "best" / "manifest.json").stat().st_mtime_ns
        again = search_(
            tiny_csv, space=refitted.record["space"], sampler="grid", metric="log_loss", calibration="none", encoder="tfidf",
            n_finalists=1, finalist_seeds=1, study_dir=refitted.path, **SMALL,
        )  # fmt: skip
        assert (refitted.path / "best" / "manifest.json").stat().st_mtime_ns == before
        assert again.gain == refitted.gain
        assert again.run.predict(["a wonderful film"]).records()[0]["label"] == "positive"

    @pytest.mark.parametrize("is_complete", [True, False])
    def test_a_run_of_other_texts_is_made_anew(self, refitted, tiny_csv, tmp_path, is_complete):
        folder = tmp_path / "study"
        shutil.copytree(refitted.path, folder)
        about = json.loads((folder / "base" / "data.json").read_text())
        now = about["splits"]["test"]["fingerprint"]
        about["splits"]["test"]["fingerprint"] = "of older texts"
        (folder / "base" / "data.json").write_text(json.dumps(about))
        if not is_complete:
            (folder / "base" / "manifest.json").unlink()
        before = (folder / "best" / "manifest.json").stat().st_mtime_ns
        again = search_(
            tiny_csv, space=refitted.record["space"], sampler="grid", metric="log_loss", calibration="none", encoder="tfidf",
            n_finalists=1, finalist_seeds=1, study_dir=folder, **SMALL,
        )  # fmt: skip
        assert again.gain == refitted.gain
        assert json.loads((folder / "base" / "data.json").read_text())["splits"]["test"]["fingerprint"] == now
        assert (folder / "base" / "manifest.json").is_file()
        assert (folder / "best" / "manifest.json").stat().st_mtime_ns == before


class TestSpacesThatCome:
    @pytest.mark.parametrize("name", shipped_spaces())
    def test_each_holds_the_defaults_and_no_contradiction(self, name):
        space = read_space(name)
        assert space.contains(space.base_of(resolve()))

    def test_there_are_two(self):
        assert list(shipped_spaces()) == ["default", "quick"]
        assert read_space(None).given == read_space("default").given

    def test_a_file_that_is_no_yaml_is_one_line(self, tmp_path):
        (tmp_path / "space.yaml").write_text("epochs: [1, 2")
        with pytest.raises(SettingsError, match=r"^Space .*space\.yaml is not valid YAML \(line 1\)\.$"):
            read_space(tmp_path / "space.yaml")


# -- with a tiny encoder ----------------------------------------------------------------------------------------------


TINY = {"max_length": 48, "learning_rate": 5e-3, **SMALL}


@pytest.fixture(scope="module")
def tuned(tiny_csv, tiny_encoder, tmp_path_factory):
    """A study of an encoder, and which splits its trials saw, and how often the frozen encoder read them."""
    from matinee.model import feature_cache

    seen, computed = [], []
    with pytest.MonkeyPatch.context() as patch:
        fine_tune, get = trials_module.fine_tune, feature_cache.FeatureCache.get

        def watched(dataset, *args, **kwargs):
            seen.append(set(dataset.splits))
            return fine_tune(dataset, *args, **kwargs)

        def counted(self, key, compute):
            return get(self, key, lambda: computed.append(key) or compute())

        patch.setattr(trials_module, "fine_tune", watched)
        patch.setattr(feature_cache.FeatureCache, "get", counted)
        study = search_(
            tiny_csv, space={"learning_rate": {"low": 1e-4, "high": 1e-2}, "dropout": [None, 0.3]}, n_trials=4, n_finalists=0,
            encoder=str(tiny_encoder), epochs=2, study_dir=tmp_path_factory.mktemp("tuned") / "study", refit=False, **TINY,
        )  # fmt: skip
    return study, seen, computed


def test_trials_never_see_a_test_text(tuned):
    assert tuned[1] == [{"train", "validation"}] * 4


def test_the_frozen_encoder_reads_the_texts_once(tuned):
    assert len(tuned[2]) == len(set(tuned[2])) == 1  # those of train: nobody asks for a baseline


def test_epochs_are_kept(tuned):
    for trial in tuned[0].trials:
        assert [epoch for epoch, _ in trial["epochs"]] == [1.0, 2.0]


def test_a_trial_scores_what_a_run_of_its_settings_does(tuned, tiny_csv, tiny_encoder, tmp_path):
    """With or without the cache, with or without test texts: the same to the bit."""
    trial = tuned[0].trials[-1]
    run = train(tiny_csv, encoder=str(tiny_encoder), epochs=2, run_dir=tmp_path / "run", **{**TINY, **trial["params"]})
    assert run.metrics["validation"]["accuracy"]["value"] == trial["value"]


def test_a_trial_that_lags_behind_is_stopped_in_its_middle(tiny_csv, tiny_encoder, tmp_path, monkeypatch):
    from matinee.training.study import OpenTrial

    monkeypatch.setattr(OpenTrial, "report", lambda self, share, value: self.number == 1)
    study = search_(
        tiny_csv, space={"learning_rate": [1e-3, 5e-3]}, sampler="grid", encoder=str(tiny_encoder), epochs=3, n_finalists=0,
        refit=False, study_dir=tmp_path / "study", **TINY,
    )  # fmt: skip
    pruned = study.trials[1]
    assert (pruned["state"], len(pruned["epochs"])) == ("pruned", 1)
    assert pruned["value"] == pruned["epochs"][0][1]
    assert pruned["reason"] == "stopped after 1 of 3 epochs: not as good as others were by then"


# -- with real processes ----------------------------------------------------------------------------------------------


# Searches, with a formula in the place of training; `hangs` is the trial that never ends in this process.
PROGRAM = """
import sys, time
from pathlib import Path
from matinee.workflow import search
from matinee.workflow.trials import TrialRunner

data, encoder, storage = sys.argv[1], sys.argv[2], sys.argv[4]
folder, hangs, n_done = Path(sys.argv[3]), sys.argv[5] == "hangs", []

def score(self, settings, tell):
    n_done.append(1)
    if hangs and len(n_done) == 2:
        (folder / "hanging").touch()
        time.sleep(600)
    time.sleep(0.2)
    return settings.training.epochs / 100

TrialRunner._score = score
study = search(
    data, space={"epochs": [1, 2, 3, 4, 5, 6, 7, 8]}, sampler="grid", encoder=encoder, n_finalists=0, refit=False,
    study_dir=folder / "study", storage=storage.replace("FOLDER", str(folder)) or None, test_size=24, validation_size=16,
)
"""


def start(tiny_csv, tiny_encoder, folder, storage, mode):
    command = [sys.executable, "-c", PROGRAM, str(tiny_csv), str(tiny_encoder), str(folder), storage, mode]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(path, process, seconds=120):
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until, f"no {path.name}"
        time.sleep(0.02)


@pytest.mark.parametrize("storage", ["", "journal:FOLDER/study.log"], ids=["sqlite", "journal"])
def test_two_processes_share_a_study_and_a_killed_one_loses_one_trial(tiny_csv, tiny_encoder, tmp_path, storage):
    killed = start(tiny_csv, tiny_encoder, tmp_path, storage, "hangs")
    wait_for(tmp_path / "hanging", killed)
    other = start(tiny_csv, tiny_encoder, tmp_path, storage, "works")
    wait_for(tmp_path / "study" / "workers", other)
    assert not (tmp_path / "study" / "report.html").exists()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    _, errors = other.communicate(timeout=120)
    assert other.returncode == 0, errors
    left = record(tmp_path / "study")
    assert left["counts"] == {"complete": 8, "pruned": 0, "failed": 0, "lost": 1}
    complete = [trial["params"]["epochs"] for trial in left["trials"] if trial["state"] == "complete"]
    assert sorted(complete) == list(range(1, 9))  # each point once
    (lost,) = (trial for trial in left["trials"] if trial["state"] == "lost")
    assert lost["reason"] == "its process ended before it did; it is tried again"
    assert left["best"]["params"] == {"epochs": 8.0}


def test_several_processes_do_the_trials_of_one_command(tiny_csv, tmp_path):
    study = search_(
        tiny_csv, space={"calibration": ["temperature", "none"], "encoder": ["tfidf", "nblr"]}, sampler="grid", n_jobs=2,
        encoder="tfidf", n_finalists=1, finalist_seeds=1, refit=False, study_dir=tmp_path / "study", **SMALL,
    )  # fmt: skip
    assert study.record["counts"]["complete"] == 4
    assert len({tuple(trial["params"].values()) for trial in study.trials}) == 4
    assert all(value is not None for row in study.record["finalists"] for value in row["values"])


def test_processes_that_all_end_are_an_error(tiny_csv, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_WORKER", "import sys; sys.stderr.write('no luck'); sys.exit(3)")
    space = {"calibration": ["temperature", "none"]}
    with pytest.raises(TrainingError, match=r"^no luck\.$"):
        search_(tiny_csv, space=space, n_jobs=2, encoder="tfidf", study_dir=tmp_path / "study", **SMALL)


def test_processes_that_a_signal_ended_were_perhaps_too_many(tiny_csv, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_WORKER", "import os; os.kill(os.getpid(), 9)")
    space = {"calibration": ["temperature", "none"]}
    with pytest.raises(
        TrainingError, match=r"did \(killed by signal 9\)\. Try fewer --jobs; the same command goes on\.$"
    ):
        search_(tiny_csv, space=space, n_jobs=2, encoder="tfidf", study_dir=tmp_path / "study", **SMALL)


def test_processes_that_end_after_the_last_trial_are_no_error(tiny_csv, tmp_path, monkeypatch):
    killed_late = "import os; from matinee.workflow.trials import main; main(); os.kill(os.getpid(), 9)"
    monkeypatch.setattr(processes, "_WORKER", killed_late)
    study = search_(
        tiny_csv, space={"calibration": ["temperature", "none"]}, sampler="grid", n_jobs=2, encoder="tfidf", n_finalists=1,
        finalist_seeds=1, refit=False, study_dir=tmp_path / "study", **SMALL,
    )  # fmt: skip
    assert study.record["counts"]["complete"] == 2
    assert all(value is not None for row in study.record["finalists"] for value in row["values"])
