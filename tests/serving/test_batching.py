"""Texts of several requests are computed together, in turn, and each request gets its own answers."""

from __future__ import annotations

import asyncio
import threading
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.serving import batching
from matinee.serving.batching import Batcher, QueueFullError


def answers(texts):
    """Stand for a classifier: of each text the share of its length."""
    said = np.array([len(text) / (len(text) + 7) for text in texts])
    return np.stack([said, 1 - said], axis=1)


class PanicError(BaseException):
    """As libraries written in Rust raise it: no Exception."""


class Fake:
    """A classifier that notes what it is asked at once, and waits until it may answer."""

    def __init__(self, *, held=False):
        self.batches, self.threads = [], set()
        self.may_answer = threading.Event()
        if not held:
            self.may_answer.set()

    def __call__(self, texts):
        self.batches.append(list(texts))
        self.threads.add(threading.get_ident())
        assert self.may_answer.wait(10)
        if "break" in texts:
            raise ZeroDivisionError
        if "panic" in texts:
            raise PanicError
        return answers(texts)[: -1 if "forget one" in texts else None]


def serve(fake, work, **options):
    """Run `work(batcher)` beside a batcher, and close it."""

    async def main():
        batcher = Batcher(fake, len, **options)
        batcher.start()
        try:
            return await asyncio.wait_for(work(batcher), 20)
        finally:
            fake.may_answer.set()
            await batcher.close()

    return asyncio.run(main())


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def test_each_request_gets_its_own_answers_off_the_event_loop():
    fake = Fake()
    requests = [["a"], ["bb", "ccc"], ["d" * 50]]

    async def work(batcher):
        return await asyncio.gather(*(batcher.probabilities(texts) for texts in requests))

    for texts, said in zip(requests, serve(fake, work), strict=True):
        np.testing.assert_array_equal(said, answers(texts))
    assert threading.get_ident() not in fake.threads
    assert len(fake.threads) == 1


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.text("ab", max_size=9), min_size=1, max_size=12), min_size=1, max_size=8),
    st.integers(1, 30),
)
def test_any_requests_under_any_budget(requests, budget):
    fake = Fake()

    async def work(batcher):
        return await asyncio.gather(*(batcher.probabilities(texts) for texts in requests))

    for texts, said in zip(requests, serve(fake, work, batch_tokens=budget), strict=True):
        np.testing.assert_array_equal(said, answers(texts))
    assert sum(map(len, fake.batches)) == sum(map(len, requests))
    for batch in fake.batches:
        assert len(batch) == 1 or sum(map(len, batch)) <= budget


def test_what_arrives_while_a_batch_is_computed_is_one_batch():
    fake = Fake(held=True)

    async def work(batcher):
        first = asyncio.create_task(batcher.probabilities(["first"]))
        await until(lambda: fake.batches)
        others = [asyncio.create_task(batcher.probabilities([f"other {i}"])) for i in range(5)]
        await until(lambda: batcher.n_waiting == 5)
        fake.may_answer.set()
        await asyncio.gather(first, *others)

    serve(fake, work)
    assert fake.batches == [["first"], [f"other {i}" for i in range(5)]]


def test_a_large_request_does_not_keep_a_small_one_waiting_to_its_end():
    fake = Fake(held=True)
    large = [f"text {i:03d}" for i in range(100)]

    async def work(batcher):
        first = asyncio.create_task(batcher.probabilities(large))
        await until(lambda: fake.batches)
        small = asyncio.create_task(batcher.probabilities(["small"]))
        await until(lambda: batcher.n_waiting == 91)
        fake.may_answer.set()
        await asyncio.gather(first, small)

    serve(fake, work, batch_tokens=80)
    computed = list(chain(*fake.batches))
    assert computed.index("small") < 30
    assert [text for text in computed if text != "small"] == large


def test_a_full_queue_says_when_to_come_again_and_takes_what_fits_nowhere_else():
    fake = Fake(held=True)

    async def work(batcher):
        under_way = asyncio.create_task(batcher.probabilities(["under way"]))
        await until(lambda: fake.batches)
        waiting = asyncio.create_task(batcher.probabilities(["x"] * 50))  # larger than the queue, which is empty
        await until(lambda: batcher.n_waiting == 50)
        assert batcher.is_full
        with pytest.raises(QueueFullError) as caught:
            await batcher.probabilities(["one more"])
        assert 1 <= caught.value.retry_after <= 60
        fake.may_answer.set()
        await asyncio.gather(under_way, waiting)
        assert not batcher.is_full
        assert batcher.n_waiting == 0
        assert (await batcher.probabilities(["again"])).shape == (1, 2)

    serve(fake, work, most_waiting=10)


def test_whoever_goes_away_is_not_computed():
    fake = Fake(held=True)

    async def work(batcher):
        first = asyncio.create_task(batcher.probabilities(["first"]))
        await until(lambda: fake.batches)
        gone = asyncio.create_task(batcher.probabilities(["gone"] * 3))
        stays = asyncio.create_task(batcher.probabilities(["stays"]))
        await until(lambda: batcher.n_waiting == 4)
        gone.cancel()
        fake.may_answer.set()
        await asyncio.gather(first, stays)
        assert batcher.n_waiting == 0

    serve(fake, work)
    assert fake.batches == [["first"], ["stays"]]


@pytest.mark.parametrize(
    ("text", "kind"), [("break", ZeroDivisionError), ("panic", RuntimeError), ("forget one", ValueError)]
)
def test_an_error_is_told_to_whom_it_belongs(text, kind):
    fake = Fake(held=True)

    async def work(batcher):
        first = asyncio.create_task(batcher.probabilities(["first"]))
        await until(lambda: fake.batches)
        requests = [["good"], [text], ["good too"]]
        tasks = [asyncio.create_task(batcher.probabilities(texts)) for texts in requests]
        await until(lambda: batcher.n_waiting == 3)
        fake.may_answer.set()
        said = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(said[1], kind)
        np.testing.assert_array_equal(said[0], answers(["good"]))
        np.testing.assert_array_equal(said[2], answers(["good too"]))
        await first
        assert (await batcher.probabilities(["after"])).shape == (1, 2)
        assert batcher.is_alive

    serve(fake, work)


def test_nobody_waits_for_a_loop_that_ended():
    def told(n_texts, seconds):
        raise ZeroDivisionError

    fake = Fake()

    async def work(batcher):
        waiting = [asyncio.create_task(batcher.probabilities([f"{i}"])) for i in range(3)]
        said = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(each, Exception) for each in said] == [False, True, True]
        assert not batcher.is_alive
        with pytest.raises(QueueFullError):
            await batcher.probabilities(["late"])

    async def main():
        batcher = Batcher(fake, len, batch_tokens=1, computed=told)
        batcher.start()
        await asyncio.wait_for(work(batcher), 20)

    asyncio.run(main())


def test_whoever_left_makes_room_at_once():
    fake = Fake(held=True)

    async def work(batcher):
        first = asyncio.create_task(batcher.probabilities(["first"]))
        await until(lambda: fake.batches)
        gone = asyncio.create_task(batcher.probabilities(["gone"] * 10))
        await until(lambda: batcher.is_full)
        gone.cancel()
        await until(lambda: batcher.n_waiting == 0)
        assert not batcher.is_full
        stays = asyncio.create_task(batcher.probabilities(["stays"]))
        fake.may_answer.set()
        await asyncio.gather(first, stays)

    serve(fake, work, most_waiting=10)


def test_no_more_waits_than_is_computed_in_time(monkeypatch):
    monkeypatch.setattr(batching, "MOST_SECONDS", 1e-9)
    fake = Fake()

    async def work(batcher):
        await batcher.probabilities(["learn the pace"])
        fake.may_answer.clear()
        first = asyncio.create_task(batcher.probabilities(["first"]))
        await until(lambda: len(fake.batches) == 2)
        alone = asyncio.create_task(batcher.probabilities(["alone"]))  # nothing waits yet, so it may
        await until(lambda: batcher.n_waiting == 1)
        with pytest.raises(QueueFullError):
            await batcher.probabilities(["too many"])
        fake.may_answer.set()
        await asyncio.gather(first, alone)

    serve(fake, work)


def test_closing_answers_what_was_accepted_and_takes_no_more():
    fake = Fake(held=True)

    async def main():
        batcher = Batcher(fake, len)
        batcher.start()
        accepted = [asyncio.create_task(batcher.probabilities([f"{i}"])) for i in range(3)]
        await until(lambda: fake.batches)
        closing = asyncio.create_task(batcher.close())
        await until(lambda: batcher.closing)
        with pytest.raises(QueueFullError):
            await batcher.probabilities(["late"])
        fake.may_answer.set()
        await closing
        return await asyncio.gather(*accepted)

    said = asyncio.run(asyncio.wait_for(main(), 30))
    np.testing.assert_array_equal(np.concatenate(said), answers(["0", "1", "2"]))


def test_those_who_were_just_answered_are_computed_together_again():
    fake, n_clients = Fake(), 8

    async def client(batcher, number):
        for turn in range(5):
            await batcher.probabilities([f"{number} {turn}"])
            await asyncio.sleep(0.001)

    async def work(batcher):
        await asyncio.gather(*(client(batcher, number) for number in range(n_clients)))

    serve(fake, work)
    assert len(fake.batches) < 5 * n_clients / 2
