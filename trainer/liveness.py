"""Check whether this task's TensorFlow server answers: `python -m trainer.liveness`, a liveness probe for Pods."""

import sys

from trainer import cli
from trainer.cluster import environment, liveness


def main() -> int:
    """Probe the server of this Pod's task; return 0 if it answers, else 1."""
    task = environment.configure(use_tensorflow=False)
    if not task.jobs:  # a single process has no server, and no task waits for it
        return 0
    if task.role not in task.jobs:
        raise cli.UserError(f"the task {task} runs no server, so it cannot be probed: remove its liveness probe")
    return 0 if liveness.answers(task.address) else 1


if __name__ == "__main__":
    sys.exit(main())
