"""Bulk scoring by workers of Ray's: the same answers as one process, wherever the files are, and nothing lost with a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("ray")

from matinee.core.errors import DataError, NotAvailableError, RunError, SettingsError
from matinee.workflow import score, train

# Ray's own: it leaves sockets and files to be closed at the end.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PROGRAM = [sys.executable, "-c", "from matinee.cli.main import main; main()"]


@pytest.fixture(scope="module")
def run_dir(tiny_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("score") / "run"
    train(tiny_csv, encoder="tfidf", run_dir=folder, test_size=24)
    return folder


@pytest.fixture(scope="module")
def lake(tiny_rows, tmp_path_factory):
    """Five files of all kinds, with bad rows, columns that differ, rows over two lines, and a column that is found late."""
    folder = tmp_path_factory.mktemp("lake")
    texts = [text for text, _ in tiny_rows]
    table = pa.table({"id": range(120), "text": [None if n % 50 == 9 else text for n, text in enumerate(texts)]})
    pq.write_table(table, folder / "a.parquet", row_group_size=50)
    with (folder / "b.jsonl").open("w", encoding="utf-8") as file:
        for n, text in enumerate(texts):
            file.write(json.dumps({"id": n, "text": text, **({"stars": 4.5} if n > 110 else {})}) + "\n")
            if n % 40 == 5:
                file.write('{"id": 3}\n\n{broken\n')
    lines = [f'{n},"{text}\nsecond line"\n' for n, text in enumerate(texts[:30])]
    (folder / "c.csv").write_text("id,text\n" + "".join(lines) + "one field\n", encoding="utf-8")
    (folder / "d.txt").write_text("\n".join(texts[:40]) + "\n\n", encoding="utf-8")
    (folder / "e.json").write_text(json.dumps([{"text": text} for text in texts[:9]]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ray():
    """Ray on this machine, with two cores; what matinee starts otherwise lasts for one command."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"], os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0", "0"
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100_000_000,
        _node_ip_address="127.0.0.1",
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def small_pieces(monkeypatch):
    """Cut text files every 2 kB: a review or two begin before a piece and end in it."""
    import matinee.data.slices

    monkeypatch.setattr(matinee.data.slices, "PIECE_BYTES", 2_000)


def rows_of(folder, ending="parquet"):
    """Return the rows of all parts, in order, and the rejects without the names of their files."""
    parts = sorted(Path(folder).glob(f"part-*.{ending}"))
    rows = (
        [row for part in parts for row in pq.read_table(part).to_pylist()]
        if ending == "parquet"
        else [line for part in parts for line in part.read_text(encoding="utf-8").splitlines()]
    )
    listed = Path(folder, "_rejected.jsonl")
    rejects = [json.loads(line) for line in listed.read_text().splitlines()] if listed.exists() else []
    return rows, [(Path(row["file"]).name, row["row"], row["reason"], row["content"]) for row in rejects]


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_workers_say_what_one_process_says(ray, run_dir, lake, small_pieces, tmp_path, form):
    inputs = [str(lake / "*.parquet"), *(lake / f"{name}" for name in ("b.jsonl", "c.csv", "d.txt", "e.json"))]
    alone = score(run_dir, inputs, tmp_path / "alone", shard_rows=40, format=form)
    many = score(run_dir, inputs, tmp_path / "many", shard_rows=40, format=form, engine="ray", workers=2)
    assert len(list((tmp_path / "many").glob("part-*"))) > 5
    assert rows_of(tmp_path / "many", form) == rows_of(tmp_path / "alone", form)
    assert (many.n_scored, many.n_rejected, many.labels) == (alone.n_scored, alone.n_rejected, alone.labels)
    assert many.n_rejected > 8
    assert many.rejected == tmp_path / "many" / "_rejected.jsonl"
    if form == "parquet":
        schemas = {pq.read_schema(part) for part in (tmp_path / "many").glob("part-*")}
        assert schemas == {pq.read_schema(tmp_path / "alone" / "part-00000.parquet")}
    assert sorted(path.name for path in (tmp_path / "many").iterdir() if not path.name.startswith("part-")) == [
        ".lock",
        "_rejected.jsonl",
        "_score.json",
    ]


def test_a_cut_depends_on_no_piece_s_size(ray, run_dir, lake, tmp_path, monkeypatch):
    import matinee.data.slices

    found = []
    for size in (1, 700, 10**9):
        monkeypatch.setattr(matinee.data.slices, "PIECE_BYTES", size if size > 1 else 333)
        score(run_dir, lake / "b.jsonl", tmp_path / f"out{size}", shard_rows=7, engine="ray", workers=2)
        found.append(rows_of(tmp_path / f"out{size}"))
    assert found[0] == found[1] == found[2]


def test_a_complete_job_is_not_done_again_and_another_does_not_take_its_place(ray, run_dir, lake, tmp_path, caplog):
    out = tmp_path / "out"
    first = score(run_dir, lake / "a.parquet", out, shard_rows=50, engine="ray", workers=2)
    parts = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    again = score(run_dir, lake / "a.parquet", out, shard_rows=50, engine="ray", workers=2)
    assert (again.n_scored, again.n_before, again.seconds) == (first.n_scored, first.n_scored, 0)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")} == parts
    with pytest.raises(RunError, match=r"begun with something else: --shard-rows differs.*--overwrite"):
        score(run_dir, lake / "a.parquet", out, shard_rows=30, engine="ray", workers=2)
    with pytest.raises(RunError, match="begun with something else: --engine differs"):
        score(run_dir, lake / "a.parquet", out, shard_rows=50)
    fewer = score(run_dir, lake / "e.json", out, shard_rows=50, engine="ray", workers=2, overwrite=True)
    assert fewer.n_scored == 9
    assert len(list(out.glob("part-*"))) == 1


def test_files_in_s3(ray, run_dir, lake, small_pieces, tmp_path, monkeypatch):
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        import fsspec
        import ray as ray_

        ray_.shutdown()  # workers inherit the environment that Ray is started in
        s3 = fsspec.filesystem("s3", skip_instance_cache=True)
        s3.mkdir("lake")
        for path in lake.iterdir():
            s3.put_file(str(path), f"lake/reviews/{path.name}")
        inputs = [f"s3://lake/reviews/*.{ending}" for ending in ("parquet", "jsonl", "csv")]
        many = score(run_dir, inputs, "s3://lake/scored/", shard_rows=40, engine="ray", workers=2)
        local = [lake / name for name in ("a.parquet", "b.jsonl", "c.csv")]
        score(run_dir, local, tmp_path / "alone", shard_rows=40)
        assert many.path == "s3://lake/scored"
        assert many.rejected == "s3://lake/scored/_rejected.jsonl"
        s3.invalidate_cache()
        s3.get("lake/scored/", str(tmp_path / "copied") + "/", recursive=True)
        assert rows_of(tmp_path / "copied") == rows_of(tmp_path / "alone")
        assert {Path(name).name for name in s3.ls("lake/scored", detail=False)} >= {"_score.json", "_rejected.jsonl"}
        again = score(run_dir, inputs, "s3://lake/scored", shard_rows=40, engine="ray", workers=2)
        assert again.n_before == many.n_scored
        with pytest.raises(DataError, match=r"There is no file s3://lake/nothing.parquet"):
            score(run_dir, "s3://lake/nothing.parquet", "s3://lake/out/", engine="ray")
        with pytest.raises(DataError, match=r"No file matches 's3://lake/none/\*.csv'"):
            score(run_dir, "s3://lake/none/*.csv", "s3://lake/out/", engine="ray")
    finally:
        server.stop()


def workers_of(process):
    """Return the process numbers of the workers that a command has, all of them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"Scorer" in (entry / "cmdline").read_bytes() and _descends(int(entry.name), process.pid):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _descends(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.fixture(scope="module")
def many_reviews(tiny_rows, tmp_path_factory):
    """A Parquet file whose scoring takes some seconds."""
    path = tmp_path_factory.mktemp("many") / "reviews.parquet"
    texts = [f"{text} {n}" for n in range(250) for text, _ in tiny_rows]
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), path)
    return path


def started(run_dir, inputs, out):
    command = [
        *PROGRAM,
        "score",
        run_dir,
        inputs,
        f"{out}/",
        "--engine",
        "ray",
        "--workers",
        "2",
        "--shard-rows",
        "500",
    ]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def until(condition, process, seconds=90):
    """Wait for a condition while a process runs; return what it is."""
    end = time.monotonic() + seconds
    while not (found := condition()) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    return found


def ended(process):
    """End whatever is left of a command and its Ray."""
    if process.poll() is None:
        process.kill()
    process.communicate()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker in /proc")
@pytest.mark.parametrize("whom", ["a worker", "the command"])
def test_killed_in_the_middle_nothing_is_lost_or_doubled(run_dir, many_reviews, tmp_path, whom):
    out = tmp_path / "out"
    process = started(run_dir, many_reviews, out)
    try:
        assert until(lambda: len(list(out.glob("_notes/*.json"))) > 1, process), process.communicate()
        if whom == "a worker":
            os.kill(until(lambda: workers_of(process), process)[0], signal.SIGKILL)
            said, _ = process.communicate(timeout=120)
            assert process.returncode == 0, said
            assert "30,000 texts scored" in said
        else:
            process.kill()
    finally:
        ended(process)
    if whom == "the command":
        there = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
        noted = {path.name for path in out.glob("_notes/*.json")}
        assert 0 < len(noted) < 60
        result = score(run_dir, many_reviews, out, shard_rows=500, engine="ray", workers=2)
        assert result.n_before >= 500 * len(noted)
        after = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
        kept = [name for name in there if f"{name[5:11]}.json" in noted]
        assert {name: after[name] for name in kept} == {name: there[name] for name in kept}
    table = pq.read_table(out)
    assert sorted(table["id"].to_pylist()) == list(range(30_000))
    assert sum(1 for _ in out.glob("part-*")) == 60
    assert json.loads((out / "_score.json").read_text())["completed"]["scored"] == 30_000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"engine": "rai"}, SettingsError, "--engine must be one of local, ray, got 'rai'. Did you mean 'ray'"),
        ({"workers": 2}, SettingsError, "--workers is for --engine ray"),
        ({"address": "auto"}, SettingsError, "--address is for --engine ray"),
        ({"engine": "ray", "workers": 0}, SettingsError, "--workers must be at least 1"),
        ({"engine": "ray", "address": "ray://head:10001"}, SettingsError, "ray job submit"),
        ({"output": "s3://lake/out/"}, SettingsError, "s3://lake/out/: places .* are read and written by --engine ray"),
        ({"engine": "ray", "output": "out.parquet"}, SettingsError, "out.parquet is a single file"),
        ({"engine": "ray", "inputs": "nowhere://x/y.csv"}, SettingsError, "nowhere:// is no place that matinee reads"),
        ({"engine": "ray", "text_column": "words"}, DataError, "has no column 'words'"),
    ],
)
def test_what_cannot_be_done_is_one_line(run_dir, lake, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    values = {"inputs": lake / "c.csv", "output": tmp_path / "out", **arguments}
    with pytest.raises(error, match=message) as caught:
        score(run_dir, **values)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_no_cluster_at_the_address(run_dir, lake, tmp_path, address):
    import ray

    ray.shutdown()
    with pytest.raises(NotAvailableError, match=rf"No Ray cluster answers at {address}: .*ray start --head"):
        score(run_dir, lake / "c.csv", tmp_path / "out", engine="ray", address=address)
    assert not (tmp_path / "out").exists()


def test_an_unreadable_file_ends_the_job_and_keeps_what_is_done(ray_again, run_dir, lake, tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but no Parquet file PAR1")
    with pytest.raises(DataError, match=r"broken\.parquet"):
        score(run_dir, [lake / "a.parquet", broken], tmp_path / "out", engine="ray", workers=2)


@pytest.fixture
def ray_again():
    """Ray for one test; those before may have ended it."""
    import ray

    if not ray.is_initialized():
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1"
        )
    yield
    ray.shutdown()
