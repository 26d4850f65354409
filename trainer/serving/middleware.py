"""Process every request: limit its body, log a line, and count it."""

import asyncio
import json
import logging
import time

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.serving import bodies
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics

log = logging.getLogger("svhn.access")


class Accounted:
    """Counts and logs each request, without its content; refuses excess requests, and bodies that are too large."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, limits: Limits) -> None:
        self.app, self.metrics, self.limits = app, metrics, limits
        self.active = 0  # requests with a body, which take memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, seen, status, is_whole = time.perf_counter(), 0, 0, False

        async def limited() -> Message:
            nonlocal seen, is_whole
            if is_whole:  # a further message only says that the client has disconnected
                return await receive()
            left = self.limits.body_seconds - (time.perf_counter() - begin)
            try:
                message = await asyncio.wait_for(receive(), left)
            except asyncio.TimeoutError:
                raise bodies.too_slow(self.limits.body_seconds) from None
            is_whole = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self.limits.body_bytes:
                raise bodies.too_large(self.limits.body_bytes)
            return message

        async def noticing(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        has_body = scope["method"] == "POST"
        busy = has_body and self.active >= self.limits.pending
        self.active += has_body
        try:
            await (_too_busy(self.limits) if busy else self.app)(scope, limited, noticing)
        finally:
            self.active -= has_body
            route = scope.get("route")
            path = getattr(route, "path", "unknown")  # not the client's own text: it would make counters without end
            self.metrics.requests.labels(path, str(status)).inc()
            row = {"method": scope["method"], "path": path, "status": status, "bytes": seen}
            log.info(json.dumps({**row, "ms": round(1000 * (time.perf_counter() - begin), 1)}))


def _too_busy(limits: Limits) -> JSONResponse:
    busy = bodies.busy(limits.pending)
    return JSONResponse({"error": busy.detail}, busy.status_code, busy.headers)
