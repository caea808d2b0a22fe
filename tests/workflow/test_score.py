"""Bulk scoring of whole files: complete, resumable, and never stopped by a bad row."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from matinee.cli.main import run as matinee
from matinee.core.errors import DataError, RunError, SettingsError, StoppedError, StorageError
from matinee.workflow import predict, score, train

PROGRAM = [sys.executable, "-c", "from matinee.cli.main import main; main()"]


@pytest.fixture(scope="module")
def run_dir(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("score") / "run"
    train(tiny_csv, encoder="tfidf", run_dir=folder, test_size=24)
    return folder


@pytest.fixture(scope="module")
def reviews(tiny_rows, tmp_path_factory):
    """120 reviews with a number each, and three bad rows among them."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    lines = [f'{n},"{text}"\n' for n, (text, _) in enumerate(tiny_rows)]
    lines[10:10], lines[50:50], lines[99:99] = ["x,\n"], ["one field\n"], ["y,tr\udce8s\n"]
    path.write_bytes(("id,text\n" + "".join(lines)).encode("utf-8", "surrogateescape"))
    return path


def contents(folder):
    """Return the shards and the rejects, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith(("part-", "_rejected"))}


def test_every_text_has_the_answer_that_predict_gives(run_dir, reviews, tiny_rows, tmp_path):
    result = score(run_dir, reviews, tmp_path / "out", shard_rows=50)
    assert (result.n_scored, result.n_rejected, result.n_before) == (120, 3, 0)
    table = pq.read_table(tmp_path / "out")  # a folder that data tools take as it is
    said = predict(run_dir, [text for text, _ in tiny_rows])
    assert table.column_names == ["id", "text", "label", "score", "probability_negative", "probability_positive"]
    assert table["id"].to_pylist() == [str(n) for n in range(120)]
    assert table["text"].to_pylist() == said.texts
    assert table["label"].to_pylist() == [record["label"] for record in said]
    assert table["score"].to_pylist() == [record["score"] for record in said]
    assert table["probability_positive"].to_pylist() == said.probabilities[:, 1].tolist()
    assert result.labels == {name: table["label"].to_pylist().count(name) for name in ("negative", "positive")}
    assert sorted(contents(tmp_path / "out")) == [
        "_rejected.jsonl",
        *(f"part-{n:05d}.parquet" for n in range(3)),
    ]


def test_bad_rows_are_set_aside_with_their_reason(run_dir, reviews, tmp_path):
    result = score(run_dir, reviews, tmp_path / "out", shard_rows=30)
    assert result.rejected == tmp_path / "out" / "_rejected.jsonl"
    rejected = [json.loads(line) for line in result.rejected.read_text().splitlines()]
    assert [(row["row"], row["reason"], row["content"]) for row in rejected] == [
        (11, "no text", "x,"),
        (51, "1 field, but the header has 2", "one field"),
        (100, "byte 0xe8 is not UTF-8", "y,tr\\xe8s"),
    ]
    assert {row["file"] for row in rejected} == {str(reviews)}


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv", "tsv"])
def test_a_single_file_is_its_shards_joined(run_dir, reviews, tmp_path, ending):
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    score(run_dir, reviews, whole)
    result = score(run_dir, reviews, cut, shard_rows=7)
    assert result.rejected == tmp_path / f"cut.{ending}.rejected.jsonl"
    if ending == "parquet":
        assert pq.read_table(cut).equals(pq.read_table(whole))
    else:
        assert cut.read_bytes() == whole.read_bytes()
    if ending == "csv":
        with cut.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["id"] for row in rows] == [str(n) for n in range(120)]
    left = [path.name for path in (tmp_path / f".cut.{ending}-shards").iterdir()]
    assert not [name for name in left if name.startswith("part-")]


def test_other_columns_keep_their_types_and_names_that_are_taken_get_a_prefix(run_dir, tmp_path, caplog):
    table = pa.table({"text": ["a wonderful film", "so dreadful"], "label": [3, 4], "tags": [["x"], []]})
    pq.write_table(table, tmp_path / "in.parquet")
    with caplog.at_level("INFO", logger="matinee"):
        score(run_dir, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert "a column 'label' already" in caplog.text
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.schema.field("label").type == pa.int64()
    assert out.schema.field("tags").type.equals(pa.list_(pa.string())) or str(out.schema.field("tags").type).startswith(
        "list"
    )
    assert out["predicted_label"].to_pylist() == ["positive", "negative"]
    score(run_dir, tmp_path / "in.parquet", tmp_path / "own.jsonl", prefix="m_")
    (first, _) = map(json.loads, (tmp_path / "own.jsonl").read_text().splitlines())
    assert (first["label"], first["tags"], first["m_label"]) == (3, ["x"], "positive")
    with pytest.raises(SettingsError, match="--prefix"):
        score(run_dir, tmp_path / "in.parquet", tmp_path / "no", prefix="")


def test_several_inputs_and_a_glob_that_meets_its_own_output(run_dir, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a wonderful film"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "dreadful", "more": [1]}\n')
    for attempt in range(2):
        result = score(run_dir, f"{tmp_path}/*.jsonl", tmp_path / "out.jsonl")
        assert (result.n_scored, result.n_before) == (2, 2 * attempt)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["label"], row["more"]) for row in rows] == [("positive", None), ("negative", [1])]


def many(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"the film was wonderful seat {n}\n" * (n % 11 != 0) or "\n" for n in range(1000)))
    return path


def wait_for(path, process, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def started(run_dir, source, out):
    command = [*PROGRAM, "score", str(run_dir), str(source), str(out), "--shard-rows", "10"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_in_the_middle_it_goes_on_and_nothing_differs(run_dir, tmp_path):
    source, out = many(tmp_path), tmp_path / "out"
    with started(run_dir, source, out) as process:
        wait_for(out / "part-00002.parquet", process)
        process.send_signal(signal.SIGKILL)
    before = contents(out)
    assert 3 <= len(before) < 100
    stamps = {name: (out / name).stat().st_mtime_ns for name in before}
    result = score(run_dir, source, out, shard_rows=10)
    assert result.n_before > 0
    assert {name: (out / name).stat().st_mtime_ns for name in before} == stamps, "scored twice"
    whole = score(run_dir, source, tmp_path / "whole", shard_rows=10)
    assert (result.n_scored, result.n_rejected, result.labels) == (whole.n_scored, whole.n_rejected, whole.labels)
    assert result.n_scored + result.n_rejected == 1000
    assert contents(out) == contents(tmp_path / "whole")
    assert not [path.name for path in out.iterdir() if path.name.startswith(".part")]


def test_ctrl_c_is_one_line_and_exit_130(run_dir, tmp_path):
    source, out = many(tmp_path), tmp_path / "out"
    with started(run_dir, source, out) as process:
        wait_for(out / "part-00001.parquet", process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Run the same command again to go on." in said.strip().splitlines()[-1]
    assert "Traceback" not in said
    assert score(run_dir, source, out, shard_rows=10).n_before > 0


def test_a_complete_job_is_left_alone_unless_told_otherwise(run_dir, reviews, tmp_path, capsys):
    command = ["score", str(run_dir), str(reviews), str(tmp_path / "out")]
    assert matinee(command) == 0
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in contents(tmp_path / "out")}
    capsys.readouterr()
    assert matinee(command) == 0
    shown = capsys.readouterr()
    assert "complete already" in shown.err
    assert "120 texts scored" in shown.out
    assert "3 rows were set aside" in shown.out
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in contents(tmp_path / "out")} == before
    assert matinee([*command, "--overwrite"]) == 0
    assert (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns != before["part-00000.parquet"]


def test_another_job_is_refused_and_says_what_differs(run_dir, reviews, tmp_path):
    out = tmp_path / "out"
    score(run_dir, reviews, out, shard_rows=50)
    with pytest.raises(RunError, match="--shard-rows differs.*--overwrite"):
        score(run_dir, reviews, out, shard_rows=60)
    other = tmp_path / "other.csv"
    other.write_text("text\nfine\n")
    with pytest.raises(RunError, match="the input files differ"):
        score(run_dir, other, out, shard_rows=50)
    assert score(run_dir, other, out, shard_rows=50, overwrite=True).n_scored == 1
    assert sorted(contents(out)) == ["part-00000.parquet"], "something of the other job is left"


def test_what_score_did_not_make_is_never_touched(run_dir, reviews, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        score(run_dir, reviews, tmp_path / "mine", overwrite=True)
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(RunError, match="there already"):
        score(run_dir, reviews, tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "mine"
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    assert score(run_dir, reviews, tmp_path / "mine.csv", overwrite=True).n_scored == 120


def test_a_changed_output_is_noticed(run_dir, reviews, tmp_path):
    score(run_dir, reviews, tmp_path / "out", shard_rows=50)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    with pytest.raises(RunError, match="has been changed since"):
        score(run_dir, reviews, tmp_path / "out", shard_rows=50)


def test_two_processes_do_not_write_to_one_output(run_dir, reviews, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(RunError, match="Another process"):
        score(run_dir, reviews, out)


def test_a_full_disk_is_one_line_and_finished_shards_stay(run_dir, tmp_path):
    path, out = tmp_path / "r.jsonl", tmp_path / "out"
    lines = ['{"text": "a wonderful film", "n": "a"}'] * 20
    lines += [json.dumps({"text": os.urandom(200_000).hex()})]
    path.write_text("\n".join(lines))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="run the same command again") as caught:
            score(run_dir, path, out, shard_rows=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "choose another place to write to. " in str(caught.value)
    assert "--output" not in str(caught.value), "score has no such flag"
    assert sorted(contents(out)) == ["part-00000.parquet", "part-00001.parquet"]
    result = score(run_dir, path, out, shard_rows=10)
    assert (result.n_before, result.n_scored) == (20, 21)


@pytest.mark.parametrize(
    ("content", "options", "part"),
    [
        ("id,label\n1,a\n", {}, "--text-column"),
        ("text,label\n", {}, "no rows"),
        ("text\nx\n", {"format": "xlsx"}, "--format must be one of"),
        ("text\nx\n", {"shard_rows": 0}, "--shard-rows"),
        ("text\nx\n", {"text_column": "txet"}, "Did you mean 'text'"),
        ("text\nx\n", {"backend": "tpu"}, "Unknown --backend"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(run_dir, tmp_path, content, options, part):
    (tmp_path / "in.csv").write_text(content)
    with pytest.raises((DataError, SettingsError), match=part):
        score(run_dir, tmp_path / "in.csv", tmp_path / "out", **options)
    with pytest.raises((DataError, SettingsError), match=part):
        score(run_dir, tmp_path / "in.csv", tmp_path / "out.jsonl", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("name", ["scored.json", "out.csv.gz", "out.txt", "run.v2"])
def test_an_ending_that_is_not_known_makes_no_folder(run_dir, reviews, tmp_path, name):
    with pytest.raises(DataError, match=r"\.parquet, \.jsonl, \.csv, \.tsv, or a folder, with a / at the end"):
        score(run_dir, reviews, tmp_path / name)
    assert not list(tmp_path.iterdir())
    assert score(run_dir, reviews, f"{tmp_path}/{name}/").n_scored == 120
    assert score(run_dir, reviews, tmp_path / name).n_before == 120, "the folder is there now"


def test_a_folder_is_not_made_of_a_file(run_dir, reviews, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(DataError, match="cannot be written to"):
        score(run_dir, reviews, f"{tmp_path}/out.csv/", overwrite=True)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_carriage_returns_in_values_come_back(run_dir, tmp_path, ending):
    texts = ["a wonderful\rfilm", "so\r\ndreadful", "fine\r", "\rgood", "two\nlines", 'a "quote", a comma\tand a tab']
    lines = [json.dumps({"text": text, "n\rm": text[::-1]}) for text in texts]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    once, twice = tmp_path / f"once.{ending}", tmp_path / "twice.jsonl"
    score(run_dir, tmp_path / "in.jsonl", once, shard_rows=4)
    result = score(run_dir, once, twice)
    assert (result.n_scored, result.n_rejected) == (len(texts), 0)
    rows = [json.loads(line) for line in twice.read_text(encoding="utf-8").splitlines()]
    assert [(row["text"], row["n\rm"]) for row in rows] == [(text, text[::-1]) for text in texts]
    assert once.read_bytes().count(b"\r\n") == 1, "rows end in LF alone"


def test_two_files_beside_each_other_keep_their_rejects_apart(run_dir, reviews, tmp_path):
    first = score(run_dir, reviews, tmp_path / "s.parquet").rejected
    before = first.read_bytes()
    (tmp_path / "good.csv").write_text("text\nfine\n")
    assert score(run_dir, tmp_path / "good.csv", tmp_path / "s.csv").rejected is None
    assert first.read_bytes() == before
    assert score(run_dir, tmp_path / "good.csv", tmp_path / "s.parquet", overwrite=True).rejected is None
    assert not first.exists(), "it was the former job's"


def test_a_list_that_is_the_users_own_is_never_lost(run_dir, reviews, tmp_path):
    own = tmp_path / "s.csv.rejected.jsonl"
    own.write_text("mine")
    with pytest.raises(RunError, match=r"s\.csv\.rejected\.jsonl is there already"):
        score(run_dir, reviews, tmp_path / "s.csv")
    assert own.read_text() == "mine"
    (tmp_path / "good.csv").write_text("text\nfine\n")
    score(run_dir, tmp_path / "good.csv", tmp_path / "s.csv", overwrite=True)
    assert own.read_text() == "mine", "that job had none to write"
    assert score(run_dir, tmp_path / "good.csv", tmp_path / "s.csv").n_before == 1
    assert score(run_dir, reviews, tmp_path / "s.csv", overwrite=True).rejected == own
    assert len(own.read_text().splitlines()) == 3


def test_what_a_kill_leaves_of_the_state_is_in_nobodys_way(run_dir, reviews, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "._score-k1ll.json").write_text("{")
    assert score(run_dir, reviews, out).n_scored == 120
    assert not (out / "._score-k1ll.json").exists()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_killed_while_it_makes_room_it_can_begin_again(run_dir, reviews, tmp_path, monkeypatch, after):
    out = tmp_path / "out"
    score(run_dir, reviews, out, shard_rows=50)
    unlink, iterdir, removed = Path.unlink, Path.iterdir, []

    def killed(path, *args, **kwargs):
        unlink(path, *args, **kwargs)
        if path.parent == out and path.name.startswith(("_", "part-")):
            removed.append(path.name)
            if len(removed) == after:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        patch.setattr(Path, "iterdir", lambda path: iter(sorted(iterdir(path))))
        with pytest.raises(StoppedError):
            score(run_dir, reviews, out, shard_rows=50, overwrite=True)
    assert len(removed) == after
    assert score(run_dir, reviews, out, shard_rows=50, overwrite=True).n_scored == 120
    assert len(contents(out)) == 4


def test_a_single_file_that_was_removed_is_made_again(run_dir, reviews, tmp_path):
    out = tmp_path / "out.csv"
    score(run_dir, reviews, out)
    before = out.read_bytes()
    out.unlink()
    result = score(run_dir, reviews, out)
    assert (result.n_scored, result.n_before, result.n_rejected) == (120, 0, 3)
    assert out.read_bytes() == before


def test_what_a_kill_leaves_behind_a_complete_job_is_swept(run_dir, reviews, tmp_path):
    score(run_dir, reviews, tmp_path / "out.csv")
    folder = tmp_path / ".out.csv-shards"
    (folder / ".notes").mkdir()
    for name in ("part-00000.csv", ".notes/part-00000.json", ".joined-k1ll.csv"):
        (folder / name).write_text("left")
    assert score(run_dir, reviews, tmp_path / "out.csv").n_before == 120
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "_score.json"]


def test_a_job_that_another_process_completes_meanwhile_is_left_alone(run_dir, reviews, tmp_path, monkeypatch):
    # The module hides behind the function of its name.
    module, out = sys.modules["matinee.workflow.score"], tmp_path / "out"
    columns = module.written_columns

    def meanwhile(*args):
        monkeypatch.setattr(module, "written_columns", columns)
        score(run_dir, reviews, out, shard_rows=50)
        return columns(*args)

    monkeypatch.setattr(module, "written_columns", meanwhile)
    assert score(run_dir, reviews, out, shard_rows=50).n_scored == 120
    assert len(contents(out)) == 4


def test_an_input_that_is_not_there_is_named(run_dir, tmp_path, capsys):
    assert matinee(["score", str(run_dir), str(tmp_path / "no.csv"), str(tmp_path / "out")]) == 2
    assert "There is no file" in capsys.readouterr().err
    assert matinee(["score", str(run_dir), str(tmp_path / "out")]) == 2
    assert not list(tmp_path.iterdir())
