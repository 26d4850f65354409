"""The models of a server, by name, each with its own batches; they can be reloaded while requests are served."""

import asyncio
import functools
from collections.abc import Callable, Mapping

from PIL import Image

from trainer.inference.reader import Prepared, Reader
from trainer.inference.reading import Reading
from trainer.serving.batching import Batcher
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics


class ServedModel:
    """A model that `reload` can replace; a batch that has begun is finished with the old model.

    Args:
      load: returns the model's reader; called at the start and by each `reload`.
    """

    def __init__(self, name: str, load: Callable[[], Reader], limits: Limits, metrics: Metrics) -> None:
        self.name, self.load, self.version = name, load, 1
        self.reader = load()

        def read(images: list[Prepared]) -> list[Reading]:
            return self.reader.read_prepared(images)

        def observe(size: int, waited: list[float], seconds: float) -> None:
            metrics.batch(name, size, waited, seconds)

        self.batcher: Batcher[Prepared, Reading] = Batcher(
            read, largest=limits.batch, wait=limits.wait, pending=limits.pending, observe=observe
        )

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the weights."""
        return self.reader.model.info["fingerprint"]

    async def reload(self) -> None:
        """Load the model again from its folder.

        Raises:
          UserError: it is missing or damaged; the old one stays in use.
        """
        self.reader = await asyncio.to_thread(self.load)
        self.version += 1


def _warm(path: str) -> Reader:
    """Load a model, and read one image with it, since the first reading takes seconds longer than others."""
    reader = Reader(path)
    reader.read(Image.new("RGB", (64, 64)))
    return reader


def load(paths: Mapping[str, str], limits: Limits, metrics: Metrics) -> dict[str, ServedModel]:
    """Load models by name from their folders; the first one is the default.

    Raises:
      UserError: one is missing or damaged.
    """
    return {name: ServedModel(name, functools.partial(_warm, path), limits, metrics) for name, path in paths.items()}
