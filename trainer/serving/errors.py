"""The form of all errors: `{"error": {"reason": ..., "detail": ...}}`."""

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

OF_THE_FRAMEWORK = {404: "not-found", 405: "wrong-method"}  # any other status means a malformed form


def add(app: FastAPI) -> None:
    """Give all errors of an application the same form."""

    @app.exception_handler(HTTPException)
    async def ours(_: Request, raised: HTTPException) -> JSONResponse:
        return JSONResponse({"error": raised.detail}, raised.status_code, raised.headers)

    @app.exception_handler(StarletteHTTPException)
    async def of_the_framework(_: Request, raised: StarletteHTTPException) -> JSONResponse:
        """Return the framework's errors, e.g. for an unknown path or a malformed form, in our own format."""
        reason = OF_THE_FRAMEWORK.get(raised.status_code, "malformed")
        return JSONResponse({"error": error(reason, raised.detail)}, raised.status_code, raised.headers)


def error(reason: str, detail: str) -> dict[str, str]:
    """Return the content of an error."""
    return {"reason": reason, "detail": detail}
