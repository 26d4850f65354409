"""What `tests.forking` imports before it forks processes: the commands, and what they import when they are called.

None of it may start a thread of its own: a fork would lack it.
"""

import gc
import importlib

from trainer.cluster import environment

COMMANDS = (
    *(
        f"trainer.{name}"
        for name in ("train", "evaluate", "export", "predict", "report", "search", "serve", "finetune")
    ),
    *(f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score", "inspect", "download", "draw")),
    "trainer.cluster.__main__",
    "k8s.submit",
)
IMPORTED_LATER = (
    *("keras", "matplotlib.pyplot", "jinja2", "scipy.io", "h5py", "rich.console", "uvicorn", "tests.forking"),
    *("trainer.training.run", "trainer.inference.evaluating.evaluation", "trainer.inference.exports.saved_model"),
    *("trainer.inference.exports.exported_model", "trainer.inference.few_images", "trainer.inference.reader"),
    *("trainer.reporting.page", "trainer.serving.app", "trainer.serving.models"),
    *(f"beam_pipelines.runs.{name}" for name in ("prepare", "synthesize", "score", "inspect", "download", "draw")),
    *("k8s.client", "k8s.diagnose", "k8s.run", "k8s.watch"),
)

environment.import_tensorflow()  # without its messages, so before anything else that imports it
for name in COMMANDS:
    importlib.import_module(name)
importlib.import_module("beam_pipelines.beam_import").import_beam()  # without a message, so before what imports it
for name in IMPORTED_LATER:
    importlib.import_module(name)
gc.freeze()  # a fork would copy all memory pages of these objects when it looks for garbage
