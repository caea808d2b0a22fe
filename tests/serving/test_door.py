"""Slow clients, clients that go away, and slow or endless bodies, as the application sees them."""

from __future__ import annotations

import asyncio
import json

import pytest

import matinee.serving.door as door_module
from matinee.serving.app import create_app
from matinee.serving.door import Door
from matinee.serving.metrics import ServerMetrics

BODY = json.dumps({"texts": ["good"]}).encode()


def scope_of(path="/predict", method="POST"):
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


class Client:
    """Sends messages, then nothing more until it goes away."""

    def __init__(self, *messages):
        self.messages, self.gone, self.heard = list(messages), asyncio.Event(), []

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.heard.append(message)

    @property
    def status(self):
        return self.heard[0]["status"]


def chunk(body, *, more):
    return {"type": "http.request", "body": body, "more_body": more}


async def started(app):
    """Start an application; return what stops it."""
    told, heard = asyncio.Queue(), asyncio.Queue()
    told.put_nowait({"type": "lifespan.startup"})
    life = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, told.get, heard.put))
    assert (await heard.get())["type"] == "lifespan.startup.complete"

    async def stop():
        told.put_nowait({"type": "lifespan.shutdown"})
        assert (await heard.get())["type"] == "lifespan.shutdown.complete"
        await life

    return stop


def test_a_body_that_does_not_arrive_is_given_up():
    async def main():
        client = Client(chunk(b'{"texts"', more=True))
        door = Door(None, metrics=ServerMetrics(), routes=["/predict"], body_seconds=0.05)
        await door(scope_of(), client.receive, client.send)
        assert client.status == 408
        assert json.loads(client.heard[1]["body"])["code"] == "too_slow"
        assert 'status="408"' in door.metrics.text().decode()

    asyncio.run(main())


def test_an_endless_body_is_read_no_further_than_the_limit():
    async def main():
        client = Client(*(chunk(b" " * 40, more=True) for _ in range(1_000)))
        await Door(None, metrics=ServerMetrics(), routes=[], most_bytes=100)(scope_of(), client.receive, client.send)
        assert client.status == 413
        assert len(client.messages) == 997

    asyncio.run(main())


def test_who_goes_away_while_sending_disturbs_nobody():
    async def main():
        client = Client(chunk(b"{", more=True))
        client.gone.set()
        await Door(None, metrics=ServerMetrics(), routes=[])(scope_of(), client.receive, client.send)
        assert client.status == 400

    asyncio.run(main())


@pytest.mark.parametrize("goes", [True, False])
def test_what_a_client_waited_for_is_not_computed_once_it_has_gone(served, predictor, goes):
    async def main():
        app = create_app(served)
        stop = await started(app)
        predictor.may_answer.clear()
        first, other = Client(chunk(BODY, more=False)), Client(chunk(BODY.replace(b"good", b"bad"), more=False))
        under_way = asyncio.create_task(app(scope_of(), first.receive, first.send))
        async with asyncio.timeout(20):
            while not predictor.asked:
                await asyncio.sleep(0.001)
        waiting = asyncio.create_task(app(scope_of(), other.receive, other.send))
        await asyncio.sleep(0.05)
        if goes:
            other.gone.set()
            await waiting
        predictor.may_answer.set()
        await under_way
        await waiting
        await stop()
        assert first.status == 200
        assert other.status == (499 if goes else 200)
        assert predictor.asked == ([["good"]] if goes else [["good"], ["bad"]])

    asyncio.run(main())


def test_all_bodies_together_are_bounded(monkeypatch):
    monkeypatch.setattr(door_module, "MOST_BYTES_AT_ONCE", 100)

    async def main():
        door = Door(None, metrics=ServerMetrics(), routes=[])
        slow = Client(chunk(b" " * 60, more=True))
        waiting = asyncio.create_task(door(scope_of(), slow.receive, slow.send))
        await asyncio.sleep(0.01)
        other = Client(chunk(b" " * 60, more=False))
        await door(scope_of(), other.receive, other.send)
        assert other.status == 429
        slow.gone.set()
        await waiting
        assert (door.n_bytes, door.n_requests) == (0, 0)

    asyncio.run(main())


def test_too_many_requests_at_once(monkeypatch):
    monkeypatch.setattr(door_module, "MOST_REQUESTS", 1)

    async def main():
        door = Door(None, metrics=ServerMetrics(), routes=[])
        slow, other = Client(chunk(b"{", more=True)), Client(chunk(b"{", more=False))
        waiting = asyncio.create_task(door(scope_of(), slow.receive, slow.send))
        await asyncio.sleep(0.01)
        await door(scope_of(), other.receive, other.send)
        assert other.status == 503
        slow.gone.set()
        await waiting

    asyncio.run(main())


def test_what_is_given_up_when_the_server_stops_is_told_so(served, predictor):
    async def main():
        app = create_app(served)
        stop = await started(app)
        predictor.may_answer.clear()
        client = Client(chunk(BODY, more=False))
        under_way = asyncio.create_task(app(scope_of(), client.receive, client.send))
        async with asyncio.timeout(20):
            while not predictor.asked:
                await asyncio.sleep(0.001)
        under_way.cancel()
        await under_way
        assert client.status == 503
        assert json.loads(client.heard[1]["body"])["code"] == "stopping"
        predictor.may_answer.set()
        await stop()

    asyncio.run(main())
