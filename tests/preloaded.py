"""What a process of a cluster imports, before others are forked from it: see `tests.forked_processes`."""

import importlib

from trainer.cluster import environment

environment.import_tensorflow()  # without its messages, so before anything else that imports it
importlib.import_module("trainer.training.run")
