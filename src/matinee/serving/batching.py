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
# And as many as are computed in so many seconds: nobody waits longer, and a server that is stopped is soon through.
MOST_SECONDS = 20.0
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
        self._cost_per_second = 0.0
        self._cost_waiting = 0
        self.n_waiting = 0

    def start(self) -> None:
        """Begin to compute, on the event loop that runs now."""
        self._loop = asyncio.get_running_loop().create_task(self._run())
        self._loop.add_done_callback(self._ended)

    def _ended(self, loop: asyncio.Task[None]) -> None:
        """Let nobody wait for a loop that is no more."""
        self._closing = True
        error = None if loop.cancelled() else loop.exception()
        while self._jobs:
            self._fail(self._jobs[0], RuntimeError(f"The server cannot compute any more: {error}"))

    @property
    def is_alive(self) -> bool:
        """Whether texts are still computed."""
        return self._loop is not None and not self._loop.done()

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
        return self.n_waiting > 0 and not self._has_room(1, 1)

    def _has_room(self, n_texts: int, cost: int) -> bool:
        """Return whether so much more can wait: not too many texts, and no longer than their clients would."""
        seconds = (self._cost_waiting + cost) / self._cost_per_second if self._cost_per_second else 0.0
        return self.n_waiting + n_texts <= self._most_waiting and seconds <= MOST_SECONDS

    async def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels); cancelled, what is not computed yet never will be.

        Raises:
            QueueFullError: Too many texts wait.
        """
        costs = [self._cost(text) for text in texts]
        if self._closing or (self.n_waiting and not self._has_room(len(texts), sum(costs))):
            raise QueueFullError(self._seconds_to_room())
        job = _Job(texts, costs, asyncio.get_running_loop().create_future())
        job.answer.add_done_callback(lambda answer: self._forget(job) if answer.cancelled() else None)
        self._jobs.append(job)
        self.n_waiting += len(texts)
        self._cost_waiting += sum(costs)
        self._arrived.set()
        return await job.answer

    def _seconds_to_room(self) -> int:
        if not self._cost_per_second:
            return 1
        return max(1, min(60, math.ceil(self._cost_waiting / self._cost_per_second)))

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
            if parts and spent + job.costs[job.taken] > self._batch_tokens:
                break
            before = job.taken
            texts = job.take(self._batch_tokens - spent)
            cost = sum(job.costs[before : job.taken])
            spent += cost
            self.n_waiting -= len(texts)
            self._cost_waiting -= cost
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
            if len(said) != len(texts):
                raise ValueError(f"{len(said)} answers to {len(texts)} texts")  # noqa: TRY301 - told below like any other
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of a Rust library is no Exception, and whoever asked is told
            if len(parts) == 1:
                self._fail(parts[0][0], error)
                return
            for part in parts:  # one of them is to blame; the others get their answers
                await self._answer([part])
            return
        self._deliver(parts, said)
        self._note(texts, time.perf_counter() - start)

    def _deliver(self, parts: list[tuple[_Job, list[str]]], said: NDArray[np.float64]) -> None:
        """Give the requests their answers, those that have all of them the whole."""
        place, n_finished = 0, 0
        for job, of in parts:
            job.said.append(said[place : place + len(of)])
            place += len(of)
            if sum(map(len, job.said)) == len(job.texts):
                n_finished += 1
                if not job.answer.done():
                    job.answer.set_result(np.concatenate(job.said))
        self._n_returning = n_finished if n_finished > 1 else 0

    def _note(self, texts: list[str], seconds: float) -> None:
        """Keep the pace in mind."""
        recent = sum(map(self._cost, texts)) / max(seconds, 1e-6)
        self._cost_per_second = 0.8 * self._cost_per_second + 0.2 * recent if self._cost_per_second else recent
        self._computed(len(texts), seconds)

    def _fail(self, job: _Job, error: BaseException) -> None:
        self._forget(job)
        if not job.answer.done():
            is_plain = isinstance(error, Exception)
            job.answer.set_exception(error if is_plain else RuntimeError(f"{type(error).__name__}: {error}"))

    def _forget(self, job: _Job) -> None:
        """Take what waits of a job out of the queue."""
        if job in self._jobs:
            self._jobs.remove(job)
            self.n_waiting -= job.n_left
            self._cost_waiting -= sum(job.costs[job.taken :])

    async def _off_loop(self, texts: list[str]) -> NDArray[np.float64]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._compute, texts)
