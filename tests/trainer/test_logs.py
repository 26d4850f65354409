"""`-q`, `-v` and `--log-format json` do the same for every command."""

import json
import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainer import cli, logs, svhn


def svhn_run(*words: object, status: int = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "trainer.svhn", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == status, done.stderr
    return done


def objects(text: str) -> list[dict[str, str]]:
    """Return the lines as JSON objects, after checking that each is one that Cloud Logging reads."""
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert line["severity"] in ("DEFAULT", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        assert line["message"]
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
    return lines


@pytest.mark.parametrize("name", svhn.COMMANDS)
def test_every_command_has_the_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        svhn.main([name, "--help"])
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in ("-q, --quiet", "-v, --verbose", "--log-format {text,json}"))


@pytest.mark.parametrize("name", svhn.COMMANDS)
def test_every_commands_mistakes_are_json_where_asked(name: str) -> None:
    [line] = objects(svhn_run(name, "--log-format", "json", "--no-such-flag", status=2).stderr)
    assert line["severity"] == "ERROR"
    assert line["message"].startswith("error: ")


def test_a_wrong_format_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert svhn.main(["predict", "x.png", "--log-format", "xml"]) == 2
    assert "--log-format: invalid choice: 'xml'" in capsys.readouterr().err
    assert svhn.main(["predict", "x.png", "-q", "-v"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_the_flags_are_not_among_the_arguments() -> None:
    parser = cli.parser(description="", example="a b c")
    assert vars(parser.parse_args(["-q", "--log-format", "json"])) == {}
    assert logs.chosen() == logs.Choice(quiet=True, log_format="json")
    assert logs.chosen().words() == ["--quiet", "--log-format", "json"]
    assert vars(parser.parse_args([])) == {}
    assert logs.chosen() == logs.Choice()


@pytest.mark.slow
def test_training_logs_json(tiny_dataset: Path, tmp_path: Path) -> None:
    args = ("train", "--experiment", "smoke", "--data", tiny_dataset, "--set", "train.steps=2", "train.log_every=2")
    lines = objects(svhn_run(*args, "--workdir", tmp_path / "json", "--log-format", "json").stderr)
    assert any("step 2/2" in line["message"] for line in lines)


@pytest.mark.parametrize(("flags", "level", "messages"), [([], "2", 1), (["-v"], "0", 1), (["-q"], "2", 0)])
def test_how_much_is_said_while_working(flags: list[str], level: str, messages: int) -> None:
    script = f"""
import logging, os
from trainer import logs
from trainer.cluster import environment
logs.choose({flags})
environment.configure(use_tensorflow=False)
logging.getLogger("trainer.x").info("message")
assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == {level!r}
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.count(" message\n") == messages


def test_pipelines_are_silent_or_json(tmp_path: Path) -> None:
    done = svhn_run("synthesize", "--count", 3, "--output", tmp_path / "a", "--log-format", "json")
    objects(done.stderr)
    assert "complete: " in done.stdout
    assert svhn_run("synthesize", "--count", 3, "--output", tmp_path / "a", "-q").stderr == ""


@pytest.mark.slow
def test_the_lines_of_a_clusters_tasks_are_objects_with_their_name(tiny_dataset: Path, tmp_path: Path) -> None:
    training = ("--experiment", "smoke", "--data", tiny_dataset, "--workdir", tmp_path, "--set", "train.steps=2")
    done = svhn_run("cluster", "--log-format", "json", "--workers", 2, "--", *training)
    objects(done.stderr)
    assert {line["task"] for line in objects(done.stdout)} == {"worker 0", "worker 1"}


def test_errors_in_the_program_and_warnings_are_objects() -> None:
    script = """
import logging, threading, warnings
from trainer import cli, logs
def run(argv):
    cli.parser(description="", example="a b c").parse_args(argv)
    warnings.warn("careful")
    logging.getLogger("x").error("of %s", "logging")
    thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
    raise RuntimeError("a bug")
cli.exit_status(run, ["--log-format", "json"])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    warning, logged, thread, bug = objects(done.stderr)
    assert (warning["severity"], logged["severity"], logged["message"]) == ("WARNING", "ERROR", "of logging")
    assert "ZeroDivisionError" in thread["message"]
    assert (bug["severity"], bug["message"].splitlines()[-1]) == ("CRITICAL", "RuntimeError: a bug")


def test_quiet_leaves_out_what_is_less_than_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    logs.choose(["-q"])
    try:
        logs.say("done")
        logs.say("look out", logging.WARNING)
    finally:
        logs.choose([])
    assert capsys.readouterr().err == "look out\n"


def test_nothing_else_writes_to_standard_error() -> None:
    files = [path for package in ("trainer", "beam_pipelines") for path in (ROOT / package).rglob("*.py")]
    writing = [path.name for path in files if "file=sys.stderr" in path.read_text()]
    assert writing == ["logs.py"]
