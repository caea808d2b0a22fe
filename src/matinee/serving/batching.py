"""Dynamic batching: texts of requests that wait at the same time are computed together, off the event loop.

While one batch is computed the next one fills up, so under load nobody waits for a timer; a lone request is computed at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# Tokens that are computed at once: some tens of reviews, a third of a second's work for MiniLM on two cores.
BATCH_TOKENS = 8_192
# Texts that wait at most; who comes then is asked to come again.
MOST_WAITING = 4_000
# How long a batch waits at most for requests that are as good as here: those whose answers were just sent tend to come back.
_GRACE_S = 0.01


class QueueFullError(Exception):
    """Too many texts wait already.

    Attributes:
        retry_after: Seconds after which there should be room again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The queue is full; try again in {retry_after} s.")
        self.retry_after = retry_after


@dataclass(eq=False)
class _Job:
    """One request's texts: those computed so far, and who waits for them."""

    texts: Sequence[str]
    costs: Sequence[int]
    answer: asyncio.Future[NDArray[np.float64]]
    taken: int = 0
    said: list[NDArray[np.float64]] = field(default_factory=list)

    def take(self, budget: int) -> list[str]:
        """Return the next texts that fit the budget, one at least."""
        start, spent = self.taken, 0
        while self.taken < len(self.texts) and (self.taken == start or spent + self.costs[self.taken] <= budget):
            spent += self.costs[self.taken]
            self.taken += 1
        return list(self.texts[start : self.taken])

    @property
    def n_left(self) -> int:
        return len(self.texts) - self.taken


class Batcher:
    """Computes the texts of all requests in one thread, some tokens at a time.

    Requests take turns: one of a thousand texts does not keep one of a single text waiting until it is through. Lives on one
    event loop; only `compute` runs elsewhere.

    Args:
        compute: From texts to label probabilities, shape (n_texts, n_labels).
        cost: About how many tokens a text costs.
        batch_tokens: What is computed at once.
        most_waiting: Texts that may wait; a request that is alone is taken however large it is.
        computed: Told of every batch how many texts and seconds it took.
    """

    def __init__(
        self,
        compute: Callable[[list[str]], NDArray[np.float64]],
        cost: Callable[[str], int],
        *,
        batch_tokens: int = BATCH_TOKENS,
        most_waiting: int = MOST_WAITING,
        computed: Callable[[int, float], None] = lambda n_texts, seconds: None,  # noqa: ARG005 - nobody listens
    ) -> None:
        self._compute, self._cost, self._computed = compute, cost, computed
        self._batch_tokens, self._most_waiting = batch_tokens, most_waiting
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "computing")
        self._loop: asyncio.Task[None] | None = None
        self._closing = False
        self._n_returning = 0
        self._texts_per_second = 0.0
        self.n_waiting = 0

    def start(self) -> None:
        """Begin to compute, on the event loop that runs now."""
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Answer what was accepted, then stop."""
        self._closing = True
        self._arrived.set()
        if self._loop is not None:
            await self._loop
        self._thread.shutdown()

    @property
    def closing(self) -> bool:
        """Whether nothing is accepted any more."""
        return self._closing

    @property
    def is_full(self) -> bool:
        """Whether a text that comes now would have to come again."""
        return self.n_waiting >= self._most_waiting

    async def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels); cancelled, what is not computed yet never will be.

        Raises:
            QueueFullError: Too many texts wait.
        """
        if self._closing or (self.n_waiting and self.n_waiting + len(texts) > self._most_waiting):
            raise QueueFullError(self._seconds_to_room())
        job = _Job(texts, [self._cost(text) for text in texts], asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self.n_waiting += len(texts)
        self._arrived.set()
        return await job.answer

    def _seconds_to_room(self) -> int:
        return max(1, min(60, math.ceil(self.n_waiting / self._texts_per_second))) if self._texts_per_second else 1

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._jobs:
                if self._closing:
                    return
                self._arrived.clear()
                continue
            await self._await_returning()
            if parts := self._take():
                await self._answer(parts)

    async def _await_returning(self) -> None:
        """Give those who were just answered a moment to come back, so that they are computed together again."""
        end = time.monotonic() + _GRACE_S
        while len(self._jobs) < self._n_returning and not self._closing and time.monotonic() < end:
            await asyncio.sleep(0.001)

    def _take(self) -> list[tuple[_Job, list[str]]]:
        """Take texts of the requests in turn, as many as the budget holds, one at least."""
        parts: list[tuple[_Job, list[str]]] = []
        spent = 0
        for _ in range(len(self._jobs)):
            job = self._jobs[0]
            if job.answer.done():  # whoever asked has gone away
                self.n_waiting -= job.n_left
                self._jobs.popleft()
                continue
            if parts and spent + job.costs[job.taken] > self._batch_tokens:
                break
            before = job.taken
            texts = job.take(self._batch_tokens - spent)
            spent += sum(job.costs[before : job.taken])
            self.n_waiting -= len(texts)
            parts.append((job, texts))
            self._jobs.popleft()
            if job.n_left:
                self._jobs.append(job)
        return parts

    async def _answer(self, parts: list[tuple[_Job, list[str]]]) -> None:
        texts = [text for _, of in parts for text in of]
        start = time.perf_counter()
        try:
            said = await self._off_loop(texts)
        except Exception as error:  # noqa: BLE001 - whoever asked is told, whatever it is
            if len(parts) == 1:
                self._fail(parts[0][0], error)
                return
            for part in parts:  # one of them is to blame; the others get their answers
                await self._answer([part])
            return
        seconds = time.perf_counter() - start
        self._computed(len(texts), seconds)
        recent = len(texts) / max(seconds, 1e-6)
        self._texts_per_second = 0.8 * self._texts_per_second + 0.2 * recent if self._texts_per_second else recent
        place, n_finished = 0, 0
        for job, of in parts:
            job.said.append(said[place : place + len(of)])
            place += len(of)
            if sum(map(len, job.said)) == len(job.texts):
                n_finished += 1
                if not job.answer.done():
                    job.answer.set_result(np.concatenate(job.said))
        self._n_returning = n_finished if n_finished > 1 else 0

    def _fail(self, job: _Job, error: Exception) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
            self.n_waiting -= job.n_left
        if not job.answer.done():
            job.answer.set_exception(error)

    async def _off_loop(self, texts: list[str]) -> NDArray[np.float64]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._compute, texts)
