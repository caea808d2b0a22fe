"""Files in stores and on this machine, and the output of a job that many machines write; see tests/workflow/test_score_ray.py."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import replace

import pyarrow as pa
import pytest

from matinee.core.errors import DataError, NotAvailableError, RunError, SettingsError, StorageError
from matinee.data import lake, rows, slices
from matinee.data.lake_output import Counted, LakeOutput
from matinee.data.streaming import Shard

PLAN = {"engine": "ray", "inputs": []}


@pytest.fixture
def s3(monkeypatch):
    """An S3 with one bucket, `lake`."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    lake._file_system.cache_clear()
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    system, _ = lake.file_system("s3://lake")
    system.mkdir("lake")
    yield system
    system.rm("lake", recursive=True)
    server.stop()
    lake._file_system.cache_clear()


# -- input ------------------------------------------------------------------------------------------------------------


def names(sources):
    return [source.name for source in sources]


def test_a_store_s_output_is_kept_apart_from_the_input(s3):
    s3.pipe({"lake/reviews/a.csv": b"text\nx\n", "lake/scored/part-000000-000.csv": b"text\nx\n"})
    for output in ("s3://lake/scored", "s3a://lake/scored/"):
        assert names(lake.find_sources(["s3://lake/**/*.csv"], output)) == ["s3://lake/reviews/a.csv"]
        assert names(lake.find_sources(["s3://lake/scored/*.csv", "s3a://lake/reviews/*"], output)) == [
            "s3://lake/reviews/a.csv"
        ]
        with pytest.raises(DataError, match="there is no file to read but what lies in the output"):
            lake.find_sources(["s3://lake/scored/*.csv"], output)
        with pytest.raises(DataError, match=r"s3://lake/scored/part-000000-000.csv is input and output at once"):
            lake.find_sources(["s3://lake/reviews/a.csv", "s3://lake/scored/part-000000-000.csv"], output)
    assert len(lake.find_sources(["s3://lake/scored/*.csv"], "s3://lake/scored-2")) == 1


def test_a_file_of_a_store_that_changed_is_not_read(s3):
    s3.pipe("lake/a.txt", b"one\n")
    source = lake.find_sources(["s3://lake/a.txt"], "s3://lake/out")[0]
    lake.check_unchanged(source)
    s3.pipe("lake/a.txt", b"two\n")
    with pytest.raises(DataError, match=r"s3://lake/a.txt has changed meanwhile"):
        lake.check_unchanged(source)


def test_a_file_with_two_names_is_read_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").symlink_to("a.txt")
    found = lake.find_sources(["a.txt", str(tmp_path / "a.txt"), "./*.txt", f"file://{tmp_path}/b.txt"], "out")
    assert names(found) == [str(tmp_path / "a.txt")]


def test_a_glob_that_finds_only_output_is_no_error_beside_other_input(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part.csv").write_text("text\nx\n")
    (tmp_path / "a.csv").write_text("text\nx\n")
    out = str(tmp_path / "out")
    assert names(lake.find_sources([f"{out}/*.csv", str(tmp_path / "a.csv")], out)) == [str(tmp_path / "a.csv")]
    with pytest.raises(DataError, match="there is no file to read but what lies in the output"):
        lake.find_sources([f"{out}/*.csv"], out)


@pytest.mark.parametrize("name", ["sftp://host/a.csv", "hdfs://host/a.csv", "https://host/a.csv", "nowhere://a.csv"])
def test_places_that_are_no_stores_are_refused(name):
    with pytest.raises(SettingsError, match=r"is no place that matinee reads; s3://, gs:// and abfs:// are"):
        lake.find_sources([name], "out")


def test_a_local_file_that_changed_is_not_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    source = lake.find_sources([str(path)], "out")[0]
    lake.check_unchanged(source)
    os.utime(path, (1, 1))
    with pytest.raises(DataError, match=r"a.txt has changed meanwhile"):
        lake.check_unchanged(source)
    path.unlink()
    with pytest.raises(DataError, match="There is no file"):
        lake.check_unchanged(source)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_that_is_far_too_long_is_copied_in_part_and_set_aside(tmp_path, monkeypatch, end):
    monkeypatch.setattr(lake, "_LONGEST_LINE", 400)
    monkeypatch.setattr(lake, "_LINE_PIECE", 64)
    monkeypatch.setattr(rows, "LONGEST", 100)
    lines = [*(f"line {n}" for n in range(30)), "x" * 5_050, "behind", "ü" * 90, "last"]
    path, copied = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_bytes(end.join([*lines, ""]).encode())
    source = lake.find_sources([str(path)], "out")[0]
    lake.copy_range(source, 0, source.size, copied)
    assert copied.stat().st_size < 1_500

    def read(name):
        file = rows.open_rows(name, replace(settings(), text_column="text"))
        return [
            (row.row, row.reason) if isinstance(row, rows.Rejected) else (row.number, row.text) for row in file.rows()
        ]

    assert read(copied) == read(path)
    assert len(read(copied)) == len(lines)


def settings():
    from matinee.core.schema import Layer, resolve

    return resolve(Layer({"text_column": None})).data


def test_pieces_of_a_text_file_hold_each_line_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lake, "_LINE_PIECE", 5)
    path = tmp_path / "a.txt"
    path.write_bytes(b"".join(b"%d %s\n" % (n, b"x" * (n % 13)) for n in range(60)))
    source = lake.find_sources([str(path)], "out")[0]
    for step in (1, 7, 100):
        found = b""
        for start in range(0, source.size, step):
            lake.copy_range(source, start, min(start + step, source.size), tmp_path / "piece")
            found += (tmp_path / "piece").read_bytes()
        assert found == path.read_bytes()


class _Store:
    """A store whose reading fails as it is told to."""

    def __init__(self, error):
        self.error, self.n_opened = error, 0

    def open(self, *_, **__):
        self.n_opened += 1
        if self.error is None:
            return io.BytesIO(b"a line\n" * 10)
        raise self.error


def at(monkeypatch, store):
    monkeypatch.setattr(lake, "file_system", lambda name: (store, name))
    monkeypatch.setattr(lake, "_PAUSES", (0.0, 0.0))
    return lake.Source("s3://lake/a.parquet", 70, {})


@pytest.mark.parametrize(
    "read",
    [
        lambda source, target: lake.copy_range(source, 0, 70, target),
        lambda source, target: lake.copy_start(source, 10, target),
        lambda source, target: slices._look_at_parquet(source, slices.Piece(0), settings()),
    ],
    ids=["a range", "the start", "Parquet"],
)
def test_a_store_that_does_not_answer_is_asked_again_and_then_named(tmp_path, monkeypatch, read):
    store = _Store(OSError(errno.EIO, "busy"))
    with pytest.raises(NotAvailableError, match=r"s3://lake/a.parquet cannot be read: .*busy"):
        read(at(monkeypatch, store), tmp_path / "copy")
    assert store.n_opened == 3


def test_a_full_disk_is_not_the_store_s_fault(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    class Target:
        def open(self, mode):
            return Full()

    store = _Store(None)
    with pytest.raises(StorageError, match=r"takes no more: .*No space left.* set TMPDIR"):
        lake.copy_range(at(monkeypatch, store), 0, 70, Target())
    assert store.n_opened == 1


# -- output -----------------------------------------------------------------------------------------------------------


def written(output, number, work, *, n_rows=3):
    """Write a slice and its note."""
    table = pa.table({"text": ["x"] * n_rows})
    part = output.write_part(number, 0, table, work)
    rejected = [rows.Rejected("a.csv", number, "no text", "")]
    return output.write_note(number, [part], [Shard(0, None, [], rejected, (0, 0), 0)], {"yes": n_rows})


@pytest.fixture
def output(tmp_path):
    return LakeOutput.of(tmp_path / "out", None)


def begun(output, *, division="d", overwrite=False, plan=PLAN):
    return output.begin(plan, division, output.look(plan, overwrite=overwrite), overwrite=overwrite)[0]


def finished(output, tmp_path, n_slices=3):
    counted = begun(output)
    for number in range(n_slices):
        counted.add(number, written(output, number, tmp_path))
    output.finish(PLAN, "d", counted, n_slices)


def test_only_slices_whose_parts_are_there_are_done(output, tmp_path):
    begun(output)
    for number in range(5):
        written(output, number, tmp_path)
    (tmp_path / "out" / "part-000001-000.parquet").unlink()
    (tmp_path / "out" / "part-000003-000.parquet").write_bytes(b"cut off")
    counted = begun(output)
    assert counted.slices == {0, 2, 4}
    assert (counted.scored, counted.rejected, counted.labels) == (9, 3, {"yes": 9})


@pytest.mark.parametrize("damage", ["unlink", "cut"])
def test_a_complete_job_whose_parts_are_gone_is_not_complete(output, tmp_path, damage):
    finished(output, tmp_path)
    assert output.look(PLAN, overwrite=False)["completed"]["scored"] == 9
    part = tmp_path / "out" / "part-000001-000.parquet"
    part.unlink() if damage == "unlink" else part.write_bytes(b"")
    with pytest.raises(RunError, match="was complete, and has been changed since.*--overwrite"):
        output.look(PLAN, overwrite=False)
    assert output.look(PLAN, overwrite=True) is None


def test_a_job_is_not_complete_without_its_notes_and_parts(output, tmp_path):
    counted = begun(output)
    counted.add(0, written(output, 0, tmp_path))
    with pytest.raises(RunError, match="lacks 1 of the 2 slices' notes"):
        output.finish(PLAN, "d", counted, 2)
    counted.add(1, written(output, 1, tmp_path))
    (tmp_path / "out" / "part-000000-000.parquet").unlink()
    with pytest.raises(RunError, match=r"lacks 1 of the 2 parts .*part-000000-000.parquet"):
        output.finish(PLAN, "d", counted, 2)
    assert "completed" not in output.look(PLAN, overwrite=False)


def test_a_kill_between_two_jobs_leaves_no_part_of_the_old_one(output, tmp_path, monkeypatch):
    finished(output, tmp_path)
    (tmp_path / "out" / ".part-000002-000-abc.parquet").write_bytes(b"a killed worker's")
    remove, removed = lake.remove, []

    def killed(folder, gone):
        if any(name.startswith("part-") for name in gone):
            raise KeyboardInterrupt
        remove(folder, gone)
        removed.extend(gone)

    other = {**PLAN, "shard_rows": 5}
    with monkeypatch.context() as patch:
        patch.setattr(lake, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            begun(output, overwrite=True, plan=other)
    assert ".part-000002-000-abc.parquet" in removed
    assert sum(1 for _ in (tmp_path / "out").glob("part-*")) == 3
    counted = begun(output, plan=other)
    assert counted == Counted()
    counted.add(0, written(output, 0, tmp_path))
    output.finish(other, "d", counted, 1)
    assert [path.name for path in (tmp_path / "out").glob("*part-*")] == ["part-000000-000.parquet"]
    assert output.look(other, overwrite=False)["completed"]["parts"] == 1


def test_slices_that_are_cut_in_another_way_are_not_taken_over(output, tmp_path):
    begun(output)
    written(output, 0, tmp_path)
    with pytest.raises(RunError, match=r"begun with the same files cut in another way.*--overwrite"):
        begun(output, division="e")
    assert begun(output, division="e", overwrite=True) == Counted()
    assert begun(output, division="e") == Counted()


def test_a_process_that_sees_another_folder_is_told_apart(output, tmp_path):
    _, word = output.begin(PLAN, "d", None, overwrite=False)
    assert output.is_seen(word)
    assert not LakeOutput.of(tmp_path / "elsewhere", None).is_seen(word)
    _, other = output.begin(PLAN, "d", output.look(PLAN, overwrite=False), overwrite=False)
    assert output.is_seen(other)
    assert not output.is_seen(word)


def test_a_cut_is_known_by_its_pieces_and_columns():
    schema = pa.schema([("text", pa.string())])
    cut = slices.Cut([], [[slices.Piece(0, 0, 5)]], [], schema, settings())
    assert cut.mark == replace(cut).mark
    assert cut.mark != replace(cut, slices=[[slices.Piece(0, 0, 6)]]).mark
    assert cut.mark != replace(cut, schema=schema.append(pa.field("stars", pa.int64()))).mark
