"""Check whether this task's TensorFlow server answers: `python -m trainer.liveness`, a liveness probe for Pods."""

import sys

from trainer import cli
from trainer.cluster import environment, liveness
from trainer.exit_status import BAD_RESULT_STATUS

PROBE_SECONDS = 15  # a healthy server on a busy node is slow; the manifests allow 25, including the start of Python


def main() -> int:
    """Probe the server of this Pod's task; return the exit status: 0 if it answers."""
    alive = False

    def probe(_: list[str] | None) -> None:
        nonlocal alive
        alive = _answers()

    return cli.exit_status(probe, None) or (0 if alive else BAD_RESULT_STATUS)


def _answers() -> bool:
    task = environment.configure(use_tensorflow=False)
    if not task.jobs:  # a single process has no server, and no task waits for it
        return True
    if task.role not in task.jobs:
        raise cli.UserError(f"the task {task} runs no server, so it cannot be probed: remove its liveness probe")
    return liveness.answers(task.address, PROBE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
