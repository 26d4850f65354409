"""What a process of a cluster imports, before others are forked from it: see `tests.forked_processes`."""

from trainer.cluster import environment

environment.import_tensorflow()

import trainer.training.run  # noqa: E402, F401
