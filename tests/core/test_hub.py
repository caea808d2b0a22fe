from __future__ import annotations

import errno
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from huggingface_hub import constants, errors

from matinee.core import hub
from matinee.core.errors import NotAvailableError, StorageError


@pytest.fixture(autouse=True)
def online(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub._probe.cache_clear()
    yield
    hub.set_offline(False)
    hub._probe.cache_clear()


class FakeHub:
    """A hub on this machine that answers every request with one status and counts them."""

    def __init__(self, status: int) -> None:
        fake = self
        self.requests = 0

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                fake.requests += 1
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def fake_hub(monkeypatch):
    started = []

    def start(status):
        started.append(FakeHub(status))
        monkeypatch.setattr(constants, "ENDPOINT", started[-1].url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return started[-1]

    yield start
    for fake in started:
        fake.server.shutdown()
        fake.server.server_close()


@pytest.mark.parametrize(("status", "reachable"), [(200, True), (401, True), (404, True), (403, False), (503, False)])
def test_one_request_decides(fake_hub, status, reachable):
    fake = fake_hub(status)
    assert hub.hub_reachable() is reachable
    assert hub.hub_reachable() is reachable
    assert fake.requests == 1


def test_nobody_there_is_quickly_known(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    assert not hub.hub_reachable()
    assert time.monotonic() - begun < hub.PROBE_SECONDS + 1


def test_a_hanging_name_server_costs_the_timeout_only(monkeypatch):
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(hub, "_ask", lambda endpoint, answers: time.sleep(1))
    begun = time.monotonic()
    assert not hub.hub_reachable()
    assert time.monotonic() - begun < 0.8


def test_offline_asks_nobody(fake_hub, monkeypatch):
    fake = fake_hub(200)
    hub.set_offline(True)
    assert not hub.hub_reachable()
    with pytest.raises(NotAvailableError, match="--offline"):
        hub.download_snapshot("user/name", "model", ["*.json"])
    hub.set_offline(False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not hub.hub_reachable()
    assert fake.requests == 0


def fill_cache(root, repo, files, commit="c" * 40, revision="main"):
    """Lay out files as the hub library does: blobs, and links to them below snapshots/<commit>."""
    base = root / repo
    (base / "blobs").mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / revision).write_text(commit)
    for number, (name, data) in enumerate(files.items()):
        (base / "blobs" / f"{number:040}").write_bytes(data)
        link = base / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(base / "blobs" / f"{number:040}", link.parent))
    return base / "snapshots" / commit


def test_the_cache_is_read_without_network(tmp_path):
    hub.set_offline(True)
    snapshot = fill_cache(tmp_path / "hub", "models--user--name", {"config.json": b"{}", "sub/model.safetensors": b"x"})
    assert hub.cached_snapshot("user/name", "model", ["*.json"]) == snapshot
    assert hub.cached_snapshot("user/name", "model", ["*.safetensors"]) == snapshot
    assert hub.cached_snapshot("user/name", "model", ["*.json"], required=["*.json", "*.safetensors"]) == snapshot


def test_what_the_cache_lacks_is_none(tmp_path):
    fill_cache(tmp_path / "hub", "models--user--name", {"config.json": b"{}"})
    assert hub.cached_snapshot("user/name", "model", ["*.safetensors"]) is None
    assert hub.cached_snapshot("user/name", "model", ["*.json"], required=["*.safetensors"]) is None
    assert hub.cached_snapshot("user/name", "model", ["*.json"], revision="other") is None
    assert hub.cached_snapshot("user/other", "model", ["*.json"]) is None
    assert hub.cached_snapshot("not an id", "model", ["*.json"]) is None


def _response_error(kind):
    # Without its constructor, which wants a response of whichever HTTP library this hub library uses.
    return kind.__new__(kind, "no")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (_response_error(errors.RepositoryNotFoundError), "no model 'user/name'"),
        (_response_error(errors.GatedRepoError), "asks for permission"),
        (_response_error(errors.RevisionNotFoundError), "no revision 'v2'"),
        (errors.HFValidationError("bad"), "not a hub id"),
        (errors.LocalEntryNotFoundError("many\nlines"), "could not be downloaded"),
        (ConnectionError("host:443"), r"could not be downloaded from the hub \(ConnectionError\)"),
    ],
)
def test_every_failure_is_one_line(fake_hub, monkeypatch, error, said):
    fake_hub(200)

    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(NotAvailableError, match=said) as raised:
        hub.download_snapshot("user/name", "model", ["*.json"], revision="v2")
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_a_storage_error(fake_hub, monkeypatch):
    fake_hub(200)

    def fail(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(StorageError, match="no space left"):
        hub.download_snapshot("user/name", "model", ["*.json"])


def test_our_bar_is_shown_and_theirs_is_not(fake_hub, monkeypatch, capfd):
    fake_hub(200)

    def download(*_arguments, tqdm_class, **_options):
        with tqdm_class(total=2, desc="theirs") as bar:
            bar.update(2)
        return "/folder"

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert str(hub.download_snapshot("user/name", "model", ["*.json"])) == "/folder"
    assert "theirs" not in capfd.readouterr().err


def test_a_folder_that_vanishes_while_it_is_measured_counts_nothing(tmp_path, monkeypatch):
    """As pip's own temporary folders do beside our progress bar."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "wheel").write_bytes(b"12345")
    (tmp_path / "gone").mkdir()
    scandir = os.scandir

    def vanishing(path="."):
        if str(path).endswith("gone"):
            raise FileNotFoundError(errno.ENOENT, "gone", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert hub.folder_size(tmp_path) == 5
