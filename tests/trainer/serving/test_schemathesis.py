"""The server does what its OpenAPI description says, whatever is sent: schemathesis makes the requests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.trainer.serving.test_serve import server

pytest.importorskip("schemathesis")

# An image that is damaged is refused, although the schema allows any bytes: it must not count as a mistake.
OPTIONS = ("--phases", "examples,coverage,fuzzing", "--exclude-checks", "positive_data_acceptance", "--no-color")


@pytest.mark.slow
@pytest.mark.parametrize("token", ["", "secret"])
def test_any_request_gets_an_answer_that_the_schema_describes(tiny_model: Path, tmp_path: Path, token: str) -> None:
    """No status 5xx, no undocumented status or content, no access without the token."""
    (tmp_path / "token").write_text(token)
    hooks = {"SCHEMATHESIS_HOOKS": "tests.trainer.serving.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    args = ["--model", f"tiny={tiny_model}", *(["--token-file", str(tmp_path / "token")] if token else [])]
    with server(*args) as (process, address, lines):
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}openapi.json", *OPTIONS]
        command += ["--seed", "1", "--max-examples", "40", "--generation-database", "none"]
        command += ["--header", f"Authorization: Bearer {token}"] if token else []
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Tested: 6" in done.stdout
        assert process.poll() is None
    assert not [line for line in lines if "Traceback" in line]
    answered = {status for status in range(200, 500) if any(f'"status": {status}' in line for line in lines)}
    assert {200, 400, 404, 405, 415} <= answered
    assert (401 in answered) == bool(token)
