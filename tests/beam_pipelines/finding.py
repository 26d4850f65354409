"""What the scorer's --input names, in memory."""

import dataclasses
import tempfile
from collections.abc import Iterable

from beam_pipelines.scoring import find_images
from beam_pipelines.scoring.find_images import Found


def find(inputs: Iterable[str]) -> Found:
    """Return what `find_images.find` does, with the items in a list."""
    with tempfile.TemporaryDirectory() as scratch:
        found = find_images.find(inputs, scratch)
        return dataclasses.replace(found, items=list(found.items))
