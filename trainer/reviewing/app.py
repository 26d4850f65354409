"""The review as a local web application: it serves rows and their images, and stores answers."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.middleware.trustedhost import TrustedHostMiddleware

from trainer.data.images.image_kinds import UnreadableImage
from trainer.data.labels import box_corners
from trainer.reviewing import images, predictions
from trainer.reviewing.images import View
from trainer.reviewing.journal import Kind, Newer
from trainer.reviewing.predictions import Row
from trainer.reviewing.review import Review
from trainer.serving import errors, page
from trainer.serving.access import Access
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics
from trainer.serving.middleware import Accounted

STATIC = Path(__file__).parent / "static"
LIMITS = Limits(body_bytes=16_384, body_seconds=10.0)
LONGEST = 64  # characters of a text or a name
FARTHEST = 1e6  # pixels from the origin at which a corner may lie
QUALITY = 88  # of the JPEG files
VIEWS: dict[str, Callable[[Row, BinaryIO], View]] = {"cut": images.cut, "whole": images.whole}


NotThese = Annotated[list[int], Query(alias="not", default_factory=list)]
Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]


class Given(BaseModel):
    """An answer as the page sends it."""

    model_config = ConfigDict(strict=True, extra="forbid")
    row: int
    kind: Kind
    text: Annotated[str, Field(max_length=LONGEST)] = ""
    box_right: bool = True
    reviewer: Annotated[str, Field(max_length=LONGEST)] = ""
    seen: int
    box: Annotated[list[Coordinate], Field(min_length=8, max_length=8)] | None = None

    @field_validator("box")
    @classmethod
    def clockwise(cls, value: list[float] | None) -> list[float] | None:
        """Return a box; refuse one without area, or whose corners are not in clockwise order."""
        if value is not None and box_corners.area(box_corners.of_values(value)) < 1:
            raise ValueError("its corners are not in clockwise order around an area")
        return value

    @field_validator("text", "reviewer")
    @classmethod
    def printable(cls, value: str) -> str:
        """Return a text without surrounding spaces; refuse control characters and lone surrogates."""
        if not value.isprintable():
            raise ValueError("it has characters that cannot be printed")
        return value.strip()


def create(review: Review, token: str | None = None, hosts: list[str] | None = None) -> FastAPI:
    """Return the application.

    Args:
      review: what is reviewed.
      token: what requests must carry as `Authorization: Bearer TOKEN`, if given.
      hosts: host names by which the server may be addressed; any by default. This prevents DNS rebinding, where a web
        page makes its own host name point to this machine, and reads what is served here.
    """
    app = FastAPI(title="svhn-sequences review", docs_url=None, redoc_url=None)
    app.add_middleware(Accounted, metrics=Metrics(), limits=LIMITS)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts or ["*"])
    access = Access(token)
    _add_rows(app, review, access)
    _add_answers(app, review, access)
    page.add(app, STATIC)
    errors.add(app)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, raised: RequestValidationError) -> JSONResponse:
        detail = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in raised.errors())
        return JSONResponse({"error": errors.error("malformed", detail)}, 400)

    return app


def _add_rows(app: FastAPI, review: Review, access: Access) -> None:
    @app.get("/v1/next")
    def next_row(request: Request, page: str, not_: NotThese) -> dict[str, Any]:
        """Return the next row without an answer, or null if there is none left for this page."""
        access.check(request)
        row = review.next(page, frozenset(not_))
        return {"row": None if row is None else _shown(review, row)}

    @app.get("/v1/rows/{number}")
    def one_row(request: Request, number: int) -> dict[str, Any]:
        """Return a row with its answers so far."""
        access.check(request)
        review.journal.refresh()
        return {"row": _shown(review, _row(review, number))}

    @app.get("/v1/rows/{number}/{view}")
    def image(request: Request, number: int, view: str) -> Response:
        """Return the image of a row: `cut`, the number with its surroundings, or `whole`."""
        access.check(request)
        row = _row(review, number)
        if view not in VIEWS:
            raise HTTPException(404, errors.error("not-found", f"{view}: choose one of {', '.join(VIEWS)}"))
        try:
            with predictions.opened(row) as file:
                shown = VIEWS[view](row, file)
        except UnreadableImage as error:
            raise HTTPException(415, errors.error(error.reason, error.detail)) from error
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            raise HTTPException(410, errors.error("missing-picture", "the image can no longer be opened")) from error
        buffer = io.BytesIO()
        shown.image.save(buffer, "JPEG", quality=QUALITY)
        size = ",".join(map(str, shown.original))
        headers = {**page.HEADERS, "Cache-Control": "no-store", "X-Image-Size": size}
        return Response(buffer.getvalue(), media_type="image/jpeg", headers=headers)


def _add_answers(app: FastAPI, review: Review, access: Access) -> None:
    @app.get("/v1/progress")
    def progress(request: Request) -> dict[str, Any]:
        """Return the progress of the review, and what it promises for all rows."""
        access.check(request)
        review.journal.refresh()
        return _progress(review)

    @app.post("/v1/answers")
    def answer(request: Request, given: Given) -> dict[str, Any]:
        """Store an answer; refuse it with status 409 if the row has answers that the page has not shown."""
        access.check(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, errors.error("unknown-kind", "send application/json"))
        row = _row(review, given.row)
        if (given.kind == "number") != bool(given.text) or (given.box is not None and given.kind != "number"):
            raise HTTPException(
                400, errors.error("malformed", "a number has a text and, perhaps, a box; others have none")
            )
        try:
            review.answer(
                row,
                given.kind,
                given.text,
                box_right=given.box_right,
                reviewer=given.reviewer,
                seen=given.seen,
                box=None if given.box is None else tuple(given.box),
            )
        except Newer:
            detail = errors.error("answered-meanwhile", "somebody else has answered this in the meantime")
            raise HTTPException(409, {**detail, "row": _shown(review, row)}) from None
        except OSError as error:
            detail = errors.error("not-stored", f"the answer could not be stored: {error.strerror or error}")
            raise HTTPException(507, detail) from error
        return {"row": _shown(review, row), "progress": _progress(review)}


def _row(review: Review, number: int) -> Row:
    row = review.queue.rows.get(number)
    if row is None:
        raise HTTPException(404, errors.error("not-found", f"row {number} is not under review"))
    return row


def _shown(review: Review, row: Row) -> dict[str, Any]:
    history = review.journal.history(row.key)
    return {
        "row": row.number,
        "key": row.key,
        "text": row.text,
        "shows_none": row.shows_none,
        "confidence": row.confidence,
        "candidates": list(dict.fromkeys(filter(None, row.candidates))),
        "has_box": row.box is not None,
        "others": row.others,
        "history": [
            {"kind": one.kind, "text": one.text, "reviewer": one.reviewer, "time": one.time} for one in history
        ],
    }


def _progress(review: Review) -> dict[str, Any]:
    progress = review.progress()
    return {
        "answered": progress.answered,
        "total": progress.total,
        "sample_answered": progress.sample_answered,
        "sample_total": progress.sample_total,
        "kinds": progress.kinds,
        "min_confidence": review.queue.min_confidence,
        "damaged_lines": review.journal.damaged,
        "promises": [
            {
                "confidence": one.confidence,
                "coverage": one.coverage,
                "rows": one.rows,
                "answered": one.answered,
                "accuracy": one.accuracy,
                "interval": one.interval,
            }
            for one in review.promises()
        ],
    }
