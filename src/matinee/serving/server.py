"""Runs the application: takes the address, answers until it is told to stop, then answers what it had accepted."""

from __future__ import annotations

import errno
import signal
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from matinee.core.errors import SettingsError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

# After which what was accepted and is not answered yet is given up.
_SHUTDOWN_S = 60
# After which a connection is closed on which no request is under way: none was begun, or its headers never end.
_IDLE_S = 30


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: A name or an address.
        port: 0 takes one that is free.

    Raises:
        SettingsError: The address is in use, not of this machine, or may not be taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingsError(f"--host {host} cannot be found: {error.strerror}.") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2_048)
    except (OSError, OverflowError) as error:
        listening.close()
        raise SettingsError(_why_not(host, port, error)) from error
    return listening


def _why_not(host: str, port: int, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"Port {port} is in use: give another one with --port, or 0 for any that is free."
    if code in {errno.EACCES, errno.EPERM}:
        return f"Port {port} may not be taken without more rights: give one above 1023 with --port."
    if code == errno.EADDRNOTAVAIL:
        return f"--host {host} is no address of this machine: 127.0.0.1 is for this machine alone, 0.0.0.0 for all that reach it."
    return f"Cannot listen at {host}:{port}: {getattr(error, 'strerror', None) or error}."


def address_of(listening: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: ASGIApp, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGINT or SIGTERM; a second one does not wait for what is under way.

    Args:
        app: The application.
        listening: From `bind`; closed at the end.
        ready: Called when requests are answered.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=_SHUTDOWN_S,
        timeout_keep_alive=_IDLE_S,
        http=_PatientHttp,
    )
    with _quietly_told(), listening:
        _Server(config, ready).run(sockets=[listening])


class _PatientHttp(H11Protocol):
    """Waits so long for a request, and no longer; uvicorn's own patience ends only between two requests."""

    patience = float(_IDLE_S)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = time.monotonic()
        self._watch()

    def on_response_complete(self) -> None:
        self._idle_since = time.monotonic()
        super().on_response_complete()

    def _watch(self) -> None:
        if self.transport.is_closing():
            return
        under_way = bool(self.cycle) and not self.cycle.response_complete  # there is none before the first request
        if not under_way and time.monotonic() - self._idle_since > self.patience:
            self.transport.close()
            return
        self.loop.call_later(self.patience / 4, self._watch)


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


@contextmanager
def _quietly_told() -> Iterator[None]:
    """Have the signals that ended the server, which it raises again afterwards, end nothing else: it stopped as it should."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not for this thread
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before: dict[signal.Signals, Any] = {each: signal.signal(each, lambda *_: None) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
