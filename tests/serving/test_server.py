"""The real server in a process of its own: clients of others, signals, addresses, whatever a fuzzer thinks of."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from matinee.model.artifact import ClassifierInfo, save_linear
from matinee.model.tfidf import fit_tfidf

MATINEE = [sys.executable, "-c", "from matinee.cli.main import main; main()"]


@pytest.fixture(scope="session")
def model(tmp_path_factory, tiny_rows):
    """A tf-idf classifier's folder."""
    texts, labels = [text for text, _ in tiny_rows], np.array([int(label == "positive") for _, label in tiny_rows])
    folder = tmp_path_factory.mktemp("served") / "reviews"
    save_linear(folder, fit_tfidf(texts, labels, 2, seed=0), ClassifierInfo("tfidf", "tfidf", ("negative", "positive")))
    return folder


class Server:
    """A server that runs."""

    def __init__(self, process, address, lines):
        self.process, self.address, self.lines = process, address, lines

    def says(self, text, seconds=30):
        """Return whether the server writes a text to its log, now or before long: an answer may come before its line."""
        until = time.monotonic() + seconds
        while text not in "".join(self.lines) and time.monotonic() < until:
            time.sleep(0.05)
        return text in "".join(self.lines)

    def get(self, path, **headers):
        request = urllib.request.Request(self.address + path, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read().decode()

    def post(self, path, body, **headers):
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path, data=data, headers={"Content-Type": "application/json", **headers}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())


@contextmanager
def serving(*arguments, **environment):
    """Run `matinee serve` at a free port until the block ends."""
    process = subprocess.Popen(
        [*MATINEE, "serve", *map(str, arguments), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **environment},
    )
    lines = []
    reading = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reading.start()
    said = process.stdout.readline()
    try:
        assert " at http://" in said, (said, process.wait(10), lines)
        yield Server(process, said.split(" at ")[1].split()[0], lines)
    finally:
        process.kill()
        process.wait()
        reading.join(10)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="module")
def server(model):
    with serving(model) as running:
        yield running


def test_the_client_of_hugging_face(server, monkeypatch):
    from huggingface_hub import InferenceClient, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # it would not even ask this machine; `_no_network` holds

    for address in (server.address, f"{server.address}/predict"):
        said = InferenceClient(address).text_classification("the film was wonderful and warm")
        assert [each.label for each in said] == ["positive", "negative"]
        assert said[0].score + said[1].score == pytest.approx(1)
    (said,) = InferenceClient(server.address).text_classification("the film was wonderful and warm", top_k=1)
    assert said.label == "positive"


def test_what_is_served_is_what_the_classifier_says(server, model, tiny_rows):
    import matinee

    texts = [text for text, _ in tiny_rows]
    said = server.post("/predict", {"texts": texts})["predictions"]
    expected = matinee.load(model).predict(texts)
    assert [each["label"] for each in said] == [each["label"] for each in expected]
    for each, own in zip(said, expected, strict=True):
        assert each["score"] == pytest.approx(own["score"], abs=1e-6)
    found = server.post("/explain", {"text": "the film was wonderful"})
    assert max(found["words"], key=lambda word: word["contribution"])["text"] == "wonderful"
    assert found["label"] == "positive"
    about = json.loads(server.get("/model"))
    assert (about["name"], about["encoder"], about["backend"]) == ("reviews", "tfidf", "linear")


def test_a_model_folder_that_vanishes_is_served_on(model, tmp_path):
    import shutil

    folder = shutil.copytree(model, tmp_path / "vanishes")
    with serving(folder) as server:
        shutil.rmtree(folder)
        assert server.post("/predict", {"texts": ["wonderful"]})["predictions"][0]["label"] == "positive"
        with pytest.raises(urllib.error.HTTPError) as caught:
            server.post("/explain", {"text": "wonderful"})
        assert caught.value.code == 503
        assert str(tmp_path) not in caught.value.read().decode()
        assert server.says(str(folder))
        assert server.post("/predict", {"texts": ["dreadful"]})["predictions"][0]["label"] == "negative"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_nothing_that_was_accepted(model, number):
    texts = ["the film was wonderful " * 4_000] * 100  # some seconds' work
    with serving(model) as server, ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(server.post, "/predict", {"texts": texts}) for _ in range(4)]
        end = time.monotonic() + 60
        while sum(_waiting(server)) <= 300:  # so all four were accepted
            assert time.monotonic() < end
            time.sleep(0.01)
        server.process.send_signal(number)
        for each in asked:
            said = each.result()["predictions"]
            assert [answer["label"] for answer in said] == ["positive"] * 100
        assert server.process.wait(60) == 0
        with pytest.raises(OSError, match="refused"):
            server.get("/health/live")
    assert not [line for line in server.lines if "Traceback" in line or "rror" in line]


def _waiting(server):
    return [
        float(line.split()[1]) for line in server.get("/metrics").splitlines() if line.startswith("matinee_waiting")
    ]


def test_connections_without_a_request_are_closed(model, tmp_path):
    """With a shorter patience than people are given."""
    code = (
        "from matinee.serving import server\n"
        "server._PatientHttp.patience = 0.2\n"
        "from matinee import serve\n"
        f"serve({str(model)!r}, port=0, ready=lambda address: print(' at', address, flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        host, port = process.stdout.readline().split("//")[1].strip().split(":")
        for begun in (
            b"",
            b"POST /predict HTTP/1.1\r\nHost: local",
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET",
        ):
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(begun)
                heard = b""
                while received := connection.recv(4096):
                    heard += received
                assert heard == b"" or heard.startswith(b"HTTP/1.1 200 OK")
        with urllib.request.urlopen(f"http://{host}:{port}/health/live", timeout=30) as response:
            assert response.status == 200
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()


def test_other_names_of_this_machine(model):
    with serving(model, "--host", "127.0.0.2", "--allow-host", "reviews.example") as server:
        assert server.address.startswith("http://127.0.0.2:")
        assert server.get("/health/live")
        assert server.get("/health/live", Host="reviews.example")
        with pytest.raises(urllib.error.HTTPError) as caught:
            server.get("/health/live", Host="evil.example")
        assert caught.value.code == 421
        caught.value.close()


def test_a_key_from_the_environment(model):
    with serving(model, "--api-key", MATINEE_API_KEY="only-for-friends") as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            server.post("/predict", {"texts": ["wonderful"]})
        assert caught.value.code == 401
        caught.value.close()
        said = server.post("/predict", {"texts": ["wonderful"]}, Authorization="Bearer only-for-friends")
        assert said["predictions"][0]["label"] == "positive"


def fails(*arguments, **environment):
    """Run `matinee serve` with what cannot work; return its one line."""
    done = subprocess.run(
        [*MATINEE, "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**{name: value for name, value in os.environ.items() if name != "MATINEE_API_KEY"}, **environment},
    )
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_port_that_is_in_use(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} is in use" in fails(model, "--port", port)


def test_what_cannot_be_served(model, tmp_path):
    assert "nowhere.invalid cannot be found" in fails(model, "--host", "nowhere.invalid")
    assert "no address of this machine" in fails(model, "--host", "192.0.2.1", "--port", "0")
    assert "--port must lie between" in fails(model, "--port", "70000")
    assert "MATINEE_API_KEY is not set" in fails(model, "--api-key")
    assert "at least 8 letters" in fails(model, MATINEE_API_KEY="short")
    assert "without spaces" in fails(model, MATINEE_API_KEY="long enough but with spaces")
    for origin in ("example.org", "https://example.org/"):
        assert "--cors takes origins" in fails(model, "--cors", origin)
    assert str(tmp_path / "none") in fails(tmp_path / "none", "--port", "0", "--offline")


def test_a_fuzzer_finds_no_accident_and_no_answer_that_is_not_documented(server, tmp_path):
    """Runs schemathesis' own program, so that its warnings and settings are its own."""
    program = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    done = subprocess.run(
        [*program, "run", f"{server.address}/openapi.json", "--max-examples", "50", "--seed", "1", "--no-color"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counted = {
        line.split()[0]: float(line.split()[1]) for line in server.get("/metrics").splitlines() if line[0] != "#"
    }
    for route in ("/predict", "/explain"):
        for status in (200, 422):
            assert counted[f'matinee_requests_total{{route="{route}",status="{status}"}}'] > 10
    assert "Traceback" not in "".join(server.lines)
