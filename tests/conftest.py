"""Shared fixtures: commands as processes, a tiny dataset, a tiny model, and the real images if available."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest

from tests.forking import Commands

ROOT = Path(__file__).parent.parent

# A shell ignores Ctrl-C for its background jobs, and the processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("untimed", deadline=None)  # or a busy machine fails tests
hypothesis.settings.load_profile("untimed")

Run = Callable[..., subprocess.CompletedProcess]

# Lines of TensorFlow, absl, oneDNN, gRPC, Keras and Beam about themselves, perhaps behind the name of a task.
CHATTER = re.compile(
    r"^(\[[a-z 0-9]+\] )?([IWEF]\d{4} \d\d:|WARNING|.*\b(oneDNN|absl::|is deprecated|\w*Warning:)).*$", re.MULTILINE
)


def assert_no_chatter(output: str, command: str = "") -> None:
    """Fail if the output of a command has a line that a library wrote about itself."""
    assert not (line := CHATTER.search(output)), f"{command}\n{line.group()}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make the output of a test encodable: test processes exchange it as UTF-8."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.hookimpl(trylast=True)  # after the sample of tests/faults is chosen, which depends on the order
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first: at the end, no process of pytest-xdist waits for another's long test."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images: SHARED_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real images are missing: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a command as a user does; check its exit status, and that no library chatters.

    Most of the time of a small command goes into starting Python and importing TensorFlow. `forked` avoids that: use it
    unless the start itself is tested.
    """

    def run_module(module: str, *args: object, status: int = 0) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", module, *map(str, args)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == status, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        assert_no_chatter(done.stdout + done.stderr, " ".join(command))
        return done

    return run_module


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Run a command in a process of its own, a fork of one that has imported everything."""
    return Commands(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="session")
def forked(commands: Commands) -> Run:
    """Run a command like `run`, with the same checks, as a fork of a process that has imported everything."""

    def run_module(module: str, *args: object, status: int = 0) -> subprocess.CompletedProcess:
        ended = commands(module, *args, cwd=ROOT, timeout=600, idle=120)  # engines of Beam work in other sessions
        command = " ".join([module, *map(str, args)])
        assert ended.status == status, f"{command}\n{ended.out}\n{ended.err}"
        assert_no_chatter(ended.out + ended.err, command)
        return subprocess.CompletedProcess([module, *map(str, args)], status, ended.out, ended.err)

    return run_module


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of 80 drawn numbers of one and two digits, in two shards of a train split."""
    from beam_pipelines import synthesize

    folder = tmp_path_factory.mktemp("tiny") / "dataset"
    args = ["--count", "80", "--max-digits", "2", "--num-shards", "2", "--seed", "5", "--output", str(folder)]
    assert synthesize.main(args) == 0
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an exported smoke model that was not trained, as SavedModel, TFLite and ONNX.

    Its work folder is `run` beside it. The processes of pytest-xdist share it, since exporting takes long: tests leave
    both as they are.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny_model"
    with (folder.parent / "tiny_model.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            export_untrained(str(folder))
            (folder / "complete").touch()
    return folder / "export"


def export_untrained(folder: str) -> None:
    """Write a work folder `run` with weights that were not trained, and its exported model `export`."""
    import tensorflow as tf

    from trainer.config import experiments
    from trainer.inference.exports import saved_model
    from trainer.models.recogniser import PureRecogniser
    from trainer.workdir import checkpoint, files

    wanted = experiments.find("smoke")
    recogniser = PureRecogniser(wanted.model, seed=0)
    values = {"averages": recogniser.params, "state": recogniser.state}
    variables = {name: {path: tf.Variable(v) for path, v in paths.items()} for name, paths in values.items()}
    files.start(f"{folder}/run", wanted)
    saved = tf.train.Checkpoint(step=tf.Variable(1, dtype=tf.int64), **variables)
    checkpoint.Checkpoints(f"{folder}/run", saved, keep=1).save(1)
    saved_model.export(f"{folder}/run", f"{folder}/export", tflite=True, onnx=True)
