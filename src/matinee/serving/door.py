"""The door of the server: what every request passes before a route sees it.

Who may come in (host, key), how much they may bring (a whole body of bounded size, in bounded time), and a line in the log and in the
metrics for each: its id, route, status and time, never a text.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

from matinee.serving.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from matinee.serving.metrics import ServerMetrics

logger = logging.getLogger(__name__)

MOST_BYTES = 10_000_000
"""Of a request's body."""

BODY_SECONDS = 30.0
"""In which a request's body must arrive."""

# The page and the health checks need no key: the page asks for it, and holds nothing that is secret.
_OPEN = {"/", "/docs", "/openapi.json", "/health/live", "/health/ready"}
_OPEN_BELOW = "/static/"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of this machine for itself."""

MOST_REQUESTS = 1_000
"""Requests under way."""

MOST_BYTES_AT_ONCE = 200_000_000
"""Of all bodies under way together."""


class Door:
    """Wraps the application.

    Args:
        app: It.
        metrics: Told of every request.
        routes: Paths that are named in log and metrics; others are `other`, so that nobody can fill them with names.
        key: What must be sent as `Authorization: Bearer KEY`; None: nothing.
        hosts: Names that it answers to, so that a page of another host that has its name point here (DNS rebinding) gets nothing;
            None: all.
        most_bytes: Of a body.
        body_seconds: In which a body must arrive.
        debug: Log the traceback of what nobody expected: it may hold texts.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: ServerMetrics,
        routes: Iterable[str],
        key: str | None = None,
        hosts: Collection[str] | None = LOCAL_HOSTS,
        most_bytes: int = MOST_BYTES,
        body_seconds: float = BODY_SECONDS,
        debug: bool = False,
    ) -> None:
        self.app, self.metrics, self.key, self.hosts = app, metrics, key, hosts
        self.routes = set(routes)
        self.n_requests, self.n_bytes = 0, 0
        self.most_bytes, self.body_seconds, self.debug = most_bytes, body_seconds, debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        given = _headers(scope)
        wished = given.get("x-request-id", "")
        name = wished if _ID.fullmatch(wished) else uuid.uuid4().hex

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode()), *_SAFE]
            await send(message)

        self.n_requests += 1
        held = _Held(self)
        try:
            try:
                self._check(scope, given)
                receive = await self._with_body(scope, given, receive, held)
            except RequestError as error:
                await error.send(send_named)
            else:
                await self.app(scope, receive, send_named)
        except asyncio.CancelledError:
            if not status:  # the server stops, and this took too long
                await RequestError(503, "stopping", "The server was stopped: ask again.", 5).send(send_named)
        except Exception as error:
            kind = type(error).__name__
            logger.error(f"Unexpected {kind} in request {name}", exc_info=error if self.debug else None)  # noqa: TRY400
            if not status:
                await RequestError(500, "internal", f"Unexpected {kind}: see the server's log.").send(send_named)
        finally:
            self.n_requests -= 1
            held.release()
            self._count(scope, name, status, time.perf_counter() - start)

    def _count(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        path = scope["path"]
        route = "/static" if path.startswith(_OPEN_BELOW) else path if path in self.routes else "other"
        status = status or 499  # nobody was there any more to hear the answer
        self.metrics.answered(route, status, seconds)
        said = {
            "request": name,
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
        }
        logger.info(json.dumps(said | scope.get("state", {}).get("said", {})))

    def _check(self, scope: Scope, given: dict[str, str]) -> None:
        """Raise RequestError if the request may not come in."""
        if self.n_requests > MOST_REQUESTS:
            raise RequestError(503, "too_busy", "Too many requests are under way; try again in 1 s.", 1)
        host = re.sub(r":\d*$", "", given.get("host", "").lower())
        if self.hosts is not None and host not in self.hosts:
            raise RequestError(
                421,
                "wrong_host",
                "This server does not answer to that name: ask for localhost, or start it with --allow-host NAME.",
            )
        path = scope["path"]
        is_open = scope["method"] == "OPTIONS" or (
            scope["method"] in {"GET", "HEAD"} and (path in _OPEN or path.startswith(_OPEN_BELOW))
        )
        if self.key is None or is_open:
            return
        scheme, _, sent = given.get("authorization", "").partition(" ")
        right = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), self.key.encode("utf-8", "replace"))
        if scheme.lower() != "bearer" or not right:
            raise RequestError(401, "unauthorized", "Send the server's key as 'Authorization: Bearer KEY'.")

    async def _with_body(self, scope: Scope, given: dict[str, str], receive: Receive, held: _Held) -> Receive:
        """Read the whole body, and return what gives it to the application.

        Raises:
            RequestError: It is too large or too slow, there are too many others, or its client went away.
        """
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return receive
        said = given.get("content-length", "")
        if said.isdigit() and int(said) > self.most_bytes:
            raise self._too_large()
        try:
            body = await asyncio.wait_for(self._read(receive, held), self.body_seconds)
        except TimeoutError:
            raise RequestError(
                408, "too_slow", f"The body did not arrive within {self.body_seconds:g} s: send less at once."
            ) from None
        return _once(body, receive)

    async def _read(self, receive: Receive, held: _Held) -> bytes:
        chunks, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestError(400, "gone", "The client went away.")
            chunks.append(message.get("body", b""))
            held.add(len(chunks[-1]))
            if held.n_bytes > self.most_bytes:
                raise self._too_large()
            if self.n_bytes > MOST_BYTES_AT_ONCE:
                raise RequestError(429, "too_busy", "Too much is being sent at once; try again in 2 s.", 2)
            more = message.get("more_body", False)
        return b"".join(chunks)

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            "body_too_large",
            f"The body is larger than {self.most_bytes / 1e6:g} MB: send fewer texts at once, or use `matinee score`.",
        )


class _Held:
    """Bytes of a request's body that are kept until it is answered."""

    def __init__(self, door: Door) -> None:
        self.door, self.n_bytes = door, 0

    def add(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes
        self.door.n_bytes += n_bytes

    def release(self) -> None:
        self.door.n_bytes -= self.n_bytes


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _once(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Give the body once, then whatever comes after it: that the client has gone."""
    given = False

    async def receive_() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_


# Of every answer: what it is called is what it is, it is no one's frame, and where it came from is nobody's business.
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
