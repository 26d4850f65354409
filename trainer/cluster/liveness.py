"""Ask TensorFlow's servers whether they are alive. A stopped process accepts connections, but is silent."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

METHOD = "/tensorflow.WorkerService/GetStatus"


def answers(address: str, seconds: float = 5.0) -> bool:
    """Whether the server at `host:port` answers in time."""
    import grpc

    # A channel of its own, so that a name that has a new address is looked up again.
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            channel.unary_unary(METHOD)(b"", timeout=seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            # A server that is up and refuses the question is alive.
            return error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    return True


def silent(jobs: Mapping[str, Sequence[str]], seconds: float = 5.0) -> list[str]:
    """Those tasks that do not answer in time, e.g. `worker 1 (host:2222)`."""
    tasks = [(f"{job} {i} ({address})", address) for job, of_job in jobs.items() for i, address in enumerate(of_job)]
    if not tasks:
        return []
    with ThreadPoolExecutor(min(32, len(tasks))) as pool:
        alive = list(pool.map(lambda task: answers(task[1], seconds), tasks))
    return [name for (name, _), answered in zip(tasks, alive, strict=True) if not answered]


def wait_for(jobs: Mapping[str, Sequence[str]], seconds: float) -> list[str]:
    """Waits until all tasks answer; returns those that do not after so many seconds."""
    deadline = time.monotonic() + seconds
    while missing := silent(jobs, seconds=min(2.0, seconds)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return missing
