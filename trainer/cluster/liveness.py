"""Ask TensorFlow's servers whether they are alive. A stopped process accepts connections, but never answers."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

METHOD = "/tensorflow.WorkerService/GetStatus"


@dataclass(frozen=True, order=True)
class Member:
    """A task of a cluster and its address, `host:port`."""

    job: str
    index: int
    address: str

    def __str__(self) -> str:
        return f"{self.job} {self.index} ({self.address})"


def names(members: Iterable[Member]) -> str:
    """Return the members as text, in order."""
    return ", ".join(map(str, sorted(members)))


def answers(address: str, seconds: float = 5.0) -> bool:
    """Return whether the server at `host:port` answers in time."""
    import grpc

    # A separate channel, so that a host name whose address has changed is resolved again.
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            channel.unary_unary(METHOD)(b"", timeout=seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            # A server that refuses the request is alive.
            return error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    return True


def silent(jobs: Mapping[str, Sequence[str]], seconds: float = 5.0) -> list[Member]:
    """Return the tasks that do not answer in time."""
    members = [Member(job, i, address) for job, of_job in jobs.items() for i, address in enumerate(of_job)]
    if not members:
        return []
    with ThreadPoolExecutor(min(32, len(members))) as pool:
        alive = list(pool.map(lambda member: answers(member.address, seconds), members))
    return [member for member, answered in zip(members, alive, strict=True) if not answered]


def wait_for(jobs: Mapping[str, Sequence[str]], seconds: float) -> list[Member]:
    """Wait until all tasks answer; return those that still do not after that many seconds."""
    deadline = time.monotonic() + seconds
    while missing := silent(jobs, seconds=min(2.0, seconds)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return missing
