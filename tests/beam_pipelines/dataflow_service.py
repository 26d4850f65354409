"""A fake REST API of Dataflow: it accepts a job, reports that it is done, and does nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.http_server import QuietHandler, running

JOB_ID = "job-1"


@dataclass
class Service:
    """The service's address, and the jobs that it received."""

    endpoint: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def serve() -> Iterator[Service]:
    """Run the service on 127.0.0.1."""
    service = Service()
    with running(type("Handler", (_Handler,), {"service": service})) as port:
        service.endpoint = f"http://localhost:{port}"
        yield service


class _Handler(QuietHandler):
    service: ClassVar[Service]

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _job(self, state: str) -> None:
        self._answer({"id": JOB_ID, "projectId": "my-project", "location": "us-central1", "currentState": state})

    def do_POST(self) -> None:
        assert self.path.startswith("/v1b3/projects/my-project/locations/us-central1/jobs?")
        self.service.jobs.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._job("JOB_STATE_PENDING")

    def do_GET(self) -> None:
        if "/messages" in self.path:
            self._answer({"jobMessages": []})
        elif "/metrics" in self.path:
            self._answer({"metrics": []})
        else:
            self._job("JOB_STATE_DONE")
