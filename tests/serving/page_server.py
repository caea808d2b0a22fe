"""A small stand-in for the server, for tests of the page: the same interface, answers by a list of words, errors on demand."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "src" / "matinee" / "serving" / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# What a word adds to the log-odds of the last label.
WEIGHTS = {
    "warm": 1.1,
    "funny": 1.3,
    "wonderful": 2.0,
    "excellent": 1.8,
    "gladly": 0.7,
    "gorgeous": 1.2,
    "marvellous": 1.6,
}
WEIGHTS |= {"best": 1.2, "tender": 0.8, "smiling": 0.9, "enjoys": 0.6, "again": 0.2, "film": 0.05, "laughed": 0.5}
WEIGHTS |= {"dull": -1.9, "wooden": -1.2, "waste": -2.1, "mess": -1.5, "slow": -0.8, "stiff": -0.9, "no": -0.3}
WEIGHTS |= {"leaving": -0.6, "cartoon": -0.7, "long": -0.3, "nobody": -0.6, "sense": -0.1, "sequel": -0.3}
# The stand-in reads so many words.
N_READ = 400


@dataclass
class Behaviour:
    """What the server does; a test changes it while it runs.

    Attributes:
        forced: Answers to the next requests, by path: status, headers, body; None for the real one.
        delays: Seconds to wait before each of the next answers to `/predict`.
        refused: A text that is refused, with all that come in one request with it.
        requests: Path and body of all that came.
    """

    labels: tuple[str, ...] = ("negative", "positive")
    key: str = ""
    pause: float = 0.0
    refused: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    forced: dict[str, list[tuple[int, dict[str, str], Any] | None]] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)

    def sizes(self) -> list[int]:
        """Return how many texts each request to `/predict` held."""
        return [len(body["texts"]) for path, body in self.requests if path == "/predict"]


def words_of(text: str) -> list[dict[str, Any]]:
    """Return the words that are read, with their contributions to the last label."""
    found = list(re.finditer(r"[^\W_]+", text))[:N_READ]
    return [
        {"text": m[0], "start": m.start(), "end": m.end(), "contribution": WEIGHTS.get(m[0].lower(), 0.0)}
        for m in found
    ]


def probabilities_of(text: str, labels: tuple[str, ...]) -> dict[str, float]:
    """Return the last label's probability by its words; the others share what is left, the first most."""
    last = 1 / (1 + math.exp(-sum(word["contribution"] for word in words_of(text))))
    shares = [1 / 2**place for place in range(len(labels) - 1)]
    rest = [(1 - last) * share / sum(shares) for share in shares]
    return dict(zip(labels, [*rest, last], strict=True))


def predict(body: dict[str, Any], labels: tuple[str, ...]) -> dict[str, Any]:
    """Answer `/predict`."""
    predictions = []
    for text in body["texts"]:
        probabilities = probabilities_of(text, labels)
        label = max(probabilities, key=probabilities.__getitem__)
        score = probabilities[label]
        answer = "uncertain" if score < body.get("abstain_below", 0.0) else label
        predictions.append({"label": answer, "score": score, "probabilities": probabilities})
    return {"predictions": predictions}


def explain(body: dict[str, Any], labels: tuple[str, ...]) -> dict[str, Any]:
    """Answer `/explain`."""
    text = body["text"]
    probabilities = probabilities_of(text, labels)
    predicted = max(probabilities, key=probabilities.__getitem__)
    label = body.get("label") or predicted
    sign = 1 if label == labels[-1] else -1
    words = [{**word, "contribution": sign * word["contribution"]} for word in words_of(text)]
    sentences = []
    for match in re.finditer(r"[^.!?\n]+[.!?]*", text):
        inside = [word["contribution"] for word in words if match.start() <= word["start"] < match.end()]
        if inside:
            start = match.start() + len(match[0]) - len(match[0].lstrip())
            sentences.append({"text": text[start : match.end()], "start": start, "end": match.end()})
            sentences[-1]["contribution"] = sum(inside)
    said = {"text": text, "predicted": predicted, "label": label, "score": probabilities[label]}
    return {**said, "method": "integrated_gradients", "words": words, "sentences": sentences}


def model(behaviour: Behaviour) -> dict[str, Any]:
    """Answer `/model`."""
    metrics = {
        "accuracy": {"value": 0.8675, "low": 0.852, "high": 0.882},
        "f1": {"value": 0.866, "low": 0.85, "high": 0.881},
    }
    said: dict[str, Any] = {
        "name": "imdb-minilm",
        "labels": list(behaviour.labels),
        "encoder": "minilm",
        "backend": "openvino",
    }
    said |= {
        "precision": "int8",
        "max_length": 256,
        "metrics": {**metrics, "n": 2000},
        "report": True,
        "version": "0.1.0",
    }
    return {**said, "card": "# imdb-minilm\n\nTells praise from complaint.", **behaviour.model}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PageServer

    def do_GET(self) -> None:
        name = self.path.removeprefix("/static/")
        if self.path == "/":
            self._file("index.html")
        elif name != self.path and name in {path.name for path in PAGE.iterdir()}:
            self._file(name)
        elif self.path == "/model":
            self._api(lambda _: model(self.server.behaviour), None)
        elif self.path == "/report":
            self._api(lambda _: "<!doctype html><title>report</title>", None)
        else:
            self._answer(404, {}, {"error": f"There is nothing at {self.path}.", "code": "not_found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"/predict": predict, "/explain": explain}[self.path]
        self._api(lambda behaviour: answer(body, behaviour.labels), body)

    def _api(self, answer: Any, body: Any) -> None:
        behaviour = self.server.behaviour
        behaviour.requests.append((self.path, body))
        time.sleep(behaviour.delays.pop(0) if self.path == "/predict" and behaviour.delays else behaviour.pause)
        planned = behaviour.forced.get(self.path)
        forced = planned.pop(0) if planned else None
        if behaviour.key and self.headers.get("Authorization") != f"Bearer {behaviour.key}":
            self._answer(401, {}, {"error": "Send the key.", "code": "unauthorized"})
        elif forced:
            self._answer(*forced)
        elif behaviour.refused and behaviour.refused in (body or {}).get("texts", ()):
            self._answer(422, {}, {"error": "This text is not wanted here.", "code": "text_refused"})
        else:
            self._answer(200, {}, answer(behaviour))

    def _file(self, name: str) -> None:
        self._answer(200, {"Content-Type": TYPES[Path(name).suffix]}, (PAGE / name).read_bytes())

    def _answer(self, status: int, headers: dict[str, str], body: Any) -> None:
        is_json = isinstance(body, dict)
        data = body if isinstance(body, bytes) else (json.dumps(body) if is_json else body).encode()
        headers = {"Content-Type": "application/json" if is_json else "text/html", **headers}
        headers |= {"Content-Length": str(len(data)), "Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:  # the page has lost interest, as it may
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class PageServer(ThreadingHTTPServer):
    """The stand-in, at a free port of loopback; a context manager."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.behaviour = Behaviour()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
