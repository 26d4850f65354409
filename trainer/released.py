"""The models that come with the package; their card is `released_model/MODEL_CARD.md`."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAME = "released"
FAST = "released-fast"
FOLDERS = {NAME: Path(__file__).parent / "released_model", FAST: Path(__file__).parent / "released_model_fast"}
HELP = f"what trainer.export made, or a model of the package: {NAME}, or {FAST}, which reads in one view"


def folder_of(model: str) -> str:
    """The folder of an exported model: the names of those in the installed package stand for theirs."""
    return str(FOLDERS.get(model, model))


@contextlib.contextmanager
def loadable(folder: str) -> Iterator[str]:
    """A path of an exported model for TensorFlow's loader, which takes `[`, `*`, `?` and backslashes for a pattern."""
    if "://" in folder or not set("[*?\\") & set(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        link = os.path.join(scratch, "model")
        os.symlink(os.path.abspath(folder), link)
        yield link
