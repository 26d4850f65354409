"""Asks TensorFlow's servers whether they are alive. A stopped process accepts connections, but is silent."""

import sys

from trainer import cli
from trainer.cluster import environment, liveness


def main() -> int:
    """A liveness probe for a Pod of a cluster, `python -m trainer.liveness`: 0 where its server answers."""
    task = environment.configure(use_tensorflow=False)
    if not task.jobs:  # nobody waits for who is alone
        return 0
    if task.role not in task.jobs:
        raise cli.UserError(f"a process that is {task} runs no server to ask")
    return 0 if liveness.answers(task.address) else 1


if __name__ == "__main__":
    sys.exit(main())
