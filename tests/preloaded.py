"""What a process of a cluster imports, before others are forked from it: see `tests.forked_processes`."""

import gc
import importlib

from trainer.cluster import environment

environment.import_tensorflow()  # without its messages, so before anything else that imports it
importlib.import_module("trainer.training.run")
gc.freeze()  # a fork would copy all memory pages of these objects when it looks for garbage
