"""An API server that does not answer is waited for; the run continues without it: an outage is not a user error."""

import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from k8s import client, submit
from tests.k8s.api_server import Fault, Object, State
from tests.k8s.submitting import configure, submitted, trains

LONG = 3 * client.TRIES  # requests, more than are tried again without a word


@pytest.mark.parametrize("status", [0, 206, 503])
def test_an_outage_while_a_run_is_followed_is_outlasted(
    state: State, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    outage = [Fault("GET", part, status, times=0) for part in ("/pods", "/jobs")]

    def play(state: State, job: Object) -> None:
        state.pod(job, 0, "Running")
        for fault in outage:
            fault.times = LONG
        while any(fault.times for fault in outage):
            time.sleep(0.05)
        trains(state, job)

    state.play, state.faults = play, outage
    submitted()
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("run run7 continues without it: trying again") >= 1
    assert out.count("continues without it") == out.count("the cluster answers again")
    assert out.count("step 1/3") == out.count("step 3/3") == 1


def test_an_outage_that_lasts_ends_with_1_and_says_that_the_run_continues(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(state: State, job: Object) -> None:
        state.pod(job, 0, "Running")
        state.faults = [Fault("GET", "", 503, "etcd is down", times=10**6)]

    state.play = play
    submitted("--give-up", 0.5, status=1)
    err = capsys.readouterr().err
    assert "etcd is down; run run7 continues, repeat the command to follow it" in err
    assert len(err.splitlines()) == 1
    assert ("jobs", "run7-trainer") in state.objects


def test_a_certificate_that_is_not_accepted_is_no_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setattr(client, "TRIES", 2)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever).start()
        configure(tmp_path, monkeypatch, f"https://127.0.0.1:{server.server_address[1]}")
        submitted(status=2)
        server.shutdown()
    err = capsys.readouterr().err
    assert "was not accepted" in err
    assert "CERTIFICATE_VERIFY_FAILED" in err


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("PATCH", "jobs/", 500, "etcd", times=99), "failed to apply (patch and create) jobs/run7-trainer"),
        (Fault("GET", "jobs", 206, times=99), "cannot be reached"),
    ],
)
def test_an_outage_before_a_run_starts_ends_with_1(
    state: State, capsys: pytest.CaptureFixture[str], fault: Fault, message: str
) -> None:
    state.faults = [fault]
    submitted(status=1)
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [["--overlay", "local"], ["status"], ["logs"], ["delete"]])
def test_a_server_that_is_not_there_ends_each_command_with_1(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "PAUSE", 0.01)
    configure(tmp_path, monkeypatch, "http://127.0.0.1:9")
    assert submit.main([*words, "--name", "run7"]) == 1
    err = capsys.readouterr().err
    assert "http://127.0.0.1:9 cannot be reached" in err
    assert len(err.splitlines()) == 1


def test_each_request_outlasts_ten_seconds() -> None:
    """urllib3 waits not at all before the second try, and then twice as long each time."""
    assert sum(client.PAUSE * 2**number for number in range(1, client.TRIES - 1)) > 10
