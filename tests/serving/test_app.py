"""The API: what it answers, and what it says to what it cannot answer."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from matinee.serving.app import PAGE, create_app
from matinee.serving.schemas import MOST_CHARACTERS, MOST_EXPLAINED, MOST_TEXTS

LOCAL = "http://localhost"
KEY = "a-long-enough-key"


@pytest.fixture
def client(served):
    with TestClient(create_app(served), base_url=LOCAL) as client:
        yield client


def error_of(response, status, code):
    assert response.status_code == status, response.text
    said = response.json()
    assert said.keys() == {"error", "code"}
    assert said["code"] == code
    assert "\n" not in said["error"]
    return said["error"]


def test_texts_are_labelled_in_their_order(client):
    response = client.post("/predict", json={"texts": ["good", "bad bad", "neither"]})
    assert response.status_code == 200
    said = response.json()["predictions"]
    assert [each["label"] for each in said] == ["positive", "negative", "negative"]
    assert said[0] == {
        "label": "positive",
        "score": 0.833333,
        "probabilities": {"negative": 0.166667, "positive": 0.833333},
    }


def test_a_classifier_that_is_not_sure_may_abstain(client):
    response = client.post("/predict", json={"texts": ["good", "good bad"], "abstain_below": 0.8})
    assert [each["label"] for each in response.json()["predictions"]] == ["positive", "uncertain"]
    assert response.json()["predictions"][1]["score"] == 0.5


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_the_hugging_face_shape(client, path):
    one = [{"label": "positive", "score": 0.833333}, {"label": "negative", "score": 0.166667}]
    assert client.post(path, json={"inputs": "good"}).json() == [one]
    assert client.post(path, json={"inputs": ["good", "good"]}).json() == [one, one]
    assert client.post(path, json={"inputs": "good", "parameters": {"top_k": 1}}).json() == [one[:1]]


def test_odd_texts_are_answered(client):
    texts = [
        "",
        "\x00",
        "good\x00",
        "\U0001f600" * 100,
        "<script>alert(1)</script>",
        "=1+1",
        "\u202egood",
        "a" * MOST_CHARACTERS,
    ]
    response = client.post("/predict", json={"texts": texts})
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == len(texts)


def test_half_a_character_is_replaced(client, predictor):
    headers = {"Content-Type": "application/json"}
    response = client.post("/predict", content=r'{"texts": ["good \ud83d", "\ud83d\ude00"]}', headers=headers)
    assert response.status_code == 200
    assert predictor.asked == [["good \ufffd", "\U0001f600"]]
    assert client.post("/explain", content=r'{"text": "good \ud83d"}', headers=headers).json()["text"] == "good \ufffd"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"texts": []}, "no_texts", "texts: give at least one text"),
        ({"texts": ["a"] * (MOST_TEXTS + 1)}, "too_many_texts", "texts: at most 1,000 texts at once, got 1,001"),
        ({"texts": ["a", "a" * (MOST_CHARACTERS + 1)]}, "text_too_long", "texts[1]: at most 100,000 characters"),
        ({"texts": ["a", 3]}, "invalid", "texts[1]: must be a string"),
        ({"texts": ["a", None]}, "invalid", "texts[1]: must be a string"),
        ({"texts": "a"}, "invalid", "texts: must be a list of strings"),
        ({}, "invalid", "texts: is missing"),
        ({"texts": ["a"], "labels": []}, "invalid", "labels: is not known here"),
        ({"texts": ["a"], "{0}": []}, "invalid", "{0}: is not known here"),
        ({"texts": ["a"], "abstain_below": 1}, "invalid", "abstain_below: Input should be less than 1"),
        ({"inputs": []}, "no_texts", "inputs: give at least one text"),
        ({"inputs": ["a", 3]}, "invalid", "inputs[1]: must be a string"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, "invalid", "parameters.top_k: Input should be greater"),
        ({"inputs": "a", "parameters": {"function_to_apply": "none"}}, "invalid", "parameters.function_to_apply: "),
        ([1], "invalid", "body: "),
        ("a", "invalid", "body: "),
        (None, "invalid", "body: "),
    ],
)
def test_a_wrong_body_is_told_what_is_wrong_with_it(client, body, code, words):
    message = error_of(
        client.post("/predict", content=json.dumps(body), headers={"Content-Type": "application/json"}), 422, code
    )
    assert message.startswith(words)


@pytest.mark.parametrize("content", [b"", b"{", b'{"texts": ["a"', b"\xff\xfe", b'{"texts": NaN}x'])
def test_what_is_no_json_is_told_so(client, content):
    response = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    if content:
        error_of(response, 400, "malformed_json")
    else:
        error_of(response, 422, "invalid")


def test_a_body_that_is_not_declared_as_json_is_not_read(client, predictor):
    error_of(
        client.post("/predict", content=b'{"texts": ["a"]}', headers={"Content-Type": "text/plain"}), 415, "not_json"
    )
    error_of(client.post("/predict", data={"texts": "a"}), 415, "not_json")
    assert predictor.asked == []


def test_a_body_of_fifty_megabytes_is_refused_said_or_not(client, predictor):
    headers = {"Content-Type": "application/json"}
    error_of(client.post("/predict", content=b" " * 50_000_000, headers=headers), 413, "body_too_large")
    chunks = (b" " * 1_000_000 for _ in range(50))
    error_of(client.post("/predict", content=chunks, headers=headers), 413, "body_too_large")
    assert predictor.asked == []


def test_a_text_is_explained_for_the_answer_or_the_label_asked_for(client):
    said = client.post("/explain", json={"text": "a good film"}).json()
    assert (said["predicted"], said["label"], said["score"]) == ("positive", "positive", 0.833333)
    assert said["words"][1] == {"text": "good", "start": 2, "end": 6, "contribution": 1.0}
    other = client.post("/explain", json={"text": "a good film", "label": "negative"}).json()
    assert (other["predicted"], other["label"], other["score"]) == ("positive", "negative", 0.166667)
    assert other["words"][1]["contribution"] == -1.0


def test_what_cannot_be_explained(client, caplog):
    assert "negative, positive" in error_of(
        client.post("/explain", json={"text": "a", "label": "x"}), 422, "unknown_label"
    )
    error_of(client.post("/explain", json={"text": "a" * (MOST_EXPLAINED + 1)}), 422, "text_too_long")
    response = client.post("/explain", json={"text": "gone"})
    assert "runs/gone" not in error_of(response, 503, "not_available")
    assert "There is no classifier in runs/gone." in caplog.text
    assert response.headers["Retry-After"] == "60"


def test_what_answers_here(client, served):
    said = client.get("/model").json()
    assert said == {**served.about, "metrics": {**served.about["metrics"], "f1": None}}
    assert client.get("/health/live").json() == client.get("/health/ready").json() == {"status": "ok"}
    assert client.get("/report").text.startswith("<!doctype html>")


def test_a_report_that_vanished(client, served):
    served.report.unlink()
    assert "matinee report" in error_of(client.get("/report"), 404, "no_report")


def test_unknown_addresses_and_methods(client):
    error_of(client.get("/nothing"), 404, "not_found")
    response = client.get("/predict")
    error_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "name",
    [
        "..%2fapp.py",
        "%2e%2e/app.py",
        "../app.py",
        "app.py",
        "index.html%00",
        "page/index.html",
        "",
        "C:%5Cx",
        "%2Fetc%2Fpasswd",
    ],
)
def test_path_tricks_lead_nowhere(client, name):
    assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("name", PAGE)
def test_the_page_is_sent_with_a_policy_that_allows_nothing_from_elsewhere(client, name):
    response = client.get(f"/static/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == PAGE[name].split(";")[0]
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe-inline" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_reference_shows_every_route_and_needs_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "<script" not in page
    assert "//" not in page.replace(f"{LOCAL}/", "")
    assert "<code>{&quot;texts&quot;: [...]}</code>" in page
    forged = client.get("/docs", headers={"Host": "localhost:<script>"})
    assert "<script" not in forged.text


def test_a_million_fields_are_refused_without_naming_them(client):
    fields = {"texts": ["a"], **{str(i): 1 for i in range(100_000)}}
    assert "at most 20 fields" in error_of(client.post("/predict", json=fields), 422, "invalid")
    assert "at most 20 fields" in error_of(client.post("/explain", json={**fields, "text": "a"}), 422, "invalid")
    label = error_of(client.post("/explain", json={"text": "a", "label": "x" * 100_000}), 422, "text_too_long")
    assert len(label) < 200


def test_json_that_nests_without_end(client):
    content = b'{"texts": ' + b"[" * 200_000
    error_of(
        client.post("/predict", content=content, headers={"Content-Type": "application/json"}), 400, "malformed_json"
    )


def test_a_threshold_decides_in_both_shapes(served, predictor):
    predictor.threshold = 0.9
    with TestClient(create_app(served), base_url=LOCAL) as client:
        assert client.post("/predict", json={"texts": ["good"]}).json()["predictions"][0]["label"] == "negative"
        ((first, second),) = client.post("/predict", json={"inputs": "good"}).json()
    assert (first["label"], second["label"]) == ("negative", "positive")
    assert first["score"] < second["score"]


def test_the_report_is_kept_apart_from_the_page(client):
    policy = client.get("/report").headers["content-security-policy"]
    assert "sandbox" in policy
    assert "allow-same-origin" not in policy


# -- who may come in --------------------------------------------------------------------------------------------------


def test_without_the_key_nothing_is_answered(served, predictor):
    with TestClient(create_app(served, key=KEY), base_url=LOCAL) as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": KEY},
            {"Authorization": f"Basic {KEY}"},
            {"Authorization": "Bearer ü"},
        ):
            for method, path in (
                ("POST", "/predict"),
                ("POST", "/"),
                ("POST", "/explain"),
                ("GET", "/model"),
                ("GET", "/metrics"),
                ("GET", "/report"),
                ("GET", "/nothing"),
            ):
                raw = {name: value.encode("latin-1") for name, value in headers.items()}
                response = client.request(
                    method, path, json={"texts": ["a"]} if method == "POST" else None, headers=raw
                )
                error_of(response, 401, "unauthorized")
                assert response.headers["WWW-Authenticate"] == "Bearer"
        assert predictor.asked == []
        for path in ("/", "/health/live", "/health/ready", "/docs", "/openapi.json", "/static/app.js"):
            assert client.get(path).status_code == 200
        assert (
            client.post("/predict", json={"texts": ["a"]}, headers={"Authorization": f"Bearer {KEY}"}).status_code
            == 200
        )


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "", "localhost@evil.example"]
)
def test_names_that_were_pointed_here_get_nothing(client, served, host):
    error_of(client.get("/model", headers={"Host": host}), 421, "wrong_host")
    with TestClient(create_app(served, hosts=None), base_url=LOCAL) as other:
        assert other.get("/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_names_of_this_machine(client, host):
    assert client.get("/model", headers={"Host": host}).status_code == 200


def test_other_origins_may_call_only_where_they_are_named(client, served):
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/predict", headers=headers).headers
    assert "access-control-allow-origin" not in client.get("/model", headers=headers).headers
    with TestClient(create_app(served, origins=["https://example.org"]), base_url=LOCAL) as other:
        assert (
            other.options("/predict", headers=headers).headers["access-control-allow-origin"] == "https://example.org"
        )
        assert (
            "access-control-allow-origin" not in other.get("/model", headers={"Origin": "https://evil.example"}).headers
        )


# -- under load and after accidents -----------------------------------------------------------------------------------


def test_requests_of_several_clients_are_computed_together(client, predictor):
    predictor.may_answer.clear()
    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(client.post, "/predict", json={"texts": ["good"]})
        _until(lambda: predictor.asked)
        others = [threads.submit(client.post, "/predict", json={"texts": ["bad"] * (i + 1)}) for i in range(8)]
        _until(lambda: "matinee_waiting_texts 36.0" in client.get("/metrics").text)
        predictor.may_answer.set()
        answered = [other.result().json()["predictions"] for other in [first, *others]]
    assert [len(said) for said in answered] == [1, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [len(texts) for texts in predictor.asked] == [1, 36]


def test_a_full_queue_says_when_to_come_again(served, predictor):
    with TestClient(create_app(served, most_waiting=2), base_url=LOCAL) as client, ThreadPoolExecutor(2) as threads:
        predictor.may_answer.clear()
        under_way = threads.submit(client.post, "/predict", json={"texts": ["good"]})
        _until(lambda: predictor.asked)
        waiting = threads.submit(client.post, "/predict", json={"texts": ["good", "bad"]})
        _until(lambda: "matinee_waiting_texts 2.0" in client.get("/metrics").text)
        response = client.post("/predict", json={"texts": ["one more"]})
        error_of(response, 429, "too_busy")
        assert int(response.headers["Retry-After"]) >= 1
        assert error_of(client.get("/health/ready"), 503, "not_ready")
        assert client.get("/health/live").status_code == 200
        predictor.may_answer.set()
        assert under_way.result().status_code == waiting.result().status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_an_accident_is_one_line_and_the_next_request_is_answered(client, caplog):
    caplog.set_level(logging.INFO, "matinee")
    response = client.post("/predict", json={"texts": ["break the classifier"]})
    assert "ZeroDivisionError" in error_of(response, 500, "internal")
    assert response.headers["X-Request-ID"] in caplog.text
    assert "secret" not in caplog.text + response.text
    assert client.post("/predict", json={"texts": ["good"]}).status_code == 200


def test_the_log_has_a_line_of_json_for_each_request_and_no_text(client, caplog):
    caplog.set_level(logging.INFO, "matinee")
    response = client.post("/predict", json={"texts": ["a private review"] * 3}, headers={"X-Request-ID": "mine-1"})
    assert response.headers["X-Request-ID"] == "mine-1"
    (line,) = [json.loads(record.message) for record in caplog.records if record.message.startswith("{")]
    assert line.pop("ms") >= 0
    assert line == {"request": "mine-1", "method": "POST", "route": "/predict", "status": 200, "n_texts": 3}
    assert "private" not in caplog.text
    forged = client.get("/private/address", headers={"X-Request-ID": 'x"}\n{"'.replace("\n", "")})
    assert forged.headers["X-Request-ID"].isalnum()
    assert "private" not in caplog.text


def test_metrics_count_texts_and_requests(client):
    for _ in range(2):
        client.post("/predict", json={"texts": ["good", "bad"]})
    client.get("/who/knows")
    said = client.get("/metrics").text.splitlines()
    assert "matinee_texts_total 4.0" in said
    assert 'matinee_requests_total{route="/predict",status="200"} 2.0' in said
    assert 'matinee_requests_total{route="other",status="404"} 1.0' in said


def test_explaining_does_not_keep_answers_waiting(served):
    may_explain, explaining = threading.Event(), threading.Event()

    def slow(text, label):
        explaining.set()
        assert may_explain.wait(20)
        return served.explain(text, label)

    with (
        TestClient(create_app(replace(served, explain=slow)), base_url=LOCAL) as client,
        ThreadPoolExecutor(12) as threads,
    ):
        asked = [threads.submit(client.post, "/explain", json={"text": "good"}) for _ in range(9)]
        assert explaining.wait(20)
        assert client.post("/predict", json={"texts": ["good"]}).status_code == 200
        _until(lambda: any(each.done() for each in asked))
        may_explain.set()
        statuses = sorted(each.result().status_code for each in asked)
    assert statuses == [200] * 8 + [429]


def _until(condition, seconds=20):
    waiting = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it never came true")
