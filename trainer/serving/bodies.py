"""Extract the images from the body of a request, within limits."""

import base64
import json
from typing import Any

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile

# The last is the default of curl and other clients.
RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")


def too_large(most: int) -> HTTPException:
    """Return the error for a body of more than this many bytes."""
    return HTTPException(413, {"reason": "too-large", "detail": f"the body has more than {most} bytes"})


def too_slow(seconds: float) -> HTTPException:
    """Return the error for a body that has not arrived within this many seconds."""
    detail = f"the body has not arrived within {seconds:g} seconds"
    return HTTPException(408, {"reason": "too-slow", "detail": detail}, {"Connection": "close"})


def busy(pending: int) -> HTTPException:
    """Return the error for a request that would exceed the maximum number of waiting ones."""
    detail = f"{pending} requests or images are waiting already: try again later"
    return HTTPException(429, {"reason": "busy", "detail": detail}, {"Retry-After": "1"})


async def images(request: Request, most: int) -> tuple[bool, list[bytes]]:
    """Return whether the body is one image, and the content of each image in it.

    Raises:
      HTTPException: 400, 413 or 415 for a body that is malformed, too large, or of another kind.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return False, await _of_json(request, "images", most)
    if kind == "multipart/form-data":
        async with request.form(max_files=most, max_fields=most) as form:
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            contents = [await file.read() for file in files]
        return False, _checked(contents, most)
    if kind.startswith("image/") or kind in RAW:
        return True, _checked([await request.body()], most)
    raise HTTPException(
        415,
        {
            "reason": "unknown-kind",
            "detail": f"{kind!r}: send an image as it is, multipart/form-data, or application/json",
        },
    )


async def instances(request: Request, most: int) -> list[bytes]:
    """Return the content of each instance of a request to TensorFlow Serving.

    Raises:
      HTTPException: 400 or 413 for a body that is malformed or too large.
    """
    return await _of_json(request, "instances", most)


async def _of_json(request: Request, name: str, most: int) -> list[bytes]:
    try:
        parsed = json.loads(await request.body())
        return _checked([_decoded(one) for one in parsed[name]], most)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:  # also of base64
        raise _malformed(f'expected {{"{name}": [{{"b64": "..."}}]}}') from error


def _decoded(one: Any) -> bytes:
    """Decode `{"b64": ...}` or, as TensorFlow Serving writes a named input, `{"images": {"b64": ...}}`."""
    return base64.b64decode(one.get("images", one)["b64"], validate=True)


def _checked(contents: list[bytes], most: int) -> list[bytes]:
    if not contents or not all(contents):
        raise _malformed("the body contains no image")
    if len(contents) > most:
        raise HTTPException(413, {"reason": "too-many", "detail": f"{len(contents)} images: send at most {most}"})
    return contents


def _malformed(detail: str) -> HTTPException:
    return HTTPException(400, {"reason": "malformed", "detail": detail})
