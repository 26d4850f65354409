"""Answer what requests ask: read an image with one of the models, or refuse it with an HTTP status."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException

from trainer.data.image_kinds import UnreadableImage
from trainer.inference.reading import Reading
from trainer.serving import bodies, errors
from trainer.serving.batching import Busy
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics
from trainer.serving.models import ServedModel

STATUS_OF_REASON = {"too-large": 413}  # else 415: not an image that can be read


@dataclass(frozen=True)
class Answering:
    """The models by name, the limits, and where requests are counted."""

    models: dict[str, ServedModel]
    limits: Limits
    metrics: Metrics

    def find(self, name: str | None) -> ServedModel:
        """Return the model of that name, or the first.

        Raises:
          HTTPException: 404 if there is none.
        """
        model = next(iter(self.models.values())) if name is None else self.models.get(name)
        if model is None:
            raise HTTPException(404, errors.error("no-such-model", f"{name}: there are {', '.join(self.models)}"))
        return model

    async def read(self, model: ServedModel, content: bytes) -> Reading:
        """Read an image file.

        Raises:
          HTTPException: 413 or 415 if it cannot be read, 429 if too many images wait.
        """
        begin = time.perf_counter()
        try:
            prepared = await asyncio.to_thread(model.reader.prepare, content)
        except UnreadableImage as error:
            self.metrics.rejects.labels(error.reason).inc()
            status = STATUS_OF_REASON.get(error.reason, 415)
            raise HTTPException(status, errors.error(error.reason, error.detail)) from error
        self.metrics.stages.labels(model.name, "decode").observe(time.perf_counter() - begin)
        try:
            reading = await model.batcher.do(prepared)
        except Busy:
            raise bodies.busy(self.limits.pending) from None
        self.metrics.confidence.labels(model.name).observe(reading.confidence)
        return reading

    async def read_or_reject(self, model: ServedModel, content: bytes) -> dict[str, Any]:
        """Read one of several image files; return the error of one that cannot be read.

        Raises:
          HTTPException: 429 if too many images wait.
        """
        try:
            return (await self.read(model, content)).to_dict()
        except HTTPException as error:
            if error.status_code == 429:
                raise
            return {"error": error.detail}
