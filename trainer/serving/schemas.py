"""The requests and responses of the server, for its OpenAPI description; responses are validated before sending."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

REASONS = {
    400: "The body does not have one of the described forms.",
    401: "The header `Authorization: Bearer TOKEN` is missing or wrong.",
    404: "No such model.",
    408: "The body has not arrived in time.",
    413: "The body, an image or the number of images is too large.",
    415: "Not an image, a damaged one, or another content type.",
    429: "Too many requests or images are waiting: try again after the seconds in `Retry-After`.",
}


class Strict(BaseModel):
    """A JSON object with no other keys than these."""

    model_config = ConfigDict(extra="forbid")


class Number(Strict):
    """A number in an image; see `trainer.inference.reading.Number`."""

    text: str
    confidence: float = Field(ge=0, le=1)
    box: list[float] | None = Field(min_length=8, max_length=8)
    candidates: list[str]
    characters: list[float]


class Reading(Strict):
    """What was read in an image; see `trainer.inference.reading.Reading`."""

    text: str
    confidence: float = Field(ge=0, le=1)
    candidates: list[str]
    numbers: list[Number]


class Reason(Strict):
    """Why something was refused: a code for programs, and a sentence for people."""

    reason: str
    detail: str


class Refused(Strict):
    """The answer to a request, or the result of an image, that was refused."""

    error: Reason


class Answer(Strict):
    """The answer to `POST /v1/read`: a result for each image, in order."""

    model: str
    fingerprint: str
    results: list[Reading | Refused]


class Predictions(Strict):
    """The answer to `POST /v1/models/NAME:predict`."""

    predictions: list[Reading]


class State(Strict):
    """The error of a version of a model, in the format of TensorFlow Serving; always OK."""

    error_code: str
    error_message: str


class Version(Strict):
    """A version of a model."""

    version: str
    state: str
    status: State


class Status(Strict):
    """The answer to `GET /v1/models/NAME`."""

    model_version_status: list[Version]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the responses with these statuses."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": Refused, "description": REASONS[status]} for status in statuses
    }
    if 401 in found:
        found[401]["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    if 429 in found:
        found[429]["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    return found


def _listed(name: str) -> dict[str, Any]:
    item = {"type": "object", "required": ["b64"], "properties": {"b64": {"type": "string", "format": "byte"}}}
    listed = {"type": "array", "items": item, "minItems": 1}
    schema = {"type": "object", "required": [name], "properties": {name: listed}}
    return {"schema": schema, "example": {name: [{"b64": "iVBORw0KGgo..."}]}}


_IMAGE = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": {"type": "array", "items": _IMAGE, "minItems": 1}},
}
READ = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": _IMAGE},
            "image/*": {"schema": _IMAGE},
            "multipart/form-data": {"schema": _FORM},
            "application/json": _listed("images"),
        },
    }
}
PREDICT = {"requestBody": {"required": True, "content": {"application/json": _listed("instances")}}}


class DescribedApp(FastAPI):
    """An application whose `/openapi.json` lists its actual models, and the token if it requires one.

    FastAPI adds the status 422 to all operations with parameters; ours answer 404 for a model that does not exist.
    """

    def __init__(self, models: Iterable[str], *, has_token: bool, **options: Any) -> None:
        super().__init__(**options)
        self.names, self.has_token = {"type": "string", "enum": list(models)}, has_token

    def openapi(self) -> dict[str, Any]:
        """Return the description."""
        content = super().openapi()
        for operations in content["paths"].values():
            for method, operation in operations.items():
                operation["responses"].pop("422", None)
                for parameter in operation.get("parameters", []):
                    parameter["schema"] = self.names
                if method == "post" and self.has_token:
                    operation["security"] = [{"token": []}]
        for name in ("HTTPValidationError", "ValidationError"):
            content["components"]["schemas"].pop(name, None)
        if self.has_token:
            content["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        return content
