"""Stores that do not answer: every place on a command line is one line soon, whatever the store's client would try."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.table import check
from tests.faults.test_processes import start
from tests.forking import Commands
from trainer.exit_status import FAILED_STATUS, USER_ERROR_STATUS

COMMANDS = {
    "trainer.train": ["--data", "{data}", "--validation-data", "{validation}", "--workdir", "{out}",
                      "--init-from", "{model}"],
    "trainer.finetune": ["nowhere", "--workdir", "nowhere", "--model", "{model}"],
    "trainer.evaluate": ["--data", "{data}", "--workdir", "{out}", "--reader", "{model}"],
    "trainer.export": ["--workdir", "{data}", "--output", "{out}", "--reader", "{model}"],
    "trainer.predict": ["nowhere.png", "--model", "{model}"],
    "trainer.report": ["--workdir", "{data}", "--predictions", "{validation}", "--compare", "{model}",
                       "--output", "{out}"],
    "trainer.review": ["{data}"],
    "trainer.search": ["--data", "{data}", "--validation-data", "{validation}", "--workdir", "{out}"],
    "trainer.serve": ["--port", "0", "--model", "m={model}"],
    "beam_pipelines.prepare": ["--format", "csv", "--input", "{data}", "--images", "{validation}", "--output", "{out}"],
    "beam_pipelines.synthesize": ["--count", "3", "--source", "crops", "--records", "{data}", "--output", "{out}"],
    "beam_pipelines.score": ["--input", "{data}", "--model", "{model}", "--resume-from", "{validation}",
                             "--output", "{out}"],
    "beam_pipelines.inspect": ["{data}", "--sheet", "{out}"],
}  # fmt: skip
PLACES = [
    (command, place)
    for command, words in COMMANDS.items()
    for place in ("data", "validation", "model", "out")
    if any(f"{{{place}}}" in word for word in words)
]


ONE_OF_EACH = ["trainer.evaluate", "beam_pipelines.score"]  # through TensorFlow, and through Beam


@dataclass
class Store:
    """A server that accepts connections and never answers, or an address at which nobody listens."""

    address: str
    connections: list[socket.socket] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What sends all requests to gs:// there."""
        url = f"http://{self.address}"
        return {"https_proxy": url, "STORAGE_EMULATOR_HOST": url, "NO_GCE_CHECK": "true"}


@pytest.fixture
def silent() -> Iterator[Store]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        store = Store(f"127.0.0.1:{listening.getsockname()[1]}")

        def accept() -> None:
            while True:
                connection = listening.accept()[0]
                if connection.recv(1) == b"":  # the test is over
                    return
                store.connections.append(connection)

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield store
        socket.create_connection(listening.getsockname()).close()
        accepting.join()
    for connection in store.connections:
        connection.close()


@pytest.fixture
def refusing() -> Iterator[Store]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Store(f"127.0.0.1:{bound.getsockname()[1]}")


def words_of(command: str, **places: str) -> list[str]:
    """A command line with some places given, and the others nowhere."""
    all_places = {"data": "nowhere", "validation": "nowhere", "model": "released", "out": "out", **places}
    return [word.format(**all_places) for word in COMMANDS[command]]


def check_line(
    commands: Commands, place: Path, store: Store, command: str, words: list[str], says: str, *, pod: bool = False
) -> None:
    """Check that a command ends in one line, and with the status of a Pod if it is in one."""
    variables = {**store.environment, "PYTHONPATH": str(ROOT), **({"KUBERNETES_SERVICE_HOST": "::1"} if pod else {})}
    status = FAILED_STATUS if pod else USER_ERROR_STATUS
    args = ["tests.impatient", command, *words]
    check(commands, *args, watched=(place,), cwd=place, statuses=(status,), says=says, lines=1, env=variables)


@pytest.mark.parametrize(("command", "argument"), PLACES)
def test_a_store_that_never_answers_is_one_line(
    commands: Commands, silent: Store, tmp_path: Path, command: str, argument: str
) -> None:
    url = "gs://bucket/x"
    words = words_of(command, **{argument: url})
    check_line(commands, tmp_path, silent, command, words, f" {url} cannot be reached (")


@pytest.mark.parametrize("command", ONE_OF_EACH)
def test_a_store_that_refuses_connections_is_one_line(
    commands: Commands, refusing: Store, tmp_path: Path, command: str
) -> None:
    words = words_of(command, data="gs://bucket")
    check_line(commands, tmp_path, refusing, command, words, " gs://bucket cannot be reached (")


@pytest.mark.parametrize("command", ONE_OF_EACH)
def test_a_name_without_a_bucket_is_one_line(commands: Commands, refusing: Store, tmp_path: Path, command: str) -> None:
    check_line(commands, tmp_path, refusing, command, words_of(command, data="gs://"), "give gs://BUCKET/FOLDER")


@pytest.mark.parametrize("command", ONE_OF_EACH)
def test_a_pod_is_started_again(commands: Commands, silent: Store, tmp_path: Path, command: str) -> None:
    """Its network may come up late; exit status 2 would end the whole Job."""
    words = words_of(command, data="gs://bucket")
    check_line(commands, tmp_path, silent, command, words, "gs://bucket cannot be reached", pod=True)


def test_images_of_a_silent_bucket_are_asked_for_once(commands: Commands, silent: Store) -> None:
    images = [f"gs://bucket/{i}.png" for i in range(20)]
    args = ["trainer.predict", "--model", "released-fast", *images]
    ended = check(commands, "tests.impatient", *args, watched=(), env=silent.environment, lines=len(images), cwd=ROOT)
    for image in images:
        assert f"the image {image} cannot be reached" in ended.err
    assert len(silent.connections) == 1


def test_a_report_shows_placeholders_for_images_of_a_silent_bucket(
    commands: Commands, silent: Store, copied: Path
) -> None:
    page = copied / "page.html"
    args = ["trainer.report", "--predictions", copied / "predictions", "--output", page]
    for bucket in (False, True):
        for path in (copied / "predictions").glob("predictions-*.jsonl"):
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            keys = [f"gs://bucket/{row['key']}" if bucket else row["key"] for row in rows]
            path.write_text(
                "".join(f"{json.dumps({**row, 'key': key})}\n" for row, key in zip(rows, keys, strict=True))
            )
        ended = commands("tests.impatient", *args, env=silent.environment, cwd=ROOT)
        assert ended.status == 0, ended.err
        assert ("data:image" in page.read_text()) != bucket
    assert len(silent.connections) == 1


@pytest.mark.slow
def test_a_reader_says_that_a_bucket_cannot_be_reached(silent: Store, place: Path) -> None:
    script = """
from trainer import Reader, UserError
from trainer.files import first_contact
first_contact.SECONDS = 0.5
for call in (lambda: Reader("gs://one/m"), lambda: Reader("released-fast").read("gs://two/1.png")):
    try:
        call()
    except UserError as error:
        print(error)
"""
    args = [sys.executable, "-c", script]
    environment = {**silent.environment, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    said = subprocess.run(args, env=environment, cwd=place, capture_output=True, text=True, timeout=300, check=True)
    lines = said.stdout.splitlines()
    assert ["gs://one/m cannot be reached" in lines[0], "gs://two/1.png cannot be reached" in lines[1]] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["trainer.predict", "beam_pipelines.score"])
def test_a_request_that_still_waits_does_not_hold_the_process(command: str, silent: Store, place: Path) -> None:
    """Nor does it crash at its end."""
    words = words_of(command, model="gs://bucket/m", data=__file__)
    process = start(command, words, place, env=silent.environment)
    _, err = process.communicate(timeout=300)
    assert process.returncode == USER_ERROR_STATUS, err
    assert err.count("\n") == 1, err
    assert "gs://bucket/m cannot be reached" in err
