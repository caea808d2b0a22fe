"""README's commands and code are run, block after block, in one temporary folder without a network.

A block that begins with ```` ```console ````, ```` ```bash ```` or ```` ```python ```` is run. What is large or far away is exchanged
for something small: every exchange is in `readme_stand_in.py`. An HTML comment on the line before a block changes that:

- `<!-- run: setup -->`: not run, but every make target in it must exist; the `matinee` commands that such a target
  would run are run in its stead.
- `<!-- run: parse -->`: needs a network or goes on for ever; its `matinee` commands are only parsed by the command line.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STAND_IN = ROOT / "tests" / "readme_stand_in.py"
LANGUAGES = ("console", "bash", "python")
AT_LEAST = 6  # matinee commands that README shows and this file runs
MATINEE = re.compile(r"(?:^|[|;&]\s*)matinee\b", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its `run:` word or an empty string, its first line's number, its code."""

    language: str
    mark: str
    line: int
    code: str

    @property
    def commands(self) -> str:
        """The shell commands; of a console block, the lines behind a `$` and their continuations."""
        if self.language != "console":
            return self.code
        kept, continued = [], False
        for line in self.code.splitlines():
            if line.startswith("$ ") or continued:
                kept.append(line.removeprefix("$ "))
                continued = line.endswith("\\")
        return "\n".join(kept) + "\n"


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a Markdown text that are in one of our languages, in order."""
    fence = re.compile(r"^(?:<!-- run: (\w+) -->\n+)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = [Block(m[2], m[1] or "", text.count("\n", 0, m.start(3)) + 1, m[3]) for m in fence.finditer(text)]
    return [block for block in found if block.language in LANGUAGES]


class Reader:
    """Somebody who follows README from top to bottom in one folder."""

    def __init__(self, folder: Path, csv: Path, encoder: Path) -> None:
        self.folder, self.csv, self.encoder = folder, csv, encoder
        self.log = folder.with_suffix(".jsonl")
        path_folder = folder.with_suffix(".bin")
        for place in (folder, path_folder):
            place.mkdir()
        shutil.copytree(ROOT / "recipes", folder / "recipes")
        shutil.copy(csv, folder / "reviews.csv")
        program = path_folder / "matinee"
        program.write_text(f"#!{sys.executable}\n{STAND_IN.read_text(encoding='utf-8')}", encoding="utf-8")
        program.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(path_folder), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PIP_NO_INDEX": "1",
            "README_MATINEE": str(Path(sys.executable).parent / "matinee"),
            "README_LOG": str(self.log),
            "README_CSV": str(csv),
            "README_ENCODER": str(encoder),
        }

    def follow(self, block: Block) -> None:
        if block.mark == "setup":
            self._shell(block, "\n".join(self._behind_make(block)))
        elif block.mark == "parse":
            self._parse(block)
        elif block.language == "python":
            code = runpy.run_path(str(STAND_IN))["stand_in_python"](block.code, str(self.csv), str(self.encoder))
            self._run(block, [sys.executable, "-c", code])
        else:
            self._shell(block, block.commands)

    def ran(self) -> list[list[str]]:
        """Return the `matinee` commands that were run so far, as they were typed."""
        if not self.log.is_file():
            return []
        return [json.loads(line)["typed"] for line in self.log.read_text(encoding="utf-8").splitlines()]

    def _shell(self, block: Block, script: str) -> None:
        self._run(block, ["bash", "-euo", "pipefail", "-c", script])

    def _run(self, block: Block, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"README, line {block.line}:\n{block.code}\n{done.stdout}\n{done.stderr}"

    def _behind_make(self, block: Block) -> list[str]:
        """Return the `matinee` commands that the make targets of a set-up block would run."""
        found = []
        for line in block.commands.splitlines():
            program, *arguments = shlex.split(line, comments=True) or [""]
            assert program in {"", "git", "cd", "make", "pip", "python"}, (
                f"README, line {block.line}: {line} is no set-up"
            )
            if program == "make":
                dry = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
                assert dry.returncode == 0, f"README, line {block.line}: {dry.stderr}"
                found += [re.sub(r"^\S*/matinee ", "matinee ", said) for said in dry.stdout.splitlines()]
        return [said for said in found if said.startswith("matinee ")]

    def _parse(self, block: Block) -> None:
        """Let the command line parse each `matinee` command, and not carry it out."""
        from click import Context

        from matinee.cli.main import cli

        lines = [line for line in block.commands.splitlines() if line.startswith("matinee ")]
        assert lines, f"README, line {block.line}: nothing to parse"
        for line in lines:
            name, *arguments = shlex.split(line, comments=True)[1:]
            command = cli.get_command(Context(cli), name)
            assert command is not None, f"README, line {block.line}: no command {name}"
            command.make_context(name, arguments).close()


@pytest.fixture
def reader(tmp_path: Path, tiny_csv: Path, tiny_encoder: Path) -> Reader:
    return Reader(tmp_path / "reader", tiny_csv, tiny_encoder)


class TestThisTest:
    SAMPLE = """
<!-- run: setup -->
```console
$ git clone … matinee && cd matinee
$ make demo     # some minutes
```

```console
$ matinee predict runs/demo "Good." \\
    --json
{"label": "positive"}
```

```yaml
data: imdb
```

```python
import matinee
```
"""

    def test_it_finds_the_blocks(self):
        setup, console, python = blocks_of(self.SAMPLE)
        assert (setup.mark, setup.language) == ("setup", "console")
        assert console.commands == 'matinee predict runs/demo "Good." \\\n    --json\n'
        assert (python.mark, python.code, python.line) == ("", "import matinee\n", 19)

    def test_it_exchanges_what_it_says(self):
        stand_in = runpy.run_path(str(STAND_IN))["stand_in"]
        small = [f"--{name.replace('_', '-')}" for name in runpy.run_path(str(STAND_IN))["SMALL"]]
        typed = ["train", "imdb", "--encoder", "minilm", "--epochs", "3"]
        exchanged = stand_in(typed, "tiny.csv", "tiny")
        assert exchanged[:6] == ["train", "tiny.csv", "--encoder", "tiny", "--epochs", "3"]
        assert exchanged[6::2] == small
        assert stand_in(["train", "--resume", "runs/a"], "tiny.csv", "tiny") == ["train", "--resume", "runs/a"]
        assert stand_in(["predict", "runs/a", "imdb film"], "tiny.csv", "tiny") == ["predict", "runs/a", "imdb film"]

    def test_it_exchanges_in_python(self):
        code = runpy.run_path(str(STAND_IN))["stand_in_python"](
            'f("imdb", encoder="minilm", epochs=3, x=3)', "a.csv", "b"
        )
        assert code.endswith("f('a.csv', encoder='b', epochs=1, x=3)")

    def test_make_demo_is_followed(self, reader):
        commands = reader._behind_make(blocks_of(self.SAMPLE)[0])
        assert [command.split()[1] for command in commands] == ["train", "predict", "predict"]

    def test_a_missing_make_target_is_found(self, reader):
        with pytest.raises(AssertionError, match=r"line 1.*nosuchtarget"):
            reader.follow(Block("console", "setup", 1, "$ make nosuchtarget\n"))

    def test_a_failing_command_is_found(self, reader):
        with pytest.raises(AssertionError, match="README, line 7"):
            reader.follow(Block("bash", "", 7, "false | cat\n"))

    def test_failing_code_is_found(self, reader):
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            reader.follow(Block("python", "", 7, "1 / 0\n"))


@pytest.mark.slow
def test_everything_in_readme_works(reader):
    blocks = blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
    for block in blocks:
        reader.follow(block)
    shown = sum(
        len(MATINEE.findall(block.commands)) for block in blocks if block.language != "python" and not block.mark
    )
    assert len(reader.ran()) >= max(shown, AT_LEAST)
    assert any(block.language == "python" for block in blocks)


def test_every_figure_in_readme_comes_from_a_stored_result():
    """The table and the speeds, rounded as README rounds them."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}
    flagship, speed = results["imdb-minilm"]["summary"], results["train-speed"]["encoders"]
    faster = {
        name: [of["times_faster"][side]["median"] for side in ("matinee", "two frozen layers")]
        for name, of in speed.items()
    }
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for predictor in ("classifier", "frozen_features", "tfidf"):
        row = flagship["accuracy"][predictor]
        pattern = rf"\|[ *]+{row['mean']:.3f}[ *]+\| {row['min']:.3f} to {row['max']:.3f} \|"
        assert re.search(pattern, readme), f"README does not say {pattern} for {predictor}"
    for said in (
        f"takes {flagship['seconds_median'] / 60:.0f} minutes",
        f"{flagship['peak_memory_gb_max']:.1f} GB of memory",
        *_said_of_the_demo(results["imdb-minilm-quick"], results["imdb-minilm"]),
        *([f"off by {flagship['ece']['mean']:.3f} on average"] if "ece" in flagship else []),
        f"answers in {results['startup']['seconds']['matinee --help']['median']:.2f} s",
        f"An epoch with MiniLM is {faster['minilm'][0]:.1f} times as fast",
        f"and {faster['minilm'][1]:.1f} times with the two lowest layers frozen",
        f"of DistilBERT's size {faster['distilbert'][0]:.1f} and {faster['distilbert'][1]:.1f} times",
        f"get {flagship['accuracy']['tfidf']['mean']:.3f} from the same 1,000 reviews",
        *_said_of_answers(results["predict-speed"]),
        *_said_of_serving(results["serve-load"]),
        _said_of_unlabelled(results["unlabelled"]["summary"]["rows"]),
        _said_of_a_larger_teacher(results["unlabelled-mpnet"]["seeds"], results["imdb-minilm"]),
        *_said_of_the_board(results["leaderboard"], results["accuracy"]["summary"]),
        *_said_of_all_reviews(results["full"]["trainings"]),
        _said_of_trials(results["search"]),
        _said_of_the_gain(**{part: results["search"][part] for part in ("gain", "speed")}),
    ):
        assert " ".join(said.split()) in " ".join(readme.split()), f"README does not say: {said}"
    assert "@@" not in readme


def _said_of_the_demo(quick, best):
    """Return what README says of the recipe that `make demo` runs, with its one seed."""
    (run,) = quick["runs"]
    (same,) = [other for other in best["runs"] if other["seed"] == run["seed"]]
    return [
        (
            f"{run['seconds'] / 60:.0f} minutes, {run['peak_memory_gb']:.1f} GB, "
            f"accuracy {run['classifier']['accuracy']['value']:.3f} (one seed; "
            f"`imdb-minilm` with the same seed has {same['classifier']['accuracy']['value']:.3f})"
        )
    ]


def _said_of_answers(found):
    """Return what README says of how fast answers are, from `predict-speed.json`."""
    minilm, student = found["minilm"], found["minilm"]["student"]
    rows = {row["name"]: row for row in minilm["rows"]}
    fast, stock = rows["openvino-int8"], rows["pipeline (batch 1)"]
    latency = (fast["latency_ms"]["p50"], stock["latency_ms"]["p50"])
    return (
        (
            f"answers {fast['texts_per_second']:.0f} reviews a second where the stock `pipeline` answers "
            f"{stock['texts_per_second']:.0f} ({min(minilm['times_faster'].values()):.1f} times)"
        ),
        f"a single one in {latency[0]:.0f} ms for {latency[1]:.0f} ms",
        f"{fast['first_answer_s']:.1f} s after the start without PyTorch, for {stock['first_answer_s']:.1f} s",
        f"of DistilBERT's size is {min(found['distilbert']['times_faster'].values()):.1f} times as fast",
        f"`score` keeps {found['score']['share_of_the_predictors_speed']:.0%} of that speed".replace("%", " %"),
        f"in {found['score']['peak_memory_mb'] / 1000:.1f} GB",
        (
            f"has {student['accuracy']['value']:.3f} of the test reviews right where its teacher has "
            f"{_reference_accuracy(minilm):.3f} and tf-idf with the 1,000 labels alone "
            f"{student['accuracy_with_true_labels_alone']['value']:.3f} (one seed), at "
            f"{student['times_the_faster_pipeline']:.0f} times the speed of the `pipeline`"
        ),
    )


def _said_of_unlabelled(found):
    """Return what README says of students, from `unlabelled.json`."""
    gains = {name: 100 * of["gain"]["mean"] for name, of in found.items() if "gain" in of}
    seeds = {3: "three"}[found["words"]["n_seeds"]]
    return (
        f"Over {seeds} seeds a tf-idf taught by MiniLM gains {gains['words']:.1f} points, a MiniLM taught by its own kind "
        f"{gains['student']:.1f}."
    )


def _said_of_a_larger_teacher(seeds, flagship):
    """Return what README says of MiniLM taught by mpnet, from `unlabelled-mpnet.json`, and of the labels alone, from `imdb-minilm.json`."""
    (cell,) = seeds
    (alone,) = (run["classifier"]["accuracy"]["value"] for run in flagship["runs"] if run["seed"] == cell["seed"])
    return (
        f"{cell['alone']['accuracy']['value']:.3f} with {cell['unlabelled_texts']:,} unlabelled reviews, where its teacher has "
        f"{cell['teacher']['accuracy']['value']:.3f} and the labels alone give it {alone:.3f} (one seed)"
    )


def _said_of_the_board(board, few):
    """Return what README says beside the picture of `leaderboard.json`, and of seeds with few labels, from `accuracy.json`."""
    rows = {(row["encoder"], row["size"]): row for row in board["rows"]}
    n_seeds = {encoder: {row["n_seeds"] for (name, _), row in rows.items() if name == encoder} for encoder, _ in rows}
    assert n_seeds == {"tfidf": {3}, "minilm": {1}, "mpnet": {1}}, "README tells how many trainings there are"
    fewest, middle, most = board["sizes"]
    accuracy = {key: row["accuracy"] for key, row in rows.items()}
    mean = {key: f"{of['mean']:.3f}" for key, of in accuracy.items()}
    ends = {key: f"{mean[key]} [{of['low']:.3f}, {of['high']:.3f}]" for key, of in accuracy.items()}
    pairs = [(rows["minilm", size], rows["mpnet", size]) for size in board["sizes"]]
    training = [large["training_seconds"] / small["training_seconds"] for small, large in pairs]
    answering = [small["texts_per_second"] / large["texts_per_second"] for small, large in pairs]
    (seeds,) = (row["accuracy"] for row in few if row["arm"] == "matinee" and row["size"] == fewest)
    return (
        f"on {board['n_test']:,} IMDB reviews",
        f"with {fewest}, {middle:,} and {most:,} labels",
        f"with {fewest} labels by up to {100 * (seeds['max'] - seeds['min']):.1f} points",
        (
            f"From {fewest} labels `mpnet` has {ends['mpnet', fewest]}, where MiniLM has {ends['minilm', most]} from {most:,} "
            f"and tf-idf {mean['tfidf', most]}; from {most:,} it has {mean['mpnet', most]}."
        ),
        f"takes {min(training):.0f} to {max(training):.0f} times as long to train as MiniLM",
        f"{min(answering):.0f} times as long to answer",
        f"{max(answering):.0f} times as long to answer",
    )


def _said_of_all_reviews(trainings):
    """Return what README says of a training on all reviews, and of the first try, from `full.json`."""
    best = {"encoder": "minilm", "learning_rate": 1e-4, "max_length": 512}
    (training,) = (each for each in trainings if each["settings"] == best)
    (first,) = (each for each in trainings if each["settings"] == {**best, "freeze": "2", "max_length": 320})
    assert len(trainings) == 2, "README says how many settings were tried, and with how many seeds"
    assert all(training["targets"].values())
    assert training["evaluations"][-1]["epoch"] == 2, "README says two passes"
    assert training["machine"]["cores"] == 2, "README says that it is the machine of the table"
    accuracy, tfidf = (training[predictor]["accuracy"] for predictor in ("classifier", "tfidf"))
    return (
        "--recipe imdb-full --encoder minilm --learning-rate 1e-4 --max-length 512",
        (
            f"All {training['splits']['train']:,} reviews that the hold-outs leave bring MiniLM to {accuracy['value']:.4f} "
            f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}] (one seed, the second of two settings tried; "
            f"tf-idf has {tfidf['value']:.3f})"
        ),
        (
            f"{training['seconds'] / 60:.0f} minutes from the command to the report (downloads not counted), "
            f"in {training['peak_memory_gb']:.1f} GB"
        ),
        f"took {first['seconds'] / 60:.0f} minutes and has {first['classifier']['accuracy']['value']:.3f}",
    )


def _said_of_trials(found):
    """Return what README says of how many trials an hour a search makes, from `search.json`."""
    speed, cores = found["speed"], {2: "two"}[found["machine"]["cores"]]
    settings = speed["settings"]
    assert settings["encoder"] == "minilm"
    assert not speed["target_met"]
    return (
        f"With {settings['train_size']:,} reviews, MiniLM and settings drawn at random it makes "
        f"{speed['trials_per_hour']['search']:.0f} trials an hour on {cores} cores, {speed['by_pruning_and_features']:.1f} times as many "
        f"as without stopping and kept features; we were after {speed['target']:.0f} times."
    )


def _said_of_the_gain(gain, speed):
    """Return what README says of what thirty trials gain, from `search.json`: nothing, and how that shows."""
    best, defaults = gain["best"], gain["trials"][0]
    means = {finalist["number"]: finalist["mean"] for finalist in gain["finalists"]}
    on_test = {of: 100 * gain["unrepeated"]["gain"][of] for of in ("value", "low", "high")}
    assert gain["settings"] == speed["settings"]
    assert gain["winner"]["is_base"]
    assert defaults["params"] == gain["winner"]["params"]
    assert max(means.values()) == means[defaults["number"]]
    assert {len(finalist["seeds"]) for finalist in gain["finalists"]} == {3}
    assert gain["unrepeated"]["number"] == best["number"]
    assert on_test["value"] < 0
    trying, words = sum(trial["seconds"] for trial in gain["trials"]), {30: "Thirty"}
    return (
        f"{words[gain['n_trials']]} trials by {gain['sampler'].upper()} gained nothing there over the defaults (one search; "
        f"{trying / 60:.0f} minutes, and {(gain['seconds'] - trying) / 60:.0f} more to repeat the best and to test). "
        f"The best trial had {best['value']:.3f} on the validation reviews, the defaults {defaults['value']:.3f}; with three further "
        f"seeds its settings had {means[best['number']]:.3f} and the defaults {means[defaults['number']]:.3f}, and no finalist had more, "
        f"so the defaults were kept. On test its settings have {-on_test['value']:.2f} points less than the defaults "
        f"[{on_test['low']:+.2f}, {on_test['high']:+.2f}], one training each."
    )


def _said_of_serving(found):
    """Return what README says of the server, from `serve-load.json`."""
    row, compared = found["rows"]["single, 32 clients"], found["compared"]["single, 32 clients"]
    speed = {side: f"{row[side]['texts_per_second']:.0f}" for side in row}
    slowest = {side: f"{row[side]['p95_ms'] / 1000:.1f} s" for side in row}
    return (
        (
            f"answers {speed['matinee']} reviews a second where FastAPI around the stock `pipeline` answers "
            f"{speed['naive']} ({compared['times_the_throughput']:.1f} times)"
        ),
        f"95 % of them within {slowest['matinee']} for {slowest['naive']}",
    )


def _reference_accuracy(part):
    """Return the accuracy of PyTorch in float32, which an export's proof is held against."""
    proof = part["proofs"]["openvino-int8"]
    return proof["accuracy"] - proof["accuracy_change"]["value"]


# -- docs/scale.md ----------------------------------------------------------------------------------------------------


SCALE = ROOT / "docs" / "scale.md"
LAUNCHED = re.compile(r"^(?:(?:torchrun|accelerate launch|ray job submit) .*(?:-m|--) )?matinee ")


def test_every_command_in_scale_is_one():
    """Each `matinee` command, whoever launches it, is parsed; what else stands there is Ray's own."""
    from click import Context

    from matinee.cli.main import cli

    blocks = blocks_of(SCALE.read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.commands.splitlines() if line]
    assert {block.mark for block in blocks} == {"parse"}
    commands = {line: found for line in lines if (found := LAUNCHED.match(line))}
    assert all(line.startswith("ray start ") for line in lines if line not in commands)
    parsed = []
    for line, found in commands.items():
        name, *arguments = shlex.split(line[found.end() :], comments=True)
        command = cli.get_command(Context(cli), name)
        assert command is not None, f"docs/scale.md: no command {name}"
        command.make_context(name, arguments).close()
        parsed.append((name, line.split()[0]))
    assert {("score", "matinee"), ("score", "ray"), ("search", "matinee"), ("train", "torchrun")} <= set(parsed)
    assert {("train", "accelerate"), ("export", "matinee")} <= set(parsed)


def test_a_command_in_scale_that_is_none_is_found():
    assert LAUNCHED.match("torchrun --nproc-per-node 2 -m matinee train imdb")
    assert LAUNCHED.sub("", "ray job submit --address a -- matinee score a b c") == "score a b c"
    assert LAUNCHED.match("matinee score a b c")
    assert not LAUNCHED.match("python -m other train")


def test_every_figure_in_scale_comes_from_a_stored_result():
    """The plan is computed here from what was measured, and has to be what the page says."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}
    page = " ".join(SCALE.read_text(encoding="utf-8").split())
    for said in (*_plan(results["predict-speed"]), *_backends(results["predict-speed"])):
        assert said in page, f"docs/scale.md does not say: {said}"


def _per_core(found, texts_per_second):
    """Return how many reviews a core scores in a second: on two cores half, and of that what `score` keeps."""
    return texts_per_second / found["machine"]["cores"] * found["score"]["share_of_the_predictors_speed"]


def _plan(found):
    """Return what docs/scale.md says of 1 M, 100 M and 10 B reviews, from `predict-speed.json`."""
    rows = {row["name"]: row for row in found["minilm"]["rows"]}
    measured = rows["openvino-int8"]["texts_per_second"]
    speed = _per_core(found, measured)
    yield f"OpenVINO with int8 answers {measured:.0f} reviews a second on two cores, and `matinee score` keeps"
    yield f"keeps {found['score']['share_of_the_predictors_speed']:.0%} of it".replace("%", " %")
    yield f"That is {speed:.0f} reviews a second for a core, or {1e6 / speed / 3600:.1f} core-hours for a million"
    yield f"core-hours = reviews / {speed:.1f} / 3,600"
    for title, n, where, cores in (
        ("1 M", 1e6, "a laptop, 2 cores", 2),
        ("100 M", 1e8, "one machine, 64 cores", 64),
        ("10 B", 1e10, "64 machines of 64 cores", 4096),
    ):
        hours = n / speed / 3600
        spelled = f"{hours:.1f}" if hours < 10 else f"{hours:,.0f}"
        yield f"| {title} | {spelled} | {where} | {hours / cores:.1f} |"
        yield f"{0.04 * hours:,.2f} for {title}" if n < 1e7 else f"{0.04 * hours:,.0f} for {title}"
    yield f"4,096 workers read {round(4096 * speed, -4):,.0f} reviews a second, {4096 * speed * 0.838 / 1000:.0f} MB"
    yield f"some {1e4 / speed / 60:.0f} minutes of a core's work at 10,000 rows and {1e5 / speed / 60:.0f} at 100,000"
    yield f"The classifier, {rows['openvino-int8']['size_mb']:.0f} MB"
    yield f"a worker takes about {found['score']['peak_memory_mb'] / 1000:.2f} GB"
    yield f"so 64 of them {64 * found['score']['peak_memory_mb'] / 1000:.0f} GB"


def _backends(found):
    """Return the table of back ends, from `predict-speed.json`."""
    minilm = found["minilm"]
    speeds = {row["name"]: row["texts_per_second"] for row in minilm["rows"]}
    speeds["student"] = minilm["student"]["texts_per_second"]
    for title, name in (
        ("PyTorch, float32", "torch"),
        ("PyTorch, bf16", "torch-bf16"),
        ("OpenVINO, int8", "openvino-int8"),
        ("cascade of tf-idf and MiniLM", "cascade"),
        ("tf-idf student", "student"),
    ):
        speed = _per_core(found, speeds[name])
        yield f"| {title} | {speed:.0f} | {1e9 / speed / 3600:,.0f} |"
    for name in ("openvino-int8", "cascade"):
        yield f"{100 * minilm['proofs'][name]['accuracy_change']['value']:+.2f} points"
