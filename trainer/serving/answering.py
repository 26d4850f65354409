"""Read the images of requests with the model that they name."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException

from trainer.data.images.image_kinds import UnreadableImage
from trainer.inference.reading import Reading
from trainer.serving import bodies, errors
from trainer.serving.batching import Busy
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics
from trainer.serving.models import ServedModel

STATUS_OF_REASON = {"too-large": 413}  # else 415: not an image that can be read


class Answering:
    """Answers requests with the models of a server, by name; the first is the default."""

    def __init__(self, models: Mapping[str, ServedModel], limits: Limits, metrics: Metrics) -> None:
        self.models, self.limits, self.metrics = models, limits, metrics

    def find(self, name: str | None) -> ServedModel:
        """Return the model with this name, or the default if no name is given.

        Raises:
          HTTPException: 404, it does not exist.
        """
        model = next(iter(self.models.values())) if name is None else self.models.get(name)
        if model is None:
            raise HTTPException(404, errors.error("no-such-model", f"{name}: choose one of {', '.join(self.models)}"))
        return model

    async def read(self, model: ServedModel, content: bytes) -> Reading:
        """Read an image.

        Raises:
          HTTPException: 413 or 415, it cannot be read; 429, too many images are waiting.
        """
        begin = time.perf_counter()
        try:
            prepared = await asyncio.to_thread(model.reader.prepare, content)
        except UnreadableImage as error:
            self.metrics.rejects.labels(error.reason).inc()
            raise HTTPException(
                STATUS_OF_REASON.get(error.reason, 415), errors.error(error.reason, error.detail)
            ) from error
        self.metrics.stages.labels(model.name, "decode").observe(time.perf_counter() - begin)
        try:
            reading = await model.batcher.do(prepared)
        except Busy:
            raise bodies.busy(self.limits.pending) from None
        self.metrics.confidence.labels(model.name).observe(reading.confidence)
        return reading

    async def read_or_reject(self, model: ServedModel, content: bytes) -> dict[str, Any]:
        """Read one image of several: return what was read, or why it cannot be read, as JSON.

        Raises:
          HTTPException: 429, too many images are waiting.
        """
        try:
            return (await self.read(model, content)).to_dict()
        except HTTPException as error:
            if error.status_code == 429:
                raise
            return {"error": error.detail}
