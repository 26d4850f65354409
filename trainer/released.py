"""The models that ship with the package; each folder except that of `released-fast` has a `MODEL_CARD.md`."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAME = "released"
FAST = "released-fast"
PHOTOS = "released-photos"
FREE = "free"  # trained only on drawn numbers and MNIST, which allow commercial use
DEFAULT = PHOTOS  # it also reads images that a single number fills
FOLDERS = {
    NAME: Path(__file__).parent / "released_model",
    FAST: Path(__file__).parent / "released_model_fast",
    PHOTOS: Path(__file__).parent / "released_model_photos",
    FREE: Path(__file__).parent / "released_model_free",
}
HELP = (
    f"folder written by trainer.export, or a released model: {PHOTOS} finds the numbers in photos; {NAME} and "
    f"the faster {FAST} read images that a single number fills; {FREE}, less accurate, may be used commercially"
)


def folder_of(model: str) -> str:
    """Return the folder of an exported model, given as a path or as the name of a model in the package."""
    return str(FOLDERS.get(model, model))


@contextlib.contextmanager
def loadable(folder: str) -> Iterator[str]:
    """Yield a path that TensorFlow's loader takes literally, without `[`, `*`, `?` and backslashes."""
    if "://" in folder or not set("[*?\\") & set(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        link = os.path.join(scratch, "model")
        os.symlink(os.path.abspath(folder), link)
        yield link
