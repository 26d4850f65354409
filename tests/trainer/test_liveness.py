"""The liveness probe's exit status, and its one line if it cannot probe."""

import json

import pytest

from trainer import liveness
from trainer.cluster import liveness as servers

JOBS = {"chief": ["127.0.0.1:1"], "worker": ["127.0.0.1:2"], "ps": ["127.0.0.1:3"]}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TF_CONFIG", "CLUSTER_ROLE"):
        monkeypatch.delenv(variable, raising=False)


def test_a_single_process_is_alive() -> None:
    assert liveness.main() == 0


@pytest.mark.parametrize(("answers", "status"), [(True, 0), (False, 1)])
def test_the_server_of_the_task_is_probed(monkeypatch: pytest.MonkeyPatch, answers: bool, status: int) -> None:
    probed = []

    def answer(address: str, seconds: float) -> bool:
        assert seconds >= 10
        probed.append(address)
        return answers

    monkeypatch.setattr(servers, "answers", answer)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": JOBS, "task": {"type": "worker", "index": 0}}))
    assert liveness.main() == status
    assert probed == ["127.0.0.1:2"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "TF_CONFIG is not valid"),
        (json.dumps({"cluster": JOBS, "task": {"type": "evaluator"}}), "the task evaluator runs no server"),
    ],
)
def test_a_task_that_cannot_be_probed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: str, message: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    assert liveness.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
