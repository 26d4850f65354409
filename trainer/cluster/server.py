"""Run a worker or a parameter server, which executes what the chief sends until training is finished."""

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

import tensorflow as tf

from trainer.cluster import liveness
from trainer.cluster.environment import Task
from trainer.exit_status import FAILED_STATUS, STOPPED_STATUS, leave

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
LEAST_THREADS = 4  # with one, TensorFlow hangs at the first step


def serve(task: Task, finished: Callable[[], bool], *, wait: float) -> NoReturn:
    """Serve until training is finished, then exit with status 0.

    Exit with 42 if the chief has not answered for `wait` seconds, so that no task idles forever, and with
    143 at once on SIGTERM, since this process has nothing to save.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED_STATUS))
    if finished():
        log.info("%s: training is finished", task)
        leave(0)
    threads = max(LEAST_THREADS, os.cpu_count() or 1)
    tf.distribute.Server(
        tf.train.ClusterSpec({job: list(addresses) for job, addresses in task.jobs.items()}),
        job_name=task.role,
        task_index=task.index,
        protocol="grpc",
        config=tf.compat.v1.ConfigProto(inter_op_parallelism_threads=threads),
        start=True,
    )
    log.info("%s serves at %s", task, task.address)
    chief, answered = task.jobs["chief"][0], time.monotonic()
    while not finished():
        time.sleep(POLL_SECONDS)
        if liveness.answers(chief, seconds=POLL_SECONDS):
            answered = time.monotonic()
        elif time.monotonic() - answered > wait:
            log.error("the chief, %s, has not answered for %.0f s: check its log", chief, wait)
            leave(FAILED_STATUS)
    log.info("%s: training is finished", task)
    leave(0)
