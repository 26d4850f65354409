"""The server's interface, with a tiny model: what it answers, and what it refuses without a traceback."""

import asyncio
import base64
import dataclasses
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.types import Message

from beam_pipelines.synthesis import texts
from beam_pipelines.synthesis.fonts import Fonts
from trainer.serving import app, models
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics
from trainer.serving.models import ServedModel
from trainer.vocab import DIGITS

LIMITS = Limits(batch=4, wait=0.01, pending=8, body_bytes=200_000, images=5)


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture(scope="module")
def loaded(tiny_model: Path, metrics: Metrics) -> dict[str, ServedModel]:
    return models.load({"tiny": str(tiny_model)}, LIMITS, metrics)


@pytest.fixture(scope="module")
def client(loaded: dict[str, ServedModel], metrics: Metrics) -> Iterator[TestClient]:
    with TestClient(app.create(loaded, LIMITS, metrics), raise_server_exceptions=True) as made:
        yield made


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    draw = Fonts(3, texts.from_options("uniform", "uniform", max_digits=3, alphabet=DIGITS))
    files = []
    for index in range(6):
        buffer = io.BytesIO()
        draw(index).image.save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def plain(reading: dict[str, Any]) -> dict[str, Any]:
    """Return a reading without the noise that batches of different sizes leave in the confidence."""
    assert reading.keys() == {"text", "confidence", "candidates", "numbers"}
    return {**reading, "confidence": round(reading["confidence"], 5)}


def test_an_image_is_read_as_a_reader_reads_it_however_it_is_sent(
    client: TestClient, loaded: dict[str, ServedModel], images: list[bytes]
) -> None:
    wanted = [plain(loaded["tiny"].reader.read(image).to_dict()) for image in images[:3]]
    raw = [client.post("/v1/read", content=image).json() for image in images[:3]]
    assert [plain(answer["results"][0]) for answer in raw] == wanted
    assert {answer["model"] for answer in raw} == {"tiny"}
    form = client.post("/v1/read", files=[("image", (f"{i}.png", image)) for i, image in enumerate(images[:3])])
    as_json = client.post("/v1/read", json={"images": [b64(image) for image in images[:3]]})
    for several in (form, as_json):
        assert [plain(one) for one in several.json()["results"]] == wanted
    for instances in ([b64(image) for image in images[:3]], [{"images": b64(image)} for image in images[:3]]):
        served = client.post("/v1/models/tiny:predict", json={"instances": instances})
        assert [plain(one) for one in served.json()["predictions"]] == wanted


def test_one_bad_image_of_several_is_named_and_the_others_are_read(
    client: TestClient, metrics: Metrics, images: list[bytes]
) -> None:
    rejected = metrics.rejects.labels("undecodable")._value.get
    before = rejected()
    found = client.post("/v1/read", json={"images": [b64(images[0]), b64(b"no image"), b64(images[1])]})
    assert found.status_code == 200
    first, bad, last = found.json()["results"]
    assert first["text"]
    assert last["text"]
    assert bad["error"]["reason"] == "undecodable"
    assert rejected() == before + 1
    assert 'svhn_rejected_images_total{reason="undecodable"}' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"content": b"no image"}, 415, "undecodable"),
        ({"content": b""}, 400, "malformed"),
        ({"content": bytes(300_000)}, 413, "too-large"),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "unknown-kind"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed"),
        ({"json": {"images": []}}, 400, "malformed"),
        ({"json": {"images": ["x"]}}, 400, "malformed"),
        ({"json": {"images": [{"b64": "%%%"}]}}, 400, "malformed"),
        ({"json": ["images"]}, 400, "malformed"),
        ({"json": {"images": [{"b64": "eA=="}] * 6}}, 413, "too-many"),
        ({"content": b"x", "params": {"model": "other"}}, 404, "no-such-model"),
    ],
)
def test_what_cannot_be_read_has_a_status_and_a_reason(
    client: TestClient, request_: dict[str, Any], status: int, reason: str
) -> None:
    response = client.post("/v1/read", **request_)
    assert (response.status_code, response.json()["error"]["reason"]) == (status, reason)


def test_more_pixels_than_allowed_are_too_large(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    response = client.post("/v1/read", content=buffer.getvalue())
    assert (response.status_code, response.json()["error"]["reason"]) == (413, "too-large")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/v1/read", "/v1/models/tiny:predict"]),
    kind=st.sampled_from(["application/json", "multipart/form-data; boundary=x", "multipart/form-data", "image/x", ""]),
    body=st.binary(max_size=200)
    | st.recursive(st.none() | st.text(max_size=5), lambda inner: st.dictionaries(
        st.sampled_from(["images", "instances", "b64", "x"]), inner, max_size=3) | st.lists(inner, max_size=3)
    ).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip
def test_no_body_is_an_internal_error(client: TestClient, path: str, kind: str, body: bytes) -> None:
    response = client.post(path, content=body, headers={"Content-Type": kind})
    assert 400 <= response.status_code < 500
    assert "error" in response.json()


def test_many_at_once_are_read_in_batches_or_told_to_come_back(client: TestClient, images: list[bytes]) -> None:
    with ThreadPoolExecutor(16) as threads:
        responses = list(threads.map(lambda i: client.post("/v1/read", content=images[i % 6]), range(48)))
    statuses = [response.status_code for response in responses]
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 8
    assert all("retry-after" in response.headers for response in responses if response.status_code == 429)
    texts_of: dict[int, set[str]] = {}
    for i, response in enumerate(responses):
        if response.status_code == 200:
            texts_of.setdefault(i % 6, set()).add(response.json()["results"][0]["text"])
    assert all(len(found) == 1 for found in texts_of.values())


def test_with_a_token_only_those_who_have_it_are_answered(tiny_model: Path, images: list[bytes]) -> None:
    fresh = models.load({"tiny": str(tiny_model)}, LIMITS, metrics := Metrics())
    with TestClient(app.create(fresh, LIMITS, metrics, "secret")) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            assert client.post("/v1/read", content=images[0], headers=headers).status_code == 401
        headers = {"Authorization": "Bearer secret"}
        assert client.post("/v1/read", content=images[0], headers=headers).status_code == 200
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_state_and_description(client: TestClient, loaded: dict[str, ServedModel]) -> None:
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").json() == {"tiny": loaded["tiny"].fingerprint}
    [version] = client.get("/v1/models/tiny").json()["model_version_status"]
    assert version["state"] == "AVAILABLE"
    assert client.get("/v1/models/other").status_code == 404
    assert {"/v1/read", "/v1/models/{name}:predict"} <= client.get("/openapi.json").json()["paths"].keys()
    assert client.get("/nowhere/secret").status_code == 404
    counted = client.get("/metrics").text
    assert 'svhn_requests_total{path="unknown",status="404"} 1.0' in counted
    assert "secret" not in counted


def test_the_page_has_no_scripts_but_its_own(client: TestClient) -> None:
    page = client.get("/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/page.js", "/page.css"):
        assert path[1:] in page.text
        found = client.get(path)
        assert found.status_code == 200
        assert "http://" not in found.text
        assert "https://" not in found.text
    assert "<script>" not in page.text
    assert "style=" not in page.text


def test_a_body_that_does_not_arrive_is_refused(loaded: dict[str, ServedModel], metrics: Metrics) -> None:
    """Otherwise clients that send nothing would keep all others out."""
    served = app.create(loaded, dataclasses.replace(LIMITS, body_seconds=0.1), metrics)
    sent: list[Message] = []
    parts = [{"type": "http.request", "body": b"\x89PNG", "more_body": True}]

    async def receive() -> Message:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/read", "query_string": b"", "headers": []}
    asyncio.run(asyncio.wait_for(served(scope, receive, send), 60))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["reason"] == "too-slow"
