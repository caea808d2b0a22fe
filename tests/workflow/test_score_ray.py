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

from matinee.core.errors import DataError, NotAvailableError, RunError, SettingsError, StorageError
from matinee.data.lake_output import LakeOutput
from matinee.workflow import score, score_ray, train
from matinee.workflow.answering import hash_of
from matinee.workflow.cluster import Cluster, check_ray

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
    for size in (333, 10**9):
        monkeypatch.setattr(matinee.data.slices, "PIECE_BYTES", size)
        score(run_dir, lake / "b.jsonl", tmp_path / f"out{size}", shard_rows=7, engine="ray", workers=2)
        found.append(rows_of(tmp_path / f"out{size}"))
    assert found[0] == found[1]


def test_an_encoder_s_workers_say_to_rounding_what_one_process_says(ray, tiny_csv, tiny_encoder, tiny_rows, tmp_path):
    train(tiny_csv, encoder=str(tiny_encoder), run_dir=tmp_path / "run", test_size=24, epochs=1, max_length=64)
    (tmp_path / "texts.txt").write_text("\n".join(text for text, _ in tiny_rows), encoding="utf-8")
    for engine, more in (("local", {}), ("ray", {"workers": 2})):
        score(tmp_path / "run", tmp_path / "texts.txt", tmp_path / engine, shard_rows=50, engine=engine, **more)
    alone, many = (pq.read_table(tmp_path / engine) for engine in ("local", "ray"))
    assert many["text"].equals(alone["text"])
    # Texts are answered beside others, and with other threads: sums are made in another order.
    for name in ("probability_negative", "probability_positive", "score"):
        assert many[name].to_numpy() == pytest.approx(alone[name].to_numpy(), abs=1e-5)


def test_a_complete_job_is_not_done_again_and_another_does_not_take_its_place(
    ray, run_dir, lake, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    first = score(run_dir, lake / "a.parquet", out, shard_rows=50, engine="ray", workers=2)
    parts = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    again = score(run_dir, lake / "a.parquet", out, shard_rows=50, engine="ray", workers=2)
    assert (again.n_scored, again.n_before, again.seconds) == (first.n_scored, first.n_scored, 0)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")} == parts
    found = [
        None,
        LakeOutput.of(out, None).look(json.loads((out / "_score.json").read_text())["plan"], overwrite=False),
    ]
    with monkeypatch.context() as patch:  # another process completes it between the look and the lock
        patch.setattr(LakeOutput, "look", lambda *_, **__: found.pop(0))
        again = score(run_dir, lake / "a.parquet", out, shard_rows=50, engine="ray", workers=2)
    assert (again.n_before, again.seconds) == (first.n_scored, 0)
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
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # they know the server of an earlier test
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
        monkeypatch.setattr(score_ray, "cluster", None)  # what follows is found before Ray is started
        with pytest.raises(StorageError, match=r"Cannot write to s3://nobody/out/_notes: there is no such bucket"):
            score(run_dir, inputs, "s3://nobody/out/", engine="ray")
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
            if b"Scorer" in _command_of(entry) and _descends(int(entry.name), process.pid):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _command_of(entry):
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


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
    texts = [f"{text} {n}" for n in range(150) for text, _ in tiny_rows]
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
    deaf = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", deaf, *map(str, command)],  # with Ctrl-C ignored, as a script does in the background
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
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


def interrupted(process):
    """Press Ctrl-C, as a terminal does it: for all processes of the command. Return what it says, and the seconds it takes."""
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    return said, time.monotonic() - start


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker in /proc")
def test_stopped_and_killed_in_the_middle_nothing_is_lost_or_doubled(run_dir, many_reviews, tmp_path):
    out = tmp_path / "out"

    def noted():
        return {path.stem for path in out.glob("_notes/*.json")}

    def goes_on(process, n_before):
        assert until(lambda: len(noted()) > n_before + 1, process), process.communicate()

    stopped = started(run_dir, many_reviews, out)
    try:
        goes_on(stopped, 0)
        said, seconds = interrupted(stopped)
    finally:
        ended(stopped)
    assert stopped.returncode == 130, said
    assert f"Interrupted: what is finished stays in {out}. Run the same command again to go on." in said
    assert "Traceback" not in said
    assert seconds < 15
    kept = noted()
    assert 0 < len(kept) < 30
    parts = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*") if path.name[5:11] in kept}

    killed = started(run_dir, many_reviews, out)
    try:
        goes_on(killed, len(kept))
    finally:
        ended(killed)
    assert len(kept) < len(noted()) < 36

    with_a_killed_worker = started(run_dir, many_reviews, out)
    try:
        goes_on(with_a_killed_worker, len(noted()))
        os.kill(until(lambda: workers_of(with_a_killed_worker), with_a_killed_worker)[0], signal.SIGKILL)
        said, _ = with_a_killed_worker.communicate(timeout=120)
    finally:
        ended(with_a_killed_worker)
    assert with_a_killed_worker.returncode == 0, said
    assert "18,000 texts scored" in said
    assert parts.items() <= {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}.items()
    assert sorted(pq.read_table(out)["id"].to_pylist()) == list(range(18_000))
    assert sum(1 for _ in out.glob("part-*")) == 36
    assert json.loads((out / "_score.json").read_text())["completed"]["scored"] == 18_000


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
    if address == "auto" and any(b"gcs_server" in _command_of(entry) for entry in Path("/proc").glob("[0-9]*")):
        pytest.skip("somebody else's Ray runs here")
    with pytest.raises(NotAvailableError, match=rf"No Ray cluster answers at {address}: .*ray start --head"):
        score(run_dir, lake / "c.csv", tmp_path / "out", engine="ray", address=address)
    assert not (tmp_path / "out").exists()


def test_a_file_that_changes_ends_the_job_and_what_is_done_is_kept(ray_of_last, run_dir, lake, tmp_path, monkeypatch):
    import shutil

    other, cut = tmp_path / "other.parquet", score_ray._cut
    shutil.copy2(lake / "a.parquet", other)

    def cut_and_damaged(*arguments):
        found = cut(*arguments)
        other.write_bytes(b"PAR1 but no Parquet file PAR1")
        return found

    def scored():
        return score(run_dir, [lake / "a.parquet", other], tmp_path / "out", shard_rows=50, engine="ray", workers=1)

    with monkeypatch.context() as patch:
        patch.setattr(score_ray, "_cut", cut_and_damaged)
        with pytest.raises(DataError, match=r"other\.parquet has changed meanwhile: .*What is finished stays"):
            scored()
    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert {path.name for path in (tmp_path / "out" / "_notes").glob("*.json")} == {f"{n:06d}.json" for n in range(3)}
    shutil.copy2(lake / "a.parquet", other)
    result = scored()
    assert (result.n_before, result.n_scored, result.n_rejected) == (117, 234, 6)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert parts.items() <= after.items()
    assert len(after) == 6


def test_workers_that_do_not_see_the_output_say_so(ray_of_last, run_dir, lake, tmp_path, monkeypatch):
    begin = LakeOutput.begin
    monkeypatch.setattr(LakeOutput, "begin", lambda *a, **more: (begin(*a, **more)[0], "another"))
    with pytest.raises(
        SettingsError, match=r"The workers do not see .*out: use an address, or a drive that is mounted"
    ):
        score(run_dir, lake / "a.parquet", tmp_path / "out", engine="ray", workers=1)
    assert not list((tmp_path / "out").glob("part-*"))


def test_a_look_that_kills_its_workers_ends(ray_of_last, run_dir, lake, tmp_path, monkeypatch):
    def dies(number, *_):
        with (tmp_path / "tries").open("a") as file:
            file.write("|")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(score_ray, "_look", dies)
    with pytest.raises(RunError, match="A worker failed"):
        score(run_dir, lake / "a.parquet", tmp_path / "out", engine="ray", workers=1)
    assert (tmp_path / "tries").read_text() == "||||"


def test_an_address_that_is_not_asked_is_said(ray_of_last, run_dir, lake, tmp_path):
    with pytest.raises(
        SettingsError, match=r"--address 127.0.0.1:1: this process is connected to the Ray at \S+ already"
    ):
        score(run_dir, lake / "a.parquet", tmp_path / "out", engine="ray", address="127.0.0.1:1")


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_ray_address_is_checked_too(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(SettingsError, match=f"RAY_ADDRESS {address}: expected host:port"):
        check_ray(None, None)
    with pytest.raises(SettingsError, match="RAY_ADDRESS"):
        check_ray("auto", None)
    check_ray("head:6379", None)


def test_no_more_workers_than_accelerators():
    assert score_ray._workers_for("torch", Cluster(8, 2, 1, is_here=False), 100) == (2, 1)
    assert score_ray._workers_for("torch", Cluster(8, 2, 1, is_here=False), 1) == (1, 1)
    assert score_ray._workers_for("onnx", Cluster(8, 2, 1, is_here=False), 100) == (8, None)
    assert score_ray._workers_for("torch", Cluster(8, 0, 1, is_here=True), 100) == (8, None)


def test_what_killed_workers_leave_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(score_ray.tempfile, "tempdir", str(tmp_path))
    with score_ray._work_folder() as alive:
        dead = alive.with_name("work-dead")
        dead.mkdir()
        dead.with_suffix(".lock").touch()
        with score_ray._work_folder() as other:
            assert {path for path in alive.parent.iterdir() if path.is_dir()} == {alive, other}
        assert alive.is_dir()
    assert not list(alive.parent.iterdir())


def test_an_unpacked_classifier_is_held_to_its_hash(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(score_ray.tempfile, "tempdir", str(tmp_path))
    packed, mark = score_ray._packed(run_dir / "model"), hash_of(run_dir / "model")
    folder = score_ray._unpacked(packed, mark)
    assert hash_of(folder) == mark
    (folder / "matinee.json").write_text("{}")
    assert hash_of(score_ray._unpacked(packed, mark)) == mark
    folder.parent.rename(tmp_path / "elsewhere")
    folder.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is not this user's alone"):
        score_ray._unpacked(packed, mark)


@pytest.fixture(scope="module")
def ray_of_last():
    """Ray for the last tests; those before have ended it."""
    import ray

    ray.shutdown()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()
