"""A study kept by Optuna: what is tried, what is stopped, what is tried again, and storages that refuse."""

from __future__ import annotations

import sqlite3
import time

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from matinee.core.errors import NotAvailableError, SettingsError
from matinee.core.space import SAMPLERS, Space
from matinee.training import study as module
from matinee.training.study import (
    Outcome,
    StudyStorageError,
    TakenOverError,
    check_installed,
    delete_study,
    is_in_memory,
    open_study,
    shown_storage,
    storage_trouble,
    worked_on_elsewhere,
)
from matinee.training.workers import SILENCE, TAKING, Workers

SPACE = Space.read(
    {
        "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "batch_size": {"low": 8, "high": 33, "step": 8},
        "layer_decay": {"low": 0.7, "high": 1.0, "step": 0.1},
        "dropout": [None, 0.0, 0.2],
        "augment": [None, ["delete", "swap"]],
    },
    "the space",
)
BASE = {"learning_rate": 1e-4, "batch_size": 16, "layer_decay": 1.0, "dropout": None, "augment": None}


@pytest.fixture(params=["sqlite:///{}/study.db", "journal:{}/study.log"], ids=["sqlite", "journal"])
def storage(request, tmp_path):
    return request.param.format(tmp_path)


@pytest.fixture
def opened(storage, tmp_path):
    return lambda **options: open_study(
        storage, "reviews", Workers(tmp_path / "workers"), **{"space": SPACE, **options}
    )


def complete(value, **more):
    return Outcome("complete", value, 1.0, **more)


class TestTrials:
    def test_what_is_kept_is_read_by_another_process(self, opened):
        first = opened()
        first.describe({"metric": "accuracy"})
        first.add(BASE, base=True)
        with first.workers.enrolled() as owner:
            trial = first.take(owner)
            assert (trial.values, trial.attrs["base"]) == (BASE, True)
            trial.close(complete(0.8, epochs=[[1.0, 0.7], [2.0, 0.8]]))
            second = first.take(owner)
            second.close(Outcome("failed", None, 0.5, "no"))
        again = opened()
        assert again.about == {"metric": "accuracy"}
        rows = again.rows()
        assert [row.state for row in rows] == ["complete", "failed"]
        assert rows[0].values == BASE
        assert rows[0].outcome == complete(0.8, epochs=[[1.0, 0.7], [2.0, 0.8]])
        assert rows[1].outcome.reason == "no"

    @pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
    def test_every_value_is_one_of_the_space(self, opened, sampler):
        shared = opened(sampler=sampler, seed=3)
        shared.add(BASE)
        with shared.workers.enrolled() as owner:
            for n in range(14):
                trial = shared.take(owner)
                assert SPACE.contains(trial.values), trial.values
                assert type(trial.values["batch_size"]) is int
                trial.close(complete(0.5 + n / 100))
        assert len({str(row.values) for row in shared.rows()}) > 10

    def test_steps_of_a_range_are_no_reason_to_warn(self, opened, capfd):
        shared = opened(space=Space.read({"dropout": {"low": 0.1, "high": 0.3, "step": 0.1}}, "it"))
        with shared.workers.enrolled() as owner:
            drawn = {shared.take(owner).values["dropout"] for _ in range(12)}
        assert drawn == {0.1, 0.2, 0.3}
        assert capfd.readouterr().err == ""

    def test_a_study_that_goes_on_does_not_draw_the_same_again(self, opened):
        drawn = []
        for _ in range(3):
            shared = opened(sampler="random", seed=3)
            with shared.workers.enrolled() as owner:
                trial = shared.take(owner)
                drawn.append(trial.values["learning_rate"])
                trial.close(complete(0.5))
        assert len(set(drawn)) == 3

    def test_a_trial_outside_of_the_space_is_no_point_of_it(self, opened):
        shared = opened()
        shared.add({}, base=True, outside=True)
        with shared.workers.enrolled() as owner:
            trial = shared.take(owner)
            assert trial.values == {}
            trial.close(complete(0.9))
        assert [row.state for row in shared.rows()] == ["complete"]
        assert shared.study.get_trials(deepcopy=False)[0].state.name == "FAIL"

    def test_cmaes_needs_ranges(self, opened):
        with pytest.raises(SettingsError, match="at least two ranges in the space, which has 0: take tpe"):
            opened(sampler="cmaes", space=Space.read({"epochs": [1, 2]}, "it"))


class TestPruning:
    def fill(self, shared, owner, values):
        for n, value in enumerate(values):
            trial = shared.take(owner)
            for share in (0.25, 0.5, 1.0):
                assert not trial.report(share, value + n / 1_000)
            trial.close(complete(value))

    @pytest.mark.parametrize("higher_is_better", [True, False])
    def test_what_lags_behind_is_stopped(self, opened, higher_is_better):
        shared = opened(pruner="median", higher_is_better=higher_is_better)
        with shared.workers.enrolled() as owner:
            self.fill(shared, owner, [0.5] * 5)
            good, bad = (0.9, 0.1) if higher_is_better else (0.1, 0.9)
            trial = shared.take(owner)
            assert not trial.report(0.25, good)
            assert not trial.report(0.5, good)
            trial.close(complete(good))
            trial = shared.take(owner)
            assert trial.report(0.25, bad)
            trial.close(Outcome("pruned", bad, 1.0, "lags behind"))
        assert [row.state for row in shared.rows()] == ["complete"] * 6 + ["pruned"]

    def test_nothing_is_stopped_before_five_are_complete_at_the_end_or_of_the_base(self, opened):
        shared = opened(pruner="median")
        with shared.workers.enrolled() as owner:
            self.fill(shared, owner, [0.5] * 4)
            trial = shared.take(owner)
            assert not trial.report(0.25, 0.1)
            trial.close(complete(0.5))
            trial = shared.take(owner)
            assert not trial.report(0.1, 0.0)  # not a quarter yet
            assert not trial.report(1.0, 0.1)  # it is over anyway
            trial.close(complete(0.1))
            shared.add(BASE, base=True)
            trial = shared.take(owner)
            assert not trial.report(0.25, 0.0)
            trial.close(complete(0.1))

    def test_hyperband_stops_some_and_no_pruner_none(self, opened):
        stopped = {}
        for pruner in ("hyperband", "none"):
            shared, stopped[pruner] = opened(pruner=pruner), 0
            with shared.workers.enrolled() as owner:
                for n in range(12):
                    trial = shared.take(owner)
                    is_over = any(trial.report(share, (7 * n % 12) / 12) for share in (0.25, 0.5, 0.75, 1.0))
                    stopped[pruner] += is_over
                    trial.close(Outcome("pruned", None, 1.0) if is_over else complete((7 * n % 12) / 12))
        assert stopped["hyperband"] > stopped["none"] == 0


class TestLostTrials:
    def test_a_trial_whose_process_is_gone_is_tried_again_once(self, opened):
        shared, other = opened(), opened()
        with other.workers.enrolled() as gone:
            lost = other.take(gone).values
        with shared.workers.enrolled() as owner:
            for _ in range(2):  # the second look finds nothing more
                shared.reclaim()
            assert [row.state for row in shared.rows()] == ["lost", "waiting"]
            with other.workers.enrolled() as gone:
                assert other.take(gone).values == lost
            shared.reclaim()
            assert [row.state for row in shared.rows()] == ["lost", "failed"]  # twice is no accident
            assert shared.take(owner).values != lost

    def test_one_that_was_taken_by_nobody_yet_is_tried_again_as_if_nothing_had_been(self, opened, monkeypatch):
        """Killed between two writes: the trial is begun, and nobody's."""
        shared, now = opened(), time.monotonic()
        shared.add(dict(BASE), grid=True)
        shared.study.ask()
        monkeypatch.setattr("matinee.training.workers.time.monotonic", lambda: now)
        with shared.workers.enrolled() as owner:
            shared.reclaim()
            assert [row.state for row in shared.rows()] == ["running"]
            now += TAKING + 1
            shared.reclaim()
            assert [row.state for row in shared.rows()] == ["lost", "waiting"]
            again = shared.take(owner)
            assert again.values == BASE
            assert again.attrs["grid"]
            assert "retry_of" not in again.attrs

    def test_who_is_too_late_to_say_whose_it_is_is_told_so(self, opened, monkeypatch):
        shared, other = opened(), opened()
        say = optuna.Trial.set_user_attr

        def late(trial, *args):
            other._lose(trial.number)
            say(trial, *args)

        with shared.workers.enrolled() as owner:
            monkeypatch.setattr(optuna.Trial, "set_user_attr", late)
            with pytest.raises(TakenOverError):
                shared.take(owner)
            monkeypatch.undo()
            assert shared.take(owner).number == 1

    def test_one_that_is_being_worked_on_is_left_alone(self, opened):
        shared, other = opened(), opened()
        with other.workers.enrolled() as owner:
            other.take(owner)
            shared.reclaim()
            assert [row.state for row in shared.rows()] == ["running"]

    def test_one_that_was_given_back_is_tried_again_as_often_as_that_happens(self, opened):
        shared = opened()
        values = []
        with shared.workers.enrolled() as owner:
            for _ in range(3):
                trial = shared.take(owner)
                values.append(trial.values)
                trial.give_back()
        assert values[0] == values[1] == values[2]
        assert [row.state for row in shared.rows()] == ["lost", "lost", "lost", "waiting"]

    def test_ctrl_c_is_no_fault_of_the_trial(self, opened):
        """Given back, then killed: that is one accident, and not the second."""
        shared, other = opened(), opened()
        with shared.workers.enrolled() as owner:
            shared.add(BASE, base=True)
            shared.take(owner).give_back()
            with other.workers.enrolled() as gone:
                other.take(gone)
            shared.reclaim()
            assert [row.state for row in shared.rows()] == ["lost", "lost", "waiting"]
            assert shared.rows()[2].attrs == {"base": True, "retry_of": 1}
            shared.take(owner).give_back()  # nor does it stay a second one
            assert shared.rows()[3].attrs == {"base": True}

    def test_one_that_was_lost_before_it_had_its_values_keeps_them(self, opened):
        shared = opened()
        shared.add(BASE)
        with shared.workers.enrolled() as gone:
            shared.study.ask().set_user_attr("owner", gone)  # and killed before the first value
        shared.reclaim()
        assert [(row.state, row.values) for row in shared.rows()] == [("lost", BASE), ("waiting", BASE)]

    def test_a_failure_that_may_pass_is_revived_in_its_place(self, opened):
        shared = opened()
        outside = {"base": True, "outside": True}
        shared.add({}, **outside)
        ends = [
            Outcome("failed", None, 1.0, "always"),
            Outcome("failed", None, 1.0, "no network", may_pass=True),
            Outcome("failed", None, 1.0, "always"),
            complete(0.5),
        ]
        with shared.workers.enrolled() as owner:
            for outcome in ends:
                shared.take(owner).close(outcome)
            for _ in range(2):  # the second time finds nothing more
                shared.revive()
            rows = shared.rows()
            assert [row.state for row in rows] == ["lost", "lost", "failed", "complete", "waiting", "waiting"]
            assert (rows[4].values, rows[4].attrs) == ({}, {**outside, "again_of": 0})
            assert (rows[5].values, rows[5].attrs) == (rows[1].values, {"again_of": 1})
            assert rows[1].outcome.reason == "no network"
            shared.take(owner).close(complete(0.6))
            shared.take(owner).give_back()
            assert [row.state for row in shared.rows()[:2]] == ["lost", "lost"]

    def test_impossible_ones_are_no_trials_but_teach_the_sampler(self, opened):
        shared = opened()
        with shared.workers.enrolled() as owner:
            shared.take(owner).close(Outcome("impossible", None, 0.0, "cannot be"))
        assert [row.state for row in shared.rows()] == ["impossible"]
        assert "impossible" not in module.FINISHED
        assert shared.study.get_trials(deepcopy=False)[0].state.name == "PRUNED"

    def test_one_that_lacks_the_last_word_alone_is_not_done_again(self, opened):
        shared, other = opened(), opened()
        with other.workers.enrolled() as gone:
            trial = other.take(gone)
            trial.trial.set_user_attr("outcome", vars(complete(0.7)))
        shared.reclaim()
        assert [row.state for row in shared.rows()] == ["complete"]
        assert shared.study.best_value == 0.7


class TestImportance:
    def test_what_decides_is_told_from_what_does_not(self, opened):
        shared = opened(sampler="random", seed=1)
        with shared.workers.enrolled() as owner:
            for _ in range(30):
                trial = shared.take(owner)
                trial.close(complete(trial.values["layer_decay"]))
        shares = shared.importance()
        assert max(shares, key=shares.get) == "layer_decay"
        assert sum(shares.values()) == pytest.approx(1)

    def test_of_few_trials_or_equal_values_nothing_is_said(self, opened):
        shared = opened()
        with shared.workers.enrolled() as owner:
            for _ in range(6):
                assert shared.importance() is None
                shared.take(owner).close(complete(0.5))
        assert shared.importance() is None


class TestStoragesThatRefuse:
    def refusal(self, storage, tmp_path):
        with pytest.raises(NotAvailableError) as caught:
            open_study(storage, "reviews", Workers(tmp_path), space=SPACE)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_a_locked_database(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "_PATIENCE", 0.1)
        path = tmp_path / "study.db"
        open_study(f"sqlite:///{path}", "reviews", Workers(tmp_path), space=SPACE)
        holder = sqlite3.connect(path)
        holder.execute("BEGIN EXCLUSIVE")
        assert "another process has locked it" in self.refusal(f"sqlite:///{path}", tmp_path)
        holder.rollback()
        holder.close()

    def test_a_folder_that_is_not_there(self, tmp_path):
        assert "cannot be opened; is its folder there?" in self.refusal(f"sqlite:///{tmp_path}/no/study.db", tmp_path)
        assert "No such file or directory" in self.refusal(f"journal:{tmp_path}/no/study.log", tmp_path)

    def test_a_file_that_is_something_else(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("nothing of that kind\n" * 50)
        assert "the file is no database" in self.refusal(f"sqlite:///{path}", tmp_path)
        assert "damaged, or no journal" in self.refusal(f"journal:{path}", tmp_path)

    @pytest.mark.parametrize("content", [b"x", b"7\n", b"{}\n", b"[1]\n", b'"a"\n', b"\xff\xfe\x00\n"])
    def test_a_damaged_journal(self, tmp_path, content):
        path = tmp_path / "study.log"
        path.write_bytes(content)
        assert "damaged, or no journal" in self.refusal(f"journal:{path}", tmp_path)

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ('connection to server at "10.0.0.7", port 5432 failed: Connection refused', "is the server running"),
            ('FATAL: password authentication failed for user "zoe"', "user or password are wrong"),
        ],
    )
    def test_a_server_that_does_not_let_one_in_is_told_without_what_it_said(self, said, reason):
        with pytest.raises(StudyStorageError) as caught, storage_trouble("postgresql://db/reviews"):
            raise OperationalError("SELECT 1", {}, Exception(said))
        assert reason in str(caught.value)
        assert "10.0.0.7" not in str(caught.value)
        assert "zoe" not in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("error", [AssertionError(), KeyError("worker_id"), TypeError("x"), ValueError("x")])
    def test_what_is_no_journal_is_told_from_a_mistake_of_ours(self, error):
        with pytest.raises(StudyStorageError), storage_trouble("journal:study.log"):
            raise error
        with pytest.raises(type(error)), storage_trouble("sqlite:///study.db"):
            raise error

    def test_a_database_that_nobody_else_sees_is_known(self):
        for storage in (
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite+pysqlite:///:memory:",
            "sqlite:///file:x?mode=memory",
        ):
            assert is_in_memory(storage)
        for storage in ("sqlite:///study.db", "sqlite:////srv/memory.db", "postgresql://ada@db", "no url"):
            assert not is_in_memory(storage)

    def test_no_url(self, tmp_path):
        assert "it is no URL" in self.refusal("somewhere", tmp_path)
        assert "no such kind of database" in self.refusal("mongo://host/x", tmp_path)

    def test_a_driver_that_is_not_installed(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
        monkeypatch.setitem(__import__("sys").modules, "psycopg2", None)
        said = self.refusal("postgresql://ada:s3cret@db.example.org/matinee", tmp_path)
        assert said == (
            "The storage postgresql://ada:***@db.example.org/matinee needs a driver that is not installed: "
            'pip install "psycopg[binary]".'
        )

    def test_a_password_is_never_shown(self, tmp_path):
        assert shown_storage("mysql+pymysql://ada:s3cret@db/x") == "mysql+pymysql://ada:***@db/x"
        assert "s3cret" not in shown_storage("not a url, but s3cret")

    def test_what_is_not_installed_is_said_at_the_door(self, monkeypatch):
        check_installed()
        monkeypatch.setattr(module, "find_spec", lambda name: None)
        with pytest.raises(NotAvailableError, match=r'needs optuna and cmaes: pip install "matinee\[search\]"\.$'):
            check_installed()


def test_a_deleted_study_is_gone(storage, opened):
    opened().describe({"metric": "f1"})
    delete_study(storage, "reviews")
    delete_study(storage, "never there")
    assert opened().about == {}


class TestWhoWorksElsewhere:
    def taken(self, shared, owner, **attrs):
        trial = shared.take(owner)
        for name, of in attrs.items():
            trial.trial.set_user_attr(name, of)

    def test_another_machine_is_told_by_its_pulse(self, storage, opened, tmp_path):
        shared = opened()
        assert worked_on_elsewhere(storage, "never there", shared.workers) is None
        with shared.workers.enrolled() as owner:
            self.taken(shared, owner)
            assert worked_on_elsewhere(storage, "reviews", shared.workers) is None  # its own lock file tells of it
            assert worked_on_elsewhere(storage, "reviews", Workers(tmp_path / "other")) == owner["host"]
        self.taken(shared, {"host": "a-laptop", "place": "p", "name": "n"}, beat=[9, time.time() - 2 * SILENCE])
        assert worked_on_elsewhere(storage, "reviews", shared.workers) is None
        self.taken(shared, {"host": "a-laptop", "place": "p", "name": "n"})  # it beats from the beginning
        assert worked_on_elsewhere(storage, "reviews", shared.workers) == "a-laptop"
