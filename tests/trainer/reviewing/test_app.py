"""The server of a review: what it shows, stores and refuses."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.trainer.reviewing import scored
from trainer.reviewing import app, predictions, queue
from trainer.reviewing.journal import NAME, Journal
from trainer.reviewing.queue import Options
from trainer.reviewing.review import Review


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    paths = scored.images(tmp_path / "images", 6)
    rows = [scored.row(path, text=str(20 + i), confidence=0.1 * (i + 1)) for i, path in enumerate(paths)]
    rows[5] |= {"numbers": []}
    return scored.write(tmp_path / "predictions", rows, shards=1)


def client_of(folder: Path, **options: Any) -> TestClient:
    source, journal = predictions.open_predictions(str(folder)), Journal(str(folder.parent / "answers"))
    rows = queue.plan(source, Options(0.9, sample=0), journal.keys())
    return TestClient(app.create(Review(rows, journal), **options))


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with client_of(folder) as made:
        yield made


def give(client: TestClient, row: int, kind: str = "number", text: str = "", **more: Any) -> Any:
    text = text or ("7" if kind == "number" else "")
    return client.post(
        "/v1/answers", json={"row": row, "kind": kind, "text": text, "seen": 0, "reviewer": "anna"} | more
    )


def next_row(client: TestClient, page: str = "p", *not_: int) -> dict[str, Any] | None:
    return client.get("/v1/next", params={"page": page, "not": list(not_)}).json()["row"]


def next_number(client: TestClient, page: str = "p", *not_: int) -> int:
    """Return the number of the next row, of which there must be one."""
    row = next_row(client, page, *not_)
    assert row is not None
    return row["row"]


def test_rows_come_in_order_each_to_one_page_until_they_are_answered(client: TestClient) -> None:
    first, other = next_row(client, "one"), next_row(client, "two")
    assert first
    assert other
    assert (first["row"], other["row"]) == (0, 1)
    assert first["candidates"] == ["20", "2", "203"]
    assert next_row(client, "one") == first
    assert next_number(client, "one", 0) == 2
    stored = give(client, 0, text="20")
    assert stored.status_code == 200
    assert stored.json()["row"]["history"][0]["text"] == "20"
    assert stored.json()["progress"]["answered"] == 1
    assert next_number(client, "three") == 3
    for row in range(1, 6):
        assert give(client, row, "unreadable").status_code == 200
    assert next_row(client, "four") is None


def test_two_servers_do_not_replace_each_others_answers(folder: Path) -> None:
    with client_of(folder) as one, client_of(folder) as other:
        assert give(one, 0, text="20", reviewer="anna").status_code == 200
        refused = give(other, 0, text="21", reviewer="ben")
        assert refused.status_code == 409
        error = refused.json()["error"]
        assert error["reason"] == "answered-meanwhile"
        assert [(a["reviewer"], a["text"]) for a in error["row"]["history"]] == [("anna", "20")]
        assert give(other, 0, text="21", reviewer="ben", seen=1).status_code == 200
        history = one.get("/v1/rows/0").json()["row"]["history"]
        assert [(a["reviewer"], a["text"]) for a in history] == [("anna", "20"), ("ben", "21")]
        assert next_number(one, "x") == 1


def test_an_answer_is_in_the_file_before_it_is_acknowledged_and_undo_brings_the_row_back(
    client: TestClient, folder: Path
) -> None:
    give(client, 0, "none")
    lines = [json.loads(line) for line in (folder.parent / "answers" / NAME).read_text().splitlines()]
    assert [(line["kind"], line["reviewer"], line["read"]) for line in lines] == [("none", "anna", "20")]
    assert next_number(client) == 1
    assert give(client, 0, "withdrawn", seen=1).status_code == 200
    assert next_number(client, "other") == 0
    with client_of(folder) as again:
        assert len(again.get("/v1/rows/0").json()["row"]["history"]) == 2


def test_images_are_those_of_rows_under_review_and_of_nothing_else(client: TestClient, tmp_path: Path) -> None:
    for view in ("cut", "whole"):
        response = client.get(f"/v1/rows/0/{view}")
        assert response.headers["content-type"] == "image/jpeg"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert Image.open(io.BytesIO(response.content)).width > 40
    paths = ["/v1/rows/99/cut", "/v1/rows/-1/cut", "/v1/rows/0/other", "/v1/rows/..%2F..%2Fetc/cut", "/etc/passwd"]
    for path in paths:
        assert client.get(path).status_code in (400, 404), path
    (tmp_path / "images" / "000.png").unlink()
    assert client.get("/v1/rows/0/cut").status_code == 410
    (tmp_path / "images" / "001.png").write_bytes(b"no image")
    assert client.get("/v1/rows/1/cut").json()["error"]["reason"] == "undecodable"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"row": 99}, 404),
        ({"row": "0"}, 400),
        ({"kind": "maybe"}, 400),
        ({"text": ""}, 400),
        ({"kind": "none"}, 400),
        ({"text": "x" * 65}, 400),
        ({"text": "1\n2"}, 400),
        ({"text": "\ud800"}, 400),
        ({"reviewer": "a\x1b[31m"}, 400),
        ({"seen": -1}, 409),
        ({"further": 1}, 400),
        ({"box": [1.0] * 7}, 400),
        ({"box": [1.0] * 8}, 400),
        ({"box": [0.0, 0, 0, 9, 9, 9, 9, 0]}, 400),  # counter-clockwise
        ({"box": [0.0, 0, 2e6, 0, 2e6, 9, 0, 9]}, 400),
        ({"kind": "none", "text": "", "box": [0.0, 0, 9, 0, 9, 9, 0, 9]}, 400),
    ],
)
def test_what_is_no_answer_is_refused_and_not_stored(
    client: TestClient, folder: Path, change: dict[str, Any], status: int
) -> None:
    answer = {"row": 0, "kind": "number", "text": "7", "seen": 0, "reviewer": "anna"} | change
    response = client.post("/v1/answers", content=json.dumps(answer), headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert set(response.json()["error"]) >= {"reason", "detail"}
    assert (folder.parent / "answers" / NAME).read_bytes() == b""


def test_forms_of_other_pages_and_large_bodies_are_refused(client: TestClient) -> None:
    answer = json.dumps({"row": 0, "kind": "number", "text": "7", "seen": 0})
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert client.post("/v1/answers", content=answer, headers={"Content-Type": kind}).status_code in (400, 415)
    large = client.post("/v1/answers", content=b" " * 20_000, headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    assert client.get("/v1/rows/0").json()["row"]["history"] == []


def test_with_a_token_nothing_but_the_page_is_shown_without_it(folder: Path) -> None:
    with client_of(folder, token="secret") as client:
        assert client.get("/").status_code == 200
        for path in ("/v1/next?page=p", "/v1/rows/0", "/v1/rows/0/cut", "/v1/progress"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"Authorization": "Bearer secret"}).status_code == 200
        assert give(client, 0).status_code == 401


def test_other_host_names_are_refused_on_loopback(folder: Path) -> None:
    with client_of(folder, hosts=["localhost", "127.0.0.1"]) as client:
        assert client.get("/v1/rows/0", headers={"Host": "evil.example"}).status_code == 400
        assert client.get("/v1/rows/0", headers={"Host": "localhost:8080"}).status_code == 200


def test_a_full_disk_is_said_and_the_row_stays(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_write", full)
    response = give(client, 0)
    assert response.status_code == 507
    assert "No space left" in response.json()["error"]["detail"]
    monkeypatch.undo()
    assert give(client, 0).status_code == 200
