"""Read the images of concurrent requests in batches."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Busy(Exception):
    """The queue is full: as many images are waiting as the server accepts."""


@dataclass(frozen=True)
class Waiting(Generic[Job, Answer]):
    """A job, the future for its answer, and the time when it arrived, in seconds of `time.perf_counter`."""

    job: Job
    answer: "asyncio.Future[Answer]"
    since: float = field(default_factory=time.perf_counter)


class Batcher(Generic[Job, Answer]):
    """Collects jobs into batches, and runs one batch at a time in a thread.

    A batch begins once a job is waiting and the previous batch is done. Jobs that arrive during a batch form the next
    one, so batches grow with the load; `wait` only delays the first jobs after a pause.

    Args:
      work: processes a batch of jobs, blocking; returns the answers in order.
      largest: maximum number of jobs in a batch.
      wait: seconds to wait for more jobs after the first.
      pending: maximum number of waiting jobs.
      observe: called with the size of each batch, the seconds that its jobs waited, and the seconds that it took.
    """

    def __init__(
        self,
        work: Callable[[list[Job]], list[Answer]],
        *,
        largest: int,
        wait: float,
        pending: int,
        observe: Callable[[int, list[float], float], None],
    ) -> None:
        self.work, self.largest, self.wait, self.observe = work, largest, wait, observe
        self.thread = ThreadPoolExecutor(1)  # its own, so that batches never wait for threads that decode images
        self.waiting: asyncio.Queue[Waiting[Job, Answer]] = asyncio.Queue(pending)

    async def do(self, job: Job) -> Answer:
        """Return the answer to a job.

        Raises:
          Busy: too many jobs are waiting.
          Exception: what `work` raised for its batch.
        """
        entry: Waiting[Job, Answer] = Waiting(job, asyncio.get_running_loop().create_future())
        try:
            self.waiting.put_nowait(entry)
        except asyncio.QueueFull:
            raise Busy from None
        return await entry.answer

    async def run(self) -> None:
        """Run batches until cancelled."""
        while True:
            batch = await self._next()
            begin = time.perf_counter()
            try:
                jobs = [entry.job for entry in batch]
                answers = await asyncio.get_running_loop().run_in_executor(self.thread, self.work, jobs)
            except Exception as error:
                for entry in batch:
                    if not entry.answer.done():  # its request may have been cancelled
                        entry.answer.set_exception(error)
                continue
            self.observe(len(batch), [begin - entry.since for entry in batch], time.perf_counter() - begin)
            for entry, answer in zip(batch, answers, strict=True):
                if not entry.answer.done():
                    entry.answer.set_result(answer)

    async def _next(self) -> list[Waiting[Job, Answer]]:
        """Wait for a job, then for more, up to `largest` and `wait`."""
        batch = [await self.waiting.get()]
        until = batch[0].since + self.wait
        while len(batch) < self.largest:
            try:
                batch.append(self.waiting.get_nowait())
            except asyncio.QueueEmpty:
                left = until - time.perf_counter()
                if left <= 0:
                    break
                try:
                    batch.append(await asyncio.wait_for(self.waiting.get(), left))
                except asyncio.TimeoutError:
                    break
        return batch
