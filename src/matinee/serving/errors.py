"""What goes wrong with a request: a status, one line for a person, and a word for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Send


class RequestError(Exception):
    """A request that cannot be answered.

    Attributes:
        status: HTTP status.
        code: A word for programs.
        retry_after: Seconds after which to try again; None where that would not help.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with it."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})

    def body(self) -> dict[str, str]:
        """Return what is sent."""
        return {"error": str(self), "code": self.code}

    async def send(self, send: Send) -> None:
        """Send it as the whole answer, from outside the application."""
        content = json.dumps(self.body()).encode()
        own = {"content-type": "application/json", "content-length": str(len(content)), **self.headers}
        headers = [(name.lower().encode(), value.encode()) for name, value in own.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
