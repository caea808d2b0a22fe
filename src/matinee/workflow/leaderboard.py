"""`matinee leaderboard`: encoders, numbers of labels and seeds on the same texts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from matinee.core import hub
from matinee.core.durations import measured_in_words, parse_duration
from matinee.core.errors import RunError, SettingsError, StoppedError
from matinee.core.files import storage_errors, write_json, write_text
from matinee.core.interruption import check_interrupt, interrupts_held
from matinee.core.progress import progress
from matinee.core.ranks import refuse_several
from matinee.core.run import RunFolder
from matinee.core.schema import Layer
from matinee.core.settings import LINEAR
from matinee.core.wording import duration_in_words
from matinee.workflow.cells import (
    COMPLETE,
    FAILED,
    FORMAT,
    METRICS,
    Cell,
    described_machine,
    failed,
    read_result,
    run_apart,
    same_machine,
)
from matinee.workflow.entrants import asked_encoders, asked_sizes, board_texts, located, make_entrants
from matinee.workflow.fitting import CLASSIFIER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matinee.core.progress import Bar
    from matinee.workflow.entrants import BoardTexts, Entrant

logger = logging.getLogger(__name__)

# A cell that ends in one of these would end so with every size and seed.
_LASTING = {"SettingsError", "NotAvailableError", "IntegrityError"}

_TIMES = ("training_seconds", "texts_per_second")
_FIGURES = (*_TIMES, "peak_memory_mb", "model_mb")

# Settings that all encoders of a board share, beside the texts themselves.
_OF_DATA = ("positive_label", "missing", "validation_size", "test_size", "split_seed")
_FILES = ("board.json", "board.csv", "board.md", "board.html")
_PLAN, _CELLS, _FIGURE_FOLDER, _LOCK = "plan.json", "cells", "figures", ".lock"

# Words of a cell's own process beside the progress bar.
_NOTE = 60


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        path: Its folder: `board.html`, `board.md`, `board.csv`, `board.json`, `figures/` and a run folder for each cell.
        about: Everything, as in `board.json`.
    """

    path: Path
    about: dict[str, Any]

    @property
    def n_left(self) -> int:
        """How many of the cells that were asked for the time limit left for another call."""
        return int(self.about["n_left"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per encoder and size: scores with intervals, and what they cost."""
        found: list[dict[str, Any]] = self.about["rows"]
        return found

    @property
    def verdict(self) -> str:
        """Which encoder to take, and at what cost."""
        return str(self.about["verdict"])

    def __repr__(self) -> str:
        n_done = sum(cell["state"] == COMPLETE for cell in self.about["cells"])
        return f"<Board {self.path}: {n_done} cells. {self.verdict}>"


def leaderboard(
    data: str | Path | None = None,
    *,
    encoders: Sequence[str] | str | None = None,
    sizes: Sequence[int | str] | str | None = None,
    seeds: int = 3,
    recipes: Mapping[str, str | Path] | None = None,
    board_dir: str | Path | None = None,
    overwrite: bool = False,
    keep_models: bool = False,
    timeout: float | str | None = None,
    offline: bool = False,
    flags: Layer | None = None,
    **settings: object,
) -> Board:
    """Train encoders with several numbers of labels and seeds, and say which to take for these data and this machine, at what cost.

    Every cell of a size and a seed learns from the same texts, and all are scored on the same test texts. Each runs in a process of
    its own; what fails or is killed is a failed cell and no more. The same call goes on where an earlier one stopped, tries anew
    what failed, and adds encoders, sizes and seeds that were not asked for before.

    Args:
        data: Dataset name, file, glob, folder or hub id.
        encoders: Names, hub ids or folders; the linear classifiers, `minilm` and the others that are on this machine where not given.
        sizes: Numbers of training texts, perhaps with `"all"`; 200, 1,000 and 5,000 as far as the data have them where not given.
        seeds: How many trainings for each encoder and size.
        recipes: YAML files of settings, or names of shipped ones, by encoder; their data settings do not count.
        board_dir: Folder to make or go on with; `leaderboards/<data>` where not given.
        overwrite: Start anew where there is another board.
        keep_models: Leave each cell's model where it is; else only what it said and scored stays.
        timeout: Seconds, or a time such as `"2h"`, after which no further cell is started.
        offline: Never touch the network.
        flags: Settings as the command line gives them.
        **settings: Any setting for all cells, by its name (docs/settings.md), but data, encoder, train_size and seed.

    Raises:
        StoppedError: Ctrl-C; what is done is kept.
        MatineeError: Anything else that a user can put right; see `matinee.core.errors`.

    Example:
        >>> board = matinee.leaderboard("imdb", encoders="tfidf,minilm", sizes="200,1000")  # doctest: +SKIP
        >>> print(board.verdict)  # doctest: +SKIP
    """
    refuse_several("matinee leaderboard")
    if data is None:
        raise SettingsError("Nothing to learn from: name a dataset, as in `matinee leaderboard imdb`.")
    if seeds < 1:
        raise SettingsError(f"--seeds must be at least 1, got {seeds}.")
    seconds, wanted = parse_duration(timeout), asked_sizes(sizes)
    folder = Path(board_dir).expanduser() if board_dir else _new_board_dir(data)
    _check_free(folder)
    layers = [*([flags] if flags else []), Layer(settings)]
    with hub.offline(offline):
        entrants = make_entrants(str(data), asked_encoders(encoders), recipes or {}, layers)
        texts = board_texts(entrants[0].settings, wanted)
        entrants = located(entrants)
        with _locked(folder), interrupts_held():
            plan = _keep_plan(folder, entrants, texts, overwrite=overwrite)
            run = _BoardRun(folder, plan, entrants, texts, offline=offline, keep_models=keep_models)
            try:
                return run.run(list(range(seeds)), seconds)
            except KeyboardInterrupt as interrupt:
                raise StoppedError(
                    f"Stopped after {run.n_done} of {len(run.asked)} trainings; {folder} holds what they say. The same command goes on."
                ) from interrupt


class _BoardRun:
    """The cells of a board, run one after the other, and what is written of them after each."""

    def __init__(
        self,
        folder: Path,
        plan: dict[str, Any],
        entrants: Sequence[Entrant],
        texts: BoardTexts,
        *,
        offline: bool,
        keep_models: bool,
    ) -> None:
        self.folder, self.plan, self.texts = folder, plan, texts
        self.entrants = sorted(entrants, key=lambda entrant: self._place(entrant.name))
        self.offline, self.keep_models = offline, keep_models
        self.results: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.answers: dict[tuple[str, int, int], Any] = {}
        self.asked: list[Cell] = []
        self.weights = {entrant.name: entrant.weights_mb for entrant in entrants}

    @property
    def n_done(self) -> int:
        """How many of the cells that were asked for are complete; the folder may hold others of earlier calls."""
        return sum(
            self.results.get((cell.encoder, cell.size, cell.seed), {}).get("state") == COMPLETE for cell in self.asked
        )

    def run(self, seeds: Sequence[int], timeout: float | None) -> Board:
        """Run the cells that are missing, cheap ones first, all of a size before the next; then draw the pictures."""
        begun = time.monotonic()
        self._take_up_earlier()
        self.asked = self._cells(seeds)
        todo = [cell for cell in self.asked if self._is_missing(cell)]
        total = len(todo)
        n_there = sum(result["state"] == COMPLETE for result in self.results.values())
        logger.info(f"Trainings to be done: {total}{f'; there already: {n_there}' if n_there else ''}.")
        with progress("Leaderboard", total, "cells") as bar:
            while todo:
                if timeout is not None and len(todo) < total and time.monotonic() - begun > timeout:
                    logger.warning(f"The time is up: {len(todo)} trainings are left; the same command goes on.")
                    break
                self._run(todo, bar, total)
                todo = [cell for cell in todo[1:] if not self.plan["encoders"][cell.encoder]["skipped"]]
                self._say_time_left(todo)
                check_interrupt()
        if not any(result["state"] == COMPLETE for result in self.results.values()):
            raise RunError(f"No cell of {self.folder} is complete. {self._first_reason()}")
        return Board(self.folder, self._write(pictures=True))

    def _cells(self, seeds: Sequence[int]) -> list[Cell]:
        return [
            Cell(
                entrant.name, size.n, seed, self._cell_folder(entrant.name, size.n, seed), entrant.of(size, seed).flat()
            )
            for size in self.texts.sizes
            for seed in seeds
            for entrant in self.entrants
            if not entrant.skipped
        ]

    def _cell_folder(self, name: str, size: int, seed: int) -> Path:
        return self.folder / _CELLS / f"{_slug(name)}-{size}-{seed}"

    def _is_missing(self, cell: Cell) -> bool:
        """Return whether a cell is to be run: there is no result, or it failed."""
        found = self.results.get((cell.encoder, cell.size, cell.seed))
        return found is None or found["state"] == FAILED

    def _take_up_earlier(self) -> None:
        """Read the results that are in the folder, whether or not they are asked for now."""
        for path in sorted((self.folder / _CELLS).glob("*.json")):
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                key = (found["encoder"], found["size"], found["seed"])
            except (OSError, ValueError, KeyError, TypeError):
                logger.warning(f"{path.name} is damaged: its cell is run anew.")
                continue
            cell = Cell(*key, self._cell_folder(*key), {})
            if cell.result == path and key[0] in self.plan["encoders"] and (result := read_result(cell)) is not None:
                self._keep(cell, result)

    def _run(self, todo: Sequence[Cell], bar: Bar, total: int) -> None:
        """Run the first of the cells that are to be done, keep what it measured, and write the board anew."""
        cell, number = todo[0], total - len(todo) + 1
        begun, left = time.monotonic(), self._seconds_left(todo)

        def watched(said: str) -> None:
            still = None if left is None else max(0.0, left - (time.monotonic() - begun))
            bar.update(number - 1, f"{cell}: {said[:_NOTE].rstrip('.')}" if said else str(cell), still)

        watched("")
        result = run_apart(cell, offline=self.offline, keep_model=self.keep_models, watched=watched)
        if result["state"] == FAILED and result.get("kind") in _LASTING:
            self.plan["encoders"][cell.encoder]["skipped"] = result["reason"]
            cell.result.unlink(missing_ok=True)
            write_json(self.folder / _PLAN, self.plan)
            logger.warning(f"{cell.encoder} is skipped: {result['reason']}")
        else:
            self._keep(cell, result)
            logger.info(f"{number} of {total}: {cell}: {_in_words(self.results[cell.encoder, cell.size, cell.seed])}")
        bar.update(number)
        self._write()

    def _keep(self, cell: Cell, result: dict[str, Any]) -> None:
        """Keep a result and its answers; one on other texts than the others have is a failed one."""
        key = (cell.encoder, cell.size, cell.seed)
        if result["state"] == COMPLETE:
            try:
                self._check_texts(key, result)
                self.answers[key] = self._correct(cell)
            except RunError as error:
                result = failed(cell, str(error))
        self.results[key] = result

    def _check_texts(self, key: tuple[str, int, int], result: Mapping[str, Any]) -> None:
        same = [
            other["fingerprints"]["train"]
            for (_, size, seed), other in self.results.items()
            if (size, seed) == key[1:] and other["state"] == COMPLETE
        ]
        prints = result["fingerprints"]
        if prints["test"] != self.texts.test_fingerprint or any(train != prints["train"] for train in same):
            raise RunError("its texts are not those of the other cells: the data changed in between")

    def _correct(self, cell: Cell) -> Any:
        """Return whether the cell answers each test text right, in the order of the texts' ids."""
        import numpy as np

        from matinee.evaluation import read_predictions

        said = read_predictions(RunFolder(cell.folder).predictions)["test", CLASSIFIER]
        return (said.predicted == said.labels)[np.argsort(np.array(said.ids), kind="stable")]

    def _first_reason(self) -> str:
        reasons = [result["reason"] for result in self.results.values() if result["reason"]]
        reasons += [one["skipped"] for one in self.plan["encoders"].values() if one["skipped"]]
        return str(reasons[0]) if reasons else ""

    # -- time ---------------------------------------------------------------------------------------------------------

    def _say_time_left(self, todo: Sequence[Cell]) -> None:
        left = self._seconds_left(todo)
        if todo and left is not None:
            logger.info(f"About {duration_in_words(left)} left.")

    def _seconds_left(self, todo: Sequence[Cell]) -> float | None:
        """Return how long some cells will take, None where one is like none that is done."""
        each = [self._estimate(cell.encoder, cell.size) for cell in todo]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def _estimate(self, name: str, size: int) -> float | None:
        """Return how long a cell takes, from the nearest one of its encoder, else of the encoder nearest in size."""
        here = described_machine()
        done = [
            result
            for result in self.results.values()
            if result.get("process_seconds")
            and result["state"] == COMPLETE
            and same_machine(result.get("machine"), here)
        ]
        own = [result for result in done if result["encoder"] == name]
        if own:
            near = min(own, key=lambda result: abs(result["size"] - size))
            # Starting, predicting the test texts and the report take as long whatever the size.
            training = near["training_seconds"] or 0.0
            return float(near["process_seconds"] - training + training * size / near["size"])
        weight = self.weights.get(name, 0.0)
        if not weight:
            return None
        others = {result["encoder"] for result in done if self.weights.get(result["encoder"])}
        if not others:
            return None
        like = min(others, key=lambda other: abs(self.weights[other] - weight))
        estimate = self._estimate(like, size)
        return None if estimate is None else estimate * weight / self.weights[like]

    # -- what is written ----------------------------------------------------------------------------------------------

    def _write(self, *, pictures: bool = False) -> dict[str, Any]:
        from matinee.report import render_board, write_board_figures
        from matinee.report.board_markdown import board_markdown

        board = self.document()
        write_json(self.folder / "board.json", board)
        shown: list[str] = []
        if pictures:
            figures = write_board_figures(self.folder / _FIGURE_FOLDER, board)
            shown = [path.relative_to(self.folder).as_posix() for path in figures if path.suffix == ".png"]
        write_text(self.folder / "board.md", board_markdown(board, shown))
        write_text(self.folder / "board.csv", _as_csv(board["rows"]))
        write_text(self.folder / "board.html", render_board(board))
        return board

    def document(self) -> dict[str, Any]:
        """Return `board.json`."""
        from matinee.evaluation.standings import standings

        machine = self._machine()
        cells = [
            {
                **{name: result[name] for name in ("encoder", "size", "seed", "state", "reason", *METRICS, *_FIGURES)},
                **({} if same_machine(result.get("machine"), machine) else dict.fromkeys(_TIMES)),
            }
            for _, result in sorted(
                self.results.items(), key=lambda item: (item[0][1], item[0][2], self._place(item[0][0]))
            )
        ]
        return {
            "format": FORMAT,
            "data": self.texts.name,
            "n_test": self.texts.n_test,
            "label_names": self.texts.label_names,
            "majority_label": self.texts.majority_label,
            "majority_share": self.texts.majority_share,
            "sizes": sorted({*(size.n for size in self.texts.sizes), *(cell["size"] for cell in cells)}),
            "seeds": sorted({cell["seed"] for cell in cells}),
            "left_out": self.texts.left_out,
            "n_left": sum(
                (cell.encoder, cell.size, cell.seed) not in self.results
                and not self.plan["encoders"][cell.encoder]["skipped"]
                for cell in self.asked
            ),
            "machine": machine,
            "n_elsewhere": sum(
                result["state"] == COMPLETE and not same_machine(result.get("machine"), machine)
                for result in self.results.values()
            ),
            "encoders": [
                {"name": name, "settings": of["settings"], "skipped": of["skipped"]}
                for name, of in sorted(self.plan["encoders"].items(), key=lambda item: self._place(item[0]))
            ],
            "cells": cells,
            **standings(
                cells,
                self.answers,
                sorted(self.plan["encoders"], key=self._place),
                (self.texts.majority_label, self.texts.majority_share),
            ),
        }

    def _machine(self) -> dict[str, Any]:
        """Return the machine whose times are shown: the one that most cells were measured on, this one if none was."""
        machines = [result["machine"] for result in self.results.values() if result.get("machine")]
        return (
            max(
                machines,
                key=lambda machine: sum(same_machine(machine, other) for other in machines),
                default=None,
            )
            or described_machine()
        )

    def _place(self, name: str) -> tuple[float, int, str]:
        """Return by what encoders are ordered: cheap ones first."""
        linear = LINEAR.index(name) if name in LINEAR else len(LINEAR)
        return float(self.plan["encoders"][name]["weights_mb"]), linear, name


# -- the folder -------------------------------------------------------------------------------------------------------


def _new_board_dir(data: str | Path) -> Path:
    return Path("leaderboards") / (_slug(Path(data).stem) or "data")


def _slug(name: str) -> str:
    """Return a name that can be a file's; one that had to be changed gets a few signs more, so that no two share it."""
    plain = "".join(sign if sign.isalnum() else "-" for sign in name).strip("-")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _check_free(folder: Path) -> None:
    """Raise RunError if there is something that is no board, before anything is spent; a board is gone on with, or replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file, not a folder: choose another --board-dir.")
    others = [path.name for path in folder.iterdir() if path.name != _LOCK]
    if others and not (folder / _PLAN).is_file():
        raise RunError(
            f"{folder} is not empty and no leaderboard: choose another --board-dir, it is never overwritten."
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _LOCK, blocking=False):
            yield
    except Timeout as error:
        raise RunError(f"Another process works on {folder}: wait for it, or choose another --board-dir.") from error


def _keep_plan(folder: Path, entrants: Sequence[Entrant], texts: BoardTexts, *, overwrite: bool) -> dict[str, Any]:
    """Write what the board is about, together with what it has been about so far, and return both.

    Raises:
        RunError: The board that is there has other texts, or other settings for one of the encoders.
    """
    path = folder / _PLAN
    if overwrite:
        _clear(folder)
    plan = _plan(entrants, texts)
    if path.is_file():
        before = _read_plan(path)
        if difference := _difference(before, plan):
            raise RunError(
                f"{folder} is another leaderboard: {difference}. Choose another --board-dir, or --overwrite it."
            )
        plan["encoders"] = {**before["encoders"], **plan["encoders"]}
    write_json(path, plan)
    return plan


def _plan(entrants: Sequence[Entrant], texts: BoardTexts) -> dict[str, Any]:
    told = {
        entrant.name: {
            "settings": entrant.told(),
            "all": json.loads(json.dumps(entrant.settings.flat())),
            "weights_mb": entrant.weights_mb,
            "skipped": entrant.skipped,
        }
        for entrant in entrants
    }
    fingerprints = {"test": texts.test_fingerprint, "train": texts.train_fingerprint}
    return {"format": FORMAT, "data": texts.name, "fingerprints": fingerprints, "encoders": told}


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = plan["format"] == FORMAT and {"data", "fingerprints", "encoders"} <= plan.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: start anew with --overwrite.") from error
    if not known:
        raise RunError(f"{path} is of another version of matinee: start anew with --overwrite.")
    return plan


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return the first thing in which two plans contradict each other, for a person."""
    if before["data"] != now["data"]:
        return f"it is about {before['data']}, not {now['data']}"
    for name, of in now["encoders"].items():
        # An encoder that is new to the board has its own settings, and the data's of all others: F1 of another label is another score.
        known = before["encoders"].get(name)
        earlier = known or next(iter(before["encoders"].values()), of)
        for setting in of["all"] if known else _OF_DATA:
            then, value = earlier["all"].get(setting), of["all"].get(setting)
            if then != value and setting != "data":
                whose = name if known else "the others"
                return f"--{setting.replace('_', '-')} was {then} for {whose}, and is {value} now"
    for split, fingerprint in now["fingerprints"].items():
        if before["fingerprints"].get(split) != fingerprint:
            return f"its {split} texts were others, the data changed since"
    return None


def _clear(folder: Path) -> None:
    """Remove a board, and nothing else that may lie in its folder; the plan goes last, by which it is known."""
    with storage_errors(folder):
        for name in (_CELLS, _FIGURE_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (*_FILES, _PLAN):
            (folder / name).unlink(missing_ok=True)


# -- words ------------------------------------------------------------------------------------------------------------


def _in_words(result: Mapping[str, Any]) -> str:
    if result["state"] == FAILED:
        return f"failed, {result['reason']}"
    seconds = result["training_seconds"]
    trained = "" if seconds is None else f", trained in {measured_in_words(seconds)}"
    return f"accuracy {result['accuracy']['value']:.3f}{trained}"


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a CSV file, the parts of the accuracy in columns of their own."""
    flat = [
        {
            **{name: row[name] for name in ("encoder", "size", "n_seeds")},
            **{
                ("accuracy" if name == "mean" else f"accuracy_{name}"): value for name, value in row["accuracy"].items()
            },
            "f1": row["f1"]["mean"],
            **{name: row[name] for name in ("log_loss", "ece", *_FIGURES)},
        }
        for row in rows
    ]
    text = io.StringIO()
    if flat:
        writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    return text.getvalue()
