"""The HTTP interface of the server, as an ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from trainer.serving import bodies, errors, page, schemas
from trainer.serving.access import Access
from trainer.serving.answering import Answering
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics
from trainer.serving.middleware import Accounted
from trainer.serving.models import ServedModel


def create(models: dict[str, ServedModel], limits: Limits, metrics: Metrics, token: str | None = None) -> FastAPI:
    """Return the application.

    Args:
      models: by name; requests that name none get the first.
      limits: what is accepted.
      metrics: what is counted.
      token: what requests must carry as `Authorization: Bearer TOKEN`, if given.
    """

    @contextlib.asynccontextmanager
    async def batching(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(model.batcher.run()) for model in models.values()]
        yield
        for task in running:
            task.cancel()

    options = {"title": "svhn-sequences", "docs_url": None, "redoc_url": None, "lifespan": batching}
    app = schemas.DescribedApp(models, has_token=token is not None, **options)
    app.add_middleware(Accounted, metrics=metrics, limits=limits)
    access = Access(token)
    _add_reading(app, Answering(models, limits, metrics), limits, access)
    _add_state(app, models, metrics)
    page.add(app)
    errors.add(app)
    return app


def _add_reading(app: FastAPI, answering: Answering, limits: Limits, access: Access) -> None:
    @app.post(
        "/v1/read",
        response_model=schemas.Answer,
        responses=schemas.refusals(400, 401, 404, 408, 413, 415, 429),
        openapi_extra=schemas.READ,
    )
    async def read_images(request: Request, model: str | None = None) -> dict[str, Any]:
        """Read one image, the body, or several: the files of a form, or `{"images": [{"b64": "..."}]}`."""
        access.check(request)
        chosen = answering.find(model)
        single, contents = await bodies.images(request, limits.images)
        if single:
            results = [(await answering.read(chosen, contents[0])).to_dict()]
        else:
            results = await asyncio.gather(*(answering.read_or_reject(chosen, content) for content in contents))
        return {"model": chosen.name, "fingerprint": chosen.fingerprint, "results": results}

    @app.post(
        "/v1/models/{name}:predict",
        response_model=schemas.Predictions,
        responses=schemas.refusals(400, 401, 404, 408, 413, 415, 429),
        openapi_extra=schemas.PREDICT,
    )
    async def predict(name: str, request: Request) -> dict[str, Any]:
        """Read images as TensorFlow Serving's REST interface does: `{"instances": [{"b64": "..."}]}`."""
        access.check(request)
        chosen = answering.find(name)
        contents = await bodies.instances(request, limits.images)
        readings = await asyncio.gather(*(answering.read(chosen, content) for content in contents))
        return {"predictions": [reading.to_dict() for reading in readings]}

    @app.get("/v1/models/{name}", response_model=schemas.Status, responses=schemas.refusals(404))
    async def status(name: str) -> dict[str, Any]:
        """Return the state of a model as TensorFlow Serving does."""
        chosen = answering.find(name)
        state = {"error_code": "OK", "error_message": ""}
        return {"model_version_status": [{"version": str(chosen.version), "state": "AVAILABLE", "status": state}]}


def _add_state(app: FastAPI, models: dict[str, ServedModel], metrics: Metrics) -> None:
    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Answer as long as the server is alive."""
        return "ok\n"

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Return the models that are loaded, each with the fingerprint of its weights."""
        return {name: model.fingerprint for name, model in models.items()}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def exposed() -> Response:
        """Return counters for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")
