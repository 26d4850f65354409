"""The model that comes with the package; its card is `released_model/MODEL_CARD.md`."""

from pathlib import Path

NAME = "released"
FOLDER = Path(__file__).parent / "released_model"


def folder_of(model: str) -> str:
    """The folder of an exported model: `released` stands for the one in the installed package."""
    return str(FOLDER) if model == NAME else model
