"""Jobs of concurrent requests are done together, and each gets its own answer."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.serving.batching import Batcher, Busy


def twice(jobs: list[int]) -> list[int]:
    return [2 * job for job in jobs]


def run(
    scenario: Callable[[Batcher[int, int]], Any],
    work: Callable[[list[int]], list[int]] = twice,
    *,
    largest: int = 4,
    wait: float = 0.0,
    pending: int = 100,
) -> tuple[Any, list[int]]:
    """Return what a scenario returns, and the sizes of the batches."""

    async def main() -> tuple[Any, list[int]]:
        sizes: list[int] = []
        batcher = Batcher(
            work, largest=largest, wait=wait, pending=pending, observe=lambda size, *_: sizes.append(size)
        )
        running = asyncio.create_task(batcher.run())
        try:
            return await asyncio.wait_for(scenario(batcher), 20), sizes
        finally:
            running.cancel()

    return asyncio.run(main())


@settings(deadline=None, max_examples=30)
@given(jobs=st.lists(st.integers(), min_size=1, max_size=40), largest=st.integers(1, 9))
def test_each_job_gets_its_answer_in_batches_that_are_not_too_large(jobs: list[int], largest: int) -> None:
    async def scenario(batcher: Batcher[int, int]) -> list[int]:
        return await asyncio.gather(*(batcher.do(job) for job in jobs))

    answers, sizes = run(scenario, largest=largest)
    assert answers == [2 * job for job in jobs]
    assert sum(sizes) == len(jobs)
    assert max(sizes) <= largest
    assert len(sizes) <= -(-len(jobs) // largest) + 1


def test_what_comes_during_a_batch_is_the_next_one() -> None:
    begun, go = threading.Event(), threading.Event()

    def work(jobs: list[int]) -> list[int]:
        begun.set()
        assert go.wait(10)
        return jobs

    async def scenario(batcher: Batcher[int, int]) -> list[int]:
        first = asyncio.create_task(batcher.do(0))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(batcher.do(job)) for job in (1, 2, 3)]
        await asyncio.sleep(0.01)
        go.set()
        return await asyncio.gather(first, *others)

    assert run(scenario, work) == ([0, 1, 2, 3], [1, 3])


def test_the_first_job_waits_for_others_no_longer_than_it_may() -> None:
    async def scenario(batcher: Batcher[int, int]) -> float:
        async def late() -> int:
            await asyncio.sleep(0.05)
            return await batcher.do(2)

        begin = time.perf_counter()
        await asyncio.gather(batcher.do(1), late())
        return time.perf_counter() - begin

    seconds, sizes = run(scenario, wait=0.5)
    assert sizes == [2]
    assert seconds >= 0.5


def test_too_many_are_refused_and_a_failed_batch_fails_its_own_jobs_only() -> None:
    def work(jobs: list[int]) -> list[int]:
        if 0 in jobs:
            raise RuntimeError("zero")
        return jobs

    async def scenario(batcher: Batcher[int, int]) -> list[Any]:
        return await asyncio.gather(*(batcher.do(job) for job in (0, 1, 2, 3)), return_exceptions=True)

    answers, _ = run(scenario, work, largest=1, pending=3)
    assert [type(answer) for answer in answers] == [RuntimeError, int, int, Busy]


def test_a_cancelled_request_does_not_end_the_batches() -> None:
    async def scenario(batcher: Batcher[int, int]) -> int:
        cancelled = asyncio.create_task(batcher.do(1))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        return await batcher.do(2)

    assert run(scenario)[0] == 4
