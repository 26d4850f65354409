"""Read digit sequences in images, and train models that do: `from trainer import Reader`."""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.cli import UserError
    from trainer.data.images.image_kinds import UnreadableImage
    from trainer.inference.evaluating.folder_evaluation import FolderEvaluation
    from trainer.inference.reader import Reader
    from trainer.inference.reading import Number, Reading

__all__ = ["FolderEvaluation", "Number", "Reader", "Reading", "UnreadableImage", "UserError", "__version__"]
_HOMES = {
    "FolderEvaluation": "trainer.inference.evaluating.folder_evaluation",
    "Number": "trainer.inference.reading",
    "Reader": "trainer.inference.reader",
    "Reading": "trainer.inference.reading",
    "UnreadableImage": "trainer.data.images.image_kinds",
    "UserError": "trainer.cli",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use, so that the command lines start fast."""
    if name == "__version__":
        return importlib.metadata.version("svhn-sequences")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
